package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// fewestInverted is how many calls it takes to speak of an inversion.
const fewestInverted = 3

// outlived is a call by which a service was called, and which was given up, with what the
// service did meanwhile on one edge.
type outlived struct {
	up        int32
	outer     time.Duration
	inner     time.Duration
	went      bool // on, after the hang-up
	ownEnd    bool // it ended by hanging up itself
	exchanges []uint64
}

// inversion looks for callers that go on with a call after their own caller has hung up.
func (v *View) inversion(edge int32, b *experiment.EdgeBehaviour) {
	f := &b.Inversion
	if v.Edges[edge].From == experiment.Users {
		f.Why = "nobody calls the users"
		return
	}
	byAbove := map[int32][]outlived{}
	for i := range v.Entries {
		up := &v.Entries[i]
		if up.Flow >= 0 || !up.GaveUp() || v.Edges[up.Edge].From == experiment.Users || len(v.Children[i]) == 0 {
			continue
		}
		if o, ok := v.outlivedBy(int32(i), edge); ok {
			byAbove[up.Edge] = append(byAbove[up.Edge], o)
		}
	}
	above, all := int32(-1), []outlived(nil)
	for e, list := range byAbove {
		if len(list) > len(all) || len(list) == len(all) && e < above {
			above, all = e, list
		}
	}
	if len(all) < fewestInverted {
		f.Why = fmt.Sprintf("%d calls of %s were given up while it called %s; it takes %d to tell", len(all), v.Edges[edge].From, v.Edges[edge].To, fewestInverted)
		f.Samples = len(all)
		return
	}
	var went []outlived
	for _, o := range all {
		if o.went {
			went = append(went, o)
		}
	}
	f.Known, f.Samples, f.Above = true, len(all), v.Edges[above].Name
	f.Seen = len(went) >= fewestInverted && 2*len(went) >= len(all)
	shown := all
	if f.Seen {
		shown = went
	}
	f.Confidence = float64(max(len(went), len(all)-len(went))) / float64(len(all))
	var outer, inner []time.Duration
	own := 0
	for _, o := range shown {
		outer, inner = append(outer, o.outer), append(inner, o.inner)
		if o.ownEnd {
			own++
		}
		for _, no := range o.exchanges {
			if len(f.Evidence) < experiment.MaxEvidence {
				f.Evidence = append(f.Evidence, no)
			}
		}
	}
	f.Outer = fault.Duration(medianOf(outer).Round(time.Millisecond))
	if !f.Seen {
		f.Why = fmt.Sprintf("when %s hung up after %s, %s stopped to wait for %s, too (%d of %d times)", v.Edges[above].From, spoken(medianOf(outer)), v.Edges[edge].From, v.Edges[edge].To, len(all)-len(went), len(all))
		return
	}
	f.Inner, f.InnerAtLeast = fault.Duration(medianOf(inner).Round(time.Millisecond)), 2*own < len(shown)
	least := ""
	if f.InnerAtLeast {
		least = "at least "
	}
	f.Why = fmt.Sprintf("%s hung up after %s, but %s went on with %s for %s%s (%d of %d times)", v.Edges[above].From, spoken(medianOf(outer)), v.Edges[edge].From, v.Edges[edge].To, least, spoken(medianOf(inner)), len(went), len(all))
}

// outlivedBy sums up what was done on an edge for a call that was given up; false if
// nothing was under way there at that time.
func (v *View) outlivedBy(i, edge int32) (outlived, bool) {
	up := &v.Entries[i]
	o := outlived{up: i, outer: up.Took(), exchanges: []uint64{up.No}}
	first, last := int32(-1), int32(-1)
	for _, c := range v.Children[i] {
		e := &v.Entries[c]
		if e.Edge != edge || v.ParentSure[c] < 0.5 {
			continue
		}
		if first < 0 {
			first = c
		}
		if last < 0 || e.End > v.Entries[last].End {
			last = c
		}
	}
	if first < 0 || v.Entries[last].End < up.End-noteLag {
		return o, false
	}
	end := &v.Entries[last]
	o.inner = end.End - v.Entries[first].Start
	o.went = end.End > up.End+goesOn
	o.ownEnd = end.GaveUp()
	o.exchanges = append(o.exchanges, end.No)
	return o, true
}

// medianOf is the median.
func medianOf(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// spoken is a duration with the digits that matter.
func spoken(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		d = d.Round(100 * time.Millisecond)
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	default:
		d = d.Round(time.Millisecond)
	}
	return fault.Duration(d).String()
}
