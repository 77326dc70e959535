package experiment_test

import (
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const timesTopology = `apiVersion: chaosctl.dev/v1alpha1
kind: Topology
metadata: {name: shop}
spec:
  environment: ENV
  services:
    api: {address: "127.0.0.1:1", protocol: http}
    auth: {address: "127.0.0.1:2", protocol: http}
    db: {address: "127.0.0.1:3"}
    dns: {address: "127.0.0.1:4", protocol: udp}
  edges:
    - {from: api, to: auth, listen: "127.0.0.1:0", CLIENT}
    - {from: api, to: db, listen: "127.0.0.1:0"}
    - {from: api, to: dns, listen: "127.0.0.1:0"}
    - {from: auth, to: db}
`

func topologyOf(t *testing.T, environment, client string) (*experiment.Topology, error) {
	t.Helper()
	return experiment.ParseTopology("t.yaml", []byte(strings.NewReplacer("ENV", environment, "CLIENT", client).Replace(timesTopology)))
}

// Attempts and after are held against the topology.
func TestTimesFitTheTopology(t *testing.T) {
	top, err := topologyOf(t, "staging", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f   fault.Fault
		why string // empty: it fits
	}{
		{fault.Fault{Target: fault.Target{Service: "auth"}, Attempts: "1"}, ""},
		{fault.Fault{Target: fault.Target{Edge: "api -> db"}, Attempts: "1"}, "api -> db is tcp"},
		{fault.Fault{Target: fault.Target{Edge: "api -> dns"}, Attempts: "1"}, "a datagram is no attempt"},
		{fault.Fault{Target: fault.Target{Service: "auth"}, After: &fault.After{Edge: "api->db"}}, ""},
		{fault.Fault{Target: fault.Target{Service: "auth"}, After: &fault.After{Edge: "api -> bd"}}, "did you mean `api -> db`"},
		{fault.Fault{Target: fault.Target{Service: "auth"}, After: &fault.After{Edge: "auth -> db"}}, "no relay stands on auth -> db"},
		{fault.Fault{Target: fault.Target{Service: "auth"}, After: &fault.After{Edge: "api->auth"}}, "acts on api -> auth itself"},
		{fault.Fault{Target: fault.Target{Service: "db"}, Pulse: &fault.Pulse{On: 1e9, Off: 1e9}}, ""},
	} {
		c.f.Kind = "net.latency"
		c.f.Params = c.f.Info().New()
		placed, err := experiment.ResolveTargets(&top.Spec, nil, &c.f, 0)
		switch {
		case c.why == "" && err != nil, c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)):
			t.Errorf("%+v: %v, not %q", c.f, err, c.why)
		case c.why == "" && c.f.After != nil && placed[0].After.Edge != "api -> db":
			t.Errorf("placed: after %q", placed[0].After.Edge)
		}
	}
}

// Callers may hurt nothing in production: nobody can permit it.
func TestClientFaultsOfATopology(t *testing.T) {
	for client, why := range map[string]string{
		"clientFaults: {allow: [delay, grpc-status], maxDelay: 2s, maxShare: 10%}": "",
		"clientFaults: {allow: [delay, dealy]}":                                    "spec.edges[0].clientFaults.allow[1]: there is no fault to ask for \"dealy\"; did you mean `delay`",
		"clientFaults: {allow: [delay, delay]}":                                    "spec.edges[0].clientFaults.allow[1]: `delay` stands twice",
		"clientFaults: {}":                                                         "spec.edges[0].clientFaults.allow: is missing",
		"clientFaults: {allow: [delay], maxDelay: 2h}":                             "spec.edges[0].clientFaults.maxDelay: must be at most 1h",
		"clientFaults: {allow: [delay], maxDelay: 0s}":                             "spec.edges[0].clientFaults.maxDelay: must be more than 0",
		"clientFaults: {allow: [delay], share: 1}":                                 "spec.edges[0].clientFaults.share: is not a field here",
		"protocol: tcp, clientFaults: {allow: [delay]}":                            "the edge is tcp and sees no requests",
	} {
		if _, err := topologyOf(t, "staging", client); why == "" && err != nil || why != "" && (err == nil || !strings.Contains(err.Error(), why)) {
			t.Errorf("%s: %v, not %q", client, err, why)
		}
	}
	_, err := topologyOf(t, "production", "clientFaults: {allow: [delay]}")
	if err == nil || !strings.Contains(err.Error(), "--allow-production, which callers cannot give") {
		t.Errorf("in production: %v", err)
	}
}
