package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

// parseFaults runs the flags of `inject fault` and returns the faults as JSON.
func parseFaults(t *testing.T, args ...string) (faults string, notes []string, err error) {
	t.Helper()
	var f faultFlags
	cmd := &cobra.Command{Use: "fault", RunE: func(cmd *cobra.Command, _ []string) error {
		list, n, err := f.faults(cmd.Flags())
		b, jerr := json.Marshal(list)
		if jerr != nil {
			t.Fatal(jerr)
		}
		faults, notes = string(b), n
		return err
	}}
	f.register(cmd.Flags())
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	err = cmd.Execute()
	return faults, notes, err
}

func TestFaultsFromFlags(t *testing.T) {
	for _, tt := range []struct {
		name string
		args string
		want string
	}{
		{"shorthand", "--target=auth --latency=500ms", `[{"kind":"net.latency","target":{"service":"auth"},"params":{"delay":"500ms","distribution":"uniform","direction":"response"}}]`},
		{"refined", "--target auth --from a,b --latency 500ms --jitter 50ms --share 20%",
			`[{"kind":"net.latency","target":{"service":"auth","from":["a","b"]},"params":{"delay":"500ms","jitter":"50ms","distribution":"uniform","direction":"response"},"share":0.2}]`},
		{"several kinds", "--target auth --status 503 --latency 5ms",
			`[{"kind":"http.status","target":{"service":"auth"},"params":{"code":503}},{"kind":"net.latency","target":{"service":"auth"},"params":{"delay":"5ms","distribution":"uniform","direction":"response"}}]`},
		{"choosing only", "--edge a->b --blackhole", `[{"kind":"net.blackhole","target":{"edge":"a->b"},"params":{}}]`},
		{"a flag set to false chooses nothing", "--target auth --reset=false --refuse", `[{"kind":"net.refuse","target":{"service":"auth"},"params":{}}]`},
		{"kind and params", "--target db --kind net.kill --param every=5s --param how=close --share 0.5 --max-active 3",
			`[{"kind":"net.kill","target":{"service":"db"},"params":{"every":"5s","how":"close"},"share":0.5,"maxActive":3}]`},
		{"kind and shorthand of the same kind", "--target db --kind net.latency --latency 1s --param direction=both",
			`[{"kind":"net.latency","target":{"service":"db"},"params":{"delay":"1s","distribution":"uniform","direction":"both"}}]`},
		{"params get their types", "--target a --kind http.status --param code=418 --param body=503 --param headers.X-A=1 --param headers.X-B=b",
			`[{"kind":"http.status","target":{"service":"a"},"params":{"code":418,"body":"503","headers":{"X-A":"1","X-B":"b"}}}]`},
		{"fields of params", "--target a --kind http.body --param json.path=a --param json.value=1",
			`[{"kind":"http.body","target":{"service":"a"},"params":{"json":{"path":"a","value":1},"contentLength":"honest"}}]`},
		{"match", "--target a --reset --path /users/* --method get,POST --header X-A=b* --query q=1",
			`[{"kind":"net.reset","target":{"service":"a"},"params":{"on":"now"},"match":{"method":["GET","POST"],"path":"/users/*","header":{"X-A":"b*"},"query":{"q":"1"}}}]`},
		{"bytes", "--target db --slice 64B --limit 10KiB --slow-close 1s --drop 5%",
			`[{"kind":"net.drop","target":{"service":"db"},"params":{"rate":0.05,"direction":"response"}},
			{"kind":"net.limit","target":{"service":"db"},"params":{"bytes":"10KiB","direction":"response"}},
			{"kind":"net.slice","target":{"service":"db"},"params":{"size":"64B","direction":"response"}},
			{"kind":"net.slow-close","target":{"service":"db"},"params":{"delay":"1s","direction":"response"}}]`},
		{"connections", "--target db --connect-timeout --stall --slow-accept 3s",
			`[{"kind":"net.connect-timeout","target":{"service":"db"},"params":{}},{"kind":"net.slow-accept","target":{"service":"db"},"params":{"delay":"3s"}},
			{"kind":"net.stall","target":{"service":"db"},"params":{"direction":"response"}}]`},
		{"a distribution", "--target a --latency 1s --jitter 2s --distribution pareto",
			`[{"kind":"net.latency","target":{"service":"a"},"params":{"delay":"1s","jitter":"2s","distribution":"pareto","direction":"response"}}]`},
		{"callers", "--target a --slice 1B --client 10.0.0.0/8,::1 --client 127.0.0.1",
			`[{"kind":"net.slice","target":{"service":"a"},"params":{"size":"1B","direction":"response"},"match":{"client":["10.0.0.0/8","::1","127.0.0.1"]}}]`},
		{"callers and requests", "--target a --stall --client ::1 --path /x",
			`[{"kind":"net.stall","target":{"service":"a"},"params":{"direction":"response"},"match":{"path":"/x","client":["::1"]}}]`},
		{"a shape needs no target", "--kind net.partition --param shape=halves --param among=a,b",
			`[{"kind":"net.partition","params":{"direction":"both","mode":"drop","shape":"halves","among":["a","b"]}}]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := parseFaults(t, strings.Fields(tt.args)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(normal(t, tt.want), normal(t, got)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func normal(t *testing.T, s string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	return v
}

func TestModifierOfSomeKinds(t *testing.T) {
	got, notes, err := parseFaults(t, "--target", "a", "--refuse", "--latency", "1s", "--share", "0.5", "--path", "/x")
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) != 2 || !strings.Contains(notes[0], "net.refuse") {
		t.Errorf("notes: %q", notes)
	}
	list := normal(t, got).([]any)
	for _, f := range list {
		f := f.(map[string]any)
		_, share := f["share"]
		_, match := f["match"]
		if takes := f["kind"] == "net.latency"; share != takes || match != takes {
			t.Errorf("share %v and match %v on %s", share, match, f["kind"])
		}
	}
}

// A kind is given the parts of a match that it takes.
func TestMatchOfSomeKinds(t *testing.T) {
	got, notes, err := parseFaults(t, "--target", "a", "--refuse", "--slice", "1B", "--latency", "1s", "--client", "10.0.0.0/8", "--path", "/x")
	if err != nil {
		t.Fatal(err)
	}
	if want := "--path does not narrow net.refuse, --path does not narrow net.slice, --client does not narrow net.refuse"; len(notes) != 3 {
		t.Errorf("notes %q, not %s", notes, want)
	}
	both := map[string]any{"path": "/x", "client": []any{"10.0.0.0/8"}}
	want := map[string]any{"net.refuse": nil, "net.slice": map[string]any{"client": []any{"10.0.0.0/8"}}, "net.latency": both}
	for _, f := range normal(t, got).([]any) {
		f := f.(map[string]any)
		if diff := cmp.Diff(want[f["kind"].(string)], f["match"]); diff != "" {
			t.Errorf("%s: %s", f["kind"], diff)
		}
	}
	for _, args := range []string{"--target a --refuse --client ::1", "--target a --slice 1B --path /x", "--target a --latency 1s --client localhost"} {
		if _, _, err := parseFaults(t, strings.Fields(args)...); err == nil {
			t.Errorf("%s passes", args)
		}
	}
}

// Every kind of the catalogue can be injected by its flags, and none of them
// hides a flag of ours: cobra would panic.
func TestCatalogueFlags(t *testing.T) {
	cmd := (&app{}).injectFaultCommand()
	for _, k := range []string{"latency", "jitter", "status", "reset", "refuse", "blackhole", "bandwidth", "slice", "client", "kind", "param"} {
		if cmd.Flags().Lookup(k) == nil {
			t.Errorf("there is no flag --%s", k)
		}
	}
}
