package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const ledgerTopology = `apiVersion: chaosctl.dev/v1alpha1
kind: Topology
metadata: {name: bench}
spec:
  environment: development
  services:
    client: {address: "127.0.0.1:1", protocol: tcp}
    web: {address: %q, protocol: http}
    echo: {address: %q, protocol: tcp}
    idle: {address: %q, protocol: tcp}
  edges:
    - {from: client, to: web, listen: %q}
    - {from: client, to: echo, listen: %q}
    - {from: client, to: idle, listen: %q}
`

// ledgerRun hurts the edge that nobody uses, so that the edges that are measured are
// what they are without it, but for the ledger.
const ledgerRun = `apiVersion: chaosctl.dev/v1alpha1
kind: Experiment
metadata: {name: bench}
spec:
  topologyRef: topology.yaml
  steady: {for: 1s}
  steps:
    - name: nobody is hurt
      for: 10m
      faults:
        - {kind: net.latency, target: {edge: client -> idle}, params: {delay: 1ms}}
  recovery: {within: 2s, hold: 1s}
`

// Ledgered is chaosctl before two upstreams, which can be told to keep a ledger.
type Ledgered struct {
	*Running
	// Web and Echo are where its edges listen: HTTP, and bytes.
	Web, Echo string

	path, dir, api string
	run            *process
}

// StartLedgered starts chaosctl with edges before the two.
func (p *Peer) StartLedgered(ctx context.Context, web, echo string) (*Ledgered, error) {
	var l *Ledgered
	_, err := thrice(ctx, func() (r *Running, err error) {
		if l, err = p.ledgered(ctx, web, echo); err != nil {
			return nil, err
		}
		return l.Running, nil
	})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	return l, nil
}

// KeepsLedger tells whether the peer can.
func (p *Peer) KeepsLedger() bool { return p.ledgered != nil }

func ledgered(path, dir string) func(ctx context.Context, web, echo string) (*Ledgered, error) {
	return func(ctx context.Context, web, echo string) (_ *Ledgered, err error) {
		own, err := os.MkdirTemp(dir, "ledger-")
		if err != nil {
			return nil, err
		}
		var at [4]string
		for i := range at {
			if at[i], _, err = freePort(); err != nil {
				return nil, err
			}
		}
		l := &Ledgered{Web: at[0], Echo: at[1], path: path, dir: own, api: at[3]}
		for name, text := range map[string]string{
			"topology.yaml": fmt.Sprintf(ledgerTopology, web, echo, echo, at[0], at[1], at[2]),
			"run.yaml":      ledgerRun,
		} {
			if err := os.WriteFile(filepath.Join(own, name), []byte(text), 0o600); err != nil {
				return nil, err
			}
		}
		l.Running, err = listening(ctx, at[0], path, "serve", "--topology", filepath.Join(own, "topology.yaml"), "--api", l.api, "--state-dir", filepath.Join(own, "state"))
		if err != nil {
			return nil, err
		}
		if err := l.process.listens(ctx, l.api); err != nil {
			l.Close()
			return nil, err
		}
		return l, nil
	}
}

// Record starts a run, and returns once its fault is in force.
func (l *Ledgered) Record(ctx context.Context) (err error) {
	l.run, err = start(nil, l.path, "run", filepath.Join(l.dir, "run.yaml"), "--server", "http://"+l.api)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		status, err := exec.CommandContext(ctx, l.path, "status", "--server", "http://"+l.api).CombinedOutput()
		if err == nil && bytes.Contains(status, []byte("net.latency")) {
			return nil
		}
		select {
		case <-pause.C:
		case <-l.run.ended:
			return fmt.Errorf("the run ended at once (%v): %s", l.run.err, bytes.TrimSpace(l.run.stderr.Bytes()))
		case <-ctx.Done():
			return fmt.Errorf("no fault is in force: %w: %s", context.Cause(ctx), bytes.TrimSpace(status))
		}
	}
}

// Rest aborts the run and returns once it is over.
func (l *Ledgered) Rest() error {
	if l.run == nil {
		return nil
	}
	_ = l.run.cmd.Process.Signal(syscall.SIGINT) // fails when it is gone already
	<-l.run.ended
	var exit *exec.ExitError
	err := l.run.err
	if errors.As(err, &exit) && exit.ExitCode() == 4 { // aborted, as it was to be
		err = nil
	}
	l.run = nil
	return err
}

// Close ends all of it.
func (l *Ledgered) Close() {
	if l.run != nil {
		l.run.stop()
	}
	l.Running.Close()
}
