package ledger

import "github.com/chaosctl/chaosctl/experiment"

func (v *View) inversion(edge int32, b *experiment.EdgeBehaviour) {}
