package ledger

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// What is learned in the steady stage needs so many exchanges of a route.
const fewestSteady = 5

// ask is an exchange by which a caller was asked for something that, in the steady
// stage, made it call on the edge in question.
type ask struct {
	entry int32
	start time.Duration
	// The call is to be expected between lo and hi, most of all at mid.
	lo, mid, hi time.Duration
	end         time.Duration
	// chance that it leads to a call, as in the steady stage.
	chance float64
}

// askers is who asks the caller of one edge, and what that usually leads to.
type askers struct {
	v    *View
	edge int32
	// route numbers the routes of the book by what they look like without ids.
	route []int32
	asks  []ask
	// usual calls by route of the ask.
	usual map[int32]*habit
	// steady is how many asks of the steady stage were learned from.
	steady int
	// latest is how long after an ask its call is to be expected, the latest lo; where that
	// is not known it is not counted.
	latest time.Duration
}

// habit is what asks of one route led to in the steady stage.
type habit struct {
	asks, called int
	delays       []time.Duration // from the ask to the first call
	took         []time.Duration // of the asks that were answered well
	sorted       bool            // took is
	// first are the edges that were called before, nearly always.
	first  []int32
	before map[int32]int
}

func (u *habit) chance() float64 {
	if u == nil || u.asks < fewestSteady || u.called*20 < u.asks {
		return 0
	}
	return (float64(u.called) - 0.5) / (float64(u.asks) + 0.5)
}

// askersOf learns who asks the caller of an edge. Calls count that keep says yes to, by
// the number of their route.
func (v *View) askersOf(edge int32, keep func(route int32) bool) *askers {
	a := &askers{v: v, edge: edge, route: v.routeShapes(), usual: map[int32]*habit{}}
	from := v.Edges[edge].From
	isAbove := make([]bool, len(v.Edges))
	for i := range v.Edges {
		isAbove[i] = v.Edges[i].To == from
	}
	relayed := make([]bool, len(v.Edges))
	for i := range v.Entries {
		if v.Entries[i].Flow < 0 {
			relayed[v.Entries[i].Edge] = true
		}
	}
	var above []int32
	for i := range v.Entries {
		if e := &v.Entries[i]; isAbove[e.Edge] && e.Route >= 0 && (e.Flow < 0 || !relayed[e.Edge]) {
			above = append(above, int32(i))
		}
	}
	for _, i := range above {
		a.learn(i, keep)
	}
	a.spread(keep)
	for _, u := range a.usual {
		slices.Sort(u.delays)
		for e, n := range u.before {
			if n*10 >= u.called*9 {
				u.first = append(u.first, e)
			}
		}
		slices.Sort(u.first)
	}
	for _, i := range above {
		a.ask(i)
	}
	return a
}

// learn takes an ask of the steady stage into account.
func (a *askers) learn(i int32, keep func(int32) bool) {
	v := a.v
	e := &v.Entries[i]
	s := v.SpanAt(e.Start)
	if s == nil || s.Stage != experiment.StageSteady || e.End > s.To || e.Hurt || !v.Good(e) {
		return
	}
	u := a.usual[a.route[e.Route]]
	if u == nil {
		u = &habit{before: map[int32]int{}}
		a.usual[a.route[e.Route]] = u
	}
	u.asks++
	a.steady++
	u.took = append(u.took, e.Took())
	at := slices.IndexFunc(v.Children[i], func(c int32) bool { return a.own(c, keep) })
	if at < 0 {
		return
	}
	u.called++
	u.delays = append(u.delays, max(0, v.Entries[v.Children[i][at]].Start-e.Start))
	var seen []int32
	for _, c := range v.Children[i][:at] {
		if o := v.Entries[c].Edge; o != a.edge && !slices.Contains(seen, o) {
			seen = append(seen, o)
			u.before[o]++
		}
	}
}

// spread gives calls of the steady stage that nobody is known to have asked for to all
// routes alike.
func (a *askers) spread(keep func(int32) bool) {
	v := a.v
	calls := 0
	for c := range v.Calls {
		i := v.Calls[c].Attempts[0]
		if v.Calls[c].Edge != a.edge || v.Parent[i] >= 0 || !a.own(i, keep) {
			continue
		}
		if s := v.SpanAt(v.Entries[i].Start); s != nil && s.Stage == experiment.StageSteady {
			calls++
		}
	}
	if calls*2 < a.steady {
		return // the others tell enough
	}
	for _, u := range a.usual {
		more := min(float64(u.asks-u.called), float64(calls)*float64(u.asks)/float64(a.steady))
		u.called += int(more)
	}
}

// own tells whether an entry is a call on the edge that counts.
func (a *askers) own(c int32, keep func(int32) bool) bool {
	e := &a.v.Entries[c]
	return e.Edge == a.edge && e.Flow < 0 && e.Route >= 0 && keep(a.route[e.Route])
}

// Good tells whether an exchange gave its caller what was wanted.
func (v *View) Good(e *Entry) bool {
	if e.Flow >= 0 {
		return e.OK
	}
	return !e.Failed() && e.Status < 400
}

// ask lists an exchange if it should have led to a call: its caller got an answer that
// no fault of ours gave, and what is usually called first did not fail.
func (a *askers) ask(i int32) {
	v := a.v
	e := &v.Entries[i]
	u := a.usual[a.route[e.Route]]
	chance := u.chance()
	if chance == 0 || e.Status == 0 || e.EndedBy == Relay {
		return
	}
	for _, first := range u.first {
		well := false
		for _, c := range v.Children[i] {
			well = well || v.Entries[c].Edge == first && !v.Entries[c].Failed()
		}
		if !well {
			return
		}
	}
	at := func(q float64) time.Duration {
		if len(u.delays) == 0 {
			return e.Start + time.Duration(q*float64(e.Took()))
		}
		return min(e.End, e.Start+nth(u.delays, q))
	}
	a.asks = append(a.asks, ask{entry: i, start: e.Start, lo: at(0.05), mid: at(0.5), hi: at(0.95), end: e.End, chance: chance})
	if len(u.delays) > 0 {
		a.latest = max(a.latest, at(0.05)-e.Start)
	}
}

// from is the number of the first ask that began at t or later.
func (a *askers) from(t time.Duration) int {
	return sort.Search(len(a.asks), func(k int) bool { return a.asks[k].start >= t })
}

// wanted is how many calls are to be expected in a stretch.
func (a *askers) wanted(from, to time.Duration) float64 {
	sum := 0.0
	for k := a.from(from); k < len(a.asks) && a.asks[k].start < to; k++ {
		sum += a.asks[k].chance
	}
	return sum
}

// nth is a quantile of what is sorted.
func nth(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(math.Round(q*float64(len(sorted)-1)))]
}

// routeShapes numbers routes by their method and their path without ids.
func (v *View) routeShapes() []int32 {
	shapes, known := make([]int32, len(v.Routes)), map[[2]string]int32{}
	for i, r := range v.Routes {
		k := [2]string{r.Method, shapeOf(r.Path)}
		n, ok := known[k]
		if !ok {
			n = int32(i)
			known[k] = n
		}
		shapes[i] = n
	}
	return shapes
}

// shapeOf is a path with a star for each part that looks like an id.
func shapeOf(path string) string {
	if !strings.ContainsAny(path, "0123456789") {
		return path
	}
	parts := strings.Split(path, "/")
	for i, p := range parts {
		digits := 0
		for _, c := range p {
			if c >= '0' && c <= '9' {
				digits++
			}
		}
		if digits > 0 && (digits == len(p) || len(p) >= 8) {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// routeName is a route in words.
func (v *View) routeName(route int32) string {
	if route < 0 {
		return ""
	}
	return strings.TrimSpace(v.Routes[route].Method + " " + shapeOf(v.Routes[route].Path))
}

// unseen are the stretches in which callers of an edge may have called without an
// exchange to show for it: faults that act on connections or names were in force, or
// exchanges were left out of the book.
func (v *View) unseen(edge int32) [][2]time.Duration {
	var all [][2]time.Duration
	for _, h := range v.Holes {
		all = append(all, [2]time.Duration{h.From, h.To})
	}
	for i, in := range v.Run.Injections {
		hides := slices.ContainsFunc(in.Armed, func(a experiment.Armed) bool {
			k := a.Fault.Info()
			return a.Receipt.Unit == fault.Query || a.Where == v.Edges[edge].Name && k != nil && k.WholeConnections
		})
		if !hides || i >= len(v.Run.Plan.Steps) {
			continue
		}
		for _, s := range v.Spans {
			if s.Stage == experiment.StageHurt && s.Step == v.Run.Plan.Steps[i].Name {
				all = append(all, [2]time.Duration{s.From, s.To})
			}
		}
	}
	return all
}

// effort is a call as a breaker around it sees it: its first attempt and those that
// followed it, as far as they came when such usually come.
type effort struct {
	start, end time.Duration
	failed     bool
	unsure     bool // whether it is a call or an attempt of another one
	tries      []int32
}

// efforts lists the calls on an edge that count, in the order of their starts. Where it is
// not sure that attempts belong together each is one of its own, so that no call that was
// let through goes unseen.
func (v *View) efforts(edge int32, own func(entry int32) bool) []effort {
	var calls []int32
	var waits []time.Duration
	for c := range v.Calls {
		if v.Calls[c].Edge != edge || !own(v.Calls[c].Attempts[0]) {
			continue
		}
		calls = append(calls, int32(c))
		for k, i := range v.Calls[c].Attempts[1:] {
			waits = append(waits, v.Entries[i].Start-v.Entries[v.Calls[c].Attempts[k]].End)
		}
	}
	slices.Sort(waits)
	longest := time.Duration(0)
	if len(waits) > 0 {
		longest = nth(waits, 0.75)*3/2 + 20*time.Millisecond
	}
	var all []effort
	for _, c := range calls {
		unsure := len(v.Calls[c].Attempts) > 1 && v.Calls[c].Sure < sureCall
		for k, i := range v.Calls[c].Attempts {
			e := &v.Entries[i]
			if k > 0 && !unsure && v.carriesOn(v.Calls[c].Attempts[k-1], i, longest) {
				f := &all[len(all)-1]
				f.end, f.failed, f.tries = max(f.end, e.End), e.Failed(), append(f.tries, i)
				continue
			}
			all = append(all, effort{start: e.Start, end: e.End, failed: e.Failed(), unsure: unsure, tries: []int32{i}})
		}
	}
	slices.SortStableFunc(all, func(x, y effort) int { return cmp.Compare(x.start, y.start) })
	return all
}

// carriesOn tells whether i is the attempt after p, rather than a call that was let through
// after a pause: it comes as soon as attempts usually do, and for the same caller.
func (v *View) carriesOn(p, i int32, longest time.Duration) bool {
	if v.Entries[i].Start-v.Entries[p].End > longest {
		return false
	}
	if v.Parent[p] >= 0 && v.Parent[i] >= 0 {
		return v.Parent[p] == v.Parent[i]
	}
	return true
}
