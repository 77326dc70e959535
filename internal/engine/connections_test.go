package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// dial opens a connection through an edge and has one answer come through it, so
// that it is open on both sides.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: db\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAtLeast(c, make([]byte, 4096), len("HTTP/1.1 200 OK")); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConnectionsAreListedAndClosed(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	db := s.addr(t, toDB)
	closed, reset, stays := dial(t, db), dial(t, db), dial(t, db)
	in, err := s.Inject(t.Context(), experiment.InjectRequest{Faults: []fault.Fault{
		{Kind: "net.latency", Target: fault.Target{Edge: toDB}, Params: &fault.Latency{Delay: fault.Duration(time.Millisecond)}},
		{Kind: "net.latency", Name: "more", Target: fault.Target{Edge: toDB}, Params: &fault.Latency{Delay: fault.Duration(time.Millisecond)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	byClient := map[string]experiment.Connection{}
	open, err := s.Connections(t.Context(), "api-service->db-service")
	uncounted := func(c experiment.Connection) bool { return c.BytesOut == 0 } // bytes may arrive before they are counted
	for limit := time.Now().Add(30 * time.Second); slices.ContainsFunc(open, uncounted) && time.Now().Before(limit); {
		open, err = s.Connections(t.Context(), toDB)
	}
	if err != nil || len(open) != 3 {
		t.Fatalf("%+v %v", open, err)
	}
	for _, c := range open {
		byClient[c.Client] = c
		if c.Edge != toDB || c.BytesIn == 0 || c.BytesOut == 0 || c.Since.IsZero() || !slices.Equal(c.Faults, []string{in.ID}) {
			t.Errorf("%+v", c)
		}
	}
	one, two := byClient[closed.LocalAddr().String()].ID, byClient[reset.LocalAddr().String()].ID
	ann := experiment.WithActor(t.Context(), "ann")
	if c, err := s.CloseConnection(ann, one, false); err != nil || c.Client != closed.LocalAddr().String() {
		t.Errorf("%+v %v", c, err)
	}
	if _, err := io.Copy(io.Discard, closed); err != nil {
		t.Errorf("a close is felt as %v, not as an end", err)
	}
	if _, err := s.CloseConnection(ann, two, true); err != nil {
		t.Error(err)
	}
	if _, err := io.Copy(io.Discard, reset); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a reset is felt as %v", err)
	}
	if _, err := io.WriteString(stays, "GET / HTTP/1.1\r\nHost: db\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadAtLeast(stays, make([]byte, 4096), len("HTTP/1.1 200 OK")); err != nil {
		t.Errorf("another connection was hurt: %v", err)
	}
	b, err := os.ReadFile(filepath.Join(s.cfg.StateDir, "audit.log"))
	if err != nil || strings.Count(string(b), `"action":"close-connection"`) != 2 || !strings.Contains(string(b), `"actor":"ann","what":"reset `+reset.LocalAddr().String()) {
		t.Errorf("the audit log says %s %v", b, err)
	}
}

func TestConnectionsThatAreNot(t *testing.T) {
	t.Parallel()
	s := newShop(t, nil)
	if open, err := s.Connections(t.Context(), ""); err != nil || open == nil || len(open) != 0 {
		t.Errorf("%v %v", open, err)
	}
	for _, edge := range []string{"api-service -> ghost", "db-service"} {
		var e *experiment.Error
		if _, err := s.Connections(t.Context(), edge); !errors.As(err, &e) || e.Code != experiment.NotFound || !strings.Contains(e.Hint, toDB) {
			t.Errorf("%s: %v", edge, err)
		}
	}
	var e *experiment.Error
	if _, err := s.CloseConnection(context.Background(), 1<<63, true); !errors.As(err, &e) || e.Code != experiment.NotFound {
		t.Errorf("%v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(s.cfg.StateDir, "audit.log")); strings.Contains(string(b), "close-connection") {
		t.Errorf("what was not closed is in the audit log: %s", b)
	}
}

func TestInjectionsOfChanges(t *testing.T) {
	t.Parallel()
	if got := injectionsOf([]string{"f-b.2", "f-a.1", "f-b.1", "alone"}); !slices.Equal(got, []string{"alone", "f-a", "f-b"}) {
		t.Errorf("%q", got)
	}
	if got := injectionsOf(nil); got != nil {
		t.Errorf("%q", got)
	}
}
