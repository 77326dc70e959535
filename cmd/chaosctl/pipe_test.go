//go:build unix

package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whoever reads our output may go away in the middle of a run, as `head` does;
// the run goes on to its end, and everything is lifted.
func TestBrokenPipe(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	defer api.Close()
	dir := t.TempDir()
	document := strings.ReplaceAll(`
apiVersion: chaosctl.dev/v1alpha1
kind: Experiment
metadata: {name: piped}
spec:
  topology:
    services:
      api: {address: "@API@", protocol: http}
    edges: [{from: users, to: api, listen: "127.0.0.1:0"}]
  traffic: [{name: all, service: api, http: {path: /}, rate: 50/s, timeout: 5s}]
  gates: [{name: there, of: all, success: ">= 50%"}]
  steady: {for: 500ms}
  steps: [{name: slow, for: 500ms, faults: [{kind: net.latency, target: {service: api}, params: {delay: 10ms}}]}]
  recovery: {within: 10s, hold: 500ms}
`, "@API@", api.Listener.Addr().String())
	file := filepath.Join(dir, "piped.yaml")
	if err := os.WriteFile(file, []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	record := filepath.Join(dir, "r.json")
	cmd := exec.CommandContext(ctx, "chaosctl", "run", file, "--json", record, "--state-dir", filepath.Join(dir, "state"))
	cmd.Stdout, cmd.Stderr = w, w
	err = cmd.Run()
	_ = w.Close()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() < 0 {
		t.Fatalf("killed: %v", err)
	}
	b, err := os.ReadFile(record)
	if err != nil || !bytes.Contains(b, []byte(`"outcome"`)) {
		t.Errorf("no record: %v", err)
	}
}
