package ledger

import (
	"math"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	// clearly is how many standard errors a growth must be away from none.
	clearly = 3.0
	// growth is the factor per wait that must be excluded before waits count as fixed.
	growth = 1.5
	// blurred is the standard error of the logarithm of the factor from which it is not
	// known: a third off would be no surprise.
	blurred = 0.17
	// perFigure is what a model with one more figure must gain in squared standard errors.
	perFigure = 8.0
)

// law is how waits grow: scale of place i.
type law struct {
	kind   experiment.SpacingKind
	base   float64 // of place 0
	factor float64
	step   float64
	cap    float64 // 0 without
	free   int     // places before the cap
	cost   float64 // squared standard errors, and those for its figures
	sure   float64
	alike  bool // a linear law would look the same
}

func (l *law) at(i int) float64 {
	v := l.base
	switch l.kind {
	case experiment.SpacingLinear:
		v += l.step * float64(i)
	case experiment.SpacingExponential:
		v *= math.Pow(l.factor, float64(i))
	}
	if l.cap > 0 {
		v = min(v, l.cap)
	}
	return v
}

// misfit is the sum of squared deviations, in standard errors.
func (l *law) misfit(places []place) float64 {
	sum := 0.0
	for i, p := range places {
		d := (p.scale - max(l.at(i), 0.01)) / p.err
		if l.at(i) > 0 && p.scale > 0 { // in proportion, as errors of spread waits are
			d = math.Log(p.scale/l.at(i)) * p.scale / p.err
		}
		sum += d * d
	}
	return sum
}

// fit finds the law of waits, or says why none is known. At least two places. Waits that
// are spread count as exponential unless they are clearly not: steps of the same length
// are rare, and look much the same.
func fit(places []place, jitter bool) (law, string) {
	slope, err := growing(places)
	limit, least := math.Log(growth), math.Log(1.1)
	if jitter {
		least = math.Log(1.2)
	}
	switch {
	case err > blurred:
		return law{}, "the waits vary so much that too few were seen to tell whether they grow"
	case slope-clearly*err > 0 && slope > least:
	case slope+2.5*err < limit && slope > -limit:
		l := fixedLaw(places)
		if l.misfit(places) > float64(16+6*len(places)) {
			return l, "the waits differ, but by no rule that is known"
		}
		return l, ""
	default:
		return law{}, "the waits vary so much that too few were seen to tell whether they grow"
	}
	best := exponential(places, len(places))
	steps := linear(places)
	for free := 2; free < len(places); free++ {
		l := exponential(places, free)
		better := l.cost < best.cost
		if jitter && steps.cost < best.cost-perFigure {
			better = l.cost < best.cost+2*perFigure // a cap is likelier than steps
		}
		if l.cap > 0 && better {
			best = l
		}
	}
	if len(places) == 2 {
		best.alike = math.Abs(best.factor-2) < 0.3
		return best, ""
	}
	gain := 1.0
	if jitter {
		gain = perFigure
		if best.cap > 0 {
			gain *= 3
		}
	}
	switch l := steps; {
	case l.base <= 0 || l.step <= 0:
	case !jitter && math.Abs(l.cost-best.cost) < 4 && best.cap == 0:
		return best, "the waits grow, but too few were seen to tell whether by a factor or by steps"
	case l.cost < best.cost-gain:
		best = l
	case l.cost < best.cost+4:
		best.alike = true
	}
	if best.strange(places) {
		return law{}, "the waits grow by no rule that is known"
	}
	return best, ""
}

// growing is the slope of the logarithm of the scale from place to place, by weighted
// least squares, with its standard error.
func growing(places []place) (slope, err float64) {
	var w, wx, wy, wxx, wxy float64
	for i, p := range places {
		weight := (p.scale / p.err) * (p.scale / p.err)
		x, y := float64(i), math.Log(p.scale)
		w, wx, wy, wxx, wxy = w+weight, wx+weight*x, wy+weight*y, wxx+weight*x*x, wxy+weight*x*y
	}
	det := w*wxx - wx*wx
	if det <= 0 {
		return 0, math.Inf(1)
	}
	return (w*wxy - wx*wy) / det, math.Sqrt(w / det)
}

// mean is the weighted mean of the logarithm, as a scale.
func mean(places []place) float64 {
	var w, wy float64
	for _, p := range places {
		weight := (p.scale / p.err) * (p.scale / p.err)
		w, wy = w+weight, wy+weight*math.Log(p.scale)
	}
	return math.Exp(wy / w)
}

func fixedLaw(places []place) law {
	return law{kind: experiment.SpacingFixed, base: mean(places), factor: 1, free: len(places), sure: 1}
}

// exponential fits the first places, and a cap to the others if there are any. The
// cap is 0 if they are no such thing.
func exponential(places []place, free int) law {
	head := places[:free]
	slope, _ := growing(head)
	l := law{kind: experiment.SpacingExponential, factor: math.Exp(slope), free: free, sure: 1}
	var w, wy float64
	for i, p := range head {
		weight := (p.scale / p.err) * (p.scale / p.err)
		w, wy = w+weight, wy+weight*(math.Log(p.scale)-slope*float64(i))
	}
	l.base = math.Exp(wy / w)
	figures := 2.0
	if free < len(places) {
		limit := mean(places[free:])
		if limit > 0.85*l.at(free) || limit < 0.9*head[free-1].scale-2.5*head[free-1].err {
			return l
		}
		l.cap, figures = limit, 3
	}
	l.cost = l.misfit(places) + perFigure*figures
	return l
}

// linear fits steps of the same length.
func linear(places []place) law {
	var w, wx, wy, wxx, wxy float64
	for i, p := range places {
		weight := 1 / (p.err * p.err)
		x := float64(i)
		w, wx, wy, wxx, wxy = w+weight, wx+weight*x, wy+weight*p.scale, wxx+weight*x*x, wxy+weight*x*p.scale
	}
	l := law{kind: experiment.SpacingLinear, free: len(places), sure: 1}
	l.step = (w*wxy - wx*wy) / (w*wxx - wx*wx)
	l.base = (wy - l.step*wx) / w
	l.cost = l.misfit(places) + perFigure*2
	return l
}

// strange tells whether places are far off what the law says.
func (l *law) strange(places []place) bool {
	for i, p := range places {
		d := math.Abs(p.scale - l.at(i))
		if d > 6*p.err && d > 0.25*l.at(i) && d > atOnce {
			return true
		}
	}
	return false
}

// tell writes the figures of a law. Waits that are spread have the mean of the first
// as their base, found from those of all places.
func (l *law) tell(s *experiment.Spacing, places []place) {
	s.Kind = l.kind
	unit := 1.0 // from scale to mean
	if s.Jitter {
		sum, of := 0.0, 0.0
		for i := range l.free {
			p := &places[i]
			high := quantile(p.waits, 0.95)
			for _, w := range p.waits {
				sum += min(w, high) - overhead
			}
			of += float64(len(p.waits)) * l.at(i)
		}
		unit = sum / of
	}
	switch base := l.base * unit; l.kind {
	case experiment.SpacingFixed:
		s.Base = rounded(ms(base))
	case experiment.SpacingLinear:
		s.Base, s.Step = rounded(ms(base)), rounded(ms(l.step*unit))
	default:
		s.Base, s.Factor = rounded(ms(base)), math.Round(100*l.factor)/100
	}
	if !s.Jitter && l.kind != experiment.SpacingFixed {
		s.Base = rounded(ms(places[0].scale))
	}
	if l.cap > 0 {
		s.Cap = rounded(ms(l.cap))
	}
	if l.alike {
		l.sure = 0.8
	}
}
