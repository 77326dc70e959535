package relay

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// headOf reads lines "Name: value" as a request's header.
func headOf(text string) http.Header {
	h := http.Header{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), ":"); ok {
			h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	return h
}

// FuzzClientFaults: whatever callers send, what they get is within the limits, each
// value is obeyed or counted, and what is not obeyed stays.
func FuzzClientFaults(f *testing.F) {
	for _, s := range []string{
		"X-Chaos-Delay: 200ms\nX-Chaos-Status: 503\nX-Chaos-Share: 0.5", "X-Chaos-Abort: reset\nX-Chaos-Status: 500", "X-Chaos-Grpc-Status: UNAVAILABLE",
		"x-envoy-fault-delay-request: 1500\nx-envoy-fault-delay-request-percentage: 10", "x-envoy-fault-abort-grpc-request: 14\nx-envoy-fault-abort-request-percentage: 100",
		"x-envoy-fault-abort-request: 599\nX-Chaos-Status: 200", "X-Chaos-Delay: 1h\nX-Chaos-Delay: 1h", "X-Chaos-Share: 5%", "X-Chaos-Delay: 99999999999999999999h",
	} {
		f.Add(s, true, uint8(15))
	}
	f.Fuzz(func(t *testing.T, text string, grpc bool, allow uint8) {
		k := &asked{maxDelay: time.Second}
		for i, what := range []string{experiment.AskDelay, experiment.AskStatus, experiment.AskAbort, experiment.AskGRPC} {
			if allow>>i&1 == 1 {
				k.allow = append(k.allow, what)
			}
		}
		h := headOf(text)
		list, asks, ignored := k.wishes(h, grpc)
		given, shares, delays, ends := 0, 0, 0, 0
		for _, a := range askers {
			given += min(1, len(h[a.header]))
		}
		for _, name := range askShares {
			shares += min(1, len(h[name]))
		}
		for _, w := range list {
			switch e := w.effect.(type) {
			case askedDelay:
				if delays++; e <= 0 || time.Duration(e) > k.maxDelay {
					t.Errorf("a delay of %s", time.Duration(e))
				}
			case askedStatus:
				if ends++; e < 200 || e > 599 {
					t.Errorf("status %d", e)
				}
			case askedCode:
				if ends++; e < 1 || e > 16 || !grpc {
					t.Errorf("code %d", e)
				}
			case askedEnd:
				if ends++; Ending(e) != Close && Ending(e) != Reset {
					t.Errorf("end %d", e)
				}
			}
			if w.chance < 0 || w.chance > 1 || !strings.Contains(fmt.Sprint(k.allow), w.what) {
				t.Errorf("%+v of %v", w, k.allow)
			}
		}
		if asks != (given > 0) || delays > 1 || ends > 1 || delays+ends != len(list) || len(list)+ignored < given || len(list)+ignored > given+shares {
			t.Errorf("%d of %d values are obeyed, %d ignored", len(list), given, ignored)
		}
		for _, w := range list {
			obeyed(h, w)
		}
		for _, a := range askers {
			if len(h[a.header]) > 0 {
				given--
			}
		}
		if given != len(list) {
			t.Errorf("%d headers went, %d were obeyed", given, len(list))
		}
	})
}

// FuzzCallKey: a key hangs on what makes a call and on nothing else, and shows
// nothing of it; a body read in pieces, ahead or not, comes out as it went in.
func FuzzCallKey(f *testing.F) {
	f.Add("Idempotency-Key: 1", "/a", "x=1", "body", uint8(3))
	f.Add("X-Request-Id: 1\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "/b", "", "", uint8(0))
	f.Add("X-Correlation-Id: a", "/c", "y", strings.Repeat("z", 300), uint8(200))
	f.Fuzz(func(t *testing.T, head, path, query, body string, piece uint8) {
		body = strings.Repeat(body, 1+int(piece)*8)
		key := func(extra string) (string, experiment.Keying, string) {
			r := &http.Request{Method: "POST", URL: &url.URL{Path: path, RawQuery: query}, Header: headOf(head + extra), ContentLength: -1}
			r.Body = http.NoBody
			if body != "" {
				r.Body = pieces{strings.NewReader(body), int(piece) + 1}
			}
			x := &exchange{r: r, ctx: t.Context(), edge: &httpEdge{edge: &Edge{ear: listening()}}}
			x.identify()
			if x.body != nil && piece%2 == 1 {
				x.body.readEarly(nil)
			}
			var got strings.Builder
			buf := make([]byte, int(piece)%7+1)
			for {
				n, err := x.r.Body.Read(buf)
				got.Write(buf[:n])
				if err != nil {
					break
				}
			}
			if got.String() != body {
				t.Fatalf("%d bytes of %d came out", got.Len(), len(body))
			}
			var rec experiment.Exchange
			x.stamp(&rec)
			if by := rec.Keyed; rec.Key.IsZero() != (by == "") || !rec.Key.IsZero() && rec.Attempt != 1 {
				t.Errorf("%+v", rec)
			}
			if (len(body) > bodyLimit) != rec.BodyHash.IsZero() && body != "" {
				t.Errorf("%d bytes: hash %q", len(body), rec.BodyHash)
			}
			return rec.Key.String(), rec.Keyed, rec.BodyHash.String()
		}
		a, by, hash := key("")
		if b, other, again := key("\nX-Unrelated: 1"); a != b || by != other || hash != again {
			t.Errorf("%s %s and %s %s", a, by, b, other)
		}
		want := headBy(headOf(head))
		if want == "" && len(body) <= bodyLimit {
			want = experiment.ByBody
		}
		if by != want {
			t.Errorf("keyed by %q, not %q", by, want)
		}
	})
}

func headBy(h http.Header) experiment.Keying {
	switch {
	case h.Get("Idempotency-Key") != "" || h.Get("X-Idempotency-Key") != "":
		return experiment.ByIdempotency
	case h.Get("X-Request-Id") != "":
		return experiment.ByRequestID
	case !traceID(h.Get("Traceparent")).IsZero():
		return experiment.ByTrace
	case h.Get("X-Correlation-Id") != "":
		return experiment.ByRequestID
	}
	return ""
}

// pieces is a body that comes a few bytes at a time.
type pieces struct {
	*strings.Reader
	size int
}

func (p pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.size)]) }
func (pieces) Close() error                 { return nil }

// The matcher of gRPC calls spares, for protection, what a server may take for one.
func TestMatchGRPC(t *testing.T) {
	for _, c := range []struct {
		match        fault.GRPC
		method, path string
		content      string
		fits, spares bool
	}{
		{fault.GRPC{}, "POST", "/shop.Auth/Check", "application/grpc", true, true},
		{fault.GRPC{}, "POST", "/shop.Auth/Check", "application/grpc+proto", true, true},
		{fault.GRPC{}, "POST", "/shop.Auth/Check", "application/json", false, true},
		{fault.GRPC{}, "GET", "/shop.Auth/Check", "application/grpc", false, true},
		{fault.GRPC{}, "POST", "/Check", "application/grpc", false, false},
		{fault.GRPC{}, "POST", "/a/b/c", "application/grpc", false, false},
		{fault.GRPC{Service: "shop.*", Method: "Get*"}, "POST", "/shop.v1.Auth/GetUser", "application/grpc", true, true},
		{fault.GRPC{Service: "shop.*", Method: "Get*"}, "POST", "/shop.v1.Auth/PutUser", "application/grpc", false, false},
		{fault.GRPC{Service: "shop.Auth"}, "POST", "/shop.AuthX/Get", "application/grpc", false, false},
		{fault.GRPC{Service: "shop.Auth"}, "POST", "//shop.Auth/Get", "application/grpc", false, true},
	} {
		m, err := compile(&fault.Match{GRPC: &c.match})
		if err != nil {
			t.Fatal(err)
		}
		r := &http.Request{Method: c.method, URL: &url.URL{Path: c.path}, Header: http.Header{"Content-Type": {c.content}}}
		if m.fits(r) != c.fits || m.spares(r) != c.spares {
			t.Errorf("%+v of %s %s (%s): fits %t, spares %t", c.match, c.method, c.path, c.content, m.fits(r), m.spares(r))
		}
	}
}
