package relay_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// onLoops is whether HTTP edges have a fast path here.
var onLoops = runtime.GOOS == "linux"

// dialogue is what a caller says on one connection, and what the callee answers to
// each request that reaches it. An answer may end with CLOSE or RESET.
type dialogue struct {
	says    string
	pauses  bool // between the bytes of says
	answers []string
	slow    bool // is not for the fast path
}

const (
	closes = "\x00CLOSE"
	resets = "\x00RESET"
	get    = "GET /a/b?x=1 HTTP/1.1\r\nHost: auth\r\n\r\n"
	yes    = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nyes"
)

var dialogues = map[string]dialogue{
	"plain":                     {says: get, answers: []string{yes}},
	"escaped":                   {says: "GET /a%2Fb%20c/;p?q=%20&token=s3cret HTTP/1.1\r\nHost: auth:80\r\n\r\n", answers: []string{yes}},
	"ids":                       {says: "GET / HTTP/1.1\r\nHost: auth\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX-Request-ID: r1\r\n\r\n", answers: []string{yes}},
	"idempotent":                {says: "DELETE /x HTTP/1.1\r\nHost: auth\r\nidempotency-key: k1\r\n\r\n", answers: []string{yes}},
	"body":                      {says: "POST / HTTP/1.1\r\nHost: auth\r\nContent-Length: 5\r\n\r\nhello", answers: []string{yes}},
	"body in pieces":            {says: "POST / HTTP/1.1\r\nHost: auth\r\nContent-Length: 5\r\n\r\nhello", answers: []string{yes}, pauses: true},
	"chunks":                    {says: "PUT / HTTP/1.1\r\nHost: auth\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n", answers: []string{yes}},
	"chunks in pieces":          {says: "PUT / HTTP/1.1\r\nHost: auth\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n", answers: []string{yes}, pauses: true},
	"chunks with more":          {says: "PUT / HTTP/1.1\r\nHost: auth\r\nTransfer-Encoding: chunked\r\n\r\n3;x=\"y\" \r\nabc\r\n0\r\nUndeclared: 1\r\n\r\n" + get, answers: []string{yes, yes}},
	"keep-alive":                {says: "GET / HTTP/1.1\r\nConnection: Keep-Alive\r\nHost: auth\r\nKeep-Alive: 5\r\nAccept: */*\r\n\r\n" + get, answers: []string{"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\n\r\nok", yes}},
	"pipelined":                 {says: get + get + get, answers: []string{yes, yes, yes}},
	"chunked answer":            {says: get + get, answers: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n3\r\nabc\r\n0\r\nSum: 7\r\nOther: 8\r\n\r\n", yes}},
	"chunked answer, extended":  {says: get, answers: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;ext\r\nabc\r\n0\r\n\r\n"}},
	"answer to the end":         {says: get, answers: []string{"HTTP/1.1 200 OK\r\nX: y\r\n\r\nall of it" + closes}},
	"answer to a reset":         {says: get, answers: []string{"HTTP/1.1 200 OK\r\nX: y\r\n\r\nall of it" + resets}},
	"answer of HTTP/1.0":        {says: get, answers: []string{"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok" + closes}},
	"answer says close":         {says: get, answers: []string{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok" + closes}},
	"HEAD":                      {says: "HEAD / HTTP/1.1\r\nHost: auth\r\n\r\n" + get, answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", yes}},
	"204 and 304":               {says: get + get + get, answers: []string{"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n", yes}},
	"early hints":               {says: get, answers: []string{"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n" + yes}},
	"no answer":                 {says: get, answers: []string{closes}},
	"reset":                     {says: get, answers: []string{resets}},
	"half an answer":            {says: get, answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf" + closes}},
	"half an answer, reset":     {says: get, answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf" + resets}},
	"half a chunk":              {says: get, answers: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf" + closes}},
	"half a head":               {says: get, answers: []string{"HTTP/1.1 200 OK\r\nConte" + closes}},
	"no HTTP":                   {says: get, answers: []string{"SSH-2.0-x\r\n\r\n"}},
	"answer unasked":            {says: get, answers: []string{yes + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}},
	"two lengths, the same":     {says: get, answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"}},
	"two lengths":               {says: get, answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"}},
	"length and chunks":         {says: get, answers: []string{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"}},
	"no reason":                 {says: get, answers: []string{"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok"}},
	"bare line feeds, answered": {says: get, answers: []string{"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"}},
	"answer names hops":         {says: get, answers: []string{"HTTP/1.1 200 OK\r\nConnection: X-Hop, Upgrade\r\nX-Hop: 1\r\nUpgrade: h2\r\nContent-Length: 2\r\n\r\nok"}},
	"answer in the midst":       {says: "POST / HTTP/1.1\r\nHost: auth\r\nContent-Length: 50\r\n\r\nhello", answers: []string{"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n"}},

	"padded chunks":        {says: "PUT / HTTP/1.1\r\nHost: auth\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000003\r\nabc\r\n0\r\n\r\n", answers: []string{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000003\r\nabc\r\n0000000000000000\r\n\r\n"}},
	"many interim answers": {says: get, answers: []string{strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 20) + yes}},
	"no status":            {says: get, answers: []string{"HTTP/1.1 000 None\r\nContent-Length: 0\r\n\r\n" + resets}},

	"HTTP/1.0":               {slow: true, says: "GET / HTTP/1.0\r\nHost: auth\r\n\r\n", answers: []string{yes}},
	"Connection: close":      {slow: true, says: "GET / HTTP/1.1\r\nHost: auth\r\nConnection: close\r\n\r\n", answers: []string{yes}},
	"absolute":               {slow: true, says: "GET http://auth/x HTTP/1.1\r\nHost: auth\r\n\r\n", answers: []string{yes}},
	"two slashes":            {slow: true, says: "GET //x HTTP/1.1\r\nHost: auth\r\n\r\n", answers: []string{yes}},
	"line feeds":             {slow: true, says: "GET / HTTP/1.1\nHost: auth\n\n", answers: []string{yes}},
	"folded":                 {slow: true, says: "GET / HTTP/1.1\r\nHost: auth\r\nA: b\r\n c\r\n\r\n", answers: []string{yes}},
	"space before the colon": {slow: true, says: "GET / HTTP/1.1\r\nHost: auth\r\nA : b\r\n\r\n"},
	"no host":                {slow: true, says: "GET / HTTP/1.1\r\n\r\n"},
	"two hosts":              {slow: true, says: "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
	"smuggled":               {slow: true, says: "POST / HTTP/1.1\r\nHost: auth\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", answers: []string{yes}},
	"two request lengths":    {slow: true, says: "POST / HTTP/1.1\r\nHost: auth\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"},
	"odd encoding":           {slow: true, says: "POST / HTTP/1.1\r\nHost: auth\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
	"GET with a body":        {slow: true, says: "GET / HTTP/1.1\r\nHost: auth\r\nContent-Length: 4\r\n\r\nbody", answers: []string{yes}},
	"CONNECT":                {slow: true, says: "CONNECT auth:80 HTTP/1.1\r\nHost: auth\r\n\r\n"},
	"no HTTP at all":         {slow: true, says: "\x16\x03\x01\x02\x00\x01\x00"},
	"a tab before a coding":  {slow: true, says: "PUT / HTTP/1.1\r\nHost: auth\r\nTransfer-Encoding:\tchunked\r\n\r\n0\r\n\r\n", answers: []string{yes}},
	"blanks behind a length": {slow: true, says: "PUT / HTTP/1.1\r\nHost: auth\r\nContent-Length: 1 \r\n\r\na", answers: []string{yes}},
	"empty line after body":  {slow: true, says: "POST / HTTP/1.1\r\nHost: auth\r\nContent-Length: 1\r\n\r\na\r\n" + get, answers: []string{yes, yes}},
	"long head":              {says: "GET / HTTP/1.1\r\nHost: auth\r\nA: " + strings.Repeat("b", 12<<10) + "\r\n\r\n", answers: []string{yes}},
	"a bomb":                 {slow: true, says: "GET / HTTP/1.1\r\nHost: auth\r\nA: " + strings.Repeat("b", 70<<10) + "\r\n\r\n"},
	"odd after plain":        {slow: true, says: get + "GET / HTTP/1.1\r\nHost: auth\r\nTE: trailers\r\nConnection: te\r\n\r\n" + get, answers: []string{yes, yes, yes}},
}

// Both paths do the same: to the caller, to the callee, and in the records.
func TestFastPathDoesAsTheServer(t *testing.T) {
	if !onLoops {
		t.Skip("there is no fast path") // on systems other than Linux
	}
	for name, d := range dialogues {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, _ := d.hold(t, true)
			got, fast := d.hold(t, false)
			if got != want {
				t.Errorf("the fast path:\n%s\n\nthe server:\n%s", got, want)
			}
			if fast != nil && *fast == d.slow {
				t.Errorf("on the fast path: %v", *fast)
			}
		})
	}
}

// hold has the dialogue, and returns all that was seen of it. fast: no server was
// needed; nil if the connection has ended.
func (d dialogue) hold(t *testing.T, portable bool) (seen string, fast *bool) {
	var mu sync.Mutex
	var callee, log []string
	heard := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		callee = append(callee, fmt.Sprintf(format, args...))
	}
	note := func(format string, args ...any) { log = append(log, fmt.Sprintf(format, args...)) }
	asked := 0
	addr := server(t, func(c *net.TCPConn) {
		br := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			mu.Lock()
			n := asked
			asked++
			mu.Unlock()
			if n >= len(d.answers) {
				heard("callee: more than it expects: %s %s", r.Method, r.RequestURI)
				return
			}
			early := strings.HasPrefix(d.answers[n], "HTTP/1.1 413")
			body := []byte("unread")
			if !early {
				body, err = io.ReadAll(r.Body)
			}
			r.Header.Del("Content-Length") // none is 0
			heard("callee: %s %s %s %v %q %v %v", r.Method, r.RequestURI, r.Host, listed(r.Header), body, err, listed(r.Trailer))
			text, end := d.answers[n], ""
			if i := strings.IndexByte(text, 0); i >= 0 {
				text, end = text[:i], text[i:]
			}
			io.WriteString(c, text)
			switch end {
			case closes:
				return
			case resets:
				time.Sleep(20 * time.Millisecond) // a reset takes back what was not read
				c.SetLinger(0)                    // and closes
				return
			}
		}
	})
	w := newWorld(t)
	if portable {
		w.set.Portable()
	}
	e := w.open("api", "auth", experiment.HTTP, addr)
	c := dial(t, e.Spec().Listen)
	if d.pauses {
		for i := range len(d.says) {
			io.WriteString(c, d.says[i:i+1])
			time.Sleep(50 * time.Microsecond)
		}
	} else {
		io.WriteString(c, d.says)
	}
	if d.listen(c, note) {
		fast = new(bool)
		*fast = e.Fast()
	}
	c.Close()
	until(t, "the end", func() bool { return len(w.set.Connections("")) == 0 })
	for _, x := range w.exchanges() {
		note("%s", recorded(x))
	}
	s := w.set.Status()[0]
	note("%d exchanges, %d bytes in", s.Exchanges, s.BytesIn)
	mu.Lock()
	defer mu.Unlock()
	return strings.Join(append(callee, log...), "\n"), fast
}

// listen notes what the caller sees until nothing more comes; true if its connection
// is open then.
func (d dialogue) listen(c *net.TCPConn, note func(string, ...any)) (open bool) {
	br := bufio.NewReader(c)
	for n := 0; ; n++ {
		c.SetReadDeadline(time.Now().Add(patience))
		if n >= len(d.answers) {
			c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		}
		_, err := br.Peek(1)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			note("caller: open")
			return true
		case isReset(err):
			note("caller: reset")
		case err != nil:
			note("caller: %v", err)
		}
		if err != nil {
			return false
		}
		method := http.MethodGet
		if strings.HasPrefix(d.says, "HEAD") {
			method, d.says = http.MethodHead, ""
		}
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			note("caller: no answer: %v", isReset(err))
			return false
		}
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode == 400 || resp.StatusCode == 431 || resp.StatusCode == 501 {
			body = nil
		}
		note("caller: %d %v %q %v %v %v", resp.StatusCode, listed(resp.Header), body, err != nil, resp.Close, listed(resp.Trailer))
	}
}

// listed are the fields of a head, sorted.
func listed(h http.Header) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if name == "Date" { // the relay's own; no callee here sends one
			continue
		}
		all = append(all, fmt.Sprint(name, h[name]))
	}
	return all
}

// recorded is a record without what differs from run to run.
func recorded(x experiment.Exchange) string {
	ordered := !x.End.Before(x.Start) && (x.FirstByte.IsZero() || !x.FirstByte.Before(x.Start)) && (x.LastIn.IsZero() || !x.LastIn.Before(x.Start))
	times := fmt.Sprint(ordered, x.FirstByte.IsZero(), x.LastIn.IsZero(), x.LastIn.Equal(x.Start))
	x.Conn, x.Start, x.End, x.FirstByte, x.LastIn = 0, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return fmt.Sprintf("%+v %s", x, times)
}
