package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a-token-of-enough-length"

// The whole API is tried against the real handler in internal/httpapi; here
// stand the manners of the client towards servers that have none.

func serve(t *testing.T, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func connect(t *testing.T, server string, opts ...Option) *Client {
	t.Helper()
	c, err := New(server, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func code(err error) experiment.Code {
	var e *experiment.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestServerAddresses(t *testing.T) {
	for server, want := range map[string]string{
		"127.0.0.1:8475": "http://127.0.0.1:8475", "localhost:1": "http://localhost:1", "[::1]:8475": "http://[::1]:8475",
		"http://host:8475/": "http://host:8475", "https://chaos.example.com": "https://chaos.example.com",
		"": "", "host": "", "http://host": "", "unix:///run/x": "", "http://u:secret-secret@host:1": "", "http://host:1/path": "", "http://host:1?x": "", "::1:8475": "", "http://": "", "a b:1": "",
	} {
		c, err := New(server)
		if want == "" {
			if code(err) != experiment.BadInput || strings.Contains(err.Error(), "secret-secret") {
				t.Errorf("%q: %v", server, err)
			}
			continue
		}
		if err != nil || c.base != want {
			t.Errorf("%q: %v", server, err)
		}
	}
	if _, err := New("127.0.0.1:1", WithToken("a token\n")); code(err) != experiment.BadInput || strings.Contains(err.Error(), "a token") {
		t.Errorf("a token that breaks out of its header: %v", err)
	}
}

func TestNoServer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	c := connect(t, addr)
	_, err = c.Status(t.Context())
	var e *experiment.Error
	if !errors.As(err, &e) || e.Code != experiment.Unavailable || !strings.Contains(e.Hint, "chaosctl serve") || !strings.Contains(e.Message, addr) {
		t.Errorf("%#v", err)
	}
	for _, err := range c.Events(t.Context(), 0) {
		if code(err) != experiment.Unavailable {
			t.Errorf("events without a server: %v", err)
		}
	}
}

func TestContexts(t *testing.T) {
	release := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	c := connect(t, s.URL)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Status(ctx); !errors.Is(err, context.Canceled) || code(err) != "" {
		t.Errorf("cancelled: %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Status(ctx); code(err) != experiment.Unavailable {
		t.Errorf("a server that does not answer: %v", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.WaitRun(ctx, "r", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("wait, cancelled: %v", err)
	}
}

// The token goes to its server and to nobody that it points at.
func TestNoRedirects(t *testing.T) {
	var stolen atomic.Int32
	thief := serve(t, func(http.ResponseWriter, *http.Request) { stolen.Add(1) })
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			t.Error("no token")
		}
		http.Redirect(w, r, thief.URL+r.URL.Path, http.StatusTemporaryRedirect)
	})
	for name, c := range map[string]*Client{
		"own":   connect(t, s.URL, WithToken(token)),
		"given": connect(t, s.URL, WithToken(token), WithHTTPClient(&http.Client{Transport: s.Client().Transport})),
	} {
		if _, err := c.Status(t.Context()); code(err) != experiment.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
		for _, err := range c.Events(t.Context(), 0) {
			if code(err) != experiment.Unavailable {
				t.Errorf("%s: events: %v", name, err)
			}
		}
	}
	if n := stolen.Load(); n != 0 {
		t.Errorf("%d requests were redirected", n)
	}
}

func TestNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	c := connect(t, "192.0.2.1:1") // not loopback: a proxy would be asked
	if c.own == nil || c.own.Proxy != nil {
		t.Error("the client would use a proxy of the environment")
	}
}

func TestStrangeAnswers(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"not JSON":        func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") },
		"another program": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "nginx", http.StatusBadGateway) },
		"a bare refusal":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99")
			fmt.Fprint(w, "{")
		},
		"hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"endless":  func(w http.ResponseWriter, _ *http.Request) { _, _ = io.CopyN(w, spaces{}, maxAnswer+10) },
		"endless refusal": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(500)
			_, _ = io.CopyN(w, spaces{}, 4*maxRefusal)
		},
		"a kind we do not": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"injections":[{"faults":[{"fault":{"kind":"net.new"}}]}]}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t, serve(t, h).URL)
			if _, err := c.Status(t.Context()); code(err) != experiment.Unavailable {
				t.Errorf("%v", err)
			}
		})
	}
}

type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// A stream that breaks is taken up after the last event that arrived.
func TestEventsReconnect(t *testing.T) {
	var asked []string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		after := r.URL.Query().Get("after")
		asked = append(asked, after)
		switch after {
		case "4":
			fmt.Fprint(w, "retry: 1000\n\n: ping\n\nid: 5\ndata: {\"seq\":5,\ndata: \"type\":\"a\"}\n\nid: 6\ndata: {\"seq\":6}\n\nid: 7\ndata: {\"se")
		case "6":
			fmt.Fprint(w, "data:{\"seq\":7}\r\n\r\ndata: {\"seq\":8}\n\n")
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(401)
			fmt.Fprint(w, `{"code":"unauthorised","detail":"no more"}`)
		}
	})
	c := connect(t, s.URL, WithHTTPClient(&http.Client{Transport: s.Client().Transport, Timeout: time.Minute}))
	var got []uint64
	var last error
	for e, err := range c.Events(t.Context(), 4) {
		if err != nil {
			last = err
			continue
		}
		got = append(got, e.Seq)
	}
	if fmt.Sprint(got) != "[5 6 7 8]" || code(last) != experiment.Unauthorised {
		t.Errorf("got %v and %v", got, last)
	}
	if fmt.Sprint(asked) != "[4 6 8]" {
		t.Errorf("asked after %v", asked)
	}
}

func TestEventsEndWhenTheReaderOrContextDoes(t *testing.T) {
	gone := make(chan struct{}, 2)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "data: {\"seq\":1}\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		gone <- struct{}{}
	})
	c := connect(t, s.URL)
	for range c.Events(t.Context(), 0) {
		break
	}
	<-gone
	ctx, cancel := context.WithCancel(t.Context())
	for _, err := range c.Events(ctx, 0) {
		if err != nil {
			t.Errorf("the end of ctx is no error: %v", err)
		}
		cancel()
	}
	<-gone
	cancel()
}

// A server that restarts while a run is waited for is no reason to give up; a
// run that it does not know any more is.
func TestWaitRunSurvivesHiccups(t *testing.T) {
	var looks atomic.Int32
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/keepalive"):
			w.WriteHeader(204)
		case r.URL.Path == "/v1/events":
			http.Error(w, "no events here", 500)
		case looks.Add(1) == 1:
			panic(http.ErrAbortHandler)
		default:
			_ = json.NewEncoder(w).Encode(experiment.Run{ID: "r", Stage: experiment.StageDone, Verdict: &experiment.Verdict{Outcome: experiment.Failed}})
		}
	})
	c := connect(t, s.URL)
	run, err := c.WaitRun(t.Context(), "r", nil)
	if err != nil || run.Verdict.Outcome != experiment.Failed || looks.Load() != 2 {
		t.Errorf("%+v %v after %d looks", run, err, looks.Load())
	}
}
