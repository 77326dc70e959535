package ledger

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// MostJudged is how many exchanges a book for judging holds by default: what they and
// the inference need stays well under 200 MiB.
const MostJudged = 300_000

// Hole is a stretch of time whose exchanges are not in a book for lack of room. That
// nothing is seen in it says nothing.
type Hole struct{ From, To time.Duration }

const (
	// slotTime is how exactly stretches of time are cut.
	slotTime = 100 * time.Millisecond
	// mostSlots bounds them: a day.
	mostSlots = int(24 * time.Hour / slotTime)
	// headShare of what a window may keep is its beginning, the rest its end.
	headShare = 0.7
	// mostHashes is how many different answers are told apart.
	mostHashes = 50_000
	// mostTexts is how many bytes of different paths and queries are kept.
	mostTexts = 16 << 20
	// pathKept is how much of a further path is.
	pathKept = 24
)

// abridge makes a path and a query short, and those that differ still differ.
func abridge(x *experiment.Exchange) {
	if len(x.Path)+len(x.Query) <= 2*pathKept {
		return
	}
	h := fnv.New64a()
	_, _ = io.WriteString(h, x.Path+"?"+x.Query) // never fails
	x.Path, x.Query = fmt.Sprintf("%s…%016x", strings.ToValidUTF8(x.Path[:min(len(x.Path), pathKept)], ""), h.Sum64()), ""
}

// Load reads the book of a ledger file, with most exchanges at most; 0 is MostJudged.
// If there are more, each of the windows keeps its beginning and its end, as much of
// them as there is room for, so that calls stay whole but for those on a border;
// windows that need little leave their share to the others. What was left out is
// Book.Holes and is counted in Book.Missing, with what was lost. Of more than 50,000
// different answers of the traffic, the further ones are known without their hash, and
// of more than 16 MiB of different paths and queries, the further ones by their beginning.
func Load(path string, most int, windows ...experiment.Window) (*Book, error) {
	if most <= 0 {
		most = MostJudged
	}
	info, err := Peek(path)
	if err != nil {
		return nil, err
	}
	all := int(min(info.Exchanges+info.Requests, 1<<40))
	b := &Book{Base: info.Base, Missing: info.Lost, Read: info.Exchanges + info.Requests}
	var keep, holes []stretch
	if all > most {
		if keep, holes, err = choose(path, info, most, windows); err != nil {
			return nil, err
		}
	}
	b.Entries = make([]Entry, 0, min(all, most))
	hashes, texts := map[experiment.Digest]struct{}{}, 0
	err = Scan(path, func(x *experiment.Exchange) error {
		if all > most && !heldBy(keep, info.Base.Add(time.Duration(slotOf(info.Base, x.Start))*slotTime)) || len(b.Entries) >= most {
			b.Missing++
			return nil
		}
		if x.Answer != nil && !x.Answer.Hash.IsZero() {
			if _, known := hashes[x.Answer.Hash]; !known && len(hashes) >= mostHashes {
				x.Answer.Hash, x.Answer.Size = experiment.Digest{}, 0
			} else {
				hashes[x.Answer.Hash] = struct{}{}
			}
		}
		if _, known := b.routes[Route{x.Method, x.Path, x.Query}]; !known {
			if texts += len(x.Path) + len(x.Query); texts > mostTexts {
				abridge(x)
			}
		}
		b.Add(x)
		return nil
	})
	if err != nil {
		return nil, err
	}
	b.Sort()
	b.routes, b.answers = nil, nil // nothing is added any more
	for _, h := range holes {
		b.Holes = append(b.Holes, Hole{b.at(h.from), b.at(h.to)})
	}
	return b, nil
}

// HasHole tells whether a part of a stretch of time is missing.
func (b *Book) HasHole(from, to time.Duration) bool {
	return slices.ContainsFunc(b.Holes, func(h Hole) bool { return h.From < to && h.To > from })
}

// stretch is from an instant on, up to another.
type stretch struct{ from, to time.Time }

// heldBy tells whether one of the stretches, in their order, holds t.
func heldBy(keep []stretch, t time.Time) bool {
	i, _ := slices.BinarySearchFunc(keep, t, func(s stretch, t time.Time) int {
		if s.to.After(t) {
			return 1
		}
		return -1
	})
	return i < len(keep) && !keep[i].from.After(t)
}

// choose picks the stretches of time that are kept; the rest are the holes.
func choose(path string, info Info, most int, windows []experiment.Window) (keep, holes []stretch, err error) {
	var slots []uint32
	err = Scan(path, func(x *experiment.Exchange) error {
		i := slotOf(info.Base, x.Start)
		if i >= len(slots) {
			slots = append(slots, make([]uint32, i+1-len(slots))...)
		}
		slots[i]++
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	at := func(slot int) time.Time { return info.Base.Add(time.Duration(slot) * slotTime) }
	parts, seen := partsOf(len(slots), info.Base, windows), 0
	for i, room := range sharesOf(parts, slots, most) {
		for _, p := range parts[i].fit(slots, room) {
			if p.from == p.to {
				continue
			}
			if seen < p.from {
				holes = append(holes, stretch{at(seen), at(p.from)})
			}
			keep, seen = append(keep, stretch{at(p.from), at(p.to)}), p.to
		}
	}
	if seen < len(slots) {
		holes = append(holes, stretch{at(seen), at(len(slots))})
	}
	return keep, holes, nil
}

func slotOf(base, t time.Time) int {
	return int(min(max(t.Sub(base), 0)/slotTime, time.Duration(mostSlots-1)))
}

// slotRange is a range of slots.
type slotRange struct{ from, to int }

// partsOf cuts n slots where windows begin.
func partsOf(n int, base time.Time, windows []experiment.Window) []slotRange {
	cuts := []int{0, n}
	for _, w := range windows {
		if i := slotOf(base, w.Start); i < n {
			cuts = append(cuts, i)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var parts []slotRange
	for i := 1; i < len(cuts); i++ {
		parts = append(parts, slotRange{cuts[i-1], cuts[i]})
	}
	return parts
}

// sharesOf gives each part as much room as it needs, up to an equal share of what those
// that need less have left.
func sharesOf(parts []slotRange, slots []uint32, most int) []int {
	need := make([]int, len(parts))
	order := make([]int, len(parts))
	for i, p := range parts {
		order[i] = i
		for _, n := range slots[p.from:p.to] {
			need[i] += int(n)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(need[a], need[b]) })
	room := make([]int, len(parts))
	for k, i := range order {
		room[i] = min(need[i], most/(len(order)-k))
		most -= room[i]
	}
	return room
}

// fit is the beginning and the end of a part, with as many exchanges as there is room
// for.
func (p slotRange) fit(slots []uint32, room int) []slotRange {
	head, tail := p.from, p.to
	left := int(float64(room) * headShare)
	for ; head < tail && int(slots[head]) <= left; head++ {
		left -= int(slots[head])
		room -= int(slots[head])
	}
	for ; tail > head && int(slots[tail-1]) <= room; tail-- {
		room -= int(slots[tail-1])
	}
	if head == tail {
		return []slotRange{p}
	}
	return []slotRange{{p.from, head}, {tail, p.to}}
}
