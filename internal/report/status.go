package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// StatusText writes the edges and everything in force, with age, what is left
// of the lease, and receipts.
func StatusText(w io.Writer, s *experiment.Status, style Style) error {
	if s == nil {
		return errNoRun
	}
	p := &printer{w: w, style: style}
	p.debts(s)
	head := clean(s.Topology)
	if head == "" {
		head = "(no topology)"
	}
	line := paint(style.Bold, head) + p.environment(s.Environment)
	if !s.Since.IsZero() {
		line += ", up " + ago(s.Since, s.Now)
	}
	if v := clean(s.Version); v != "" {
		line += ", chaosctl " + v
	}
	p.line(line)
	p.edges(s.Edges)
	p.resolver(s.Resolver)
	p.inForce(s)
	p.runs(s)
	return p.done("status")
}

// debts are what is still in force and should not be; they come first.
func (p *printer) debts(s *experiment.Status) {
	if len(s.Debts) == 0 {
		return
	}
	p.line(p.style.tone(toneBad, "COULD NOT ROLL BACK. Nobody owns this any more, and it is still in force:"))
	p.bullets(2, "!", s.Debts, toneBad)
	p.line(p.style.tone(toneBad, "Try again with `chaosctl sweep`."))
	p.line("")
}

func (p *printer) edges(edges []experiment.EdgeStatus) {
	p.heading("Edges")
	if len(edges) == 0 {
		p.line("  " + paint(p.style.Dim, "none"))
		return
	}
	// On a narrow terminal the names of the edges matter more than where they end.
	t := &table{right: map[int]bool{4: true, 5: true}, drop: []int{2, 3}}
	t.head("EDGE", "LISTEN", "UPSTREAM", "PROTO", "OPEN", "SEEN", "FAULTS")
	for _, e := range edges {
		seen := e.Accepted
		if e.Protocol == experiment.HTTP {
			seen = e.Exchanges
		}
		faults, tn := "-", toneNone
		if len(e.Faults) > 0 {
			faults, tn = strings.Join(e.Faults, ","), toneWarn
		}
		listen := e.Listen
		if listen == "" {
			listen = "-"
		}
		t.add(cell{text: e.Name}, cell{text: listen}, cell{text: e.Upstream}, cell{text: string(e.Protocol)},
			cell{text: fmt.Sprint(e.Open)}, cell{text: count(seen)}, cell{text: faults, tone: tn})
	}
	t.write(p, 2)
	p.bullets(2, "!", losses(edges), toneWarn)
}

// losses says what UDP edges have lost without a fault.
func losses(edges []experiment.EdgeStatus) []string {
	var all []string
	for _, e := range edges {
		if e.Dropped > 0 {
			all = append(all, fmt.Sprintf("%s: the relay itself lost %s (no room, or nobody there)", e.Name, plural(e.Dropped, "datagram")))
		}
		if e.Unreachable > 0 {
			all = append(all, fmt.Sprintf("%s: the callee could not be reached, told %s by ICMP", e.Name, plural(e.Unreachable, "time")))
		}
	}
	return all
}

// resolver is shown if there is one.
func (p *printer) resolver(r *experiment.ResolverStatus) {
	if r == nil {
		return
	}
	p.heading("Resolver")
	faults, tn := "-", toneNone
	if len(r.Faults) > 0 {
		faults, tn = strings.Join(r.Faults, ","), toneWarn
	}
	t := &table{right: map[int]bool{2: true, 3: true}, drop: []int{1, 3}}
	t.head("LISTEN", "UPSTREAMS", "SEEN", "UNANSWERED", "FAULTS")
	t.add(cell{text: r.Listen}, cell{text: strings.Join(r.Upstreams, ",")}, cell{text: count(r.Queries)}, cell{text: count(r.Unanswered)}, cell{text: faults, tone: tn})
	t.write(p, 2)
	if r.Problem != "" {
		p.bullets(2, "!", []string{"the last query that no upstream answered: " + r.Problem}, toneWarn)
	}
	if r.Lost > 0 {
		p.bullets(2, "!", []string{fmt.Sprintf("the resolver itself lost %s: too many were under way", plural(r.Lost, "query"))}, toneWarn)
	}
}

func (p *printer) inForce(s *experiment.Status) {
	p.heading("In force")
	if len(s.Injections) == 0 {
		p.line("  " + p.style.tone(toneGood, "nothing"))
		return
	}
	for _, i := range s.Injections {
		p.injection(i, s.Now)
	}
}

func (p *printer) injection(i experiment.Injection, now time.Time) {
	by := clean(i.Owner)
	if a := clean(i.Actor); a != "" && a != by {
		by = a + " through " + by
	}
	line := "  " + paint(p.style.Bold, clean(i.ID))
	if i.State != experiment.InForce {
		t := toneWarn
		if i.State == experiment.Stuck {
			t = toneBad
		}
		line += "  " + p.style.tone(t, strings.ToUpper(clean(string(i.State))))
	}
	p.line(line)
	p.field(4, 8, "by", by, toneNone)
	p.field(4, 8, "age", ago(i.Since, now), toneNone)
	p.field(4, 8, "lease", lease(i.Until, now), toneNone)
	p.field(4, 8, "problem", i.Problem, toneBad)
	for _, a := range i.Armed {
		p.field(4, 8, "fault", a.Fault.Title()+" on "+a.Where, toneNone)
		p.field(4, 8, "", a.Touches, toneNone)
		p.field(4, 8, "receipt", receiptWords(a.Receipt), toneNone)
	}
}

// lease says what is left.
func lease(until, now time.Time) string {
	switch {
	case until.IsZero():
		return "none; it stays until it is lifted"
	case !until.After(now):
		return "over"
	}
	return ago(now, until) + " left"
}

func (p *printer) runs(s *experiment.Status) {
	if len(s.Runs) == 0 {
		return
	}
	p.heading("Runs under way")
	t := &table{}
	t.head("RUN", "EXPERIMENT", "STAGE", "AGE")
	for _, r := range s.Runs {
		t.add(cell{text: r.ID}, cell{text: r.Experiment}, cell{text: string(r.Stage)}, cell{text: ago(r.Started, s.Now)})
	}
	t.write(p, 2)
}
