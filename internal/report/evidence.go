package report

import (
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
)

// ref is the number of an exchange; Drawn if the page shows it.
type ref struct {
	No    string
	Drawn bool
}

// refs are exchanges that show something, with how many were left out.
type refs struct {
	List []ref
	More int
}

func refsOf(numbers []uint64, drawn map[uint64]bool, most int) refs {
	var r refs
	for i, n := range numbers {
		if i == most {
			r.More = len(numbers) - most
			break
		}
		r.List = append(r.List, ref{strconv.FormatUint(n, 10), drawn[n]})
	}
	return r
}

// ledgerCommand prints the exchanges that show something; empty if there are none.
func ledgerCommand(r *experiment.Run, numbers []uint64) string {
	if len(numbers) == 0 || r.ID == "" {
		return ""
	}
	var all []string
	for _, n := range numbers[:min(len(numbers), experiment.MaxEvidence)] {
		all = append(all, strconv.FormatUint(n, 10))
	}
	return "chaosctl ledger " + r.ID + " --no " + strings.Join(all, ",")
}
