package peer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"syscall"
	"time"
)

// patience is how long a peer may take to start or to end.
const patience = 10 * time.Second

// process is a peer's program while it runs.
type process struct {
	cmd    *exec.Cmd
	ended  chan struct{} // closed when it was waited for
	err    error         // why it ended; read after ended
	stderr bytes.Buffer  // read after ended
}

// start runs a program; its log goes to the given writer, which may be nil.
func start(log io.Writer, path string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Stdout = log
	p.cmd.Stderr = &p.stderr
	p.cmd.Env = append(p.cmd.Environ(), "LOG_LEVEL=info") // as in Toxiproxy's own image
	// A Ctrl-C is for the benchmark, which then ends its peers.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// stop ends the program and returns when it is gone.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails when it is gone already
	hurry := time.AfterFunc(2*time.Second, func() { _ = p.cmd.Process.Kill() })
	<-p.ended
	hurry.Stop()
}

// listens waits until somebody accepts at addr.
func (p *process) listens(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	pause := time.NewTicker(2 * time.Millisecond)
	defer pause.Stop()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return c.Close()
		}
		select {
		case <-pause.C:
		case <-p.ended:
			return fmt.Errorf("%s ended at once (%v): %s", p.cmd.Path, p.err, bytes.TrimSpace(p.stderr.Bytes()))
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s: %w", p.cmd.Path, addr, context.Cause(ctx))
		}
	}
}

// freePort returns an address that was free a moment ago. Who gets it from
// somebody else's hands fails to start, and is started again.
func freePort() (addr, port string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	addr = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", "", err
	}
	_, port, err = net.SplitHostPort(addr)
	return addr, port, err
}

// thrice tries to start what needs a free port.
func thrice(ctx context.Context, f func() (*Running, error)) (r *Running, err error) {
	for range 3 {
		if r, err = f(); err == nil || ctx.Err() != nil {
			break
		}
	}
	return r, err
}
