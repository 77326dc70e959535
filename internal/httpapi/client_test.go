package httpapi

import (
	"bytes"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chaosctl/chaosctl/client"
	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// recorder notes which routes of the table a client asks for.
type recorder struct {
	base http.RoundTripper
	mux  *http.ServeMux
	mu   sync.Mutex
	hit  map[string]bool
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	_, pattern := r.mux.Handler(req)
	r.mu.Lock()
	r.hit[pattern] = true
	r.mu.Unlock()
	return r.base.RoundTrip(req)
}

func connect(t *testing.T, addr string, opts ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(addr, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Every route has a method of package client that is named after it and works
// against the real handler.
func TestClientSpeaksEveryRoute(t *testing.T) {
	s := start(t, func(c *Config) { c.Token = token })
	rec := &recorder{base: &http.Transport{}, mux: http.NewServeMux(), hit: map[string]bool{}}
	table := newServer(Config{}).table
	for _, r := range table {
		rec.mux.Handle(r.method+" "+r.path, http.NotFoundHandler())
	}
	c := connect(t, s.addr, client.WithToken(token), client.WithHTTPClient(&http.Client{Transport: rec}))
	defer rec.base.(*http.Transport).CloseIdleConnections()
	ctx := t.Context()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	must("Health", c.Health(ctx))

	seed := uint64(1<<64 - 1)
	var ask experiment.InjectRequest
	for _, k := range fault.Kinds() {
		ask.Faults = append(ask.Faults, *exampleOf(t, k))
	}
	ask.For, ask.Seed = fault.Duration(90*time.Second), &seed
	in, err := c.Inject(ctx, ask)
	must("Inject", err)
	want := ask
	want.Owner, want.Actor = "api", "api"
	if diff := cmp.Diff(want, s.requests[0]); diff != "" {
		t.Errorf("the engine got another request:\n%s", diff)
	}
	one, err := c.Fault(ctx, in.ID)
	must("Fault", err)
	if diff := cmp.Diff(in, one); diff != "" {
		t.Errorf("it has changed on the way:\n%s", diff)
	}
	all, err := c.Faults(ctx)
	must("Faults", err)
	status, err := c.Status(ctx)
	must("Status", err)
	if len(all) != 1 || len(status.Injections) != 1 || len(status.Edges) != 2 {
		t.Errorf("%+v %+v", all, status)
	}
	top, err := c.Topology(ctx)
	must("Topology", err)
	if diff := cmp.Diff(s.Topology(), top); diff != "" {
		t.Errorf("topology:\n%s", diff)
	}
	kinds, err := c.Kinds(ctx)
	must("Kinds", err)
	if len(kinds) != len(fault.Kinds()) || kinds[0].Name != fault.Kinds()[0].Name {
		t.Errorf("kinds: %+v", kinds)
	}
	lifted, err := c.Lift(ctx, in.ID)
	must("Lift", err)
	if lifted.State != experiment.Lifted {
		t.Errorf("lifted: %+v", lifted)
	}
	_, err = c.Halt(ctx, "enough")
	must("Halt", err)
	s.open = []experiment.Connection{{ID: 1 << 63, Edge: "api -> auth"}}
	open, err := c.Connections(ctx, "api -> auth")
	must("Connections", err)
	ended, err := c.CloseConnection(ctx, 1<<63, true)
	must("CloseConnection", err)
	if len(open) != 1 || !cmp.Equal(ended, open[0]) || len(s.open) != 0 {
		t.Errorf("connections: %+v, closed %+v", open, ended)
	}
	plan, err := c.Plan(ctx, experiment.RunRequest{Document: "x"})
	must("Plan", err)
	if plan.Longest.Std() != time.Minute {
		t.Errorf("plan: %+v", plan)
	}
	run, err := c.StartRun(ctx, experiment.RunRequest{Document: "<&>\u2028\x00"})
	must("StartRun", err)
	must("KeepAlive", c.KeepAlive(ctx, run.ID))
	record, err := c.Run(ctx, run.ID)
	must("Run", err)
	if record.Document != "<&>\u2028\x00" {
		t.Errorf("the document has changed on the way: %q", record.Document)
	}
	report, err := c.Report(ctx, run.ID, "markdown")
	must("Report", err)
	if string(report) != "<markdown of "+run.ID+">" {
		t.Errorf("report: %s", report)
	}
	runs, err := c.Runs(ctx)
	must("Runs", err)
	if len(runs) != 1 {
		t.Errorf("runs: %+v", runs)
	}
	must("Ledger", c.Ledger(ctx, run.ID, experiment.LedgerQuery{Limit: 1}, func(*experiment.LedgerLine) error { return nil }))
	must("AbortRun", c.AbortRun(ctx, run.ID, "a reason & more"))
	if got := s.reasons[len(s.reasons)-1]; got != "a reason & more" {
		t.Errorf("reason: %q", got)
	}
	for e, err := range c.Events(ctx, 0) {
		must("Events", err)
		if e.Type == "run-ended" || err != nil {
			break
		}
	}
	metrics, err := c.Metrics(ctx)
	must("Metrics", err)
	if !bytes.Contains(metrics, []byte("chaosctl_stuck 0")) {
		t.Error("these are no metrics")
	}
	doc, err := c.OpenAPI(ctx)
	must("OpenAPI", err)
	if !bytes.Equal(doc, Document()) {
		t.Error("another document")
	}
	_, err = c.OpenAPIYAML(ctx)
	must("OpenAPIYAML", err)

	for _, r := range table {
		name := strings.ToUpper(r.id[:1]) + r.id[1:]
		if _, ok := reflect.TypeFor[*client.Client]().MethodByName(name); !ok {
			t.Errorf("%s %s: package client has no method %s", r.method, r.path, name)
		}
		if !rec.hit[r.method+" "+r.path] {
			t.Errorf("%s %s: no method of the client asks for it", r.method, r.path)
		}
	}
}

func TestRefusalsTravelUnchanged(t *testing.T) {
	s := start(t, nil)
	c := connect(t, s.addr)
	want := &experiment.Error{
		Code: experiment.Guarded, Message: "production", Hint: "--allow-production",
		Problems: experiment.Problems{{File: "f", Line: 1, Column: 2, Path: "spec", Message: "m"}},
	}
	for _, want := range []*experiment.Error{want, {Code: experiment.BadInput, Problems: want.Problems}, {Code: experiment.CannotUndo, Message: "stuck"}} {
		s.mu.Lock()
		s.fail = want
		s.mu.Unlock()
		_, err := c.Inject(t.Context(), experiment.InjectRequest{Faults: []fault.Fault{*exampleOf(t, fault.NetLatency)}})
		var got *experiment.Error
		if !errors.As(err, &got) || !cmp.Equal(got, want) {
			t.Errorf("sent %#v, got %#v", want, err)
		}
	}
	var got *experiment.Error
	if _, err := c.Run(t.Context(), "../../v1/status"); !errors.As(err, &got) || got.Code != experiment.NotFound {
		t.Errorf("an id cannot leave its place: %v", err)
	}
	s2 := start(t, func(c *Config) { c.Token = token })
	stranger := connect(t, s2.addr, client.WithToken("wrong-token-wrong-token"))
	if _, err := stranger.Status(t.Context()); !errors.As(err, &got) || got.Code != experiment.Unauthorised || got.Hint == "" {
		t.Errorf("a wrong token: %v", err)
	}
	if err := stranger.Health(t.Context()); err != nil {
		t.Errorf("health needs no token: %v", err)
	}
}

func TestWaitRun(t *testing.T) {
	s := start(t, nil)
	c := connect(t, s.addr)
	run, err := c.StartRun(t.Context(), experiment.RunRequest{Document: "x"})
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	record, err := c.WaitRun(t.Context(), run.ID, func(e experiment.Event) {
		seen = append(seen, e.Type)
		switch e.Type {
		case "run-started":
			s.publish(experiment.Event{Type: "lifted", ID: "another"})
			s.publish(experiment.Event{Type: "run-progress", Progress: &experiment.Progress{Run: "another"}})
			s.publish(experiment.Event{Type: "run-progress", Progress: &experiment.Progress{Run: run.ID}})
		case "run-progress":
			s.finish(run.ID, experiment.Passed)
		}
	})
	if err != nil || record.Verdict.Outcome != experiment.Passed {
		t.Fatalf("%+v %v", record, err)
	}
	if got := strings.Join(seen, " "); got != "run-started run-progress run-ended" {
		t.Errorf("events of this run, in order: %s", got)
	}
	s.mu.Lock()
	beats := s.alive[run.ID]
	s.mu.Unlock()
	if beats == 0 {
		t.Error("the run was not kept alive")
	}
	if again, err := c.WaitRun(t.Context(), run.ID, nil); err != nil || again.ID != run.ID {
		t.Errorf("a run that has ended: %v", err)
	}
	var e *experiment.Error
	if _, err := c.WaitRun(t.Context(), "r-none", nil); !errors.As(err, &e) || e.Code != experiment.NotFound {
		t.Errorf("a run that never was: %v", err)
	}
}

// A list that a program has left empty goes to the server as such, and is refused:
// left out, it would hurt everybody.
func TestClientSendsEmptyLists(t *testing.T) {
	s := start(t, func(*Config) {})
	c := connect(t, s.addr)
	for field, f := range map[string]fault.Fault{
		"match.client": {Target: fault.Target{Service: "a"}, Match: &fault.Match{Client: []string{}}},
		"target.from":  {Target: fault.Target{Service: "a", From: []string{}}},
	} {
		f.Kind, f.Params = fault.NetReset.Name, fault.NetReset.New()
		_, err := c.Inject(t.Context(), experiment.InjectRequest{Faults: []fault.Fault{f}})
		if err == nil || !strings.Contains(err.Error(), field+": is empty") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
