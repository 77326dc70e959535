package ledger

import "github.com/chaosctl/chaosctl/experiment"

func (v *View) fallback(edge int32, b *experiment.EdgeBehaviour) {}
