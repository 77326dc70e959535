package ledger

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	// atOnce is the time, in ms, below which the next attempt counts as made at once:
	// what a caller on a busy machine needs to notice a failure and to ask again.
	atOnce = 8.0
	// overhead, in ms, is the part of a gap that is no wait.
	overhead = 0.4
	// fewWaitsEach is how many waits of a place (first, second, ...) make its figures.
	fewWaitsEach = 5
	// fewSpread is the same for waits with jitter.
	fewSpread = 10
	// most places and waits per place that are looked at.
	mostPlaces, mostWaits = 10, 2000
)

// place is the waits before the second attempt, the third, and so on, in ms.
type place struct {
	at            int // 0 for the wait before the second attempt
	waits         []float64
	low, mid, top float64 // 10 %, 50 % and 80 % of them are below
	scale, err    float64 // what grows from place to place, and its standard error
}

// spacing infers how waits grow. Waits after an answer with Retry-After are the callee's,
// unless the caller is known to ignore that.
func (c *caller) spacing(ignores bool) experiment.Spacing {
	all, shown, overlaps := c.gaps(ignores)
	n := 0
	for _, p := range all {
		n += len(p.waits)
	}
	unknown := func(format string, a ...any) experiment.Spacing {
		return experiment.Spacing{Finding: experiment.Finding{Samples: n, Why: fmt.Sprintf(format, a...)}}
	}
	if overlaps >= fewWaitsEach && overlaps*2 > n {
		return unknown("%d of %d attempts began before the one before had ended: they are hedged, not retried", overlaps, n)
	}
	if why := c.unfair(); why != "" {
		return unknown("%s", why)
	}
	places := enough(all)
	if len(places) == 0 {
		return unknown("%s between attempts were seen, and %d after the same number of attempts are needed", countOf(n, "wait"), fewWaitsEach)
	}
	s := experiment.Spacing{Finding: experiment.Finding{Known: true, Samples: n, Evidence: show(shown)}}
	for _, p := range places {
		s.Waits = append(s.Waits, rounded(ms(max(0, p.mid))))
	}
	if !slices.ContainsFunc(places, func(p place) bool { return !p.quick() }) {
		s.Kind, s.Confidence = experiment.SpacingNone, c.trust(n, n)
		s.Why = fmt.Sprintf("the next attempt came %s after the failure, the median of %d", s.Waits[0], n)
		return s
	}
	width, of := spread(places)
	low, high := 0.6, 1.0
	if of < 2*fewSpread {
		low, high = 0.4, 1.3
	}
	high = max(high, c.noise/5) // twice the noise, which delays a part of the waits
	if of < fewSpread || width > low && width < high {
		return unknown("the %s between attempts vary by as much as a busy machine may cause, or a little jitter", countOf(n, "wait"))
	}
	s.Jitter = width >= high
	s.FirstAtOnce = firstAtOnce(places)
	waited := places
	if s.FirstAtOnce {
		waited = places[1:]
	}
	if len(waited) < 2 {
		return unknown("one wait of %s per call was seen; whether waits grow takes two that are longer than nothing", rounded(ms(waited[0].mid)))
	}
	if s.Jitter && slices.ContainsFunc(waited[:2], func(p place) bool { return len(p.waits) < fewSpread }) {
		return unknown("the waits vary, and %d after the same number of attempts are needed to tell how they grow", fewSpread)
	}
	measure(waited, s.Jitter)
	f, why := fit(waited, s.Jitter)
	if why != "" {
		return unknown("%s", why)
	}
	s.Spread = relativeSpread(waited)
	f.tell(&s, waited)
	s.Confidence = c.trust(n, n) * f.sure
	s.Why = inWords(&s, n, f.alike)
	return s
}

// gaps collects the waits, by place, with the calls that have them.
func (c *caller) gaps(ignores bool) (places []place, shown []*pursuit, overlaps int) {
	for i := range c.calls {
		p := &c.calls[i]
		had := false
		for k, e := range p.tries[:len(p.tries)-1] {
			if k >= mostPlaces {
				break
			}
			if !e.Failed() && !e.Refused() || e.RetryAfter > 0 && !ignores {
				continue
			}
			for len(places) <= k {
				places = append(places, place{at: len(places)})
			}
			gap := p.tries[k+1].Start - e.End
			if gap < -together/12 {
				overlaps++
			}
			if had = true; len(places[k].waits) < mostWaits {
				places[k].waits = append(places[k].waits, float64(gap)/float64(time.Millisecond))
			}
		}
		if had {
			shown = append(shown, p)
		}
	}
	return places, shown, overlaps
}

// enough leaves the places, from the first on, that were waited at often enough.
func enough(all []place) []place {
	for i := range all {
		p := &all[i]
		if len(p.waits) < fewWaitsEach {
			return all[:i]
		}
		slices.Sort(p.waits)
		p.low, p.mid, p.top = quantile(p.waits, 0.1), quantile(p.waits, 0.5), quantile(p.waits, 0.8)
	}
	return all
}

// quick tells whether there is no wait. On a busy machine it is the quickest that tell.
func (p *place) quick() bool {
	return p.mid < atOnce || p.mid < 3*atOnce && quantile(p.waits, 0.3) < atOnce/4
}

// quantile of sorted values, between neighbours in proportion.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// spread says how wide waits are spread against what timers and a busy machine do by
// themselves: 1 and more is jitter. The longest waits are taken together, each against
// the median of its place: jitter grows with them, and noise does not. And noise makes
// waits longer only, some of them much, so that it is the shorter ones that tell.
func spread(places []place) (width float64, n int) {
	longest := 0.0
	for _, p := range places {
		longest = max(longest, p.mid)
	}
	var all []float64
	for i := len(places) - 1; i >= 0; i-- {
		p := places[i]
		if p.mid < atOnce || p.mid < 0.4*longest && len(all) >= 2*fewSpread {
			continue
		}
		by := max(10, 0.05*p.mid)
		for _, w := range p.waits {
			all = append(all, (w-p.mid)/by)
		}
	}
	slices.Sort(all)
	// Of evenly spread values, 80 % lie within 8/3 of what 30 % lie within, and within
	// four times of what 20 % lie within.
	if len(all) >= 6*fewSpread {
		return 4 * (quantile(all, 0.3) - quantile(all, 0.1)), len(all)
	}
	width = 8.0 / 3 * (quantile(all, 0.4) - quantile(all, 0.1))
	if len(all) < 3*fewSpread && width < 1 { // too few to look at the shorter ones alone
		width = max(width, min(0.99, quantile(all, 0.8)-quantile(all, 0.2)))
	}
	return width, len(all)
}

// relativeSpread is (p90-p10)/median over all places, each against its own median.
func relativeSpread(places []place) float64 {
	var all []float64
	for _, p := range places {
		for _, w := range p.waits {
			all = append(all, w/max(p.mid, 1))
		}
	}
	slices.Sort(all)
	return math.Round(1000*(quantile(all, 0.9)-quantile(all, 0.1))) / 1000
}

// measure finds the scale of each place's waits and how sure it is. Of waits that are
// meant to be the same that is a low quantile, as noise makes them longer only. Of those
// that are spread it is a high one: of evenly spread values it is known best.
func measure(places []place, jitter bool) {
	var all []float64
	for _, p := range places {
		for _, w := range p.waits {
			all = append(all, w/max(p.mid, 1))
		}
	}
	slices.Sort(all)
	share := (quantile(all, 0.8) - quantile(all, 0.2)) / 0.6 // width of all, if evenly spread
	for i := range places {
		p := &places[i]
		n := float64(len(p.waits))
		if !jitter {
			p.scale = max(0.1, quantile(p.waits, 0.3)-overhead)
			// Standard error of the quantile, if noise is exponential, and a little.
			p.err = 0.5 + 0.005*p.scale + 1.2*(p.mid-p.low)/math.Sqrt(n)*(1+4/n)
			continue
		}
		q := min(max(1-2/n, 0.8), 0.92) // above that single late ones count
		p.scale = max(0.1, quantile(p.waits, q)-overhead)
		// Standard error of a quantile of evenly spread values, and a little.
		p.err = 1 + 0.01*p.scale + 1.1*math.Sqrt(q*(1-q)/n)*share*p.mid
	}
}

// firstAtOnce tells whether the first retry comes without a wait although the others wait.
func firstAtOnce(places []place) bool {
	if len(places) < 2 || !places[0].quick() {
		return false
	}
	next := places[1].mid
	if len(places) == 2 {
		return next >= 20 && next > 5*places[0].mid
	}
	factor := max(1, places[2].mid/max(next, 1))
	return places[0].mid < 0.4*next/factor
}

func ms(f float64) time.Duration { return time.Duration(f * float64(time.Millisecond)) }

// inWords is what was seen of waits.
func inWords(s *experiment.Spacing, n int, alike bool) string {
	jitter := "without jitter"
	if s.Jitter {
		jitter = "with jitter"
	}
	first := ""
	if s.FirstAtOnce {
		first = "after a first retry at once, "
	}
	var kind string
	switch s.Kind {
	case experiment.SpacingFixed:
		kind = fmt.Sprintf("%s each time", s.Base)
	case experiment.SpacingLinear:
		kind = fmt.Sprintf("%s, and %s longer each time", s.Base, s.Step)
	default:
		kind = fmt.Sprintf("%s, and %.3g times as long each time", s.Base, s.Factor)
	}
	if s.Cap > 0 {
		kind += fmt.Sprintf(", %s at most", s.Cap)
	}
	why := fmt.Sprintf("%d waits were seen: %s%s, %s", n, first, kind, jitter)
	if alike {
		why += "; waits that grow by the same step each time would look the same"
	}
	return why
}
