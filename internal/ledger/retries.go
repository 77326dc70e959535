package ledger

import "github.com/chaosctl/chaosctl/experiment"

func (v *View) retries(edge int32, b *experiment.EdgeBehaviour) {}
