package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// What relays and resolvers lose by themselves is told apart from what faults do.
func TestStatusTellsOfLosses(t *testing.T) {
	s := &experiment.Status{
		Topology: "shop",
		Edges:    []experiment.EdgeStatus{{Name: "api -> dns", Protocol: experiment.UDP, Upstream: "127.0.0.1:1"}},
		Resolver: &experiment.ResolverStatus{Listen: "127.0.0.1:53"},
	}
	text := func() string {
		t.Helper()
		var b bytes.Buffer
		if err := StatusText(&b, s, Style{}); err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(b.String()), " ")
	}
	if got := text(); strings.Contains(got, "lost") || strings.Contains(got, "ICMP") {
		t.Error(got)
	}
	s.Edges[0].Dropped, s.Edges[0].Unreachable, s.Resolver.Lost = 1200, 1, 3
	s.Resolver.Problem = "upstream tls://192.0.2.1: not trusted"
	for _, want := range []string{
		"api -> dns: the relay itself lost 1,200 datagrams", "api -> dns: the callee could not be reached, told 1 time by ICMP",
		"the resolver itself lost 3 queries", "no upstream answered: upstream tls://192.0.2.1: not trusted",
	} {
		if got := text(); !strings.Contains(got, want) {
			t.Errorf("%q is not in %s", want, got)
		}
	}
}
