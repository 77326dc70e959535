package traffic

import (
	"math"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Stats sums some requests of one flow. The zero value stands for none.
type Stats struct {
	// Requests that are over, however they ended, and those of them that
	// succeeded or could not be sent in time.
	Requests, Successes, Overruns uint64
	// Timed is the number of samples behind Quantile: successes, and requests
	// that got no answer in time.
	Timed uint64
	// Pending requests are under way; they are in none of the numbers above.
	Pending uint64
	// Quantile is the latency from the intended start that a share q of the
	// requests does not exceed. ok is false if Timed is below Needed(q).
	// It is never nil in what this package returns.
	Quantile func(q float64) (d time.Duration, ok bool)
}

// Needed is the number of samples that quantile q takes: 1/(1-q), rounded up.
func Needed(q float64) uint64 {
	if q >= 1 {
		return math.MaxUint64
	}
	return uint64(math.Ceil(math.Round(1e6/(1-q)) / 1e6))
}

// Rank is the position, from 1, of quantile q among n samples in order.
func Rank(q float64, n uint64) uint64 {
	return min(n, max(1, uint64(math.Ceil(q*float64(n)-1e-9))))
}

// NewStats makes Stats of plain latencies. Errors are failures that were
// answered, or refused, in time; unanswered are timeouts and overruns with what
// they count.
func NewStats(successes, unanswered, errors []time.Duration) Stats {
	var c collected
	for _, d := range successes {
		c.add(record{latency: micros(d), state: good})
	}
	for _, d := range unanswered {
		c.add(record{latency: micros(d), state: waited})
	}
	for _, d := range errors {
		c.add(record{latency: micros(d), state: failed})
	}
	return c.stats()
}

// collected gathers records for an exact quantile.
type collected struct {
	n           Stats
	timed, errs []uint32
}

func (c *collected) add(r record) {
	if r.state == pending || r.state == void {
		return
	}
	c.n.Requests++
	switch r.state {
	case good:
		c.n.Successes++
	case overrun:
		c.n.Overruns++
	}
	if r.state == failed {
		c.errs = append(c.errs, r.latency)
		return
	}
	c.n.Timed++
	c.timed = append(c.timed, r.latency)
}

// stats hands the gathered numbers over; c must not be used afterwards.
func (c *collected) stats() Stats {
	s := c.n
	timed, all, sorted := c.timed, []uint32(nil), false
	s.Quantile = func(q float64) (time.Duration, bool) {
		if s.Timed < Needed(q) {
			return 0, false
		}
		if !sorted {
			all = append(slices.Clone(timed), c.errs...)
			slices.Sort(timed)
			slices.Sort(all)
			sorted = true
		}
		return time.Duration(max(exact(timed, q), exact(all, q))) * time.Microsecond, true
	}
	return s
}

// exact is the quantile of sorted values, 0 if there are none.
func exact(sorted []uint32, q float64) uint32 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[Rank(q, uint64(len(sorted)))-1]
}

// Histograms cover 1 µs to 1 h with three digits.
const (
	longest = time.Hour
	digits  = 3
)

func micros(d time.Duration) uint32 {
	return uint32(min(max(d, 0), longest) / time.Microsecond)
}

// tally sums a flow over one window.
type tally struct {
	requests, successes, overruns uint64
	classes                       [256]uint64
	timed, errs, service          *hdrhistogram.Histogram // nil while empty
}

func record1(h **hdrhistogram.Histogram, v uint32) {
	if *h == nil {
		*h = hdrhistogram.New(1, int64(longest/time.Microsecond), digits)
	}
	// The value is within the range, as micros makes it.
	_ = (*h).RecordValue(int64(max(v, 1)))
}

func (t *tally) add(r record) {
	t.requests++
	t.classes[r.class]++
	switch r.state {
	case good:
		t.successes++
	case overrun:
		t.overruns++
	}
	if r.state == failed {
		record1(&t.errs, r.latency)
	} else {
		record1(&t.timed, r.latency)
	}
	if r.state != overrun {
		record1(&t.service, r.service)
	}
}

// subtract takes out what was added before and belongs elsewhere.
func (t *tally) subtract(o *tally) {
	t.requests -= o.requests
	t.successes -= o.successes
	t.overruns -= o.overruns
	for i, n := range o.classes {
		t.classes[i] -= n
	}
	t.timed = without(t.timed, o.timed)
	t.errs = without(t.errs, o.errs)
	t.service = without(t.service, o.service)
}

func without(h, o *hdrhistogram.Histogram) *hdrhistogram.Histogram {
	if h == nil || o == nil {
		return h
	}
	s, minus := h.Export(), o.Export()
	for i, n := range minus.Counts {
		s.Counts[i] -= n
	}
	return hdrhistogram.Import(s)
}

// view is a tally's distributions at rest.
type view struct{ timed, all *hdrhistogram.Histogram }

func (t *tally) view() view {
	var v view
	if t.timed != nil {
		v.timed, v.all = t.timed.Clone(), t.timed.Clone()
	}
	if t.errs != nil {
		if v.all == nil {
			v.all = t.errs.Clone()
		} else {
			v.all.Merge(t.errs)
		}
	}
	return v
}

// quantile is 0 without a sample.
func (v view) quantile(q float64) time.Duration {
	return max(quantile(v.timed, q), quantile(v.all, q))
}

func quantile(h *hdrhistogram.Histogram, q float64) time.Duration {
	if h == nil || h.TotalCount() == 0 {
		return 0
	}
	n := uint64(h.TotalCount())
	us := h.ValueAtPercentile(100 * float64(Rank(q, n)) / float64(n))
	return time.Duration(min(us, h.Max())) * time.Microsecond
}

func (t *tally) stats() Stats {
	v := t.view()
	s := Stats{Requests: t.requests, Successes: t.successes, Overruns: t.overruns}
	if v.timed != nil {
		s.Timed = uint64(v.timed.TotalCount())
	}
	s.Quantile = func(q float64) (time.Duration, bool) {
		if s.Timed < Needed(q) {
			return 0, false
		}
		return v.quantile(q), true
	}
	return s
}
