package experiment_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

const mesh = `
apiVersion: chaosctl.dev/v1alpha1
kind: Topology
metadata: {name: mesh}
spec:
  services:
    web: {address: "127.0.0.1:1", protocol: http}
    api: {address: "127.0.0.1:2", protocol: http, at: {pid: 7}}
    auth: {address: "127.0.0.1:3", protocol: http, instances: }
    db:
      instances: [{name: a, address: "127.0.0.1:4", at: {pid: 8}}, {name: b, address: "127.0.0.1:5"}, {name: c, at: {pid: 9}}]
    lone: {address: "127.0.0.1:6"}
  edges:
    - {from: users, to: web}
    - {from: web, to: api, listen: "127.0.0.1:10"}
    - {from: api, to: auth, listen: "127.0.0.1:11"}
    - {from: web, to: auth, listen: "127.0.0.1:12"}
    - {from: api, to: db, listen: "127.0.0.1:13"}
    - {from: auth, to: db}
    - {from: db, to: web, listen: "127.0.0.1:14"}
    - {from: web, to: lone}
`

// placed says where a fault goes, and which bytes a partition stops there.
func placed(faults []fault.Fault) []string {
	var all []string
	for _, f := range faults {
		s := f.At.String()
		if p, ok := f.Params.(*fault.Partition); ok && p.Direction != fault.CutBoth {
			s += " " + p.Direction
		}
		all = append(all, s)
	}
	slices.Sort(all)
	return all
}

func decoded(t *testing.T, text string) *fault.Fault {
	t.Helper()
	var f fault.Fault
	if err := strict.Unmarshal("", []byte(text), &f); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &f
}

func TestResolveTargets(t *testing.T) {
	top := parsed(t, mesh)
	flows := []experiment.Flow{{Name: "f", Service: "web"}, {Name: "g", Service: "api"}, {Name: "h", Service: "gone"}}
	tests := []struct {
		fault string
		flows []experiment.Flow
		want  []string
	}{
		{"kind: net.reset\ntarget: {service: auth}", nil, []string{"api -> auth", "web -> auth"}},
		{"kind: net.reset\ntarget: {service: auth, from: web}", nil, []string{"web -> auth"}},
		{"kind: net.reset\ntarget: {service: db}\nmatch: {client: 10.0.0.0/8}", nil, []string{"api -> db"}},
		{"kind: net.reset\ntarget: {service: auth, from: [web, api, db]}", nil, []string{"api -> auth", "web -> auth"}},
		{"kind: net.reset\ntarget: {service: db}", nil, []string{"api -> db"}}, // auth -> db has no listen
		{"kind: net.reset\ntarget: {edge: api->db}", nil, []string{"api -> db"}},
		{"kind: net.reset\ntarget: {edge: '  api   -> db '}", nil, []string{"api -> db"}},
		{"kind: net.reset\ntarget: {service: web}", nil, []string{"db -> web"}},
		{"kind: net.reset\ntarget: {service: web}", flows, []string{"db -> web", "users -> web"}},
		{"kind: net.reset\ntarget: {service: web, from: users}", flows, []string{"users -> web"}},
		{"kind: net.reset\ntarget: {edge: users -> api}", flows, []string{"users -> api"}},
		{"kind: http.abort\ntarget: {service: auth}\nmatch: {path: /x}", nil, []string{"api -> auth", "web -> auth"}},
		{"kind: net.latency\ntarget: {service: api}\nparams: {delay: 1s}\nmatch: {path: /x}", flows, []string{"users -> api", "web -> api"}},
		{"kind: proc.pause\ntarget: {service: api}", nil, []string{"api (pid 7)"}},
		{"kind: proc.pause\ntarget: {service: db}", nil, []string{"db (pid 8)", "db (pid 9)"}},
		{"kind: net.partition\ntarget: {from: web, to: [api, auth]}", nil, []string{"web -> api", "web -> auth"}},
		{"kind: net.partition\ntarget: {from: web, to: [api, db]}", nil, []string{"db -> web", "web -> api"}},
		{"kind: net.partition\ntarget: {from: web, to: [api, db]}\nparams: {direction: to}", nil, []string{"db -> web from", "web -> api to"}},
		{"kind: net.partition\ntarget: {from: web, to: [api, db]}\nparams: {direction: from}", nil, []string{"db -> web to", "web -> api from"}},
		{"kind: net.partition\ntarget: {from: users, to: web}", flows, []string{"users -> web"}},
		{"kind: net.partition\ntarget: {service: auth}\nparams: {direction: to}", nil, []string{"api -> auth to", "web -> auth to"}},
		{"kind: net.partition\ntarget: {edge: api -> auth}\nparams: {direction: from}", nil, []string{"api -> auth from"}},
		{"kind: net.partition\nparams: {shape: halves, among: [web, db, api, auth]}", nil, []string{"api -> db", "web -> api", "web -> auth"}},
		{"kind: net.partition\nparams: {shape: one-way, among: [web, db, api]}", nil, []string{"db -> web from", "web -> api to"}},
		{"kind: net.partition\nparams: {shape: halves, among: [users, web]}", flows, []string{"users -> web"}},
	}
	for _, tt := range tests {
		f := decoded(t, tt.fault)
		got, err := experiment.ResolveTargets(&top.Spec, tt.flows, f, 1)
		if err != nil {
			t.Errorf("%s: %v", tt.fault, err)
			continue
		}
		if diff := cmp.Diff(tt.want, placed(got)); diff != "" {
			t.Errorf("%s: %s", tt.fault, diff)
		}
		if f.At != nil {
			t.Errorf("%s: the fault itself was altered", tt.fault)
		}
		for _, p := range got {
			text, err := json.Marshal(p)
			var back fault.Fault
			if err != nil || json.Unmarshal(text, &back) != nil || !cmp.Equal(p, back) {
				t.Errorf("%s: the placed fault does not survive JSON: %s", tt.fault, text)
			}
		}
	}
}

func TestResolveTargetsRefuses(t *testing.T) {
	top := parsed(t, mesh)
	flows := []experiment.Flow{{Name: "f", Service: "web"}}
	const edges = "the edges are: users -> web (no listen), web -> api, api -> auth, web -> auth, api -> db, auth -> db (no listen), db -> web, web -> lone (no listen)"
	tests := []struct {
		fault   string
		code    experiment.Code
		message string
		hint    string
	}{
		{"kind: net.reset\ntarget: {service: aut}", experiment.NotFound, "there is no service \"aut\"; did you mean `auth`?", edges},
		{"kind: net.reset\ntarget: {service: auth, from: wb}", experiment.NotFound, "there is no service \"wb\"; did you mean `db`?", edges},
		{"kind: net.reset\ntarget: {service: users}", experiment.NotFound, "nobody calls `users`: they only call; put them in `from`", edges},
		{"kind: net.reset\ntarget: {service: auth, from: db}", experiment.NotFound, "there is no edge from db to auth", edges},
		{"kind: net.reset\ntarget: {service: auth, from: [db, users]}", experiment.NotFound, "there is no edge from db or users to auth", edges},
		{"kind: net.reset\ntarget: {edge: web -> db}", experiment.NotFound, "there is no edge \"web -> db\"; did you mean `api -> db`?", edges},
		{"kind: net.reset\ntarget: {edge: auth -> db}", experiment.Unsupported, "no relay stands on auth -> db, so nothing can be hurt there", "give the edge a `listen`"},
		{"kind: net.reset\ntarget: {service: lone}", experiment.Unsupported, "no relay stands on web -> lone, so nothing can be hurt there", edges},
		{"kind: net.reset\ntarget: {service: web, from: users}", experiment.Unsupported, "no relay stands on users -> web, so nothing can be hurt there", edges},
		{"kind: http.abort\ntarget: {service: db}", experiment.Unsupported, "http.abort needs an edge that sees requests; api -> db is tcp", "give the service `db` `protocol: http`"},
		{"kind: net.slow-close\ntarget: {service: auth}\nparams: {delay: 1s}", experiment.Unsupported, "net.slow-close needs an edge that passes bytes as they come; api -> auth is http", "give the service `auth` `protocol: tcp`"},
		{"kind: net.reset\ntarget: {service: db}\nmatch: {client: '::1', path: /x}", experiment.Unsupported, "match needs an edge that sees requests; api -> db is tcp", "protocol: http"},
		{"kind: net.reset\ntarget: {service: db}\nmatch: {path: /x}", experiment.Unsupported, "match needs an edge that sees requests; api -> db is tcp", "protocol: http"},
		{"kind: proc.pause\ntarget: {service: web}", experiment.Unsupported, "the topology does not say where the process of web is", "at: {pid: 812}"},
		{"kind: proc.pause\ntarget: {service: api, from: web}", experiment.BadInput, "proc.pause acts on the processes of a service, not on edges", "alone"},
		{"kind: net.partition\ntarget: {from: lone, to: db}", experiment.NotFound, "there is no edge between lone and db", edges},
		{"kind: net.partition\ntarget: {from: web, to: users}", experiment.NotFound, "nobody calls `users`: they only call; put them in `from`", edges},
		{"kind: net.partition\nparams: {shape: one, among: [db, lone]}", experiment.NotFound, "there is no edge that is cut between db, lone", edges},
		{"kind: net.partition\nparams: {shape: one, among: [db, nobody]}", experiment.NotFound, "there is no service \"nobody\"; there are: api, auth, db, lone, users, web", edges},
	}
	for _, tt := range tests {
		_, err := experiment.ResolveTargets(&top.Spec, nil, decoded(t, tt.fault), 1)
		e, ok := experiment.AsError(err)
		if !ok || e.Code != tt.code || e.Message != tt.message || !strings.Contains(e.Hint, tt.hint) {
			t.Errorf("%s:\n got %+v\nwant %s %s", tt.fault, e, tt.code, tt.message)
		}
	}
	if _, err := experiment.ResolveTargets(&top.Spec, flows, decoded(t, "kind: net.reset\ntarget: {service: web, from: users}"), 1); err != nil {
		t.Errorf("with traffic there is a relay: %v", err)
	}
	empty := parsed(t, "apiVersion: chaosctl.dev/v1alpha1\nkind: Topology\nmetadata: {name: x}\nspec: {services: {a: {address: 'h:1'}}}")
	_, err := experiment.ResolveTargets(&empty.Spec, nil, decoded(t, "kind: net.reset\ntarget: {service: a}"), 1)
	if e, ok := experiment.AsError(err); !ok || e.Message != "there is no edge to a" || !strings.Contains(e.Hint, "the topology has no edges; say who calls whom") {
		t.Errorf("no edges: %+v", err)
	}
	if _, err := experiment.ResolveTargets(&empty.Spec, nil, &fault.Fault{Kind: "x", Target: fault.Target{Service: "a"}}, 1); err == nil {
		t.Error("a kind that does not exist is placed")
	}
}

// TestShapesFollowTheSeed: one seed, one choice; many seeds, many.
func TestShapesFollowTheSeed(t *testing.T) {
	top := parsed(t, mesh)
	f := decoded(t, "kind: net.partition\nparams: {shape: random-halves, among: [web, api, auth, db]}")
	choices := map[string]bool{}
	for seed := range uint64(50) {
		a, err := experiment.ResolveTargets(&top.Spec, nil, f, seed)
		b, again := experiment.ResolveTargets(&top.Spec, nil, f, seed)
		if err != nil || again != nil || !slices.Equal(placed(a), placed(b)) {
			t.Fatalf("seed %d: %v %v, %v %v", seed, placed(a), placed(b), err, again)
		}
		choices[fmt.Sprint(placed(a))] = true
	}
	if len(choices) < 3 {
		t.Errorf("only %d choices", len(choices))
	}
}

// TestResolveTakesTheVeryName: an edge whose services begin or end with a space
// is found by its name as it stands, and no edge else is hurt in its place.
func TestResolveTakesTheVeryName(t *testing.T) {
	spec := &experiment.TopologySpec{Services: map[string]experiment.Service{"lead": {}, " lead": {}, "b": {}}}
	for _, to := range []string{"lead", " lead"} {
		spec.Edges = append(spec.Edges, experiment.Edge{From: "b", To: to, Listen: "127.0.0.1:0"})
	}
	for name, want := range map[string]string{
		"b ->  lead": "b ->  lead", "b -> lead": "b -> lead", "b->lead": "b -> lead", " b   ->   lead ": "b -> lead",
	} {
		f := fault.Fault{Kind: fault.NetReset.Name, Target: fault.Target{Edge: name}, Params: fault.NetReset.New()}
		got, err := experiment.ResolveTargets(spec, nil, &f, 1)
		if err != nil || !slices.Equal(placed(got), []string{want}) {
			t.Errorf("%q: %v, %v; want %s", name, placed(got), err, want)
		}
		if e, ok := (&experiment.Topology{Spec: *spec}).Edge(name); !ok || e.Name() != want {
			t.Errorf("Edge(%q) is %q, %v; want %s", name, e.Name(), ok, want)
		}
	}
}
