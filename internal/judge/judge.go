// Package judge turns what a run has recorded into its verdict. It is pure
// functions over experiment.Run: the same record always gives the same verdict,
// and nothing that was not recorded counts.
package judge

import (
	"fmt"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// Verdict judges a run that has ended. The first that applies decides (DESIGN
// 3): not rolled back, aborted, steady state not reached or a fault without
// receipt, a gate or probe broken or not recovered, other missing data, pass.
// Reasons are sentences; those of the deciding class come first.
func Verdict(r *experiment.Run) experiment.Verdict {
	var stuck, aborted, vacuous, broken, missing []string
	for _, s := range r.Stuck {
		stuck = append(stuck, "Could not roll back: "+s)
	}
	if r.Aborted != "" {
		aborted = append(aborted, "Aborted: "+r.Aborted)
	}
	steadyHeld := steady(r, &vacuous)
	if steadyHeld && r.Aborted == "" {
		receipts(r, &vacuous)
	}
	for _, g := range r.Gates {
		if g.Stage == experiment.StageSteady {
			continue // judged by steady
		}
		sort(g.Result, g.Why, &broken, &missing)
	}
	for _, p := range r.Probes {
		if !steadyHeld && p.Result == experiment.Unknown {
			continue // its time never came
		}
		sort(p.Result, p.Why, &broken, &missing)
	}
	for _, x := range r.Expectations {
		switch {
		case x.Result == experiment.Broken:
			broken = append(broken, fmt.Sprintf("expected of %s: %s. %s", x.Expectation, x.Rule, x.Why))
		case x.Result == experiment.Untested && steadyHeld:
			missing = append(missing, fmt.Sprintf("expected of %s: %s. %s", x.Expectation, x.Rule, x.Why))
		}
	}
	if rec := r.Recovery; rec != nil {
		sort(rec.Result, rec.Why, &broken, &missing)
	}
	all := join(stuck, aborted, vacuous, broken, missing)
	switch {
	case len(stuck) > 0:
		return verdict(experiment.Failed, experiment.ExitStuck, all)
	case len(aborted) > 0:
		return verdict(experiment.Aborted, experiment.ExitAborted, all)
	case len(vacuous) > 0:
		return verdict(experiment.Inconclusive, experiment.ExitInconclusive, all)
	case len(broken) > 0:
		return verdict(experiment.Failed, experiment.ExitBroken, all)
	case len(missing) > 0:
		return verdict(experiment.Inconclusive, experiment.ExitInconclusive, all)
	}
	return verdict(experiment.Passed, experiment.ExitOK, []string{passed(r)})
}

func verdict(o experiment.Outcome, exit int, reasons []string) experiment.Verdict {
	return experiment.Verdict{Outcome: o, Exit: exit, Reasons: reasons}
}

func join(lists ...[]string) []string {
	all := []string{}
	for _, l := range lists {
		for _, s := range l {
			all = append(all, Sentence(s))
		}
	}
	return all
}

// Sentence gives a text a capital and a full stop.
func Sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

func sort(r experiment.Result, why string, broken, missing *[]string) {
	switch r {
	case experiment.Fail:
		*broken = append(*broken, why)
	case experiment.Unknown:
		*missing = append(*missing, why)
	}
}

// steady tells whether the steady state held, and says why not.
func steady(r *experiment.Run, vacuous *[]string) bool {
	held := true
	for _, g := range r.Gates {
		if g.Stage == experiment.StageSteady && g.Result != experiment.Pass {
			held = false
			*vacuous = append(*vacuous, "Steady state not reached, nothing was hurt: "+g.Why)
		}
	}
	for _, n := range r.Incomplete {
		held = false
		*vacuous = append(*vacuous, n)
	}
	return held
}

// receipts finds faults of the run that hurt nothing, over all their places.
func receipts(r *experiment.Run, vacuous *[]string) {
	for _, in := range r.Injections {
		seen := map[string]bool{}
		for _, a := range in.Armed {
			n := a.Fault.Title()
			if s := in.ReceiptOf(n); s.Injected == 0 && !seen[n] {
				*vacuous = append(*vacuous, fmt.Sprintf("fault %s (%s on %s) hurt nothing: %d %s matched, 0 were injected; without a receipt nothing is proven",
					n, a.Fault.Kind, a.Fault.Target, s.Matched, plural(s.Unit, s.Matched)))
			}
			seen[n] = true
		}
	}
}

func plural(u fault.Unit, n uint64) string {
	if u == "" {
		u = fault.Units
	}
	if n == 1 {
		return string(u)
	}
	if u == fault.Query {
		return "queries"
	}
	if strings.HasSuffix(string(u), "s") {
		return string(u) + "es"
	}
	return string(u) + "s"
}

// passed is the one reason of a pass.
func passed(r *experiment.Run) string {
	var b strings.Builder
	judged := map[string]bool{}
	for _, g := range r.Gates {
		judged[g.Gate] = true
	}
	switch {
	case len(judged) == 0 && len(r.Expectations) == 0:
		b.WriteString("Nothing was asked of it that broke")
	case len(judged) == 0:
		b.WriteString("Every expectation held")
	}
	switch len(judged) {
	case 0:
	case 1:
		b.WriteString("The gate held in every stage")
	default:
		fmt.Fprintf(&b, "All %d gates held in every stage", len(judged))
	}
	if len(judged) > 0 && len(r.Expectations) > 0 {
		b.WriteString(" and every expectation")
	}
	var hurt fault.Receipt
	for _, in := range r.Injections {
		hurt = hurt.Add(in.Receipt())
	}
	if hurt.Matched > 0 {
		fmt.Fprintf(&b, " while %d of %d matched %s were hurt", hurt.Injected, hurt.Matched, plural(hurt.Unit, hurt.Matched))
	}
	if rec := r.Recovery; rec != nil && rec.Took != nil {
		fmt.Fprintf(&b, "; it recovered %s after the lift", rec.Took)
	}
	return b.String() + "."
}
