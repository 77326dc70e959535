package peer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// nginx is nginx with a worker per core, which keeps connections to the upstream.
func nginx(path, version, dir string) *Peer {
	return &Peer{Name: Nginx, About: version + ", worker_processes auto, proxy_pass with keepalive 64, no access log", Process: true,
		web: func(ctx context.Context, upstream string) (*Running, error) {
			addr, _, err := freePort()
			if err != nil {
				return nil, err
			}
			home := filepath.Join(dir, "nginx")
			if err := os.MkdirAll(home, 0o755); err != nil {
				return nil, err
			}
			file := filepath.Join(home, "nginx.conf")
			if err := os.WriteFile(file, []byte(nginxConfig(home, addr, upstream)), 0o600); err != nil {
				return nil, err
			}
			return listening(ctx, addr, path, "-p", home, "-c", file, "-e", filepath.Join(home, "error.log"))
		}}
}

// nginxVersion is what it says of itself, on stderr.
func nginxVersion(ctx context.Context, path string) string {
	out, err := exec.CommandContext(ctx, path, "-v").CombinedOutput()
	if err != nil {
		return "version unknown: " + err.Error()
	}
	return strings.TrimSpace(strings.TrimPrefix(string(out), "nginx version: "))
}

func nginxConfig(home, addr, upstream string) string {
	var c strings.Builder
	if os.Getuid() == 0 {
		c.WriteString("user root;\n") // its folders are ours
	}
	fmt.Fprintf(&c, "worker_processes auto;\ndaemon off;\npid %s/pid;\nevents { worker_connections 4096; }\nhttp {\n\taccess_log off;\n\tkeepalive_requests 1000000000;\n", home)
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&c, "\t%s_temp_path %s/%s;\n", kind, home, kind)
	}
	fmt.Fprintf(&c, "\tupstream up { server %s; keepalive 64; keepalive_requests 1000000000; }\n", upstream)
	fmt.Fprintf(&c, "\tserver {\n\t\tlisten %s;\n\t\tlocation / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection \"\"; }\n\t}\n}\n", addr)
	return c.String()
}
