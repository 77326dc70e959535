package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/bench/peer"
)

// Text writes the tables of ratios for a terminal.
func (r *Run) Text(w io.Writer) {
	for i := range r.Figures {
		f := &r.Figures[i]
		fmt.Fprintf(w, "\n%s\n", f.Title)
		if f.has(peer.Chaosctl) {
			r.ratios(f).text(w)
		} else {
			r.absolutes(f).text(w)
		}
	}
	fmt.Fprintf(w, "\nWhat was to be reached\n")
	r.goalTable().text(w)
	fmt.Fprintf(w, "\n%s\n%s\n", r.Machine, r.conditions())
	for _, f := range r.Failed {
		fmt.Fprintf(w, "FAILED, %d samples: %s\n", f.Samples, f.Why)
	}
}

// JSON writes everything.
func (r *Run) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		*Run
		Goals []Goal `json:"goals"`
	}{r, r.Goals()})
}

// Markdown writes the page for people.
func (r *Run) Markdown(w io.Writer) {
	fmt.Fprintf(w, "# Benchmark results\n\nWritten by `make bench`; every number is in results.json, too. %s\n\n", r.Started.UTC().Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(w, "Machine: %s. %s\n\n", r.Machine, r.conditions())
	peers := table{{"peer", "what it is"}}
	for _, p := range r.Peers {
		peers = append(peers, []string{p.Name, p.About})
	}
	peers.markdown(w)
	fmt.Fprint(w, method)
	fmt.Fprintf(w, "## What was to be reached\n\n")
	r.goalTable().markdown(w)
	for i := range r.Figures {
		f := &r.Figures[i]
		fmt.Fprintf(w, "## %s\n\n%s.\n\n", f.Title, f.Method)
		if f.has(peer.Chaosctl) {
			fmt.Fprintf(w, "chaosctl over the others:\n\n")
			r.ratios(f).markdown(w)
		}
		fmt.Fprintf(w, "Everybody's values:\n\n")
		r.absolutes(f).markdown(w)
	}
	if len(r.Failed) > 0 {
		fmt.Fprintf(w, "## Samples that failed\n\n")
		for _, f := range r.Failed {
			fmt.Fprintf(w, "- %d: %s\n", f.Samples, strings.ReplaceAll(f.Why, "\n", " "))
		}
	}
}

const method = `Client, upstream and proxy share the machine, so ratios matter and absolute values do not. Figures are taken in rounds; in each,
all peers in turn, each started afresh for its sample. A value is the median of the rounds with [least..most]; a ratio is made within
each round, then its median is taken. A sample during which other processes used more than 8 % of the machine is taken again.

`

func (r *Run) conditions() string {
	s := fmt.Sprintf("%d rounds in %v; others used %.1f %% of the machine (median, at most %.1f %%); %d samples taken again for that, %d kept in spite of it, %d kinds of failure.",
		r.Rounds, r.Took.Round(time.Second), 100*r.Foreign.Median, 100*r.Foreign.Max, r.Retaken, r.Noisy, len(r.Failed))
	if r.Scale < 1 {
		s += fmt.Sprintf(" SHORT RUN: measurements last %.0f %% of what they should, so this is a look and no result.", 100*float64(r.Scale))
	}
	return s
}

func (r *Run) goalTable() table {
	t := table{{"figure", "goal", "measured", ""}}
	for _, g := range r.Goals() {
		verdict := "**not reached**"
		switch {
		case !g.Measured:
			verdict = "unknown"
		case g.Reached:
			verdict = "reached"
		}
		if g.Wish {
			g.Want += " (wanted)"
		}
		t = append(t, []string{g.What, g.Want, g.Got, verdict})
	}
	return t
}
