package judge

import (
	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

func outcomes(v *ledger.View, spec *experiment.Spec) []experiment.FlowOutcomes { return nil }
