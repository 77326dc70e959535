package relay_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
)

// bodies answers with many sorts of bodies, by path.
func bodies(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/unknown":
		w.(http.Flusher).Flush()
		io.WriteString(w, document)
	case "/trailers":
		h.Set("Trailer", "X-Sum")
		io.WriteString(w, document)
		h.Set("X-Sum", "7")
	case "/gzip":
		h.Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		io.WriteString(z, strings.Repeat(document, 100))
		z.Close()
	case "/text":
		h.Set("Content-Type", "text/plain")
		io.WriteString(w, document)
	case "/empty":
		h.Set("Content-Length", "0")
	case "/none":
		w.WriteHeader(http.StatusNoContent)
	case "/large":
		fmt.Fprintf(w, `{"ok": true, "x": %q}`, strings.Repeat("x", int(fault.MaxBody)))
	case "/huge": // and of unknown length
		w.(http.Flusher).Flush()
		fmt.Fprintf(w, `{"ok": true, "x": %q}`, strings.Repeat("x", int(fault.MaxBody)))
	case "/broken":
		io.WriteString(w, document[1:])
	default:
		io.WriteString(w, document)
	}
}

func TestBodyInAllItsSizes(t *testing.T) {
	const cut = "\x00cut" // the body breaks off behind what stands before
	told, all := int64(len(document)), int64(len(document))
	set := func(b fault.Body) fault.Body {
		if b.ContentLength == "" {
			b.ContentLength = fault.LengthHonest
		}
		return b
	}
	flip := &fault.JSONEdit{Path: "user.age", Value: 1}
	long := strings.Repeat("long", 100)
	for name, tt := range map[string]struct {
		params fault.Body
		path   string
		want   string // "" is unchanged and skipped
		length int64
	}{
		"bytes":                      {fault.Body{Truncate: "1B"}, "/", "{", 1},
		"nothing left":               {fault.Body{Truncate: "0B"}, "/", "", 0},
		"a share":                    {fault.Body{Truncate: "50%"}, "/", document[:all/2], all / 2},
		"more than there is":         {fault.Body{Truncate: "1KiB"}, "/", document, told},
		"all there is":               {fault.Body{Truncate: fault.Extent(fmt.Sprint(all, "B"))}, "/", document, told},
		"bytes of unknown length":    {fault.Body{Truncate: "5B"}, "/unknown", document[:5], -1},
		"more of unknown length":     {fault.Body{Truncate: "1KiB"}, "/unknown", document, -1},
		"a share of unknown length":  {fault.Body{Truncate: "50%"}, "/unknown", document, -1},
		"lie by bytes":               {fault.Body{Truncate: "5B", ContentLength: fault.LengthKept}, "/", document[:5] + cut, told},
		"lie without a length":       {fault.Body{Truncate: "5B", ContentLength: fault.LengthKept}, "/unknown", document[:5] + cut, -1},
		"replaced":                   {fault.Body{Replace: new("no")}, "/", "no", 2},
		"replaced by nothing":        {fault.Body{Replace: new("")}, "/", "", 0},
		"replaced by more":           {fault.Body{Replace: &long}, "/", long, int64(len(long))},
		"replaced, unknown length":   {fault.Body{Replace: new("no")}, "/unknown", "no", 2},
		"replaced nothing":           {fault.Body{Replace: new("no")}, "/empty", "no", 2},
		"no body to replace":         {fault.Body{Replace: new("no")}, "/none", "", -2},
		"lie by less":                {fault.Body{Replace: new("no"), ContentLength: fault.LengthKept}, "/", "no" + cut, told},
		"lie by more":                {fault.Body{Replace: &long, ContentLength: fault.LengthKept}, "/", long[:all], told},
		"json":                       {fault.Body{JSON: flip}, "/", strings.Replace(document, "36", "1", 1), told - 1},
		"json of unknown length":     {fault.Body{JSON: flip}, "/unknown", strings.Replace(document, "36", "1", 1), -1},
		"json with trailers":         {fault.Body{JSON: flip}, "/trailers", strings.Replace(document, "36", "1", 1), -1},
		"lie by json":                {fault.Body{JSON: flip, ContentLength: fault.LengthKept}, "/", strings.Replace(document, "36", "1", 1) + cut, told},
		"json deleted":               {fault.Body{JSON: &fault.JSONEdit{Path: "user", Delete: true}}, "/", `{"ok": true}`, 12},
		"json without the field":     {fault.Body{JSON: &fault.JSONEdit{Path: "users", Delete: true}}, "/", document, told},
		"json that says so already":  {fault.Body{JSON: &fault.JSONEdit{Path: "ok", Value: true}}, "/", document, told},
		"text that looks like json":  {fault.Body{JSON: flip}, "/text", document, told},
		"json that is none":          {fault.Body{JSON: flip}, "/broken", document[1:], told - 1},
		"garbage of nothing":         {fault.Body{Garbage: true}, "/empty", "", 0},
		"json of nothing":            {fault.Body{JSON: flip}, "/empty", "", 0},
		"a share of nothing":         {fault.Body{Truncate: "50%"}, "/empty", "", 0},
		"truncated without trailers": {fault.Body{Truncate: "5B"}, "/trailers", document[:5], -1},
	} {
		t.Run(name, func(t *testing.T) {
			p := webPlace(t, bodies)
			c := p.client(t, plain)
			before := p.askBy(t, c, "PUT", tt.path, "", nil)
			change := p.arm(p.fault(fault.HTTPBody, func(q fault.Params) { *q.(*fault.Body) = set(tt.params) }))
			for range 2 { // a connection that is kept stays usable
				a := p.askBy(t, c, "PUT", tt.path, "", nil)
				want, broken := strings.CutSuffix(tt.want, cut)
				if a.body != want || broken != errors.Is(a.err, io.ErrUnexpectedEOF) || !broken && a.err != nil || tt.length != -2 && a.length != tt.length {
					t.Errorf("%d of %d bytes %.60q, %v", len(a.body), a.length, a.body, a.err)
				}
				if told := a.header.Get("Content-Length"); tt.length >= 0 && told != strconv.FormatInt(tt.length, 10) {
					t.Errorf("it is told to be %s long", told)
				}
			}
			want := fault.Receipt{Unit: fault.Exchange, Matched: 2, Injected: 2}
			if tt.want == before.body && tt.length != 12 {
				want = fault.Receipt{Unit: fault.Exchange, Matched: 2, Skipped: 2}
			}
			if r := p.done(change, 3); r != want {
				t.Errorf("%+v", r)
			}
			p.lift(change)
			if a := p.askBy(t, c, "PUT", tt.path, "", nil); a.err != nil || a.body != before.body || fmt.Sprint(a.trailer) != fmt.Sprint(before.trailer) {
				t.Errorf("after: %+v", a)
			}
		})
	}
}

// HEAD tells a length and has no body: nothing to change.
func TestBodyOfHEAD(t *testing.T) {
	p := webPlace(t, bodies)
	change := p.arm(p.fault(fault.HTTPBody, func(q fault.Params) { q.(*fault.Body).Truncate = "1B" }))
	if a := p.ask(t, plain, "HEAD", "/", "", nil); a.err != nil || a.length != int64(len(document)) {
		t.Errorf("%+v", a)
	}
	if r := p.done(change, 1); r.Skipped != 1 || r.Injected != 0 {
		t.Errorf("%+v", r)
	}
}

// Bodies beyond the limit and compressed ones pass as they are.
func TestJSONOfLargeAndCompressedBodies(t *testing.T) {
	p := webPlace(t, bodies)
	change := p.arm(p.fault(fault.HTTPBody, func(q fault.Params) { q.(*fault.Body).JSON = &fault.JSONEdit{Path: "ok", Value: false} }))
	for _, path := range []string{"/large", "/huge"} {
		if a := p.ask(t, plain, "GET", path, "", nil); a.err != nil || !strings.HasPrefix(a.body, `{"ok": true, "x": "xxx`) || !strings.HasSuffix(a.body, `x"}`) || len(a.body) < int(fault.MaxBody) {
			t.Errorf("%s: %d bytes, %v", path, len(a.body), a.err)
		}
	}
	if a := p.ask(t, plain, "GET", "/gzip", "", nil); unzipped(t, a.body) != strings.Repeat(document, 100) {
		t.Errorf("%d bytes, %v", len(a.body), a.err)
	}
	if r := p.done(change, 3); r.Skipped != 3 || r.Injected != 0 {
		t.Errorf("%+v", r)
	}
}

func unzipped(t *testing.T, s string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(s))
	if err != nil {
		return err.Error()
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return string(b) + "\n" + err.Error()
	}
	return string(b)
}

// A compressed body is cut in its compressed form: what can be read of it begins as
// it did, and does not end.
func TestTruncatedGzip(t *testing.T) {
	p := webPlace(t, bodies)
	whole := p.ask(t, plain, "GET", "/gzip", "", nil)
	p.arm(p.fault(fault.HTTPBody, func(q fault.Params) { q.(*fault.Body).Truncate = "75%" }))
	a := p.ask(t, plain, "GET", "/gzip", "", nil)
	if a.err != nil || a.body != whole.body[:len(whole.body)*3/4] || a.header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%d of %d bytes, %v", len(a.body), len(whole.body), a.err)
	}
	if text := unzipped(t, a.body); !strings.HasSuffix(text, io.ErrUnexpectedEOF.Error()) {
		t.Errorf("unzipped: %.80q", text)
	}
}

// Garbage has the length and the Content-Type of what it takes the place of, no byte
// of it, and is the same for the same seed.
func TestGarbage(t *testing.T) {
	p := webPlace(t, bodies)
	var last string
	for range 2 {
		change := p.arm(p.fault(fault.HTTPBody, func(q fault.Params) { q.(*fault.Body).Garbage = true }))
		a := p.ask(t, plain, "GET", "/", "", nil)
		if a.err != nil || len(a.body) != len(document) || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%+v", a)
		}
		for i := range min(len(a.body), len(document)) {
			if a.body[i] == document[i] {
				t.Errorf("byte %d is what it was", i)
			}
		}
		if last != "" && last != a.body {
			t.Error("the same seed makes other garbage")
		}
		last = a.body
		p.lift(change)
	}
}

// At the lift the rest of a body under way passes as it is.
func TestGarbageEndsAtTheLift(t *testing.T) {
	next := make(chan struct{})
	p := webPlace(t, func(w http.ResponseWriter, r *http.Request) {
		for range 2 {
			io.WriteString(w, document)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
			}
		}
	})
	change := p.arm(p.fault(fault.HTTPBody, func(q fault.Params) { q.(*fault.Body).Garbage = true }))
	resp, err := p.client(t, plain).Get("http://" + p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, len(document))
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) == document {
		t.Fatalf("%q, %v", first, err)
	}
	p.lift(change)
	close(next)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != document {
		t.Errorf("after the lift: %q, %v", rest, err)
	}
}

// Real clients see that a Content-Length is a lie.
func TestLyingLengthIsSeenByRealClients(t *testing.T) {
	p := webPlace(t, bodies)
	p.arm(p.fault(fault.HTTPBody, func(q fault.Params) {
		q.(*fault.Body).Truncate, q.(*fault.Body).ContentLength = "5B", fault.LengthKept
	}))
	url := "http://" + p.addr + "/"
	if curl, err := exec.LookPath("curl"); err != nil {
		t.Log("no curl here")
	} else {
		for option, code := range map[string]int{
			"--http1.1":               18, // CURLE_PARTIAL_FILE
			"--http2-prior-knowledge": 92, // CURLE_HTTP2_STREAM: the length is wrong; curl may drop what came
		} {
			var failed *exec.ExitError
			out, err := exec.CommandContext(t.Context(), curl, "-sS", option, "--max-time", "20", url).Output()
			if !errors.As(err, &failed) || failed.ExitCode() != code || string(out) != document[:5] && code == 18 {
				t.Errorf("curl %s got %q and says %v", option, out, err)
			}
		}
	}
	if python, err := exec.LookPath("python3"); err != nil {
		t.Log("no python3 here")
	} else {
		out, _ := exec.CommandContext(t.Context(), python, "-c", "import sys, urllib.request\nurllib.request.urlopen(sys.argv[1], timeout=20).read()", url).CombinedOutput()
		if !bytes.Contains(out, []byte("IncompleteRead(5 bytes read")) {
			t.Errorf("python says %s", out)
		}
	}
}
