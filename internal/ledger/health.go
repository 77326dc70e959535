package ledger

import "github.com/chaosctl/chaosctl/experiment"

func (v *View) healthCheck(edge int32, b *experiment.EdgeBehaviour) {}
