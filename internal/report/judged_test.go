package report

import (
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

var (
	stylePlace = regexp.MustCompile(`style="left:([^%"]*)%(?:;width:([^%"]*)%)?"`)
	shapeSize  = regexp.MustCompile(` (?:x|y|width|height)="([^"%]*)"`)
)

// TestNothingLeavesItsPlace: all places are numbers, and lie within their drawing.
func TestNothingLeavesItsPlace(t *testing.T) {
	for name, r := range variants() {
		page := render(t, HTML, r)
		for _, bad := range []string{"NaN", "Inf", "ZgotmplZ", "%!"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page holds %s", name, bad)
			}
		}
		for _, m := range stylePlace.FindAllStringSubmatch(page, -1) {
			left, err := strconv.ParseFloat(m[1], 64)
			width := 0.0
			if m[2] != "" && err == nil {
				width, err = strconv.ParseFloat(m[2], 64)
			}
			if err != nil || left < 0 || width < 0 || left+width > 100.5 {
				t.Errorf("%s: %s", name, m[0])
			}
		}
		for _, m := range shapeSize.FindAllStringSubmatch(page, -1) {
			if v, err := strconv.ParseFloat(m[1], 64); err != nil || v < -40 {
				t.Errorf("%s: %s", name, m[0])
			}
		}
	}
}

// TestFirstScreen: after the verdict come the three questions, each with its answer, and
// then the weaknesses.
func TestFirstScreen(t *testing.T) {
	for name, r := range judgedVariants() {
		text := words(render(t, HTML, r))
		_, text, _ = strings.Cut(text, "Skip to the report")
		last := -1
		for _, want := range []string{r.Verdict.Reasons[0], "Does the API degrade gracefully?", "What users got", "Do retries, timeouts, circuit breakers and fallbacks work?", "What happens in an outage?", "What was hurt", "What callers did"} {
			at := strings.Index(text, want)
			if want == "What callers did" {
				at = strings.LastIndex(text, want)
			}
			if at < last {
				t.Errorf("%s: %q stands at %d, before what it should follow (%d)", name, want, at, last)
			}
			last = at
		}
		for _, q := range questions(r) {
			if !strings.Contains(text, strings.Join(strings.Fields(q.Line()), " ")) {
				t.Errorf("%s: the page does not answer %q", name, q.Line())
			}
		}
	}
}

func TestAnswers(t *testing.T) {
	edit := func(f func(r *experiment.Run)) *experiment.Run {
		r := judgedWell()
		f(r)
		return r
	}
	hurt := func(c counts) func(r *experiment.Run) {
		return func(r *experiment.Run) { r.Outcomes[0].Windows[1].Counts = c }
	}
	shape := func(s experiment.RecoveryShape) func(r *experiment.Run) {
		return func(r *experiment.Run) { r.Recovery.Shape = s }
	}
	for _, c := range []struct {
		name     string
		r        *experiment.Run
		question int
		want     string
		tone     tone
	}{
		{"masked", judgedWell(), 0, "Yes. Users noticed nothing: a retry or a fallback saved 40% of the answers to checkout.", toneGood},
		{"nothing", edit(hurt(counts{experiment.OutcomeOK: 9})), 0, "Yes. Users noticed nothing.", toneGood},
		{"declared", edit(hurt(counts{experiment.OutcomeOK: 700, experiment.OutcomeDegraded: 1000})), 0, "Yes. Nobody saw an error; 41% of the answers to checkout were reduced and said so.", toneGood},
		{"late", edit(hurt(counts{experiment.OutcomeOK: 700, experiment.OutcomeSlow: 1000})), 0, "Partly. Nobody saw an error, but 41% of the answers to checkout came too late.", toneWarn},
		{"errors", edit(hurt(counts{experiment.OutcomeOK: 700, experiment.OutcomeError: 1000})), 0, "No. 41% of the answers to checkout failed while it was hurt.", toneBad},
		{"few errors", edit(hurt(counts{experiment.OutcomeOK: 99990, experiment.OutcomeError: 10})), 0, "Nearly. 0.01% of the answers to checkout failed while it was hurt.", toneWarn},
		{"garbage", edit(hurt(counts{experiment.OutcomeOK: 700, experiment.OutcomeCorrupt: 1})), 0, "No. 0.1% of the answers to checkout were wrong though they looked fine.", toneBad},
		{"a class of later", edit(hurt(counts{experiment.OutcomeOK: 1, "odd": 709})), 0, "No. 49% of the answers to checkout failed while it was hurt.", toneBad},
		{"no answers", edit(func(r *experiment.Run) { r.Outcomes, r.Flows = nil, nil }), 0, "Not known. No answer of a user was recorded while something was hurt.", toneWarn},
		{"one hit nothing", edit(func(r *experiment.Run) { r.Injections[0].Armed[0].Receipt.Injected = 0 }), 0, "Not sure. No request failed, but not every fault hit something.", toneWarn},
		{"nothing hit", edit(func(r *experiment.Run) { r.Injections = nil }), 0, "Not tested. No fault hit anything.", toneWarn},
		{"held", judgedWell(), 1, "Yes. The one expectation held, and no weakness was seen.", toneGood},
		{"broken", judgedBroken(), 1, "No. 2 of 4 expectations are broken, and 2 weaknesses were found.", toneBad},
		{"weak", edit(func(r *experiment.Run) { r.Weaknesses = judgedBroken().Weaknesses[:1] }), 1, "Not all. 1 weakness was found.", toneBad},
		{"not told", judgedUnknown(), 1, "Not sure. 1 of 1 expectation could not be told.", toneWarn},
		{"nothing expected", edit(func(r *experiment.Run) { r.Expectations = nil }), 1, "No weakness was seen. The experiment expects nothing of callers.", toneNone},
		{"quiet", edit(func(r *experiment.Run) { r.Behaviour = r.Behaviour[:1] }), 1, "Not tested. No call between services failed or was hurt, so nobody had to react.", toneWarn},
		{"healed", judgedWell(), 2, "It comes back by itself, 1.24s after the fault was lifted.", toneGood},
		{"at once", edit(func(r *experiment.Run) { r.Recovery.Took = after(0) }), 2, "It comes back by itself, as soon as the fault was lifted.", toneGood},
		{"late", judgedBroken(), 2, "It comes back, but late: 8.7s after the fault was lifted; 5s were allowed.", toneBad},
		{"breaker", edit(shape(experiment.RecoveryBreakerOpen)), 2, "It does not come back. A circuit breaker stays open although the fault is over.", toneBad},
		{"storm", edit(shape(experiment.RecoveryRetryStorm)), 2, "It does not come back. Retries keep it overloaded although the fault is over (a retry storm).", toneBad},
		{"broken", edit(shape(experiment.RecoveryBroken)), 2, "It stays broken although the fault is over.", toneBad},
		{"unknown", judgedUnknown(), 2, "Not known. It could not be seen whether the system comes back.", toneWarn},
		{"no shape", passing(), 2, "It comes back by itself, 1.24s after the fault was lifted.", toneGood},
		{"not reached", aborted(), 2, "Not known. The run ended before it could be seen whether the system comes back.", toneWarn},
	} {
		if got := questions(c.r)[c.question]; got.Line() != c.want || got.Tone != c.tone {
			t.Errorf("%s: %q (%s), want %q (%s)", c.name, got.Line(), got.Tone, c.want, c.tone)
		}
	}
}

// TestUnknownIsNoYes: what could not be told is never shown as good.
func TestUnknownIsNoYes(t *testing.T) {
	r := judgedUnknown()
	r.Flows, r.Gates = nil, nil
	page := render(t, HTML, r)
	for _, bad := range []string{"<b>Yes.</b>", "</svg>held<", "comes back by itself"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page says %q", bad)
		}
	}
	text := words(page)
	for _, want := range []string{"Only 2 calls failed; 5 are needed.", "Not seen: retries, a time limit, a circuit breaker, a fallback.", "a breaker opens after 5 failures", "No call carried an id"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestCallerWords(t *testing.T) {
	b := func(f func(b *experiment.EdgeBehaviour)) *experiment.EdgeBehaviour {
		b := &experiment.EdgeBehaviour{Edge: "a -> b"}
		f(b)
		return b
	}
	known := found(1, 10, "")
	retried := func(s experiment.Spacing) *experiment.EdgeBehaviour {
		s.Finding = known
		return b(func(b *experiment.EdgeBehaviour) {
			b.Tries, b.Spacing = experiment.Tries{Finding: known, Most: 4}, s
		})
	}
	opened := func(k experiment.Breaker) *experiment.EdgeBehaviour {
		k.Finding, k.Seen = known, true
		return b(func(b *experiment.EdgeBehaviour) { b.Breaker = k })
	}
	for _, c := range []struct {
		b    *experiment.EdgeBehaviour
		want string
	}{
		{retried(experiment.Spacing{Kind: experiment.SpacingNone}), "Tried a failed call up to 4 times, at once, without a wait."},
		{retried(experiment.Spacing{Kind: experiment.SpacingFixed, Base: 50 * ms}), "Tried a failed call up to 4 times, waiting 50ms each time, without jitter (no random part)."},
		{retried(experiment.Spacing{Kind: experiment.SpacingLinear, Base: 50 * ms, Step: 25 * ms}), "waiting 50ms, then 25ms longer each time, without"},
		{retried(experiment.Spacing{Kind: experiment.SpacingExponential, Base: 50 * ms, Factor: 1.5, Jitter: true}), "waiting 50ms, then 1.5 times as long each time, with jitter (a random part)."},
		{retried(experiment.Spacing{Kind: experiment.SpacingExponential, FirstAtOnce: true, Waits: []fault.Duration{0, 100 * ms, 200 * ms}}), "at once first, then waiting 100ms, then 200ms"},
		{retried(experiment.Spacing{Kind: experiment.SpacingExponential, Waits: []fault.Duration{ms, 2 * ms, 4 * ms, 8 * ms}}), "waiting 1ms, then 2ms, then 4ms and so on"},
		{b(func(b *experiment.EdgeBehaviour) { b.Tries = experiment.Tries{Finding: known, Most: 1} }), "Made one attempt only; no retries."},
		{b(func(b *experiment.EdgeBehaviour) { b.Tries = experiment.Tries{Finding: known, Most: 47, Endless: true} }), "Tried failed calls again and again, 47 times, with no end seen."},
		{b(func(b *experiment.EdgeBehaviour) {
			b.Timeout = experiment.Timeout{Finding: known, None: true, AtLeast: 5200 * ms}
		}), "Waited 5.2s for an answer without hanging up; no time limit."},
		{opened(experiment.Breaker{OpensAfter: 5, Closed: known, ClosedAfter: 800 * ms}), "Stopped calling after 5 failures in a row (its circuit breaker opened), and called as before 800ms after the fault was lifted."},
		{opened(experiment.Breaker{OpensAfter: 1, Closed: known}), "Stopped calling after 1 failure in a row (its circuit breaker opened), and never called as before again."},
		{opened(experiment.Breaker{}), "Stopped calling (its circuit breaker opened)."},
		{b(func(b *experiment.EdgeBehaviour) { b.Breaker = experiment.Breaker{Finding: known} }), "Went on calling while every call failed; no circuit breaker."},
		{b(func(b *experiment.EdgeBehaviour) {
			b.Fallback = experiment.Fallback{Finding: known, Seen: true, Answered: 3, Failed: 4, SameCallee: true}
		}), "Answered well without it in 3 of 4 cases (a fallback), by asking the same callee again."},
		{b(func(b *experiment.EdgeBehaviour) {
			b.Inversion = experiment.Inversion{Finding: known, Seen: true, Inner: 600 * ms, Outer: 200 * ms, InnerAtLeast: true}
		}), "Went on waiting for at least 600ms although its own caller had left after 200ms."},
		{b(func(b *experiment.EdgeBehaviour) {
			b.HealthCheck = experiment.HealthCheck{Finding: known, Seen: true, Path: "/healthz", Every: 1000 * ms, Ignored: true}
		}), "Asks for its health at /healthz every 1s, and calls it even if the answer is bad."},
		{b(func(b *experiment.EdgeBehaviour) {
			b.Tries, b.RetryAfter = experiment.Tries{Finding: known, Most: 2}, experiment.RetryAfter{Finding: known, Asked: 5, Obeyed: 0, Wanted: 2000 * ms, Waited: 100 * ms}
		}), "Came back 100ms later although the callee had asked for 2s (Retry-After)."},
	} {
		if got := callerOf(c.b).Text(); !strings.Contains(got, c.want) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
	if c := callerOf(&experiment.EdgeBehaviour{}); c.Text() != "" || len(c.Did) != 0 || c.NotSeen() != "Not seen: retries, a time limit, a circuit breaker, a fallback." {
		t.Errorf("of nothing: %+v", c)
	}
}

// TestFiguresSayWhy: a figure that is not known is shown as such, with the reason.
func TestFiguresSayWhy(t *testing.T) {
	b := &experiment.EdgeBehaviour{Tries: experiment.Tries{Finding: missing("only 2 calls failed"), Most: 7}, Spacing: experiment.Spacing{Finding: missing("only 2 calls failed")}}
	rows := figuresOf(b, nil)
	if rows[0].What != "Attempts per call, waits between attempts" || rows[0].Value != "unknown" || rows[0].Why != "Only 2 calls failed." || rows[0].Sure != "" {
		t.Errorf("%+v", rows[0])
	}
	for _, r := range rows {
		if r.Known || r.Value != "unknown" || r.Why == "" {
			t.Errorf("%+v", r)
		}
	}
	for _, r := range figuresOf(&judgedBroken().Behaviour[1], map[uint64]bool{1204: true}) {
		if r.Known == (r.Value == "unknown") || r.Value == "" || r.Why == "" {
			t.Errorf("%+v", r)
		}
		for _, x := range r.Refs.List {
			if x.Drawn != (x.No == "1204") {
				t.Errorf("%s: %+v", r.What, x)
			}
		}
	}
}

// TestLaneIsToScale: places and widths of attempts and waits are those of their times.
func TestLaneIsToScale(t *testing.T) {
	r := judgedBroken()
	v := laneOf(&r.Lanes[0], axisOf(r), map[uint64]bool{})
	longest := 1001.0 + 88 + 1003 + 231 + 1000
	bars := v.Calls[2].Bars
	at := 0.0
	for i, took := range []float64{1001, 88, 1003, 231, 1000} {
		if bars[i].Left != place(100*at/longest) || bars[i].Width != place(100*took/longest) {
			t.Errorf("bar %d: %+v, want it at %v with %v ms", i, bars[i], at, took)
		}
		at += took
	}
	if c := v.Calls[1]; c.End != "good at attempt 3" || c.Bars[0].Class == c.Bars[4].Class || v.Calls[2].End != "3 attempts, then given up" {
		t.Errorf("%+v", c)
	}
	if v.Of != "6 of 1,480 calls" || v.Ticks[1].Label != "1s" {
		t.Errorf("%s %+v", v.Of, v.Ticks)
	}
}

func TestEvidenceLeadsToItsExchange(t *testing.T) {
	page := render(t, HTML, judgedBroken())
	for _, want := range []string{`href="#x1300"`, `id="x1300"`, "chaosctl ledger r-20261121-093000-7f3a --no 1300,1301,1302,77,78", `<span class="ref">#77</span>`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
}

func TestStylesOfAllWords(t *testing.T) {
	for _, c := range classes() {
		if !strings.Contains(judgedCSS, "."+c.Style+" {") || c.Words == "" || c.Meaning == "" {
			t.Errorf("%+v has no style or words", c)
		}
	}
	for _, s := range []edgeState{edgeOK, edgeMasked, edgeFailed, edgeIdle, edgeUnknown} {
		if !strings.Contains(judgedCSS, ".e-"+string(s)+" {") {
			t.Errorf("edges that are %s have no style", s)
		}
	}
	if got := classOf("odd"); got.Style != "oc-other" || got.good() {
		t.Errorf("%+v", got)
	}
}

// colours are the custom properties of the page, of the light and of the dark scheme.
func colours(t *testing.T) [2]map[string]string {
	t.Helper()
	all := [2]map[string]string{{}, {}}
	for _, css := range []string{pageCSS, judgedCSS} {
		light, dark, ok := strings.Cut(css, "@media (prefers-color-scheme: dark)")
		if !ok {
			t.Fatal("there is no dark scheme")
		}
		dark, _, _ = strings.Cut(dark, "\n}\n")
		for i, part := range []string{light, dark} {
			for _, m := range regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6});`).FindAllStringSubmatch(part, -1) {
				all[i][m[1]] = m[2]
			}
		}
	}
	return all
}

// luminance and contrast as WCAG 2 defines them.
func luminance(hex string) float64 {
	sum := 0.0
	for i, weight := range []float64{.2126, .7152, .0722} {
		v, err := strconv.ParseUint(hex[1+2*i:3+2*i], 16, 8)
		if err != nil {
			return -1
		}
		c := float64(v) / 255
		if c <= .03928 {
			c /= 12.92
		} else {
			c = math.Pow((c+.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

func contrast(x, y string) float64 {
	a, b := luminance(x), luminance(y)
	return (max(a, b) + .05) / (min(a, b) + .05)
}

// TestColoursCanBeRead: text stands out from what it stands on, in both schemes, and no
// class is told from another by colour alone.
func TestColoursCanBeRead(t *testing.T) {
	for i, c := range colours(t) {
		pairs := [][2]string{{"e-ok", "card"}, {"e-masked", "card"}, {"e-failed", "card"}, {"muted", "card"}, {"on-ok", "oc-ok"}, {"on-slow", "oc-slow"}, {"bad", "bad-bg"}, {"warn", "warn-bg"}, {"good", "good-bg"}, {"hurt", "card"}}
		for _, k := range classes() {
			if k.Name != experiment.OutcomeOK && k.Name != experiment.OutcomeSlow {
				pairs = append(pairs, [2]string{"oc-ink", k.Style})
			}
		}
		for _, p := range pairs {
			if v := contrast(c[p[0]]+"#000000"[len(c[p[0]]):], c[p[1]]+"#000000"[len(c[p[1]]):]); v < 4.5 || c[p[0]] == "" || c[p[1]] == "" {
				t.Errorf("scheme %d: %s (%s) on %s (%s) has a contrast of %.1f", i, p[0], c[p[0]], p[1], c[p[1]], v)
			}
		}
	}
	patterns := map[string]string{}
	for _, c := range classes() {
		_, rule, _ := strings.Cut(judgedCSS, "\n."+c.Style+" {")
		rule, _, _ = strings.Cut(rule, "}")
		_, pattern, _ := strings.Cut(rule, "background-image:")
		if other, ok := patterns[pattern]; ok && !(pattern == "" && c.Name == experiment.OutcomeError && other == "oc-ok") {
			t.Errorf("%s has the pattern of %s", c.Style, other)
		}
		patterns[pattern] = c.Style
	}
}

func TestPassWithBadNewsSaysSo(t *testing.T) {
	r := judgedWell()
	plain := func(w io.Writer, r *experiment.Run) error { return Text(w, r, Style{}) }
	for _, want := range []bool{false, true} {
		for name, f := range map[string]func(io.Writer, *experiment.Run) error{"HTML": HTML, "Markdown": Markdown, "Text": plain} {
			if got := strings.Contains(strings.Join(strings.Fields(render(t, f, r)), " "), "A pass means that the rules"); got != want {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
		r.Weaknesses = judgedBroken().Weaknesses
	}
}

func TestMixAddsUp(t *testing.T) {
	m := mixOf("", experiment.StageHurt, counts{experiment.OutcomeError: 1, experiment.OutcomeOK: 9998, experiment.OutcomeMasked: 1, "odd": 0})
	if m.All != 10_000 || len(m.Parts) != 3 || m.Parts[0].Name != experiment.OutcomeOK || m.Words != "0.01% saved by a retry or fallback, 0.01% errors" {
		t.Errorf("%+v", m)
	}
	for _, c := range []struct {
		part, whole uint64
		want        string
	}{{0, 0, noData}, {1, 3, "33%"}, {1, 30, "3.3%"}, {1, 3000, "0.03%"}, {299, 300, "99.7%"}, {2999, 3000, "99.97%"}, {5, 5, "100%"}, {0, 5, "0%"}, {1, 10, "10%"}} {
		if got := rough(c.part, c.whole); got != c.want {
			t.Errorf("rough(%d, %d) = %q, want %q", c.part, c.whole, got, c.want)
		}
	}
}

func TestJUnitExpectations(t *testing.T) {
	got := readJUnit(t, judgedBroken())
	for name, want := range map[string]string{
		"api-service -> auth-service: at most 2 retries":                     "pass",
		"api-service -> auth-service: an attempt takes at most 500ms":        "failure: It hung up after 1s. (seen in exchanges 1300, 1301)",
		"api-service -> auth-service: it waits as long as Retry-After says":  "error: No answer carried Retry-After",
		"checkout: users get ok or masked":                                   "failure: 218 of 1,000",
		"gates hold again after the lift":                                    "failure",
		"api-service -> auth-service: a rule that stands in no list of ours": "",
	} {
		if !strings.HasPrefix(got[name], want) || want == "" && got[name] != "" {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
	r := judgedBroken()
	for i := range r.Expectations {
		r.Expectations[i].Result = "HELD"
	}
	for name, result := range readJUnit(t, r) {
		if strings.Contains(name, "Retry-After") && result == "pass" {
			t.Error("a result that nobody knows passes")
		}
	}
}

func TestPlanTextSaysWhatIsExpected(t *testing.T) {
	text := render(t, func(w io.Writer, r *experiment.Run) error { return PlanText(w, &r.Plan, Style{}) }, judgedBroken())
	for _, e := range judgedBroken().Plan.Expect {
		if !strings.Contains(text, e) {
			t.Errorf("the plan does not say %q:\n%s", e, text)
		}
	}
}

// TestManyEdges: a large system makes a page of bounded size, soon.
func TestManyEdges(t *testing.T) {
	r := judgedBroken()
	for i := range 500 {
		b := authBehaviour(r)
		b.Edge, b.Breaker.Spans = fmt.Sprintf("s%d -> s%d", i, i+1), nil
		r.Behaviour = append(r.Behaviour, b)
		r.Weaknesses = append(r.Weaknesses, experiment.Weakness{Kind: experiment.NoTimeout, Edge: b.Edge})
	}
	began := time.Now()
	if n := len(render(t, HTML, r)); n > 10_000_000 {
		t.Errorf("a page of %d bytes", n)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
}
