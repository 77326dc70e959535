package peer

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// ProxyName is the proxy that a started peer with Toxiproxy's API has.
const ProxyName = "bench"

// withAPI is a program that takes -host and -port and speaks Toxiproxy's API.
func withAPI(name, about, dir, path string, args ...string) *Peer {
	return &Peer{Name: name, About: about, Toxics: true, Process: true, Files: 2,
		start: func(ctx context.Context, upstream string) (*Running, error) {
			addr, port, err := freePort()
			if err != nil {
				return nil, err
			}
			log, err := os.Create(filepath.Join(dir, name+".log"))
			if err != nil {
				return nil, err
			}
			defer log.Close() // the process has its own
			p, err := start(log, path, append(args, "-host", "127.0.0.1", "-port", port)...)
			if err != nil {
				return nil, err
			}
			r := &Running{PID: p.pid(), process: p, API: NewAPI(addr)}
			if err := p.listens(ctx, addr); err != nil {
				r.Close()
				return nil, err
			}
			if r.Addr, err = r.API.Create(ctx, ProxyName, upstream); err != nil {
				r.Close()
				return nil, fmt.Errorf("create a proxy: %w", err)
			}
			return r, nil
		}}
}
