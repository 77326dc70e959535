package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

func TestGolden(t *testing.T) {
	update := flag.Lookup("update").Value.String() == "true"
	plain := func(w io.Writer, r *experiment.Run) error { return Text(w, r, Style{}) }
	planned := func(w io.Writer, r *experiment.Run) error { return PlanText(w, &r.Plan, Style{}) }
	for _, g := range []struct {
		file string
		f    func(io.Writer, *experiment.Run) error
		r    *experiment.Run
	}{
		{"pass.md", Markdown, passing()}, {"fail.md", Markdown, failing()}, {"aborted.md", Markdown, aborted()}, {"inconclusive.md", Markdown, inconclusive()}, {"hostile.md", Markdown, hostile(payloads)},
		{"pass.xml", JUnit, passing()}, {"fail.xml", JUnit, failing()}, {"aborted.xml", JUnit, aborted()}, {"inconclusive.xml", JUnit, inconclusive()},
		{"pass.txt", plain, passing()}, {"fail.txt", plain, failing()}, {"aborted.txt", plain, aborted()}, {"inconclusive.txt", plain, inconclusive()},
		{"judged.md", Markdown, judgedBroken()}, {"judged.xml", JUnit, judgedBroken()}, {"judged.txt", plain, judgedBroken()},
		{"plan.txt", planned, judgedBroken()},
		{"status.txt", func(w io.Writer, r *experiment.Run) error { return StatusText(w, status(), Style{}) }, passing()},
		{"status-quiet.txt", func(w io.Writer, r *experiment.Run) error { return StatusText(w, &experiment.Status{}, Style{}) }, passing()},
	} {
		got := render(t, g.f, g.r)
		path := "testdata/" + g.file
		if update {
			if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("%s (-want +got), -update rewrites it:\n%s", g.file, diff)
		}
	}
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "rewrite the golden files")
	flag.Parse()
	os.Exit(m.Run())
}

// status is one with everything in it.
func status() *experiment.Status {
	r := passing()
	r.Edges[1].Faults = []string{"f-2k8d"}
	in := r.Injections[:2]
	in[0].State, in[0].Owner = experiment.InForce, "cli"
	in[1].State, in[1].Problem = experiment.Stuck, "the relay does not answer"
	forever := injection("toxiproxy-1", 0, latency500(), "delays answers by 500ms", fault.Receipt{Unit: fault.Connection, Matched: 1, Injected: 1})
	forever.Until, forever.State, forever.Owner, forever.Actor = time.Time{}, experiment.InForce, "toxiproxy", ""
	return &experiment.Status{Topology: "shop", Environment: "production", Version: "0.1.0", Since: start.Add(-72 * time.Minute), Now: at(40 * time.Second), Edges: r.Edges,
		Injections: append(in, forever), Runs: []experiment.RunSummary{r.Summary()}, Debts: []string{"proc.pause on auth-service (pid 812), armed at 08:12: operation not permitted"}}
}

// TestTextFits: no line is wider than a terminal, but for words that cannot be
// broken, and styles change nothing but colour.
func TestTextFits(t *testing.T) {
	mark := func(s string) string { return "\x1b[1m" + s + "\x1b[0m" }
	colours := Style{Good: mark, Bad: mark, Warn: mark, Dim: mark, Bold: mark}
	all := variants()
	all["hours"] = hours(t)
	for name, r := range all {
		for what, f := range map[string]func(io.Writer, Style) error{
			"text":   func(w io.Writer, s Style) error { return Text(w, r, s) },
			"plan":   func(w io.Writer, s Style) error { return PlanText(w, &r.Plan, s) },
			"status": func(w io.Writer, s Style) error { return StatusText(w, status(), s) },
		} {
			var plain, styled bytes.Buffer
			if err := errors.Join(f(&plain, Style{}), f(&styled, colours)); err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(plain.String(), "\n") {
				if utf8.RuneCountInString(line) > columns {
					t.Errorf("%s, %s: %d columns: %s", name, what, utf8.RuneCountInString(line), line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("%s, %s: space at the end of %q", name, what, line)
				}
			}
			if !strings.Contains(styled.String(), "\x1b[1m") {
				t.Errorf("%s, %s: the style is not used", name, what)
			}
			if got := strings.NewReplacer("\x1b[1m", "", "\x1b[0m", "").Replace(styled.String()); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(plain.String()), " ") {
				t.Errorf("%s, %s: the style changes the text", name, what)
			}
		}
	}
}

func TestTextManyGates(t *testing.T) {
	r := failing()
	for range 5 {
		r.Gates = append(r.Gates, r.Gates[0])
	}
	r.Gates = append(r.Gates, r.Gates[:4]...)
	text := render(t, func(w io.Writer, r *experiment.Run) error { return Text(w, r, Style{}) }, r)
	if !strings.Contains(text, "more held") || strings.Count(text, " broken") < 3 || !strings.Contains(text, noData) {
		t.Errorf("of many gates those that broke are shown and the others counted:\n%s", text)
	}
	r = passing()
	r.Gates = append(r.Gates, r.Gates...)
	if text := render(t, func(w io.Writer, r *experiment.Run) error { return Text(w, r, Style{}) }, r); !strings.Contains(text, "all 24 held") {
		t.Errorf("the gates are not counted:\n%s", text)
	}
}

type brokenWriter struct{ left int }

var errFull = errors.New("disk full")

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestErrors(t *testing.T) {
	r := failing()
	formats := map[string]func(io.Writer, *experiment.Run) error{"HTML": HTML, "JUnit": JUnit, "Markdown": Markdown, "JSON": JSON,
		"Text": func(w io.Writer, r *experiment.Run) error { return Text(w, r, Style{}) },
		"Plan": func(w io.Writer, r *experiment.Run) error {
			if r == nil {
				return PlanText(w, nil, Style{})
			}
			return PlanText(w, &r.Plan, Style{})
		},
		"Status": func(w io.Writer, r *experiment.Run) error {
			if r == nil {
				return StatusText(w, nil, Style{})
			}
			return StatusText(w, status(), Style{})
		}}
	for name, f := range formats {
		for _, left := range []int{0, 100, 400} {
			if err := f(&brokenWriter{left}, r); !errors.Is(err, errFull) {
				t.Errorf("%s: a full disk after %d bytes gives %v", name, left, err)
			}
		}
		if f(io.Discard, nil) == nil {
			t.Errorf("%s: nothing is rendered without an error", name)
		}
		if err := f(io.Discard, &experiment.Run{}); err != nil {
			t.Errorf("%s: an empty record: %v", name, err)
		}
	}
	bad := failing()
	bad.Flows[0].Series[0].P50 = 1 / zero()
	if JSON(io.Discard, bad) == nil {
		t.Error("JSON writes an infinite number")
	}
}

func zero() float64 { return 0 }

func TestReadJSON(t *testing.T) {
	for name, r := range variants() {
		if name == "judged-huge" {
			continue // its times are longer than a document may hold
		}
		got, err := ReadJSON([]byte(render(t, JSON, r)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Errorf("%s: -written +read:\n%s", name, diff)
		}
		for what, f := range map[string]func(io.Writer, *experiment.Run) error{"HTML": HTML, "JUnit": JUnit, "Markdown": Markdown} {
			if render(t, f, r) != render(t, f, got) {
				t.Errorf("%s: %s differs when rendered again", name, what)
			}
		}
	}
}

func TestReadJSONRefuses(t *testing.T) {
	good := render(t, JSON, passing())
	for name, c := range map[string]struct{ doc, says string }{
		"nothing":       {"", "unexpected end"},
		"no JSON":       {"kind: Run\n", "line 1"},
		"a list":        {"[]", "cannot unmarshal"},
		"other kind":    {`{"apiVersion":"chaosctl.dev/v1alpha1","kind":"Experiment"}`, `kind "Experiment"`},
		"other version": {`{"apiVersion":"chaosctl.dev/v9","kind":"Run"}`, "chaosctl.dev/v9"},
		"unknown field": {strings.Replace(good, `"seed": 7`, `"sead": 7`, 1), "sead"},
		"wrong type":    {strings.Replace(good, `"seed": 7`, `"seed": "seven"`, 1), "line 10"},
		"unknown kind":  {strings.ReplaceAll(good, `"kind": "net.latency",`, `"kind": "net.latencies",`), "net.latenc"},
		"no fault":      {`{"apiVersion":"chaosctl.dev/v1alpha1","kind":"Run","injections":[{"faults":[{"where":"x"}]}]}`, "injections[0].faults[0] holds no fault"},
		"cut short":     {good[:len(good)/2], "unexpected end"},
		"two records":   {good + good, "after top-level value"},
	} {
		_, err := ReadJSON([]byte(c.doc))
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.HasPrefix(err.Error(), "read run record: ") {
			t.Errorf("%s: %v; want it to say %q", name, err, c.says)
		}
	}
}

// FuzzReadJSON: whatever can be read can be rendered in every format, stays
// within its format, and is read back the same.
func FuzzReadJSON(f *testing.F) {
	// Small seeds: the fuzzer spends all its time on cutting large ones down.
	const head = `{"apiVersion":"chaosctl.dev/v1alpha1","kind":"Run",`
	for _, r := range []*experiment.Run{failing(), aborted()} {
		for part, v := range map[string]any{"windows": r.Windows, "gates": r.Gates[:1], "probes": r.Probes[:0], "injections": r.Injections, "recovery": r.Recovery, "verdict": r.Verdict,
			"edges": r.Edges[:1], "plan": experiment.Plan{Steps: r.Plan.Steps}, "stuck": r.Stuck} {
			b, err := json.Marshal(v)
			if err != nil {
				f.Fatal(err)
			}
			f.Add([]byte(head + `"` + part + `":` + string(b) + `}`))
		}
	}
	f.Add([]byte(head + `"outcomes":[{"flow":"a","windows":[{"stage":"hurt","counts":{"ok":3,"error":1}}]}],"weaknesses":[{"kind":"no-timeout","edge":"a -> b","confidence":0.9,"evidence":[1,2]}],"expectations":[{"of":"a","rule":"b","result":"broken"}]}`))
	f.Add([]byte(head + `"behaviour":[{"edge":"a -> b","windows":[{"stage":"hurt","exchanges":9,"calls":3,"failed":2,"hurt":1,"attemptsPerCall":3,"rate":2}],"tries":{"known":true,"most":3},"breaker":{"known":true,"seen":true,"spans":[{"state":"open","from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:00:02Z"}]}}]}`))
	f.Add([]byte(head + `"behaviour":[{"edge":"a -> b","grouping":{"calls":1}},{"edge":"b -> a"}],"lanes":[{"edge":"a -> b","calls":[{"attempts":[{"no":1,"start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:01Z","failed":true},{"no":2,"start":"2026-01-01T00:00:02Z","end":"2026-01-01T00:00:01Z"}]}],"of":9}]}`))
	f.Add([]byte(head + `"windows":[{"stage":"steady","start":"2026-01-01T00:00:00Z","end":"2026-01-01T00:00:02Z"}],"flows":[{"name":"a","windows":[{"stage":"steady","requests":9,"successes":8,"statuses":{"200":8},"p99":"9ms"}],"series":[{"time":"2026-01-01T00:00:00Z","requests":9,"failures":1,"p50Ms":1,"p99Ms":3}]}]}`))
	f.Add([]byte(head + `"probes":[{"probe":"a","points":[{"time":"2026-01-01T00:00:00Z","ok":false,"detail":"x"}]}]}`))
	f.Add([]byte(`{"apiVersion":"chaosctl.dev/v1alpha1","kind":"Run","started":"0001-01-01T00:00:00Z","ended":"9999-12-31T23:59:59Z","windows":[{"stage":"hurt","start":"0001-01-02T00:00:00Z","end":"9999-01-01T00:00:00Z"}],"flows":[{"series":[{"time":"2026-01-01T00:00:00Z","requests":1,"failures":9,"p50Ms":1e300,"p99Ms":1e-300}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ReadJSON(data)
		if err != nil {
			return
		}
		page := render(t, HTML, r)
		if bad := outside(t, page); bad != "" {
			t.Error(bad)
		}
		if strings.Contains(page, "NaN") || strings.Contains(page, "Inf\"") {
			if raw := string(data); !strings.Contains(raw, "NaN") && !strings.Contains(raw, "Inf") {
				t.Error("the page draws what is no number")
			}
		}
		if err := checkJUnit([]byte(render(t, JUnit, r))); err != nil {
			t.Error(err)
		}
		render(t, Markdown, r)
		render(t, func(w io.Writer, r *experiment.Run) error { return Text(w, r, Style{}) }, r)
		first := render(t, JSON, r)
		again, err := ReadJSON([]byte(first))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if second := render(t, JSON, again); second != first {
			t.Errorf("read back differently: %s", cmp.Diff(first, second))
		}
		if !json.Valid([]byte(first)) {
			t.Error("JSON is not JSON")
		}
	})
}
