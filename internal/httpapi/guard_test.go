package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	token     = "a-token-of-enough-length"
	goodFault = `{"faults":[{"kind":"net.latency","target":{"service":"auth"},"params":{"delay":"500ms"}}]}`
)

// send makes a request as given, with a Host of its own, and closes the
// connection afterwards.
func send(t *testing.T, addr, method, path, body string, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if h := header.Get("Host"); h != "" {
		req.Host = h
	}
	req.Header.Del("Host")
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr, Timeout: 30 * time.Second}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(strings.NewReader(string(b)))
	return resp
}

func with(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Add(pairs[i], pairs[i+1])
	}
	return h
}

func asJSON(pairs ...string) http.Header {
	return with(append(pairs, "Content-Type", "application/json")...)
}

// refused checks the one shape of refusals.
func refused(t *testing.T, resp *http.Response, status int, code experiment.Code) problem {
	t.Helper()
	b, _ := io.ReadAll(resp.Body)
	var p problem
	if resp.StatusCode != status || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %s %s, want %d as a problem: %s", resp.Status, resp.Header.Get("Content-Type"), status, b)
	} else if err := json.Unmarshal(b, &p); err != nil || p.Code != code || p.Status != status || p.Title == "" {
		t.Errorf("not the shape of a refusal with code %q: %s (%v)", code, b, err)
	}
	return p
}

func TestGuardsBiteAndTheirOppositePasses(t *testing.T) {
	s := start(t, func(c *Config) { c.Hosts = []string{"Chaos.test", "named.test:99"} })
	_, port, _ := net.SplitHostPort(s.addr)
	post := func(h http.Header) *http.Response { return send(t, s.addr, "POST", "/v1/faults", goodFault, h) }
	for _, c := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"plain", asJSON(), 201},
		{"charset", with("Content-Type", "application/json; charset=UTF-8"), 201},
		{"own origin", asJSON("Origin", "http://"+s.addr), 201},
		{"same origin by fetch metadata", asJSON("Sec-Fetch-Site", "same-origin"), 201},
		{"typed by the user", asJSON("Sec-Fetch-Site", "none"), 201},
		{"localhost", asJSON("Host", "LocalHost:"+port), 201},
		{"localhost with its own origin", asJSON("Host", "localhost:"+port, "Origin", "http://localhost:"+port), 201},
		{"v6 loopback", asJSON("Host", "[::1]:"+port), 201},
		{"configured host, any port", asJSON("Host", "chaos.test:1234"), 201},
		{"configured host with its port", asJSON("Host", "named.test:99"), 201},

		{"other site", asJSON("Origin", "http://evil.test"), 403},
		{"null origin", asJSON("Origin", "null"), 403},
		{"empty origin", http.Header{"Content-Type": {"application/json"}, "Origin": {""}}, 403},
		{"other port", asJSON("Origin", "http://127.0.0.1:1"), 403},
		{"other scheme", asJSON("Origin", "https://"+s.addr), 403},
		{"other loopback name", asJSON("Origin", "http://localhost:"+port), 403},
		{"prefix of own origin", asJSON("Origin", "http://"+s.addr+".evil.test"), 403},
		{"second origin", http.Header{"Content-Type": {"application/json"}, "Origin": {"http://" + s.addr, "http://evil.test"}}, 403},
		{"cross-site", asJSON("Sec-Fetch-Site", "cross-site"), 403},
		{"same-site", asJSON("Sec-Fetch-Site", "same-site"), 403},
		{"unknown fetch site", asJSON("Sec-Fetch-Site", "Same-Origin"), 403},

		{"rebound name", asJSON("Host", "evil.test:"+port), 421},
		{"rebound name, own origin", asJSON("Host", "evil.test:"+port, "Origin", "http://evil.test:"+port), 421},
		{"localhost, other port", asJSON("Host", "localhost:1"), 421},
		{"localhost without port", asJSON("Host", "localhost"), 421},
		{"subdomain of localhost", asJSON("Host", "localhost.evil.test:"+port), 421},
		{"other address", asJSON("Host", "10.1.2.3:"+port), 421},
		{"configured host, other port", asJSON("Host", "named.test:98"), 421},
		{"configured host as a suffix", asJSON("Host", "x.chaos.test"), 421},

		{"form", with("Content-Type", "application/x-www-form-urlencoded"), 415},
		{"simple request", with("Content-Type", "text/plain"), 415},
		{"no type", with(), 415},
		{"two types", http.Header{"Content-Type": {"text/plain", "application/json"}}, 415},
		{"yaml where no document goes", with("Content-Type", "application/yaml"), 415},
		{"other charset", with("Content-Type", "application/json; charset=utf-16"), 415},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.mu.Lock()
			before := len(s.requests)
			s.mu.Unlock()
			resp := post(c.header)
			s.mu.Lock()
			reached := len(s.requests) - before
			s.mu.Unlock()
			if c.status == 201 {
				if resp.StatusCode != 201 || reached != 1 {
					t.Errorf("%s, and the engine was asked %d times", resp.Status, reached)
				}
				return
			}
			code := experiment.Guarded
			if c.status == 415 {
				code = experiment.BadInput
			}
			if p := refused(t, resp, c.status, code); p.Detail == "" {
				t.Error("a refusal must say why")
			}
			if reached != 0 {
				t.Error("the engine was asked all the same")
			}
		})
	}
}

func TestGuardsHoldOnEveryRoute(t *testing.T) {
	s := start(t, func(c *Config) { c.Token = token })
	for _, r := range append(newServer(Config{}).table, route{method: "GET", path: "/"}, route{method: "GET", path: "/none"}, route{method: "OPTIONS", path: "/v1/faults"}) {
		path := strings.ReplaceAll(r.path, "{id}", "x")
		for name, h := range map[string]http.Header{
			"site": with("Origin", "http://evil.test", "Authorization", "Bearer "+token),
			"host": with("Host", "evil.test", "Authorization", "Bearer "+token),
		} {
			if resp := send(t, s.addr, r.method, path, "", h); resp.StatusCode != 403 && resp.StatusCode != 421 {
				t.Errorf("%s %s: the guard of the %s does not bite: %s", r.method, r.path, name, resp.Status)
			}
		}
		resp := send(t, s.addr, r.method, path, "", nil)
		if want := r.path != healthPath; (resp.StatusCode == 401) != want {
			t.Errorf("%s %s without a token: %s", r.method, r.path, resp.Status)
		}
		for _, h := range []string{"X-Content-Type-Options", "Content-Security-Policy", "Referrer-Policy", "X-Frame-Options", "Cross-Origin-Resource-Policy", "Cache-Control"} {
			if resp.Header.Get(h) == "" {
				t.Errorf("%s %s: no %s", r.method, r.path, h)
			}
		}
		for h := range resp.Header {
			if strings.HasPrefix(h, "Access-Control-") {
				t.Errorf("%s %s: lets other sites in with %s", r.method, r.path, h)
			}
		}
	}
}

func TestToken(t *testing.T) {
	s := start(t, func(c *Config) { c.Token = token })
	for name, c := range map[string]struct {
		header http.Header
		status int
	}{
		"right":           {with("Authorization", "Bearer "+token), 200},
		"scheme in lower": {with("Authorization", "bearer "+token), 200},
		"none":            {nil, 401},
		"wrong":           {with("Authorization", "Bearer "+token+"x"), 401},
		"shorter":         {with("Authorization", "Bearer "+token[1:]), 401},
		"empty":           {with("Authorization", "Bearer "), 401},
		"bare":            {with("Authorization", token), 401},
		"basic":           {with("Authorization", "Basic "+token), 401},
		"twice":           {http.Header{"Authorization": {"Bearer " + token, "Bearer " + token}}, 401},
		"in the query":    {nil, 401},
	} {
		path := "/v1/status"
		if name == "in the query" {
			path += "?token=" + token + "&access_token=" + token
		}
		resp := send(t, s.addr, "GET", path, "", c.header)
		if c.status == 200 {
			if resp.StatusCode != 200 {
				t.Errorf("%s: %s", name, resp.Status)
			}
			continue
		}
		refused(t, resp, 401, experiment.Unauthorised)
		if !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("%s: no challenge", name)
		}
	}
	if resp := send(t, s.addr, "GET", "/v1//status", "", nil); resp.StatusCode != 401 {
		t.Errorf("a path that is not clean gets round the token: %s", resp.Status)
	}
	if resp := send(t, s.addr, "POST", healthPath, "", nil); resp.StatusCode != 401 {
		t.Errorf("only reading health is free: %s", resp.Status)
	}
	if strings.Contains(s.log.String(), token) {
		t.Error("the log holds the token")
	}
}

// Without a token a listener on all interfaces is refused; a handler that is
// mounted behind one all the same answers over loopback only.
func TestNoTokenOffLoopback(t *testing.T) {
	ln, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := Serve(t.Context(), ln, Config{}); err == nil || !strings.Contains(err.Error(), "has no token") {
		t.Fatalf("served without a token: %v", err)
	}
	if _, err := net.Dial("tcp", ln.Addr().String()); err == nil {
		t.Error("the listener is still open")
	}
	outside := outsideAddress(t)
	ln, err = net.Listen("tcp", net.JoinHostPort(outside, "0"))
	if err != nil {
		t.Skip("no address but loopback: ", err)
	}
	srv := &http.Server{Handler: New(Config{Faults: newFake()}), ReadHeaderTimeout: time.Second}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	refused(t, send(t, ln.Addr().String(), "GET", "/v1/status", "", nil), 401, experiment.Unauthorised)
	_ = srv.Close()
	<-done

	ln, err = net.Listen("tcp", net.JoinHostPort(outside, "0"))
	if err != nil {
		t.Fatal(err)
	}
	s := startOn(t, ln, func(c *Config) { c.Token = token })
	if resp := send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON("Authorization", "Bearer "+token)); resp.StatusCode != 201 {
		t.Errorf("with a token, by its address: %s", resp.Status)
	}
	if got := s.requests[0].Actor; got != "api at "+outside {
		t.Errorf("the audit log must say from where: %q", got)
	}
}

func outsideAddress(t *testing.T) string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Skip(err)
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && !n.IP.IsLoopback() {
			return n.IP.String()
		}
	}
	t.Skip("this machine has no address but loopback")
	return ""
}

func TestCheckBind(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:8475": true, "127.9.9.9:1": true, "[::1]:8475": true, "localhost:8475": true, "127.0.0.1:0": true, "[::ffff:127.0.0.1]:1": true,
		"0.0.0.0:8475": false, "[::]:8475": false, ":8475": false, "192.0.2.1:8475": false, "[2001:db8::1]:8475": false,
		"no-such-host.invalid:1": false, "127.0.0.1": false, "127.0.0.1:99999": false, "": false, "127.0.0.1:": true,
	} {
		err := CheckBind(addr, "")
		if (err == nil) != want {
			t.Errorf("%q without a token: %v", addr, err)
		}
		if e, ok := experiment.AsError(err); err != nil && (!ok || e.ExitCode() != experiment.ExitInput) {
			t.Errorf("%q: exit code of %v", addr, err)
		}
	}
	err := CheckBind("0.0.0.0:8475", "")
	if e, ok := experiment.AsError(err); !ok || !strings.Contains(e.Hint, "--token-file") {
		t.Errorf("no hint at --token-file: %#v", err)
	}
	if err := CheckBind("0.0.0.0:8475", token); err != nil {
		t.Errorf("with a token: %v", err)
	}
	if err := CheckBind("0.0.0.0:8475", "short"); err == nil {
		t.Error("a short token passes")
	}
}

func TestValidToken(t *testing.T) {
	for s, want := range map[string]bool{
		token: true, strings.Repeat("x", 16): true, strings.Repeat("x", 15): false, "": false,
		"a token with some spaces": false, "a-token-with-a-newline\n": false, "ein-töken-mit-umlaut": false, strings.Repeat("x", 5000): false,
	} {
		err := ValidToken(s)
		if (err == nil) != want {
			t.Errorf("%.20q: %v", s, err)
		}
		if err != nil && s != "" && strings.Contains(err.Error(), s) {
			t.Errorf("the message holds the token: %v", err)
		}
	}
}

func TestLimits(t *testing.T) {
	s := start(t, nil)
	big := `{"faults":[],"actor":"` + strings.Repeat("x", maxBody) + `"}`
	refused(t, send(t, s.addr, "POST", "/v1/faults", big, asJSON()), 413, experiment.BadInput)
	fits := `{"faults":[],"actor":"` + strings.Repeat("x", maxBody-100) + `"}`
	refused(t, send(t, s.addr, "POST", "/v1/faults", fits, asJSON()), 400, experiment.BadInput)
	documents := fmt.Sprintf(`{"document":%q,"topology":%q}`, strings.Repeat("x", 1<<20), strings.Repeat("y", 1<<20))
	if resp := send(t, s.addr, "POST", planPath, documents, asJSON()); resp.StatusCode != 200 {
		t.Errorf("two documents of 1 MiB must fit: %s", resp.Status)
	}
	refused(t, send(t, s.addr, "POST", planPath, strings.Repeat(" ", maxDocuments+1), asJSON()), 413, experiment.BadInput)
	if resp := send(t, s.addr, "GET", "/v1/health", "", with("X-Long", strings.Repeat("x", maxHeader+8<<10))); resp.StatusCode != 431 {
		t.Errorf("a header of 40 KiB: %s", resp.Status)
	}

	// A body that is announced as too large is refused before it is sent.
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "POST /v1/faults HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n", s.addr)
	for range 3 {
		fmt.Fprintf(conn, "%x\r\n%s\r\n", 1<<19, strings.Repeat(" ", 1<<19))
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, resp, 413, experiment.BadInput)
	_ = resp.Body.Close()
}

// A client that announces a body and does not send it is given up; one that was
// quick is not cut off while its request is worked on.
func TestSlowBodies(t *testing.T) {
	patient := &patientFaults{fake: newFake(), wait: 400 * time.Millisecond}
	h := newServer(Config{Faults: patient, Runs: patient, Events: patient})
	h.bodyTime = 100 * time.Millisecond
	srv := httptest.NewServer(h)
	defer srv.Close()
	addr := srv.Listener.Addr().String()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	fmt.Fprintf(conn, "POST /v1/faults HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{", addr)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, resp, 408, experiment.BadInput)
	_ = resp.Body.Close()
	if resp := send(t, addr, "POST", "/v1/faults", goodFault, asJSON()); resp.StatusCode != 201 {
		t.Errorf("a request was cut off while it was worked on: %s", resp.Status)
	}
}

// patientFaults takes its time, and minds its context meanwhile.
type patientFaults struct {
	*fake
	wait time.Duration
}

func (p *patientFaults) Inject(ctx context.Context, r experiment.InjectRequest) (experiment.Injection, error) {
	select {
	case <-time.After(p.wait):
	case <-ctx.Done():
		return experiment.Injection{}, ctx.Err()
	}
	return p.fake.Inject(ctx, r)
}
