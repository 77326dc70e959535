//go:build linux

package compat

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// group is a conversation with a server that is fresh when it begins. A line is
//
//	METHOD /path [body]
//
// and lines after it in the same string are headers. {p1} stands for a port that
// is free, the same one throughout the group.
type group struct {
	name string
	asks []string
	args []string // further flags of the server
}

// difference is a class of answers that we give otherwise on purpose. What the
// two patterns match is taken out of the two answers, and so is Content-Length;
// the rest must be equal, and either pattern must match.
type difference struct {
	// why is what a user would be told.
	why string
	// ask says which requests, by a pattern on the line as it is written.
	ask            string
	original, ours string
}

// TestHTTP sends the same requests to both and compares the answers byte for
// byte, except for the time of day, request ids and the numbers of ports.
func TestHTTP(t *testing.T) {
	met := &met{seen: map[int]int{}}
	t.Run("groups", func(t *testing.T) {
		for _, g := range groups() {
			t.Run(g.name, func(t *testing.T) {
				t.Parallel()
				runGroup(t, g, met)
			})
		}
	})
	total := 0
	for _, g := range groups() {
		total += len(g.asks)
	}
	differ := 0
	for _, n := range met.seen {
		differ += n
	}
	tell(t, "HTTP: %d requests to both, %d answers differ on purpose, in %d ways, the others are equal byte for byte", total, differ, len(met.seen))
	if built.self || filtered() {
		return
	}
	for i, d := range differences {
		if met.seen[i] == 0 {
			t.Errorf("declared but never met: %s (%s)", d.why, d.ask)
		}
	}
}

// met collects which declared differences were seen.
type met struct {
	mu   sync.Mutex
	seen map[int]int
}

func (m *met) add(i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[i]++
}

func runGroup(t *testing.T, g group, met *met) {
	both := pair(t, g.args...)
	masks := [2]*mask{newMask(both[0]), newMask(both[1])}
	for _, line := range g.asks {
		var got [2]string
		var wg sync.WaitGroup
		for i, s := range both {
			request := masks[i].fill(t, line) // may end the test: not in a goroutine
			wg.Go(func() {
				raw, err := exchange(s.addr, request)
				if err != nil {
					raw = "no answer: " + err.Error()
				}
				got[i] = raw
			})
		}
		wg.Wait()
		for i := range got {
			got[i] = masks[i].hide(got[i])
		}
		judge(t, line, got[0], got[1], met)
	}
}

func judge(t *testing.T, line, theirs, mine string, met *met) {
	t.Helper()
	if theirs == mine {
		return
	}
	if !built.self {
		for i, d := range differences {
			if d.explains(line, theirs, mine) {
				met.add(i)
				return
			}
		}
	}
	t.Errorf("%s\n--- original\n%s\n--- ours\n%s", line, theirs, mine)
}

var contentLength = regexp.MustCompile(`(?m)^Content-Length: \d+\n`)

// explains tells whether two answers differ in this way and in no other.
func (d difference) explains(line, theirs, mine string) bool {
	if !pattern(d.ask).MatchString(line) {
		return false
	}
	cut := func(expr, s string) (string, bool) {
		p := pattern(expr)
		return contentLength.ReplaceAllString(p.ReplaceAllString(s, ""), ""), p.MatchString(s)
	}
	theirs, a := cut(d.original, theirs)
	mine, b := cut(d.ours, mine)
	return a && b && theirs == mine
}

var patterns sync.Map // text -> *regexp.Regexp

func pattern(expr string) *regexp.Regexp {
	if p, ok := patterns.Load(expr); ok {
		return p.(*regexp.Regexp)
	}
	p := regexp.MustCompile(expr)
	patterns.Store(expr, p)
	return p
}

// exchange sends a request as it stands and returns the whole answer.
func exchange(addr string, request []byte) (string, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := c.Write(request); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	if len(b) > 0 { // a reset after the answer is how a server stops a request that it does not read
		err = nil
	}
	return string(b), err
}

// mask makes the answers of two servers comparable.
type mask struct {
	api   string
	named map[string]string // port -> {p1}
	given map[string]string // port that the kernel chose -> {given 1}
}

func newMask(s *server) *mask {
	return &mask{api: s.addr, named: map[string]string{}, given: map[string]string{}}
}

var (
	placeholder = regexp.MustCompile(`\{p\d\}`)
	fivePlaces  = regexp.MustCompile(`:(\d{5})\b`)
	stamp       = regexp.MustCompile(`(?m)^Date: [A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT`)
	requestID   = regexp.MustCompile(`(?m)^X-Toxiproxy-Request-Id: [0-9a-v]{20}\r$`)
)

// port is the port that a placeholder stands for.
func (m *mask) port(t *testing.T, name string) string {
	t.Helper()
	for p, n := range m.named {
		if n == name {
			return p
		}
	}
	p := freePort(t)
	m.named[p] = name
	return p
}

// fill puts this server's ports in and makes it a request on the wire.
func (m *mask) fill(t *testing.T, line string) []byte {
	t.Helper()
	line = placeholder.ReplaceAllStringFunc(line, func(name string) string { return m.port(t, name) })
	line = strings.ReplaceAll(line, "{api}", m.api)
	first, headers, _ := strings.Cut(line, "\n")
	parts := strings.SplitN(first, " ", 3)
	if len(parts) < 2 {
		t.Fatalf("not a request: %q", line)
	}
	body := ""
	if len(parts) == 3 {
		body = parts[2]
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", parts[0], parts[1])
	if !strings.Contains(headers, "Host:") {
		fmt.Fprintf(&b, "Host: %s\r\n", m.api)
	}
	if !strings.Contains(headers, "User-Agent:") {
		b.WriteString("User-Agent: compat\r\n")
	}
	b.WriteString("Connection: close\r\n")
	if len(parts) == 3 || parts[0] == "POST" || parts[0] == "PATCH" {
		if !strings.Contains(headers, "Transfer-Encoding:") && !strings.Contains(headers, "Content-Length:") {
			fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
		}
	}
	for h := range strings.SplitSeq(headers, "\n") {
		if h != "" {
			b.WriteString(h + "\r\n")
		}
	}
	if strings.Contains(headers, "Transfer-Encoding: chunked") {
		body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	}
	b.WriteString("\r\n" + body)
	return b.Bytes()
}

// hide masks what differs between any two servers.
func (m *mask) hide(s string) string {
	s = stamp.ReplaceAllString(s, "Date: (now)")
	s = requestID.ReplaceAllString(s, "X-Toxiproxy-Request-Id: (20 characters)\r")
	s = strings.ReplaceAll(s, m.api, "{api}")
	s = fivePlaces.ReplaceAllStringFunc(s, func(p string) string {
		p = p[1:]
		if n := m.named[p]; n != "" {
			return ":" + n
		}
		if m.given[p] == "" {
			m.given[p] = fmt.Sprintf("{given %d}", len(m.given)+1)
		}
		return ":" + m.given[p]
	})
	return strings.ReplaceAll(s, "\r\n", "\n")
}

// TestKeepAlive sends requests in one go on one connection, with bodies that
// nobody reads among them: the answers come in order, and nothing is left over
// for the next.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	lines := []string{
		make1, "POST /reset nonsense", "GET /proxies", "POST /nowhere {}", "PUT /proxies/x {}", `POST /proxies {"name":`, "DELETE /proxies/none {}", "GET /version",
		`POST /proxies/x/toxics {"type":"noop"}` + "\nTransfer-Encoding: chunked", "HEAD /proxies", "GET //proxies", "GET /proxies\nUser-Agent: Mozilla/5.0", `POST /proxies/x {"enabled":true} and more`,
		"DELETE /proxies/x/toxics/noop_downstream", "GET /proxies/x", "DELETE /proxies/x", "GET /proxies",
	}
	var got [2]string
	for i, s := range pair(t) {
		m := newMask(s)
		var all []byte
		for j, line := range lines {
			request := m.fill(t, line)
			if j < len(lines)-1 {
				request = bytes.Replace(request, []byte("Connection: close\r\n"), nil, 1)
			}
			all = append(all, request...)
		}
		raw, err := exchange(s.addr, all)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = pattern(`X-Chaosctl-Version: .*\n`).ReplaceAllString(m.hide(raw), "")
	}
	if got[0] != got[1] {
		t.Errorf("--- original\n%s\n--- ours\n%s", got[0], got[1])
	}
	if n := strings.Count(got[0], "HTTP/1.1 "); n != len(lines) {
		t.Errorf("%d answers for %d requests:\n%s", n, len(lines), got[0])
	}
}

// TestMasksHideNothingElse is the guard's guard: answers that differ in a byte
// that matters are told apart after masking.
func TestMasksHideNothingElse(t *testing.T) {
	answer := func(status int, header, body string) string {
		resp := &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
		resp.Header.Set("X-Toxiproxy-Request-Id", header)
		b, err := httputil.DumpResponse(resp, true)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil); err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	id := strings.Repeat("c", 20)
	same := answer(200, id, `{"listen":"127.0.0.1:40001"}`)
	for name, other := range map[string]string{
		"status":            answer(201, id, `{"listen":"127.0.0.1:40001"}`),
		"no request id":     answer(200, "", `{"listen":"127.0.0.1:40001"}`),
		"short request id":  answer(200, id[1:], `{"listen":"127.0.0.1:40001"}`),
		"host":              answer(200, id, `{"listen":"[::]:40001"}`),
		"a byte more":       answer(200, id, `{"listen":"127.0.0.1:40001"}`+"\n"),
		"a port that moved": answer(200, id, `{"listen":"127.0.0.1:40001","upstream":":40001"}`),
	} {
		a, b := &mask{api: "x", given: map[string]string{}}, &mask{api: "x", given: map[string]string{}}
		if a.hide(same) == b.hide(other) {
			t.Errorf("%s is hidden", name)
		}
	}
	a, b := &mask{api: "x", given: map[string]string{}}, &mask{api: "x", given: map[string]string{}}
	if a.hide(same) != b.hide(answer(200, strings.Repeat("d", 20), `{"listen":"127.0.0.1:50001"}`)) {
		t.Error("an id or a port is not hidden")
	}
	if a.hide(same) == a.hide(answer(200, id, `{"listen":"127.0.0.1:50001"}`)) {
		t.Error("a proxy that changes its port is not seen")
	}
}
