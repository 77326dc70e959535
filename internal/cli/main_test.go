package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// command runs one command line in this process.
func command(ctx context.Context, env map[string]string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = Main(ctx, Env{Args: args, Stdout: &out, Stderr: &errs, Getenv: func(k string) (string, bool) { v, ok := env[k]; return v, ok }})
	return code, out.String(), errs.String()
}

// TestWholeLife serves, injects, runs and lifts in this process, through Main
// alone: the outside world really is an argument, nothing is kept between two
// calls, and no goroutine stays behind (TestMain).
func TestWholeLife(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	defer backend.Close()
	dir := t.TempDir()
	topology := filepath.Join(dir, "topology.yaml")
	if err := os.WriteFile(topology, []byte(strings.ReplaceAll(`
apiVersion: chaosctl.dev/v1alpha1
kind: Topology
metadata: {name: one}
spec:
  services:
    api: {address: "@", protocol: http}
  edges: [{from: users, to: api, listen: "127.0.0.1:0"}]
`, "@", backend.Listener.Addr().String())), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"CHAOSCTL_STATE_DIR": filepath.Join(dir, "state")}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	var log bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		code := Main(ctx, Env{
			Args: []string{"serve", "-t", topology, "--api", "127.0.0.1:0", "-o", "json"}, Stdout: w, Stderr: &log,
			Getenv: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		})
		_ = w.Close()
		ended <- code
	}()
	line, err := bufio.NewReader(r).ReadBytes('\n')
	if err != nil {
		t.Fatalf("serve is not ready: %v (exit %d): %s", err, <-ended, log.String())
	}
	var ready readyLine
	if err := json.Unmarshal(line, &ready); err != nil || len(ready.Relays) != 1 {
		t.Fatalf("the ready line is %s: %v", line, err)
	}
	env["CHAOSCTL_SERVER"] = ready.API

	status := func() experiment.Status {
		t.Helper()
		code, out, errs := command(t.Context(), env, "status", "-o", "json")
		var s experiment.Status
		if err := json.Unmarshal([]byte(out), &s); code != 0 || err != nil {
			t.Fatalf("status: exit %d, %v: %s%s", code, err, out, errs)
		}
		return s
	}
	if n := len(status().Injections); n != 0 {
		t.Errorf("%d injections before", n)
	}
	if code, _, errs := command(t.Context(), env, "inject", "fault", "--target", "api", "--status", "503", "--reset"); code != 0 {
		t.Errorf("inject: exit %d: %s", code, errs)
	}
	s := status()
	if len(s.Injections) != 1 || len(s.Injections[0].Armed) != 2 {
		t.Fatalf("in force: %+v", s.Injections)
	}
	if code, out, errs := command(t.Context(), env, "lift", s.Injections[0].ID[:4]); code != 0 || !strings.HasPrefix(out, "lifted ") {
		t.Errorf("lift: exit %d: %s%s", code, out, errs)
	}
	if n := len(status().Injections); n != 0 {
		t.Errorf("%d injections after", n)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("serve: exit %d: %s", code, log.String())
	}
}
