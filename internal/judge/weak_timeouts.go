package judge

import (
	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

func weakTimeouts(v *ledger.View) []experiment.Weakness { return nil }
