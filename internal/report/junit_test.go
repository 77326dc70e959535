package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// junitRule is what testdata/junit.xsd says of an element, for machines that
// have no XML schema validator.
type junitRule struct {
	required, optional, children []string
}

func junitRules() map[string]junitRule {
	counts := []string{"tests", "failures", "errors"}
	return map[string]junitRule{
		"testsuites": {optional: append([]string{"name", "time"}, counts...), children: []string{"testsuite"}},
		"testsuite":  {required: append([]string{"name", "time"}, counts...), optional: []string{"skipped", "timestamp", "hostname"}, children: []string{"properties", "testcase", "system-out", "system-err"}},
		"properties": {children: []string{"property"}},
		"property":   {required: []string{"name", "value"}},
		"testcase":   {required: []string{"name", "classname", "time"}, children: []string{"skipped", "error", "failure", "system-out", "system-err"}},
		"error":      {required: []string{"type"}, optional: []string{"message"}},
		"failure":    {required: []string{"type"}, optional: []string{"message"}},
		"skipped":    {optional: []string{"message"}},
		"system-out": {}, "system-err": {},
	}
}

// checkJUnit is the structural check: elements, attributes and their types,
// counts that add up, names that are unique.
func checkJUnit(doc []byte) error {
	attr := map[string]*regexp.Regexp{
		"tests": regexp.MustCompile(`^\d+$`), "failures": regexp.MustCompile(`^\d+$`), "errors": regexp.MustCompile(`^\d+$`), "skipped": regexp.MustCompile(`^\d+$`),
		"time": regexp.MustCompile(`^\d+(\.\d+)?$`), "timestamp": regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}$`),
		"name": regexp.MustCompile(`(?s).`), "classname": regexp.MustCompile(`(?s).`), "type": regexp.MustCompile(`(?s).`),
	}
	rules := junitRules()
	var stack []string
	found, said, seen := map[string]int{}, map[string]string{}, map[string]bool{}
	dec := xml.NewDecoder(bytes.NewReader(doc))
	for {
		tok, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch e := tok.(type) {
		case xml.StartElement:
			name := e.Name.Local
			rule, known := rules[name]
			if !known {
				return fmt.Errorf("<%s> is no element of JUnit", name)
			}
			if len(stack) > 0 && !slices.Contains(rules[stack[len(stack)-1]].children, name) {
				return fmt.Errorf("<%s> stands in <%s>", name, stack[len(stack)-1])
			}
			if len(stack) == 0 && name != "testsuites" {
				return fmt.Errorf("<%s> is the root", name)
			}
			missing := slices.Clone(rule.required)
			values := map[string]string{}
			for _, a := range e.Attr {
				if !slices.Contains(rule.required, a.Name.Local) && !slices.Contains(rule.optional, a.Name.Local) {
					return fmt.Errorf("<%s> has no attribute %s", name, a.Name.Local)
				}
				if re := attr[a.Name.Local]; re != nil && !re.MatchString(a.Value) {
					return fmt.Errorf("<%s %s=%q> is not of its type", name, a.Name.Local, a.Value)
				}
				missing = slices.DeleteFunc(missing, func(s string) bool { return s == a.Name.Local })
				values[a.Name.Local] = a.Value
			}
			if len(missing) > 0 {
				return fmt.Errorf("<%s> lacks %v", name, missing)
			}
			if name == "testsuite" {
				said = values
			}
			if name == "testcase" {
				key := values["classname"] + "\x00" + values["name"]
				if seen[key] {
					return fmt.Errorf("case %q stands twice", values["name"])
				}
				seen[key] = true
			}
			found[name]++
			stack = append(stack, name)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		}
	}
	for attr, element := range map[string]string{"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"} {
		if said[attr] != strconv.Itoa(found[element]) {
			return fmt.Errorf("%s says %s, there are %d", attr, said[attr], found[element])
		}
	}
	return nil
}

func render(t testing.TB, f func(io.Writer, *experiment.Run) error, r *experiment.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestJUnitIsValid(t *testing.T) {
	all := variants()
	all["empty"] = &experiment.Run{}
	all["hostile"] = hostile(payloads)
	for name, r := range all {
		doc := render(t, JUnit, r)
		if err := checkJUnit([]byte(doc)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, doc)
		}
	}
}

// TestJUnitSchema validates with xmllint where there is one.
func TestJUnitSchema(t *testing.T) {
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("no xmllint on this machine; TestJUnitIsValid checks the same structure")
	}
	for name, r := range variants() {
		file := filepath.Join(t.TempDir(), name+".xml")
		if err := os.WriteFile(file, []byte(render(t, JUnit, r)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(lint, "--noout", "--nonet", "--schema", "testdata/junit.xsd", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestJUnitCheckBites proves that the structural check refuses what is wrong.
func TestJUnitCheckBites(t *testing.T) {
	good := render(t, JUnit, failing())
	for name, edit := range map[string][2]string{
		"unknown element":   {"<properties>", "<properties><extra/>"},
		"unknown attribute": {`<testcase name=`, `<testcase speed="1" name=`},
		"missing attribute": {` classname="`, ` message="`},
		"zone in timestamp": {`timestamp="2026-11-21T09:30:00"`, `timestamp="2026-11-21T09:30:00Z"`},
		"time as text":      {`time="42.300"`, `time="42.3s"`},
		"wrong count":       {`<testsuite name="checkout-without-timeout" tests="1`, `<testsuite name="checkout-without-timeout" tests="9`},
		"control character": {"verdict", "ver\x01dict"},
		"broken XML":        {"</testsuite>", ""},
		"name twice":        {"everything is put back", "verdict"},
	} {
		bad := strings.Replace(good, edit[0], edit[1], 1)
		if name == "name twice" {
			bad = strings.ReplaceAll(bad, ".rollback", ".run")
		}
		if bad == good {
			t.Errorf("%s: nothing was changed", name)
		} else if checkJUnit([]byte(bad)) == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}

// readJUnit maps cases to their results: pass, failure or error.
func readJUnit(t *testing.T, r *experiment.Run) map[string]string {
	t.Helper()
	var doc struct {
		Suites []struct {
			Cases []junitCase `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal([]byte(render(t, JUnit, r)), &doc); err != nil {
		t.Fatal(err)
	}
	results := map[string]string{}
	for _, c := range doc.Suites[0].Cases {
		results[c.Name] = "pass"
		if c.Failure != nil {
			results[c.Name] = "failure: " + c.Failure.Message
		}
		if c.Error != nil {
			results[c.Name] = "error: " + c.Error.Message
		}
	}
	return results
}

func TestJUnitResults(t *testing.T) {
	wants := map[string]map[string]string{
		"pass":         {"verdict": "pass", "everything is put back": "pass", "gates hold again after the lift": "pass", "alive": "pass", "cut on api-service -> db-service": "pass"},
		"fail":         {"verdict": "failure", "speed: p99 in hurt (auth is slow)": "failure: Gate speed broke", "speed: p99 in steady": "pass", "tail: p999 in steady": "error", "alive": "failure", "gates hold again after the lift": "failure"},
		"aborted":      {"verdict": "error: Aborted: Success", "everything is put back": "failure: Could not roll back", "freeze on auth-service (pid 812)": "failure", "alive": "error"},
		"inconclusive": {"verdict": "error: Fault net.latency", "net.latency on api-service -> auth-service": "error: The fault hit nothing", "cut on api-service -> db-service": "pass"},
	}
	for name, r := range variants() {
		got := readJUnit(t, r)
		for c, want := range wants[name] {
			if !strings.HasPrefix(got[c], want) {
				t.Errorf("%s: case %q is %q, want %q", name, c, got[c], want)
			}
		}
	}
	if got := readJUnit(t, &experiment.Run{})["verdict"]; !strings.HasPrefix(got, "error") {
		t.Errorf("a run without a verdict is %q", got)
	}
}

// TestJUnitUnknownIsNoPass: no result but pass may count as one.
func TestJUnitUnknownIsNoPass(t *testing.T) {
	for _, result := range []experiment.Result{experiment.Unknown, "", "PASS", "passed"} {
		r := passing()
		for i := range r.Gates {
			r.Gates[i].Result = result
		}
		for i := range r.Probes {
			r.Probes[i].Result = result
		}
		r.Recovery.Result = result
		r.Verdict.Outcome = experiment.Outcome(result)
		for i := range r.Injections {
			r.Injections[i].State = experiment.InjectionState(result)
		}
		for name, got := range readJUnit(t, r) {
			if got == "pass" && name != "everything is put back" {
				t.Errorf("result %q: case %q passes", result, name)
			}
		}
	}
}

func TestJUnitSameNames(t *testing.T) {
	r := passing()
	r.Gates = append(r.Gates, r.Gates...)
	r.Injections = append(r.Injections, r.Injections...)
	if err := checkJUnit([]byte(render(t, JUnit, r))); err != nil {
		t.Error(err)
	}
}

func TestJUnitTimes(t *testing.T) {
	r := passing()
	r.Started = time.Date(2026, 11, 21, 18, 30, 0, 123, time.FixedZone("", 9*3600))
	if doc := render(t, JUnit, r); !strings.Contains(doc, `timestamp="2026-11-21T09:30:00"`) {
		t.Error("the timestamp is not in UTC")
	}
	r.Ended = r.Started.Add(-time.Hour) // a clock that went back
	took := fault.Duration(1500 * time.Millisecond)
	r.Recovery.Took = &took
	doc := render(t, JUnit, r)
	if err := checkJUnit([]byte(doc)); err != nil {
		t.Error(err)
	}
	if !strings.Contains(doc, `time="1.500"`) {
		t.Error("the time to recover is not the time of its case")
	}
}
