package relay_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/ca"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// speaks is a way in which a client speaks HTTP to an edge.
type speaks string

const (
	plain  speaks = "HTTP/1.1"
	h2c    speaks = "HTTP/2 without TLS"
	https  speaks = "HTTP/1.1 in TLS"
	https2 speaks = "HTTP/2 in TLS"
)

// protocols are those that the kinds of HTTP are looked at in.
var protocols = []speaks{plain, h2c, https, https2}

func (s speaks) secure() bool { return s == https || s == https2 }

// call is the head of a gRPC call.
var call = http.Header{"Content-Type": {"application/grpc+proto"}, "Te": {"trailers"}}

// answered is what a client got.
type answered struct {
	status  int
	header  http.Header
	trailer http.Header
	body    string
	length  int64
	err     error
}

// webPlace is an edge whose callee answers with h, in the caller's own protocol
// without TLS.
func webPlace(t *testing.T, h http.HandlerFunc) *place { return placeFor(t, plain, h) }

// placeFor is a webPlace for callers of a protocol. With TLS the edge answers it with
// a certificate of its own, and calls the callee with TLS again.
func placeFor(t *testing.T, s speaks, h http.HandlerFunc) *place {
	t.Helper()
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	if !s.secure() {
		srv.Config.Protocols = &http.Protocols{}
		srv.Config.Protocols.SetHTTP1(true)
		srv.Config.Protocols.SetUnencryptedHTTP2(true)
		srv.Start()
		t.Cleanup(srv.Close)
		return newPlace(t, experiment.HTTP, srv.Listener.Addr().String())
	}
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	own, err := ca.Create(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	of := srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	of.ServerName = "example.com" // as its certificate says
	p := specPlace(t, relay.Spec{
		From: "api", To: "auth", Protocol: experiment.HTTP, Listen: "127.0.0.1:0", Upstreams: []string{srv.Listener.Addr().String()},
		TLS: &relay.TLS{
			Certificate: func(h *tls.ClientHelloInfo, leaf relay.Leaf) (*tls.Certificate, error) {
				return own.Leaf([]string{h.ServerName}, ca.Wrong(leaf))
			},
			Upstream: of,
		},
	})
	p.roots = x509.NewCertPool()
	p.roots.AddCert(own.Certificate())
	return p
}

// client makes a client whose connections end with the test.
func (p *place) client(t *testing.T, s speaks) *http.Client {
	t.Helper()
	tr := &http.Transport{DisableCompression: true, Protocols: &http.Protocols{}, TLSClientConfig: &tls.Config{RootCAs: p.roots, ServerName: "auth.test"}}
	tr.Protocols.SetHTTP1(s == plain || s == https)
	tr.Protocols.SetHTTP2(s == https2)
	tr.Protocols.SetUnencryptedHTTP2(s == h2c)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// url is where a path of the place is.
func (p *place) url(path string) string {
	if p.roots != nil {
		return "https://" + p.addr + path
	}
	return "http://" + p.addr + path
}

// ask sends one request on a connection of its own.
func (p *place) ask(t *testing.T, s speaks, method, path, body string, header http.Header) answered {
	t.Helper()
	c := p.client(t, s)
	defer c.CloseIdleConnections()
	return p.askBy(t, c, method, path, body, header)
}

func (p *place) askBy(t *testing.T, c *http.Client, method, path, body string, header http.Header) answered {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url(path), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.GetBody = nil // the client must not try again
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := c.Do(req)
	if err != nil {
		return answered{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answered{resp.StatusCode, resp.Header, resp.Trailer, string(b), resp.ContentLength, err}
}

// end is the next exchange that ends.
func (p *place) end() experiment.Exchange {
	p.Helper()
	select {
	case x := <-p.ended:
		return x
	case <-time.After(patience):
		p.Fatal("no exchange ends")
		return experiment.Exchange{}
	}
}

// done reads what a change has done, after so many exchanges have ended.
func (p *place) done(c driver.Change, ended ...int) fault.Receipt {
	p.Helper()
	for range append(ended, 0)[0] {
		p.end()
	}
	s, err := p.driver.Inspect(p.Context(), c)
	if err != nil {
		p.Fatal(err)
	}
	return s.Receipt
}

const document = `{"user": {"name": "ada", "roles": ["admin", "dev"], "age": 36}, "ok": true}`

// shop answers with a JSON document, its length told or not, or echoes.
func shop(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost:
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		io.Copy(w, r.Body)
		return
	case r.URL.Path == "/unknown":
		w.(http.Flusher).Flush()
	case r.URL.Path == "/none":
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header()["X-Both"] = []string{"one", "two"}
	w.Header().Set("X-Seen", fmt.Sprint(r.Header["X-Told"]))
	io.WriteString(w, document)
}

// Each kind of HTTP, in each protocol: absent, present for a share of the requests,
// and absent again, with a receipt that equals what the client counted.
func TestKindsByProtocol(t *testing.T) {
	for _, tt := range []struct {
		kind *fault.Kind
		set  func(fault.Params)
		post bool
		felt func(a answered) bool
	}{
		{fault.HTTPStatus, func(q fault.Params) { q.(*fault.Status).Code = 503 }, false, func(a answered) bool { return a.status == 503 }},
		{fault.HTTPAbort, nil, false, func(a answered) bool { return a.err != nil }},
		{fault.HTTPReplyLost, nil, false, func(a answered) bool { return a.err != nil }},
		{fault.HTTPRateLimit, nil, false, func(a answered) bool { return a.status == 429 && a.header.Get("Retry-After") == "1" }},
		{fault.HTTPHeader, func(q fault.Params) { q.(*fault.Header).Remove = []string{"x-both"} }, false, func(a answered) bool { return a.header["X-Both"] == nil }},
		{fault.HTTPBody, func(q fault.Params) { q.(*fault.Body).Truncate = "10B" }, false, func(a answered) bool { return a.body == document[:10] }},
		{fault.HTTPBody, func(q fault.Params) { q.(*fault.Body).Garbage = true }, false, func(a answered) bool { return len(a.body) == len(document) && a.body != document }},
		{fault.HTTPBody, func(q fault.Params) { q.(*fault.Body).Replace = new("no") }, false, func(a answered) bool { return a.body == "no" }},
		{fault.HTTPBody, func(q fault.Params) { q.(*fault.Body).JSON = &fault.JSONEdit{Path: "ok", Value: false} }, false, func(a answered) bool { return strings.Contains(a.body, `"ok": false`) }},
		{fault.HTTPBody, func(q fault.Params) {
			q.(*fault.Body).Truncate, q.(*fault.Body).ContentLength = "10B", fault.LengthKept
		}, false, func(a answered) bool {
			return a.err != nil && a.body == document[:10] && a.length == int64(len(document))
		}},
		{fault.GRPCStatus, func(q fault.Params) { q.(*fault.CallStatus).Code = "ABORTED" }, true, func(a answered) bool { return a.header.Get("Grpc-Status") == "10" }},
	} {
		for _, s := range protocols {
			t.Run(tt.kind.Name+" by "+string(s), func(t *testing.T) {
				p := placeFor(t, s, shop)
				c := p.client(t, s)
				hurt := func(n int) (hurt, well int) {
					for range n {
						var a answered
						if tt.post {
							a = p.askBy(t, c, "POST", "/a.B/C", "call", call)
						} else {
							a = p.askBy(t, c, "PUT", "/", "", nil) // which the client does not try again
						}
						switch {
						case tt.felt(a):
							hurt++
						case a.err == nil && a.status == 200 && (a.body == document && len(a.header["X-Both"]) == 2 || tt.post && a.body == "call"):
							well++
						default:
							t.Errorf("neither hurt nor well: %+v %v", a, a.err)
						}
					}
					return hurt, well
				}
				if n, _ := hurt(3); n > 0 {
					t.Fatalf("%d are hurt before", n)
				}
				f := p.fault(tt.kind, tt.set)
				f.Share = 0.5
				change := p.arm(f)
				sick, well := hurt(20)
				want := fault.Receipt{Unit: fault.Exchange, Matched: 20, Injected: uint64(sick), Skipped: uint64(well)}
				if r := p.done(change); sick == 0 || well == 0 || r != want {
					t.Errorf("the client counts %d hurt, %d well; the receipt %+v", sick, well, r)
				}
				p.lift(change)
				if n, _ := hurt(3); n > 0 {
					t.Errorf("%d are hurt after", n)
				}
			})
		}
	}
}

// fast checks that something need not take a delay: a loaded machine may make it slow
// now and then, an effect always does.
func fast(t *testing.T, when string, takes func() time.Duration) {
	t.Helper()
	for range 20 {
		if takes() < delay {
			return
		}
	}
	t.Errorf("it is always slow %s", when)
}

// The kinds whose effect is time, in the same way.
func TestDelaysByProtocol(t *testing.T) {
	d := fault.Duration(delay)
	for kind, set := range map[*fault.Kind]func(fault.Params){
		fault.HTTPDelay:    func(q fault.Params) { q.(*fault.Delay).Delay = d },
		fault.GRPCDelay:    func(q fault.Params) { q.(*fault.CallDelay).Delay = d },
		fault.HTTPSlowBody: func(q fault.Params) { q.(*fault.SlowBody).FirstByte = d },
	} {
		for _, s := range protocols {
			t.Run(kind.Name+" by "+string(s), func(t *testing.T) {
				p := placeFor(t, s, shop)
				c := p.client(t, s)
				takes := func() time.Duration {
					start := time.Now()
					if a := p.askBy(t, c, "POST", "/a.B/C", "call", call); a.err != nil || a.body != "call" {
						t.Fatalf("%+v %v", a, a.err)
					}
					return time.Since(start)
				}
				fast(t, "before", takes)
				change := p.arm(p.fault(kind, set))
				for range 2 {
					if took := takes(); took < delay {
						t.Errorf("it takes %s", took)
					}
				}
				if r := p.done(change); r != (fault.Receipt{Unit: fault.Exchange, Matched: 2, Injected: 2}) {
					t.Errorf("%+v", r)
				}
				p.lift(change)
				fast(t, "after", takes)
			})
		}
	}
}
