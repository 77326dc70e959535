// Package peer starts the proxies that are compared, each as a process of its
// own in front of one upstream, on loopback and on free ports.
package peer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Names of the peers, as -targets and the tables have them.
const (
	Chaosctl      = "chaosctl"
	Toxiproxy     = "toxiproxy"
	HAProxy       = "haproxy"
	HAProxySplice = "haproxy-splice"
	IOCopy        = "iocopy"
	Direct        = "direct"
	Nginx         = "nginx"
	ReverseProxy  = "reverseproxy"
	Armed         = "chaosctl-armed"
)

// Peer is a proxy that can be started, any number of times.
type Peer struct {
	Name    string
	About   string  // version and how it is run
	Toxics  bool    // it has Toxiproxy's API
	Process bool    // it is a process, unlike a direct connection
	Files   int     // descriptors it needs for each connection
	start   starter // nil: it does not pass bytes
	web     starter // nil: it does not pass requests

	ledgered func(ctx context.Context, web, echo string) (*Ledgered, error) // nil: it keeps no ledger
}

type starter func(ctx context.Context, upstream string) (*Running, error)

// PassesBytes tells whether it can stand before any upstream; PassesRequests,
// whether it reads HTTP.
func (p *Peer) PassesBytes() bool    { return p.start != nil }
func (p *Peer) PassesRequests() bool { return p.web != nil }

// Running is a peer in front of an upstream.
type Running struct {
	// Addr is where clients connect.
	Addr string
	// PID is its process; 0 for a direct connection.
	PID int
	// API is Toxiproxy's, nil where there is none.
	API *API

	process *process
}

// Start starts the peer and returns when it listens.
func (p *Peer) Start(ctx context.Context, upstream string) (*Running, error) {
	return p.run(ctx, p.start, upstream)
}

// StartWeb is Start, in the mode in which the peer reads requests and answers.
func (p *Peer) StartWeb(ctx context.Context, upstream string) (*Running, error) {
	return p.run(ctx, p.web, upstream)
}

func (p *Peer) run(ctx context.Context, start starter, upstream string) (*Running, error) {
	r, err := thrice(ctx, func() (*Running, error) { return start(ctx, upstream) })
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	return r, nil
}

// Close ends the process and returns when it is gone.
func (r *Running) Close() {
	if r.API != nil {
		r.API.Close()
	}
	if r.process != nil {
		r.process.stop()
	}
}

// NewDirect is no proxy.
func NewDirect() *Peer {
	start := func(_ context.Context, upstream string) (*Running, error) { return &Running{Addr: upstream}, nil }
	return &Peer{Name: Direct, About: "no proxy: the client connects to the upstream", start: start, web: start}
}

// NewIOCopy runs the program in ../iocopy, built at path.
func NewIOCopy(path string) *Peer {
	return &Peer{Name: IOCopy, About: "bench/iocopy: io.Copy both ways, CloseWrite", Process: true, Files: 6, start: telling(path)}
}

// NewReverseProxy runs the program in ../reverseproxy, built at path.
func NewReverseProxy(path string) *Peer {
	return &Peer{Name: ReverseProxy, About: "bench/reverseproxy: net/http/httputil.ReverseProxy", Process: true, web: telling(path)}
}

// telling starts a program of ours that prints where it listens.
func telling(path string) starter {
	return func(_ context.Context, upstream string) (*Running, error) {
		r, w := io.Pipe()
		p, err := start(w, path, upstream)
		if err != nil {
			return nil, err
		}
		go func() { <-p.ended; w.Close() }()
		line, err := bufio.NewReader(r).ReadString('\n')
		if err != nil {
			p.stop()
			return nil, fmt.Errorf("%s ended before it listened: %s", path, p.stderr.String())
		}
		return &Running{Addr: strings.TrimSpace(line), PID: p.pid(), process: p}, nil
	}
}

// firstLine is what a program says of its version.
func firstLine(ctx context.Context, path string, args ...string) string {
	out, err := exec.CommandContext(ctx, path, args...).Output()
	if err != nil {
		return "version unknown: " + err.Error()
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// Names are all there are, in the order of the tables.
func Names() []string {
	return []string{Chaosctl, Toxiproxy, HAProxy, HAProxySplice, IOCopy, Direct, Nginx, ReverseProxy, Armed}
}
