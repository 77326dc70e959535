package ledger

import "github.com/chaosctl/chaosctl/experiment"

func (v *View) amplification(edge int32, b *experiment.EdgeBehaviour) {}
