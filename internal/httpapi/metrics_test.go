package httpapi

import (
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

func TestMetrics(t *testing.T) {
	s := start(t, nil)
	expect := func(when string, lines ...string) {
		t.Helper()
		resp := send(t, s.addr, "GET", "/metrics", "", nil)
		got := text(t, resp)
		if resp.StatusCode != 200 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
			t.Fatalf("%s: %s %s", when, resp.Status, resp.Header.Get("Content-Type"))
		}
		for _, l := range lines {
			line, absent := strings.CutPrefix(l, "!")
			if strings.Contains(got, "\n"+line) == absent {
				t.Errorf("%s: is %q absent? want %v:\n%s", when, line, absent, grep(got, "chaosctl_"))
			}
		}
	}
	expect("before", `chaosctl_edge_datagrams_lost_total{edge="api -> udp",why="dropped"} 2`, `chaosctl_edge_datagrams_lost_total{edge="api -> udp",why="unreachable"} 4`,
		`!chaosctl_edge_datagrams_lost_total{edge="api -> auth"`, `chaosctl_stuck 0`, `chaosctl_build_info{commit="",goversion="go1",version="1.2.3"} 1`, `!chaosctl_faults_in_force{`, `!chaosctl_fault_units_total{`,
		`chaosctl_edge_bytes_total{direction="in",edge="api -> auth"} 11`, `chaosctl_edge_bytes_total{direction="out",edge="api -> auth"} 13`,
		`chaosctl_edge_connections_open{edge="api -> auth"} 3`, `chaosctl_edge_connections_total{edge="api -> auth"} 5`,
		`chaosctl_edge_exchanges_total{edge="api -> auth"} 7`, `chaosctl_runs_total{outcome="pass"} 0`, `chaosctl_runs_under_way 0`, `go_goroutines `, `process_`)

	send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON())
	send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON())
	units := `chaosctl_fault_units_total{edge="api -> auth",kind="net.latency",outcome=`
	expect("in force", `chaosctl_faults_in_force{edge="api -> auth",kind="net.latency"} 2`, units+`"matched"} 20`, units+`"injected"} 8`, units+`"skipped"} 12`)

	send(t, s.addr, "DELETE", "/v1/faults/f-1", "", nil)
	expect("one lifted", `chaosctl_faults_in_force{edge="api -> auth",kind="net.latency"} 1`, units+`"matched"} 20`)
	send(t, s.addr, "POST", "/v1/halt", "", nil)
	// One that came and went between two scrapes counts, too.
	send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON())
	send(t, s.addr, "DELETE", "/v1/faults/f-3", "", nil)
	for range 2 {
		expect("all lifted", `!chaosctl_faults_in_force{`, units+`"matched"} 30`, units+`"injected"} 12`)
	}
	s.mu.Lock()
	s.ended = nil // forgotten by the engine
	s.debts = []string{"pid 7 is still stopped"}
	s.mu.Unlock()
	send(t, s.addr, "POST", "/v1/runs", `{"document":"x"}`, asJSON())
	send(t, s.addr, "POST", "/v1/runs", `{"document":"x"}`, asJSON())
	s.finish("r-4", experiment.Failed)
	for range 2 {
		expect("runs", units+`"matched"} 30`, `chaosctl_stuck 1`, `chaosctl_runs_total{outcome="fail"} 1`, `chaosctl_runs_total{outcome="pass"} 0`, `chaosctl_runs_under_way 1`)
	}
}

// Without the list of what is over, totals keep what was last seen.
func TestMetricsNeverFall(t *testing.T) {
	s := start(t, func(c *Config) { c.Ended = nil })
	send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON())
	want := `chaosctl_fault_units_total{edge="api -> auth",kind="net.latency",outcome="injected"} 4`
	for _, step := range []string{"in force", "lifted", "long gone"} {
		if got := text(t, send(t, s.addr, "GET", "/metrics", "", nil)); !strings.Contains(got, want) {
			t.Errorf("%s: no %s in\n%s", step, want, grep(got, "fault_units"))
		}
		send(t, s.addr, "POST", "/v1/halt", "", nil)
	}
}

func grep(text, word string) string {
	var found []string
	for l := range strings.Lines(text) {
		if strings.Contains(l, word) && !strings.HasPrefix(l, "#") {
			found = append(found, l)
		}
	}
	return strings.Join(found, "")
}
