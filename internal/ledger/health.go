package ledger

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// checkStream is a caller's health check of one edge: one route, asked again and again.
type checkStream struct {
	route   int32
	entries []int32
	every   time.Duration
	bad     int
	regular float64 // the share of its distances that are alike
}

// What a last health check said.
const (
	checkNone = iota
	checkGood
	checkBad
)

// lastBy is what the last check that ended by t said.
func (c *checkStream) lastBy(v *View, t time.Duration) int {
	last := checkNone
	for _, i := range c.entries {
		e := &v.Entries[i]
		if e.Start > t {
			break
		}
		if e.End <= t+startLag {
			last = checkGood
			if checkFailed(e) {
				last = checkBad
			}
		}
	}
	return last
}

func checkFailed(e *Entry) bool { return e.Failed() || e.Status >= 400 }

// fewestChecks of a stream that is one.
const fewestChecks = 6

// checksOf finds the health check of an edge, nil if none was seen. Its distances are
// nearly the same all the time, and it does not go with what its caller is asked for.
func (v *View) checksOf(edge int32) *checkStream {
	shapes := v.routeShapes()
	streams := map[int32]*checkStream{}
	others := 0
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Edge != edge || e.Flow >= 0 || e.Route < 0 {
			continue
		}
		r := shapes[e.Route]
		if streams[r] == nil {
			streams[r] = &checkStream{route: r}
		}
		streams[r].entries = append(streams[r].entries, int32(i))
		others++
	}
	var found *checkStream
	for _, s := range streams {
		if len(s.entries) < fewestChecks || v.Routes[s.route].Method == "POST" || !s.measure(v) || !v.byItself(edge, s, shapes) {
			continue
		}
		if found == nil || s.regular > found.regular || s.regular == found.regular && s.route < found.route {
			found = s
		}
	}
	return found
}

// measure tells whether it is regular: from start to start, or from end to start.
func (s *checkStream) measure(v *View) bool {
	best := 0.0
	for _, fromEnd := range []bool{false, true} {
		var waits []time.Duration
		for k := 1; k < len(s.entries); k++ {
			p, e := &v.Entries[s.entries[k-1]], &v.Entries[s.entries[k]]
			if fromEnd {
				waits = append(waits, e.Start-p.End)
			} else {
				waits = append(waits, e.Start-p.Start)
			}
		}
		slices.Sort(waits)
		m := nth(waits, 0.5)
		if m < 30*time.Millisecond {
			continue
		}
		alike, early := 0, 0
		for _, w := range waits {
			switch {
			case (w - m).Abs() <= m/6:
				alike++
			case w < m:
				early++
			}
		}
		if early*10 <= len(waits) { // what comes late may be a busy machine's
			best = max(best, float64(alike)/float64(len(waits)))
		}
		if !fromEnd {
			s.every = m
		}
	}
	s.bad, s.regular = 0, best
	for _, i := range s.entries {
		if checkFailed(&v.Entries[i]) {
			s.bad++
		}
	}
	// It went on all the time.
	first, last := v.Entries[s.entries[0]].Start, v.Entries[s.entries[len(s.entries)-1]].Start
	whole := float64(last-first) / float64(max(s.every, 1))
	return best >= 0.6 && float64(len(s.entries)) >= 0.6*whole && v.inStages(s.entries)
}

// inStages tells whether there are some of the steady stage, and of what came later.
func (v *View) inStages(entries []int32) bool {
	steady, later := 0, 0
	for _, i := range entries {
		if s := v.SpanAt(v.Entries[i].Start); s != nil && s.Stage == experiment.StageSteady {
			steady++
		} else if s != nil {
			later++
		}
	}
	return steady >= 2 && later >= 1
}

// checkWords are in the paths of health checks.
var checkWords = []string{"health", "ready", "live", "alive", "ping", "status", "heartbeat", "check"}

// byItself tells whether a stream does not come from what its caller is asked for: no
// parent by id, and either nobody asks at most of its instants, or it is called like a
// health check, and asks of every route come much more or much less often.
func (v *View) byItself(edge int32, s *checkStream, shapes []int32) bool {
	first, last := v.Entries[s.entries[0]].Start, v.Entries[s.entries[len(s.entries)-1]].Start
	asks := map[int32]int{}
	lone, traced := 0, 0
	var under []int32 // who asks the caller
	for i := range v.Entries {
		e := &v.Entries[i]
		if v.Edges[e.Edge].To != v.Edges[edge].From || e.Route < 0 || e.Start < first || e.Start > last {
			continue
		}
		under = append(under, int32(i))
		if e.Flow < 0 {
			asks[shapes[e.Route]]++
		}
	}
	for _, i := range s.entries {
		e := &v.Entries[i]
		if p := v.Parent[i]; p >= 0 && e.Trace != 0 && v.Entries[p].Trace == e.Trace {
			traced++
		}
		if !v.within(under, e.Start) {
			lone++
		}
	}
	n := len(s.entries)
	if len(asks) == 0 || traced*4 > n {
		return false
	}
	if lone*2 > n {
		return true
	}
	if path := strings.ToLower(v.Routes[s.route].Path); !slices.ContainsFunc(checkWords, func(w string) bool { return strings.Contains(path, w) }) {
		return false
	}
	for _, k := range asks {
		if k*2 > n && k < 2*n {
			return false
		}
	}
	return true
}

// within tells whether t lies in one of those entries, which are in the order of their starts.
func (v *View) within(entries []int32, t time.Duration) bool {
	k := sort.Search(len(entries), func(k int) bool { return v.Entries[entries[k]].Start > t })
	for j := k - 1; j >= 0 && j > k-200; j-- {
		if v.Entries[entries[j]].End >= t {
			return true
		}
	}
	return false
}

// healthCheck finds a health check, and whether its caller acts on it.
func (v *View) healthCheck(edge int32, c *checkStream, b *experiment.EdgeBehaviour) {
	h := &b.HealthCheck
	if v.Edges[edge].From == experiment.Users {
		h.Why = "its caller is the users"
		return
	}
	if c == nil {
		h.Why = "no route is asked at nearly constant distances, whoever asks its caller or not"
		return
	}
	h.Known, h.Seen, h.Samples, h.Confidence = true, true, len(c.entries), c.regular
	h.Path, h.Every = v.Routes[c.route].Path, fault.Duration(roundedTo(c.every))
	calls, wanted, failed := v.despite(edge, c, h)
	h.Why = fmt.Sprintf("%s is asked every %s", v.routeName(c.route), h.Every)
	switch {
	case failed < 3:
		h.Why += fmt.Sprintf("; it failed %d times in a row at most, so whether its answer counts was not seen", failed)
	case calls >= 10 && float64(calls) > 0.5*wanted:
		h.Ignored = true
		h.Why += fmt.Sprintf("; it failed %d times in a row, and %d of %.0f calls that were wanted meanwhile were made all the same", failed, calls, wanted)
	default:
		h.Why += fmt.Sprintf("; it failed %d times in a row, and %d of %.0f calls that were wanted meanwhile were made", failed, calls, wanted)
	}
}

// despite counts the calls that were made, and wanted, while the check failed, from its
// third failure in a row on; failed is the longest such run.
func (v *View) despite(edge int32, c *checkStream, h *experiment.HealthCheck) (calls int, wanted float64, failed int) {
	own := func(r int32) bool { return r != c.route }
	a := v.askersOf(edge, own)
	efforts := v.efforts(edge, func(i int32) bool { return v.Entries[i].Route >= 0 && own(a.route[v.Entries[i].Route]) })
	for from := 0; from < len(c.entries); {
		to := from
		for to < len(c.entries) && checkFailed(&v.Entries[c.entries[to]]) {
			to++
		}
		failed = max(failed, to-from)
		if to-from >= 3 {
			start, end := v.Entries[c.entries[from+2]].End, v.Entries[c.entries[to-1]].End
			start += a.latest
			wanted += a.wanted(start, end)
			for _, i := range c.entries[from:min(to, from+3)] {
				if len(h.Evidence) < experiment.MaxEvidence {
					h.Evidence = append(h.Evidence, v.Entries[i].No)
				}
			}
			for _, e := range efforts {
				if e.start >= start && e.start < end {
					if calls++; len(h.Evidence) < experiment.MaxEvidence {
						h.Evidence = append(h.Evidence, v.Entries[e.tries[0]].No)
					}
				}
			}
		}
		from = max(to, from+1)
	}
	return calls, wanted, failed
}
