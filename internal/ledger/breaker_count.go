package ledger

import (
	"fmt"
	"slices"
	"time"
)

// countUnits decides whether the breaker counts calls or attempts, where they differ, and
// counts again if need be. Calls, if attempts go on while it is open, or if its probes
// are tried again; else attempts.
func (w *watch) countUnits() string {
	several, most := 0, 1
	for _, e := range w.efforts {
		if len(e.tries) > 1 {
			several++
			most = max(most, len(e.tries))
		}
	}
	if several == 0 {
		return "calls"
	}
	onward, whole, probes := 0, 0, 0
	for i := range w.pauses {
		p := &w.pauses[i]
		for _, e := range w.efforts[max(0, p.before-200) : p.before+1] {
			for _, t := range e.tries[1:] {
				if w.v.Entries[t].Start > p.first+startLag && w.v.Entries[t].Start < p.to {
					onward++
				}
			}
		}
		if c := p.cause(); c.afresh {
			probes++
			if len(w.efforts[w.ends[c.end]].tries) > 1 {
				whole++
			}
		}
	}
	if onward > 0 && probes == 0 || whole*2 > probes {
		return fmt.Sprintf("calls (of up to %d attempts each)", most)
	}
	w.splitTries()
	return "attempts"
}

// splitTries makes an effort of every attempt, and counts what came before the pauses again.
func (w *watch) splitTries() {
	var all []effort
	for _, e := range w.efforts {
		for _, t := range e.tries {
			x := &w.v.Entries[t]
			all = append(all, effort{start: x.Start, end: x.End, failed: x.Failed(), tries: []int32{t}})
		}
	}
	slices.SortStableFunc(all, func(x, y effort) int { return int(min(max(x.start-y.start, -1), 1)) })
	w.efforts = all
	w.order()
	by := func(t time.Duration) int {
		n, _ := slices.BinarySearchFunc(w.efforts, t, func(e effort, t time.Duration) int { return int(min(max(e.start-t, -1), 1)) })
		return n
	}
	var before *pause
	kept := w.pauses[:0]
	for _, p := range w.pauses {
		p.next = by(p.to)
		p.before = max(0, by(p.first)-1)
		if w.blame(&p, before) {
			kept = append(kept, p)
			before = &kept[len(kept)-1]
		}
	}
	w.pauses = kept
}

// opens is after how many failures in a row a breaker opens. value is 0 if it cannot be
// told, or if it is not by failures in a row: refuted is how many it let pass then.
type opens struct {
	value, least, most, refuted int
	times                       int // openings that agree
}

// opensAfter takes the openings from the closed state: the first, and those after many calls
// with a success among them; all of them for a breaker that is never half-open. The figure is
// that which most of them allow.
func (w *watch) opensAfter(all bool) opens {
	var from []*pause
	for i := range w.pauses {
		if p := &w.pauses[i]; i == 0 || all || !p.cause().afresh && p.before-w.pauses[i-1].next >= 10 {
			from = append(from, p)
		}
	}
	n := agreed(from)
	if n.value > 0 || n.times*5 < len(from)*3 {
		if passed := w.passed(n.most); passed > 0 {
			return opens{refuted: passed}
		}
	}
	for _, p := range from {
		p.choose(n.value)
	}
	return n
}

// agreed is the count that most openings allow. It is one figure only if they leave no
// other, or hardly another.
func agreed(from []*pause) opens {
	n := opens{}
	best := 0
	for _, p := range from {
		for _, c := range p.causes {
			agree := 0
			for _, q := range from {
				if c.count >= q.least() && c.count <= q.most() {
					agree++
				}
			}
			if agree > n.times || agree == n.times && c.count < best {
				n.times, best = agree, c.count
			}
		}
	}
	for _, p := range from {
		if best < p.least() || best > p.most() {
			continue
		}
		if n.most == 0 {
			n.least, n.most = p.least(), p.most()
		}
		n.least, n.most = max(n.least, p.least()), min(n.most, p.most())
	}
	if n.times*5 < len(from)*3 { // they do not agree: it may be any of them, or none
		for _, p := range from {
			n.least, n.most = min(n.least, p.least()), max(n.most, p.most())
		}
		return n
	}
	if float64(n.most-n.least) <= float64(n.most)/10 {
		n.value = (n.least + n.most) / 2
	}
	return n
}

// passed is the longest run of failures, of n or more, that it let pass while closed: 0 if
// there was none but those that it opened after.
func (w *watch) passed(n int) int {
	opened := map[int32]bool{}
	for i := range w.pauses {
		for k, n := w.pauses[i].causes[len(w.pauses[i].causes)-1].end, w.pauses[i].most(); k >= 0 && n > 0; k, n = k-1, n-1 {
			opened[w.ends[k]] = true
		}
	}
	longest, run := 0, 0
	for _, k := range w.ends {
		switch {
		case !w.efforts[k].failed:
			run = 0
		case opened[k] || w.inPause(w.efforts[k].end):
			run = 0
		default:
			if run++; run > n {
				longest = max(longest, run)
			}
		}
	}
	return longest
}

func (w *watch) inPause(t time.Duration) bool {
	k, _ := slices.BinarySearchFunc(w.pauses, t, func(p pause, t time.Duration) int { return int(min(max(p.from-t, -1), 1)) })
	return k > 0 && t <= w.pauses[k-1].to
}
