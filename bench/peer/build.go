package peer

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// toxiproxyModule is pinned in go.mod by the tool directive.
const (
	toxiproxyModule  = "github.com/Shopify/toxiproxy/v2"
	toxiproxyVersion = "2.12.0"
)

// All builds and finds the peers, their programs and files below dir. chaosctl
// is the path of its program; empty: built from the repository around this
// module. What is left out, and why, is told to say.
func All(ctx context.Context, dir, chaosctl string, say func(format string, args ...any)) ([]*Peer, error) {
	build := func(name, from, pkg string, flags ...string) (string, error) {
		out := filepath.Join(dir, name)
		say("building %s", name)
		cmd := exec.CommandContext(ctx, "go", append(append([]string{"build", "-o", out}, flags...), pkg)...)
		cmd.Dir = from
		if text, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("build %s: %w: %s", name, err, lastLine(text))
		}
		return out, nil
	}
	var err error
	if chaosctl == "" {
		if chaosctl, err = build("chaosctl", "..", "./cmd/chaosctl", "-trimpath"); err != nil {
			return nil, err
		}
	}
	toxiproxy, err := build("toxiproxy-server", ".", toxiproxyModule+"/cmd/server", "-ldflags=-X "+toxiproxyModule+".Version="+toxiproxyVersion)
	if err != nil {
		return nil, err
	}
	iocopy, err := build("iocopy", ".", "./iocopy")
	if err != nil {
		return nil, err
	}
	reverse, err := build("reverseproxy", ".", "./reverseproxy")
	if err != nil {
		return nil, err
	}
	ours := withAPI(Chaosctl, firstLine(ctx, chaosctl, "toxiproxy", "-version")+", log into a file (serve, for HTTP edges)", dir, chaosctl, "toxiproxy")
	ours.web, ours.ledgered = httpEdge(chaosctl, dir, false), ledgered(chaosctl, dir)
	all := []*Peer{
		ours,
		withAPI(Toxiproxy, firstLine(ctx, toxiproxy, "-version")+", LOG_LEVEL=info into a file", dir, toxiproxy),
	}
	if path, err := packaged(ctx, "haproxy"); err != nil {
		say("HAPROXY IS LEFT OUT: %v (as root it is installed by itself)", err)
	} else {
		version := firstLine(ctx, path, "-v")
		all = append(all, haproxy(HAProxy, path, version, dir), haproxy(HAProxySplice, path, version, dir, "splice-auto"))
	}
	all = append(all, NewIOCopy(iocopy), NewDirect())
	if path, err := packaged(ctx, "nginx"); err != nil {
		say("NGINX IS LEFT OUT: %v (as root it is installed by itself)", err)
	} else {
		all = append(all, nginx(path, nginxVersion(ctx, path), dir))
	}
	return append(all, NewReverseProxy(reverse), &Peer{
		Name: Armed, About: "chaosctl while an http.delay is in force that fits no request", Process: true, web: httpEdge(chaosctl, dir, true),
	}), nil
}

func lastLine(text []byte) []byte {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return lines[len(lines)-1]
}
