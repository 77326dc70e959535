package peer

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const topology = `apiVersion: chaosctl.dev/v1alpha1
kind: Topology
metadata: {name: bench}
spec:
  environment: development
  services:
    client: {address: "127.0.0.1:1", protocol: tcp}
    upstream: {address: %q, protocol: http}
  edges:
    - {from: client, to: upstream, listen: %q}
`

// httpEdge is chaosctl with an HTTP edge. With armed, a fault that fits no request is
// in force, so that each of them is looked at.
func httpEdge(path, dir string, armed bool) starter {
	return func(ctx context.Context, upstream string) (*Running, error) {
		addr, _, err := freePort()
		if err != nil {
			return nil, err
		}
		api, _, err := freePort()
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, "topology.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, topology, upstream, addr), 0o600); err != nil {
			return nil, err
		}
		r, err := listening(ctx, addr, path, "serve", "--topology", file, "--api", api, "--state-dir", filepath.Join(dir, "state"))
		if err != nil || !armed {
			return r, err
		}
		if err := r.process.listens(ctx, api); err != nil {
			r.Close()
			return nil, err
		}
		inject := exec.CommandContext(ctx, path, "inject", "fault", "--server", "http://"+api, "--target", "upstream",
			"--kind", "http.delay", "--param", "delay=1ms", "--path", "/nobody/asks/for/this", "--for", "10m")
		if out, err := inject.CombinedOutput(); err != nil {
			r.Close()
			return nil, fmt.Errorf("arm a fault: %w: %s", err, bytes.TrimSpace(out))
		}
		return r, nil
	}
}
