package judge

import (
	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

func weakBreakers(v *ledger.View) []experiment.Weakness { return nil }
