package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// haproxyPath finds HAProxy; as root it installs Debian's package where there is
// none.
func haproxyPath(ctx context.Context) (string, error) {
	find := func() (string, error) {
		if path, err := exec.LookPath("haproxy"); err == nil {
			return path, nil
		}
		return exec.LookPath("/usr/sbin/haproxy") // not in everybody's PATH
	}
	path, err := find()
	if err == nil || os.Getuid() != 0 {
		return path, err
	}
	if out, err := exec.CommandContext(ctx, "apt-get", "install", "-y", "--no-install-recommends", "haproxy").CombinedOutput(); err != nil {
		return "", fmt.Errorf("apt-get install haproxy: %w: %s", err, lastLine(out))
	}
	return find()
}

// haproxy is HAProxy in TCP mode with Debian's defaults (a thread per core),
// in the foreground.
func haproxy(name, path, version, dir string, options ...string) *Peer {
	extra := ""
	for _, o := range options {
		extra += "\toption " + o + "\n"
	}
	return &Peer{Name: name, About: strings.Join(append([]string{version, "mode tcp"}, options...), ", "), Process: true, Files: 2,
		start: func(ctx context.Context, upstream string) (*Running, error) {
			addr, _, err := freePort()
			if err != nil {
				return nil, err
			}
			config := fmt.Sprintf("defaults\n\tmode tcp\n\ttimeout connect 5s\n\ttimeout client 50s\n\ttimeout server 50s\n%slisten bench\n\tbind %s\n\tserver upstream %s\n", extra, addr, upstream)
			file := filepath.Join(dir, name+".cfg")
			if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
				return nil, err
			}
			p, err := start(nil, path, "-db", "-f", file)
			if err != nil {
				return nil, err
			}
			if err := p.listens(ctx, addr); err != nil {
				p.stop()
				return nil, err
			}
			return &Running{Addr: addr, PID: p.pid(), process: p}, nil
		}}
}
