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
		{"shorthand", "--target=auth --latency=500ms", `[{"kind":"net.latency","target":{"service":"auth"},"params":{"delay":"500ms","direction":"response"}}]`},
		{"refined", "--target auth --from a,b --latency 500ms --jitter 50ms --share 20%",
			`[{"kind":"net.latency","target":{"service":"auth","from":["a","b"]},"params":{"delay":"500ms","jitter":"50ms","direction":"response"},"share":0.2}]`},
		{"several kinds", "--target auth --status 503 --latency 5ms",
			`[{"kind":"http.status","target":{"service":"auth"},"params":{"code":503}},{"kind":"net.latency","target":{"service":"auth"},"params":{"delay":"5ms","direction":"response"}}]`},
		{"choosing only", "--edge a->b --blackhole", `[{"kind":"net.blackhole","target":{"edge":"a->b"},"params":{}}]`},
		{"a flag set to false chooses nothing", "--target auth --reset=false --refuse", `[{"kind":"net.refuse","target":{"service":"auth"},"params":{}}]`},
		{"kind and params", "--target db --kind net.kill --param every=5s --param how=close --share 0.5 --max-active 3",
			`[{"kind":"net.kill","target":{"service":"db"},"params":{"every":"5s","how":"close"},"share":0.5,"maxActive":3}]`},
		{"kind and shorthand of the same kind", "--target db --kind net.latency --latency 1s --param direction=both",
			`[{"kind":"net.latency","target":{"service":"db"},"params":{"delay":"1s","direction":"both"}}]`},
		{"params get their types", "--target a --kind http.status --param code=418 --param body=503 --param headers.X-A=1 --param headers.X-B=b",
			`[{"kind":"http.status","target":{"service":"a"},"params":{"code":418,"body":"503","headers":{"X-A":"1","X-B":"b"}}}]`},
		{"match", "--target a --reset --path /users/* --method get,POST --header X-A=b* --query q=1",
			`[{"kind":"net.reset","target":{"service":"a"},"params":{},"match":{"method":["GET","POST"],"path":"/users/*","header":{"X-A":"b*"},"query":{"q":"1"}}}]`},
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

// Every kind of the catalogue can be injected by its flags, and none of them
// hides a flag of ours: cobra would panic.
func TestCatalogueFlags(t *testing.T) {
	cmd := (&app{}).injectFaultCommand()
	for _, k := range []string{"latency", "jitter", "status", "reset", "refuse", "blackhole", "bandwidth", "kind", "param"} {
		if cmd.Flags().Lookup(k) == nil {
			t.Errorf("there is no flag --%s", k)
		}
	}
}
