package engine

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const toGuest = "toxiproxy -> web"

// guest opens an edge to db-service's server at run time.
func (s *shop) guest(t *testing.T) (url string) {
	t.Helper()
	listen, err := s.OpenEdge(context.Background(), EdgeSpec{
		From: "toxiproxy", To: "web", Protocol: experiment.TCP, Listen: "127.0.0.1:0", Upstreams: []string{s.db.Listener.Addr().String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	return "http://" + listen
}

// slow is a latency on the guest.
func slow(d time.Duration) fault.Fault {
	return fault.Fault{
		Name: "slow", Kind: "net.latency", Params: &fault.Latency{Delay: fault.Duration(d), Distribution: fault.Uniform, Direction: fault.Response},
		Target: fault.Target{Edge: toGuest}, At: &fault.Placed{Relay: &fault.RelayEdge{From: "toxiproxy", To: "web"}},
	}
}

func ask(t *testing.T, url string) time.Duration {
	t.Helper()
	began := time.Now()
	resp, err := newClient(t).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status, err)
	}
	return time.Since(began)
}

func TestEdgeComesAndGoes(t *testing.T) {
	ctx := context.Background()
	s := newShop(t, nil)
	before := s.Topology()
	url := s.guest(t)
	ask(t, url)
	top := s.Topology()
	if i := slices.IndexFunc(top.Spec.Edges, func(e experiment.Edge) bool { return e.Name() == toGuest }); i < 0 || "http://"+top.Spec.Edges[i].Listen != url {
		t.Errorf("the topology has %v", top.Spec.Edges)
	}
	if len(before.Spec.Edges) != 2 || len(before.Spec.Services) != 3 {
		t.Error("the topology that was given has changed")
	}
	if _, err := s.OpenEdge(ctx, EdgeSpec{From: "toxiproxy", To: "web", Protocol: experiment.TCP, Listen: "127.0.0.1:0", Upstreams: []string{"x:1"}}); err == nil {
		t.Error("two edges have one name")
	}
	if _, err := s.OpenEdge(ctx, EdgeSpec{From: "api-service", To: "db-service", Protocol: experiment.TCP, Listen: "127.0.0.1:0", Upstreams: []string{"x:1"}}); err == nil {
		t.Error("it has the name of an edge of the topology")
	}
	for _, target := range []fault.Target{{Edge: toGuest}, {Service: "web"}} {
		in, err := s.Inject(ctx, experiment.InjectRequest{Faults: []fault.Fault{{Kind: "net.latency", Params: slow(time.Hour).Params, Target: target}}})
		if err != nil {
			t.Fatal(err)
		}
		if in.Armed[0].Where != toGuest || in.Until.IsZero() {
			t.Errorf("%+v", in)
		}
	}
	if err := s.CloseEdge(ctx, toGuest); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(ctx); len(st.Injections) != 0 || len(st.Edges) != 2 {
		t.Errorf("after it was closed: %+v", st)
	}
	if err := s.CloseEdge(ctx, toGuest); err == nil {
		t.Error("it is closed twice")
	}
	if err := s.CloseEdge(ctx, toAuth); err == nil {
		t.Error("an edge of the topology is closed")
	}
	if s.Topology() != before {
		t.Error("the topology is not what it was")
	}
	ask(t, s.guest(t)) // the name is free again
}

// TestFailedEdge: an address that is taken leaves no name behind.
func TestFailedEdge(t *testing.T) {
	ctx := context.Background()
	s := newShop(t, nil)
	spec := EdgeSpec{From: "toxiproxy", To: "web", Protocol: experiment.TCP, Listen: s.auth.Listener.Addr().String(), Upstreams: []string{"x:1"}}
	for range 2 {
		if _, err := s.OpenEdge(ctx, spec); err == nil || !strings.Contains(err.Error(), "in use") {
			t.Fatal(err)
		}
	}
	s.guest(t)
}

func TestArmWithoutALease(t *testing.T) {
	ctx := context.Background()
	s := newShop(t, nil)
	url := s.guest(t)
	id, err := s.Arm(ctx, slow(300*time.Millisecond), 1)
	if err != nil {
		t.Fatal(err)
	}
	if took := ask(t, url); took < 300*time.Millisecond {
		t.Errorf("%s through 300 ms", took)
	}
	in := s.Status(ctx).Injections[0]
	if in.Owner != OwnerToxiproxy || !in.Until.IsZero() || in.Receipt().Injected == 0 {
		t.Errorf("%+v", in)
	}
	hurt := in.Receipt().Injected
	if err := s.Replace(ctx, id, slow(time.Millisecond), 2); err != nil {
		t.Fatal(err)
	}
	if took := ask(t, url); took > 290*time.Millisecond {
		t.Errorf("%s after it was replaced", took)
	}
	in = s.Status(ctx).Injections[0]
	if in.ID != id || in.Receipt().Injected <= hurt {
		t.Errorf("after it was replaced: %+v, %d before", in, hurt)
	}
	halts := s.Halts()
	if _, err := s.Halt(ctx, "test"); err != nil {
		t.Fatal(err)
	}
	if s.InForce(id) || s.Halts() == halts {
		t.Error("a halt spares it")
	}
	if err := s.Replace(ctx, id, slow(time.Second), 3); err == nil {
		t.Error("what is gone is replaced")
	}
}

// TestReplaceThatFails leaves the old one in force.
func TestReplaceThatFails(t *testing.T) {
	ctx := context.Background()
	s := newShop(t, nil)
	url := s.guest(t)
	id, err := s.Arm(ctx, slow(300*time.Millisecond), 1)
	if err != nil {
		t.Fatal(err)
	}
	bad := slow(0)
	bad.Kind, bad.Params = "http.status", &fault.Status{Code: 503}
	if err := s.Replace(ctx, id, bad, 2); err == nil {
		t.Fatal("an edge that sees bytes answers requests")
	}
	if took := ask(t, url); took < 300*time.Millisecond {
		t.Errorf("%s: the old one is gone", took)
	}
}

// TestArmIsForItsOwnEdges: what has no lease must not be on the topology's.
func TestArmIsForItsOwnEdges(t *testing.T) {
	s := newShop(t, nil)
	f := slow(time.Second)
	f.At = &fault.Placed{Relay: &fault.RelayEdge{From: "api-service", To: "db-service"}}
	if _, err := s.Arm(context.Background(), f, 1); err == nil {
		t.Error("an edge of the topology is hurt without a lease")
	}
}

// TestExperimentOnGuest: an experiment may hurt an edge that came at run time.
func TestExperimentOnGuest(t *testing.T) {
	s := newShop(t, nil)
	const document = `
apiVersion: chaosctl.dev/v1alpha1
kind: Experiment
metadata: {name: guest}
spec:
  hypothesis: it is slow
  steps:
    - {for: 1s, faults: [{kind: net.latency, target: {edge: "toxiproxy -> web"}, params: {delay: 1s}}]}
`
	if _, err := s.Plan(context.Background(), experiment.RunRequest{Document: document}); err == nil {
		t.Fatal("there is no such edge yet")
	}
	s.guest(t)
	plan, err := s.Plan(context.Background(), experiment.RunRequest{Document: document})
	if err != nil {
		t.Fatal(err)
	}
	if got := plan.Steps[0].Changes[0].Where; got != toGuest {
		t.Errorf("it hurts %s", got)
	}
}
