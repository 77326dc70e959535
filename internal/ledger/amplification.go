package ledger

import (
	"fmt"
	"slices"

	"github.com/chaosctl/chaosctl/experiment"
)

// What it takes to say how calls multiply.
const (
	fewestCalls = 5
	// LayerFrom is from how many attempts per call a caller counts as one that multiplies.
	LayerFrom = 1.25
	// deepest bounds a chain of services.
	deepest = 64
)

// amplification says how many attempts a call becomes, here and on the way down from the
// users.
func (v *View) amplification(edge int32, b *experiment.EdgeBehaviour) {
	a := &b.Amplification
	if !v.seesRequests(edge) {
		a.Why = "connections are seen here, not requests"
		return
	}
	worst := v.worst(b.Windows)
	if worst < 0 {
		a.Why = fmt.Sprintf("fewer than %d calls in every step", fewestCalls)
		return
	}
	w := &b.Windows[worst]
	a.Known, a.Samples, a.Hurt, a.Confidence = true, int(w.Calls), w.Attempts, b.Grouping.Sure
	for s := range b.Windows {
		if b.Windows[s].Stage == experiment.StageSteady && b.Windows[s].Calls > 0 {
			a.Steady = b.Windows[s].Attempts
			a.SteadyEndToEnd, _, _ = v.endToEnd(edge, s)
		}
	}
	a.Why = fmt.Sprintf("%d calls became %.2f attempts each", w.Calls, w.Attempts)
	if each, requests, byTime := v.endToEnd(edge, worst); each > 0 {
		a.EndToEnd = each
		a.Why += fmt.Sprintf("; %d requests of users led to %.2f each", requests, each)
		if byTime > 0.005 {
			a.Why += fmt.Sprintf(" (%.0f %% of them by the time at which they came, as nothing says for whom)", 100*byTime)
		}
	}
	for _, e := range v.path(edge, worst) {
		if n, calls := v.attempts(e, worst); calls >= fewestCalls && n > LayerFrom {
			a.Layers = append(a.Layers, experiment.Layer{Edge: v.Edges[e].Name, Factor: n})
		}
	}
	a.Evidence = v.longest(edge, worst)
}

// seesRequests tells whether an edge sees requests, or bytes alone.
func (v *View) seesRequests(edge int32) bool {
	for i := range v.Entries {
		if e := &v.Entries[i]; e.Edge == edge && e.Flow < 0 {
			return e.Route >= 0
		}
	}
	return false
}

// worst is the step with the most attempts per call, -1 if none has enough calls.
func (v *View) worst(windows []experiment.EdgeWindow) int {
	worst := -1
	for s := range windows {
		if w := &windows[s]; w.Stage == experiment.StageHurt && w.Calls >= fewestCalls && (worst < 0 || w.Attempts > windows[worst].Attempts) {
			worst = s
		}
	}
	return worst
}

// attempts is the attempts per call on an edge in a window, and the number of calls.
func (v *View) attempts(edge int32, span int) (float64, int) {
	calls, tried := 0, 0
	for c := range v.Calls {
		if call := &v.Calls[c]; call.Edge == edge && v.spanOf(v.Entries[call.Attempts[0]].Start) == span {
			calls++
			tried += len(call.Attempts)
		}
	}
	return float64(tried) / float64(max(1, calls)), calls
}

// path is the edges from the users down to one, by where most of its calls in a window
// came from.
func (v *View) path(edge int32, span int) []int32 {
	path := []int32{edge}
	for len(path) < deepest {
		from := make([]int, len(v.Edges))
		for c := range v.Calls {
			call := &v.Calls[c]
			if call.Edge == path[len(path)-1] && call.Parent >= 0 && v.spanOf(v.Entries[call.Attempts[0]].Start) == span {
				from[v.Entries[call.Parent].Edge]++
			}
		}
		most := slices.Max(from)
		up := int32(slices.Index(from, most))
		if most == 0 || slices.Contains(path, up) {
			break
		}
		path = append(path, up)
	}
	slices.Reverse(path)
	return path
}

// Root is the request of a user that an exchange was made for: of the traffic, or, where
// that was not seen, what came in from the users. -1 if it is not known.
func (v *View) Root(i int32) int32 {
	for range deepest {
		if v.Entries[i].Flow >= 0 {
			return i
		}
		if v.Parent[i] < 0 {
			break
		}
		i = v.Parent[i]
	}
	if v.Edges[v.Entries[i].Edge].From == experiment.Users {
		return i
	}
	return -1
}

// endToEnd is the exchanges on an edge per request of users in a window, the number of
// these requests, and the share of the exchanges that were given to the window by their
// own time.
func (v *View) endToEnd(edge int32, span int) (each float64, requests int, byTime float64) {
	type source struct{ edge, flow int32 }
	leads := map[source]bool{}
	var made, timed int
	for i := range v.Entries {
		e := &v.Entries[i]
		if e.Edge != edge || e.Flow >= 0 {
			continue
		}
		root := v.Root(int32(i))
		if root < 0 {
			if v.Alone[edge] == "" && v.spanOf(e.Start) == span {
				made++
				timed++
			}
			continue
		}
		r := &v.Entries[root]
		leads[source{r.Edge, r.Flow}] = true
		if v.spanOf(r.Start) == span {
			made++
		}
	}
	for i := range v.Entries {
		if e := &v.Entries[i]; v.spanOf(e.Start) == span && leads[source{e.Edge, e.Flow}] {
			requests++
		}
	}
	if requests == 0 || made == 0 {
		return 0, 0, 0
	}
	return float64(made) / float64(requests), requests, float64(timed) / float64(made)
}

// longest are the attempts of the calls with the most of them, as evidence.
func (v *View) longest(edge int32, span int) []uint64 {
	best := -1
	for c := range v.Calls {
		call := &v.Calls[c]
		if call.Edge == edge && v.spanOf(v.Entries[call.Attempts[0]].Start) == span && (best < 0 || len(call.Attempts) > len(v.Calls[best].Attempts)) {
			best = c
		}
	}
	if best < 0 {
		return nil
	}
	var all []uint64
	for _, i := range v.Calls[best].Attempts[:min(experiment.MaxEvidence, len(v.Calls[best].Attempts))] {
		all = append(all, v.Entries[i].No)
	}
	return all
}
