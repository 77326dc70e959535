package traffic

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// flow is GET / at a rate per second.
func flow(name string, perSecond float64, timeout time.Duration) experiment.Flow {
	return experiment.Flow{
		Name: name, Service: "api", HTTP: &experiment.Request{Path: "/"},
		Rate: experiment.PerTime{N: perSecond, Per: time.Second}, Timeout: fault.Duration(timeout),
	}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// raw serves connections by hand.
func raw(t *testing.T, each func(*net.TCPConn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			each(c.(*net.TCPConn))
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

// run sends a flow for a time, in one window, and waits until all is over.
func run(t *testing.T, cfg Config, length time.Duration) *Recorder {
	t.Helper()
	rec := NewRecorder([]experiment.Flow{cfg.Flow})
	g, err := New(cfg, rec)
	if err != nil {
		t.Fatal(err)
	}
	rec.Mark(experiment.StageSteady, "", time.Now())
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	if err := g.Run(ctx); err != nil {
		t.Fatal(err)
	}
	rec.Close(time.Now())
	if err := rec.Settled(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	return rec
}
