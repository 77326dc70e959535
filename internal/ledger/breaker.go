package ledger

import "github.com/chaosctl/chaosctl/experiment"

func (v *View) breaker(edge int32, b *experiment.EdgeBehaviour) {}
