package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// JUnit writes the run as a JUnit test report, in the dialect that Jenkins,
// GitLab and Surefire's readers share: one suite, and a case for every figure
// of a gate in every window, every rule of an expectation, every probe, the recovery, every fault that was
// put in force, the rollback, and the verdict.
//
// A rule that is broken is a failure. What is unknown, a fault that hit
// nothing, and an aborted run are errors: CI must not read them as a pass.
// Names of cases hold no measured value, so a CI server can follow each one
// from run to run.
func JUnit(w io.Writer, r *experiment.Run) error {
	if r == nil {
		return errNoRun
	}
	s := newSuite(r)
	s.gates(r.Gates)
	s.expectations(r.Expectations)
	s.probes(r.Probes)
	s.recovery(r.Recovery)
	s.receipts(r.Injections)
	s.rollback(r.Stuck)
	s.verdict(r)
	s.unique()
	s.count()

	doc := junitSuites{Name: s.Name, Tests: s.Tests, Failures: s.Failures, Errors: s.Errors, Time: s.Time, Suites: []*junitSuite{s}}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return fmt.Errorf("write JUnit report: %w", err)
	}
	return nil
}

type junitSuites struct {
	XMLName  xml.Name      `xml:"testsuites"`
	Name     string        `xml:"name,attr"`
	Tests    int           `xml:"tests,attr"`
	Failures int           `xml:"failures,attr"`
	Errors   int           `xml:"errors,attr"`
	Time     string        `xml:"time,attr"`
	Suites   []*junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string           `xml:"name,attr"`
	Tests      int              `xml:"tests,attr"`
	Failures   int              `xml:"failures,attr"`
	Errors     int              `xml:"errors,attr"`
	Skipped    int              `xml:"skipped,attr"`
	Time       string           `xml:"time,attr"`
	Timestamp  string           `xml:"timestamp,attr,omitempty"`
	Properties *junitProperties `xml:"properties,omitempty"`
	Cases      []junitCase      `xml:"testcase"`
	Out        string           `xml:"system-out,omitempty"`

	class string
}

type junitProperties struct {
	Property []junitProperty `xml:"property"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name    string        `xml:"name,attr"`
	Class   string        `xml:"classname,attr"`
	Time    string        `xml:"time,attr"`
	Error   *junitProblem `xml:"error,omitempty"`
	Failure *junitProblem `xml:"failure,omitempty"`
}

type junitProblem struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

func newSuite(r *experiment.Run) *junitSuite {
	name := clean(r.Experiment)
	if name == "" {
		name = "unnamed"
	}
	s := &junitSuite{Name: name, Time: seconds(elapsed(r)), class: "chaosctl." + strings.ReplaceAll(name, " ", "_")}
	if !r.Started.IsZero() {
		s.Timestamp = r.Started.UTC().Format("2006-01-02T15:04:05")
	}
	var ps []junitProperty
	for _, p := range []junitProperty{
		{"run", r.ID}, {"hypothesis", r.Hypothesis}, {"topology", r.Topology}, {"environment", r.Environ},
		{"actor", r.Actor}, {"seed", fmt.Sprint(r.Seed)}, {"chaosctl", r.Version.Chaosctl}, {"commit", r.Version.Commit},
		{"repeat", repeatCommand(r)}, {"recovery", shapeOf(r.Recovery)},
	} {
		if p.Value = clean(p.Value); p.Value != "" {
			ps = append(ps, p)
		}
	}
	s.Properties = &junitProperties{ps}
	var out []string
	for _, n := range append(judgedLines(r), remarks(r)...) {
		out = append(out, clean(n))
	}
	s.Out = strings.Join(out, "\n")
	return s
}

// seconds is a time as JUnit writes it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", max(d, 0).Seconds()) }

// pass, fail and unknown add a case with that result.
func (s *junitSuite) pass(group, name string, took time.Duration) *junitCase {
	s.Cases = append(s.Cases, junitCase{Name: clean(name), Class: s.class + "." + group, Time: seconds(took)})
	return &s.Cases[len(s.Cases)-1]
}

func (s *junitSuite) fail(group, name, kind, message string) {
	message = clean(message)
	s.pass(group, name, 0).Failure = &junitProblem{message, kind, message}
}

func (s *junitSuite) unknown(group, name, kind, message string) {
	message = clean(message)
	s.pass(group, name, 0).Error = &junitProblem{message, kind, message}
}

// result adds a case by a three-valued result.
func (s *junitSuite) result(r experiment.Result, group, name, kind, why string) {
	switch r {
	case experiment.Pass:
		s.pass(group, name, 0)
	case experiment.Fail:
		s.fail(group, name, kind, why)
	default:
		s.unknown(group, name, "no-data", why)
	}
}

func (s *junitSuite) gates(gates []experiment.GateResult) {
	for _, g := range gates {
		why := g.Why
		if why == "" {
			why = fmt.Sprintf("%s of %s: %s, the rule is %s.", g.Figure, g.Of, value(g.Value), g.Rule)
		}
		s.result(g.Result, "gates", g.Gate+": "+g.Figure+" in "+window(g.Stage, g.Step), "gate-broken", why)
	}
}

// expectations are cases by what they ask of whom. What was not put to the test is no
// pass.
func (s *junitSuite) expectations(all []experiment.ExpectationResult) {
	for _, e := range all {
		name, why := e.Of+": "+e.Rule, e.Why
		if why == "" {
			why = "The record does not say why."
		}
		switch e.Result {
		case experiment.Held:
			s.pass("expectations", name, 0)
		case experiment.Broken:
			s.fail("expectations", name, "expectation-broken", why+" ("+evidenceWords(e.Evidence)+")")
		default:
			s.unknown("expectations", name, "not-tested", why)
		}
	}
}

// shapeOf names how a system came back; empty if it is not known.
func shapeOf(rec *experiment.RecoveryResult) string {
	if rec == nil {
		return ""
	}
	return string(rec.Shape)
}

func (s *junitSuite) probes(probes []experiment.ProbeResult) {
	for _, p := range probes {
		why := p.Why
		if why == "" {
			why = fmt.Sprintf("%d of %d measurements failed.", p.Failed, p.Taken)
		}
		s.result(p.Result, "probes", p.Probe, "probe-failed", why)
	}
}

func (s *junitSuite) recovery(rec *experiment.RecoveryResult) {
	if rec == nil {
		return
	}
	const group, name = "recovery", "gates hold again after the lift"
	if rec.Result == experiment.Pass && rec.Took != nil {
		s.pass(group, name, rec.Took.Std())
		return
	}
	s.result(rec.Result, group, name, "not-recovered", recoverySentence(rec))
}

func (s *junitSuite) receipts(injections []experiment.Injection) {
	for _, i := range injections {
		for _, a := range i.Armed {
			name := a.Fault.Title() + " on " + a.Where
			switch state, _ := receiptState(i, a); state {
			case string(experiment.Stuck):
				s.fail("faults", name, "stuck", "The fault could not be taken out: "+value(i.Problem))
			case "hit nothing":
				unit := string(a.Receipt.Unit)
				if unit == "" {
					unit = "unit"
				}
				s.unknown("faults", name, "hit-nothing", fmt.Sprintf("The fault hit nothing: it matched %s and hurt none of them.", plural(a.Receipt.Matched, unit)))
			case string(experiment.Lifted), string(experiment.Expired), "nothing here":
				s.pass("faults", name, 0)
			default:
				s.unknown("faults", name, "not-lifted", "The record does not say that the fault was lifted.")
			}
		}
	}
}

func (s *junitSuite) rollback(stuck []string) {
	const group, name = "rollback", "everything is put back"
	if len(stuck) == 0 {
		s.pass(group, name, 0)
		return
	}
	s.fail(group, name, "stuck", "Could not roll back: "+strings.Join(stuck, "; "))
}

func (s *junitSuite) verdict(r *experiment.Run) {
	const group, name = "run", "verdict"
	why := strings.Join(reasons(r), " ")
	switch word, t := verdictWord(r.Verdict); t {
	case toneGood:
		s.pass(group, name, elapsed(r))
	case toneBad:
		s.fail(group, name, "fail", why)
	case toneStop:
		if abortedApart(r) {
			why = "Aborted: " + r.Aborted + " " + why
		}
		s.unknown(group, name, "aborted", why)
	default:
		s.unknown(group, name, strings.ReplaceAll(strings.ToLower(word), " ", "-"), why)
	}
}

// unique numbers cases of the same name: two steps can bear one, and readers
// would show only the last.
func (s *junitSuite) unique() {
	type key struct{ class, name string }
	seen := map[key]bool{}
	for i := range s.Cases {
		c := &s.Cases[i]
		base := c.Name
		for n := 2; seen[key{c.Class, c.Name}]; n++ {
			c.Name = fmt.Sprintf("%s (%d)", base, n)
		}
		seen[key{c.Class, c.Name}] = true
	}
}

func (s *junitSuite) count() {
	for _, c := range s.Cases {
		s.Tests++
		switch {
		case c.Failure != nil:
			s.Failures++
		case c.Error != nil:
			s.Errors++
		}
	}
}
