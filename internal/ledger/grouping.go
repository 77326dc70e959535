package ledger

import "github.com/chaosctl/chaosctl/experiment"

func (v *View) figures(edge int32, b *experiment.EdgeBehaviour) {}
