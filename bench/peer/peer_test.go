package peer

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestEndsAtOnce: a program that does not stay is reported with what it said.
func TestEndsAtOnce(t *testing.T) {
	p, err := start(nil, "go", "tool", "no-such-tool")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	addr, _, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.listens(t.Context(), addr); err == nil || !strings.Contains(err.Error(), "no-such-tool") {
		t.Errorf("the reason is lost: %v", err)
	}
}

// TestStop ends a program that would stay.
func TestStop(t *testing.T) {
	p, err := start(nil, "tail", "-f", "/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	p.stop()
	select {
	case <-p.ended:
	default:
		t.Error("stop returned before the program was gone")
	}
}

func TestThrice(t *testing.T) {
	bad, tries := errors.New("taken"), 0
	r, err := thrice(t.Context(), func() (*Running, error) {
		if tries++; tries < 3 {
			return nil, bad
		}
		return &Running{}, nil
	})
	if r == nil || err != nil || tries != 3 {
		t.Error(r, err, tries)
	}
	if _, err := thrice(t.Context(), func() (*Running, error) { return nil, bad }); !errors.Is(err, bad) {
		t.Error(err)
	}
}

// TestAPI: calls share a connection, fail in time, and go on over a new one.
func TestAPI(t *testing.T) {
	var from []string
	gone := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/never":
			<-gone
		case "/proxies":
			from = append(from, r.RemoteAddr)
			_, _ = io.WriteString(w, `{"name":"x","listen":"127.0.0.1:4711"}`)
		default:
			http.Error(w, "not here", http.StatusNotFound)
		}
	}))
	defer s.Close()
	defer close(gone)
	a := NewAPI(s.Listener.Addr().String())
	defer a.Close()
	for range 2 {
		if addr, err := a.Create(t.Context(), "x", "u"); err != nil || addr != "127.0.0.1:4711" {
			t.Fatal(addr, err)
		}
	}
	if err := a.Add(t.Context(), Toxic{Name: "late"}); err == nil || !strings.Contains(err.Error(), "404: not here") {
		t.Error(err)
	}
	if _, _, err := a.Call(t.Context(), 10*time.Millisecond, http.MethodGet, "/never", nil); err == nil {
		t.Error("a call that is never answered succeeds")
	}
	if _, err := a.Create(t.Context(), "x", "u"); err != nil {
		t.Fatal(err)
	}
	if from[0] != from[1] || from[1] == from[2] {
		t.Errorf("connections of the calls: %v; want one until the call that failed, then another", from)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Create(over, "x", "u"); err == nil {
		t.Error("a call outlives its context")
	}
}
