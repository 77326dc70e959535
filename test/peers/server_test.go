package peers

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// patience bounds waits for what must come.
const patience = 30 * time.Second

// server is a chaosctl that serves a topology.
type server struct {
	*testing.T
	api     string
	state   string
	listens map[string]string // of the relays, by "caller -> callee"
}

// serve starts one, until the test ends; it must then end well.
func serve(t *testing.T, topology string) *server {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "topology.yaml")
	if err := os.WriteFile(file, []byte(topology), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &server{T: t, state: filepath.Join(dir, "state"), listens: map[string]string{}}
	cmd := exec.Command(chaosctl, "serve", "--topology", file, "--api", "127.0.0.1:0", "--state-dir", s.state, "--drain", "1s", "-o", "json")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	line, _ := lines.ReadBytes('\n')
	rest := make(chan struct{})
	go func() { defer close(rest); io.Copy(io.Discard, lines) }()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		<-rest
		if err := cmd.Wait(); err != nil {
			t.Errorf("chaosctl serve: %v\n%s", err, errs.String())
		}
	})
	var ready struct {
		API    string `json:"api"`
		Relays []struct {
			Name   string `json:"name"`
			Listen string `json:"listen"`
		} `json:"relays"`
	}
	if err := json.Unmarshal(line, &ready); err != nil {
		t.Fatalf("chaosctl serve says %q: %v", line, err)
	}
	s.api = ready.API
	for _, r := range ready.Relays {
		s.listens[r.Name] = r.Listen
	}
	return s
}

// cli runs a command against the server and decodes what it prints.
func (s *server) cli(into any, args ...string) {
	s.Helper()
	cmd := exec.Command(chaosctl, append(args, "-o", "json")...)
	cmd.Env = append(os.Environ(), "CHAOSCTL_SERVER="+s.api, "CHAOSCTL_STATE_DIR="+s.state)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		s.Fatalf("chaosctl %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(out, into); err != nil {
		s.Fatalf("chaosctl %s says %q: %v", strings.Join(args, " "), out, err)
	}
}

// receipt is what a fault has done.
type receipt struct {
	Unit                       string
	Matched, Injected, Skipped uint64
}

type injection struct {
	ID     string
	Faults []struct {
		Touches string
		Receipt receipt
	}
}

// inject puts a fault in force and returns its id.
func (s *server) inject(args ...string) string {
	s.Helper()
	var in injection
	s.cli(&in, append([]string{"inject", "fault", "--target"}, args...)...)
	if in.ID == "" {
		s.Fatalf("inject %s gives no id", strings.Join(args, " "))
	}
	return in.ID
}

// lift takes a fault out.
func (s *server) lift(id string) {
	s.Helper()
	s.cli(nil, "lift", id)
}

// receipt sums what an injection in force has done.
func (s *server) receipt(id string) (r receipt) {
	s.Helper()
	var status struct{ Injections []injection }
	s.cli(&status, "status")
	for _, in := range status.Injections {
		for _, f := range in.Faults {
			if in.ID == id {
				r.Unit = f.Receipt.Unit
				r.Matched += f.Receipt.Matched
				r.Injected += f.Receipt.Injected
				r.Skipped += f.Receipt.Skipped
			}
		}
	}
	return r
}
