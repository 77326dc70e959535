package relay_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"golang.org/x/net/http2"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// TestHTTPOverTLS: the protocol of the caller is that of the callee, whichever sides
// speak TLS.
func TestHTTPOverTLS(t *testing.T) {
	a := newAuthority(t)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		name := ""
		if r.TLS != nil {
			name = r.TLS.ServerName
		}
		w.Header().Set("Trailer", "X-End")
		fmt.Fprintf(w, "%s %s %s %d", r.Proto, name, r.Host, len(body))
		w.Header().Set("X-End", "1")
	})
	for _, c := range []struct {
		caller, callee bool // speak TLS
		callee2        bool // and the callee HTTP/2, too
		client         *http.Protocols
		want           string // that the callee sees
	}{
		{true, true, true, over(true), "HTTP/2.0 localhost"},
		{true, true, true, over(false), "HTTP/1.1 localhost"},
		{true, true, false, over(true), "HTTP/1.1 localhost"},
		{true, false, true, over(false), "HTTP/1.1 "},
		{false, true, true, h2c(), "HTTP/2.0 "},
		{false, true, true, over(false), "HTTP/1.1 "},
		{false, true, false, h2c(), "HTTP/1.1 "},
	} {
		for _, p := range []experiment.Protocol{experiment.HTTP, experiment.Auto} {
			t.Run(fmt.Sprintf("%+v %s", c, p), func(t *testing.T) {
				srv := httptest.NewUnstartedServer(handler)
				if c.callee {
					srv.TLS = a.server(t)
					srv.EnableHTTP2 = c.callee2
					srv.StartTLS()
				} else {
					srv.Config.Protocols = h2c()
					srv.Config.Protocols.SetHTTP1(true)
					srv.Start()
				}
				t.Cleanup(srv.Close)
				side := &relay.TLS{}
				if c.caller {
					side.Certificate = a.show
				}
				if c.callee {
					side.Upstream = &tls.Config{RootCAs: a.roots}
				}
				w := newWorld(t)
				e := w.openSpec(relay.Spec{To: "auth", Protocol: p, Upstreams: []string{srv.Listener.Addr().String()}, TLS: side})
				tr := &http.Transport{Protocols: c.client, TLSClientConfig: &tls.Config{RootCAs: a.roots, ServerName: "localhost"}}
				defer tr.CloseIdleConnections()
				client := &http.Client{Transport: tr, Timeout: patience}
				scheme := "http://"
				if c.caller {
					scheme = "https://"
				}
				for range 3 {
					req, _ := http.NewRequest("POST", scheme+e.Spec().Listen, bytes.NewReader(make([]byte, 1<<20)))
					req.Host = "localhost:1"
					resp, err := client.Do(req)
					if err != nil {
						t.Fatal(err)
					}
					b, err := io.ReadAll(resp.Body)
					resp.Body.Close()
					if want := fmt.Sprintf("%s localhost:1 %d", c.want, 1<<20); string(b) != want || err != nil || resp.Trailer.Get("X-End") != "1" {
						t.Errorf("%q, not %q; %v, trailers %v", b, want, err, resp.Trailer)
					}
				}
				arm(t, e, "reset", ender{how: relay.Reset})
				if resp, err := client.Get(scheme + e.Spec().Listen); err == nil {
					resp.Body.Close()
					t.Error("it was answered")
				}
				lift(t, e, "reset")
			})
		}
	}
}

// over is HTTP/1, or 2 as well where both sides like it.
func over(two bool) *http.Protocols {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetHTTP2(two)
	return &p
}

// TestTLSWithoutALPN: HTTP/2 is told by its preface where nothing was agreed on.
func TestTLSWithoutALPN(t *testing.T) {
	a := newAuthority(t)
	w, plain := both(t, experiment.HTTP, hello)
	e := w.openSpec(relay.Spec{To: "auth", Protocol: experiment.Auto, Upstreams: []string{plain.Spec().Listen}, TLS: &relay.TLS{Certificate: a.show}})
	c := mustTLS(t, e.Spec().Listen, &tls.Config{RootCAs: a.roots, ServerName: "localhost"})
	fr := preface(t, c)
	requestFrames(fr, 1, true)
	err := untilEnd(fr, func(f http2.Frame) bool {
		d, ok := f.(*http2.DataFrame)
		return ok && string(d.Data()) == "hello /"
	})
	if err != nil {
		t.Error(err)
	}
}
