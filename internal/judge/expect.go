package judge

import (
	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

func expectations(v *ledger.View, spec *experiment.Spec) []experiment.ExpectationResult { return nil }
