package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// packaged finds a program; as root it installs Debian's package of that name where
// there is none.
func packaged(ctx context.Context, name string) (string, error) {
	find := func() (string, error) {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		return exec.LookPath("/usr/sbin/" + name) // not in everybody's PATH
	}
	path, err := find()
	if err == nil || os.Getuid() != 0 {
		return path, err
	}
	if out, err := exec.CommandContext(ctx, "apt-get", "install", "-y", "--no-install-recommends", name).CombinedOutput(); err != nil {
		return "", fmt.Errorf("apt-get install %s: %w: %s", name, err, lastLine(out))
	}
	return find()
}

// haproxy is HAProxy with Debian's defaults (a thread per core), in the foreground: in
// TCP mode with these options, in HTTP mode with its defaults.
func haproxy(name, path, version, dir string, options ...string) *Peer {
	p := &Peer{Name: name, About: strings.Join(append([]string{version, "mode tcp"}, options...), ", "), Process: true, Files: 2}
	extra := ""
	for _, o := range options {
		extra += "\toption " + o + "\n"
	}
	p.start = haproxyIn("tcp", extra, path, filepath.Join(dir, name+".cfg"))
	if len(options) == 0 {
		p.About += " (mode http for HTTP edges)"
		p.web = haproxyIn("http", "", path, filepath.Join(dir, name+"-http.cfg"))
	}
	return p
}

func haproxyIn(mode, extra, path, file string) starter {
	return func(ctx context.Context, upstream string) (*Running, error) {
		addr, _, err := freePort()
		if err != nil {
			return nil, err
		}
		config := fmt.Sprintf("defaults\n\tmode %s\n\ttimeout connect 5s\n\ttimeout client 50s\n\ttimeout server 50s\n%slisten bench\n\tbind %s\n\tserver upstream %s\n", mode, extra, addr, upstream)
		if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
			return nil, err
		}
		return listening(ctx, addr, path, "-db", "-f", file)
	}
}

// listening starts a program and returns when it accepts at addr.
func listening(ctx context.Context, addr, path string, args ...string) (*Running, error) {
	p, err := start(nil, path, args...)
	if err != nil {
		return nil, err
	}
	if err := p.listens(ctx, addr); err != nil {
		p.stop()
		return nil, err
	}
	return &Running{Addr: addr, PID: p.pid(), process: p}, nil
}
