package toxiproxy

import (
	"net"
	"net/http"
	"strings"
	"testing"
)

// foreign is an address that no interface has, kept for documentation.
const foreign = "192.0.2.1"

// TestFailedMove: a proxy that cannot move stays where it is, with its connections
// and its toxics, also if only the host is another.
func TestFailedMove(t *testing.T) {
	s := newStage(t, nil)
	addr := s.proxied(t, "p", `,"toxics":[{"type":"noop"}]`)
	c := dial(t, addr)
	c.ping("before")
	before := s.must(t, "GET", "/proxies/p", "")
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	for _, to := range []string{foreign + ":" + port, foreign + ":0", busy.Addr().String(), "127.0.0.1:99999"} {
		for _, ask := range [][2]string{
			{"/proxies/p", `{"listen":"` + to + `"}`},
			{"/populate", `[{"name":"p","listen":"` + to + `","upstream":"127.0.0.1:1"}]`},
		} {
			if code, text := s.call(t, "POST", ask[0], ask[1]); code != http.StatusInternalServerError || strings.Contains(text, foreign+":0") && !strings.HasSuffix(to, ":0") {
				t.Errorf("%s %s: %d %s", ask[0], ask[1], code, text)
			}
			if after := s.must(t, "GET", "/proxies/p", ""); after != before {
				t.Errorf("%s: before %s\nafter %s", to, before, after)
			}
			c.ping("after")
		}
	}
	s.consistent(t)
}

// TestFailedMoveIsUndone: that an address is taken may show only when the old one
// was given up; then that one is opened again.
func TestFailedMoveIsUndone(t *testing.T) {
	s := newStage(t, nil)
	addr := s.proxied(t, "p", `,"toxics":[{"type":"noop"}]`)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		t.Skip("there is no second loopback address: ", err)
	}
	t.Cleanup(func() { _ = other.Close() })
	before := s.must(t, "GET", "/proxies/p", "")
	for _, ask := range [][2]string{
		{"/proxies/p", `{"listen":"0.0.0.0:` + port + `"}`},
		{"/populate", `[{"name":"p","listen":"0.0.0.0:` + port + `","upstream":"127.0.0.1:1"}]`},
	} {
		if code, text := s.call(t, "POST", ask[0], ask[1]); code != http.StatusInternalServerError {
			t.Errorf("%s: %d %s", ask[0], code, text)
		}
		if after := s.must(t, "GET", "/proxies/p", ""); after != before {
			t.Errorf("%s: before %s\nafter %s", ask[0], before, after)
		}
		dial(t, addr).ping("again")
		s.consistent(t)
	}
}

// TestUpstreams: what is shown as the upstream is always one that is dialled.
func TestUpstreams(t *testing.T) {
	s := newStage(t, nil)
	s.must(t, "POST", "/proxies", `{"name":"p","listen":"127.0.0.1:0","upstream":"a:1"}`)
	for _, step := range []struct{ give, upstream, upstreams string }{
		{`{"upstreams":["b:1","c:1"]}`, "b:1", `["b:1","c:1"]`},
		{`{"upstream":"b:1","enabled":true}`, "b:1", `["b:1","c:1"]`}, // as a client of the original sends it back
		{`{"upstreams":null}`, "b:1", `["b:1","c:1"]`},
		{`{"upstream":"c:1","upstreams":["b:1","c:1"]}`, "c:1", `["b:1","c:1"]`},
		{`{"upstream":"a:1","upstreams":["b:1"]}`, "", ""},
		{`{"upstream":"c:1","upstreams":["b:1"]}`, "", ""},
		{`{"upstream":"","upstreams":["b:1"]}`, "b:1", `["b:1"]`},
		{`{"upstreams":["b:1",""]}`, "", ""},
		{`{"upstream":"d:1"}`, "d:1", ""},
		{`{"upstreams":["b:1","c:1"]}`, "b:1", `["b:1","c:1"]`},
		{`{"upstreams":[]}`, "b:1", ""},
	} {
		code, text := s.call(t, "PATCH", "/proxies/p", step.give)
		switch {
		case step.upstream == "":
			if code != http.StatusBadRequest {
				t.Errorf("%s: %d %s", step.give, code, text)
			}
		case !strings.Contains(text, `"upstream":"`+step.upstream+`"`),
			step.upstreams != "" && !strings.Contains(text, `"upstreams":`+step.upstreams),
			step.upstreams == "" && strings.Contains(text, "upstreams"):
			t.Errorf("%s: %d %s", step.give, code, text)
		}
	}
	if code, text := s.call(t, "POST", "/proxies", `{"name":"q","upstream":"a:1","upstreams":["b:1"]}`); code != http.StatusBadRequest || !strings.Contains(text, "upstream must be one of upstreams") {
		t.Errorf("%d %s", code, text)
	}
}

// TestLastOfANameCounts: as encoding/json has it, however the name is spelt.
func TestLastOfANameCounts(t *testing.T) {
	list := types["latency"].attributes
	for raw, want := range map[string]float64{
		`{"LATENCY":1,"Latency":2}`: 2, `{"latency":1,"LATENCY":2}`: 2, `{"LATENCY":2,"latency":1}`: 1, `{"latency":3,"Latency":null}`: 3,
	} {
		for range 20 {
			values, err := set(list, nil, []byte(raw))
			if err != nil || values[0].number != want {
				t.Fatalf("%s: %v, %v", raw, values, err)
			}
		}
	}
	if _, err := set(list, nil, []byte(`{"latency":"x","LATENCY":1}`)); err == nil {
		t.Error("a wrong one is passed over")
	}
}

// TestNoNumberIsRounded: what cannot be kept exactly is refused.
func TestNoNumberIsRounded(t *testing.T) {
	list := types["limit_data"].attributes
	for raw, good := range map[string]bool{`{"bytes":4503599627370496}`: true, `{"bytes":4503599627370497}`: false, `{"bytes":9007199254740993}`: false, `{"bytes":1e3}`: true} {
		if _, err := set(list, nil, []byte(raw)); (err == nil) != good {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

// TestNobodyIsNotEverybody: an empty list of clients never widens what is hurt.
func TestNobodyIsNotEverybody(t *testing.T) {
	s := newStage(t, nil)
	s.proxied(t, "p", "")
	if code, text := s.call(t, "POST", "/proxies/p/toxics", `{"type":"latency","client":[]}`); code != http.StatusBadRequest || !strings.Contains(text, "or be left out") {
		t.Errorf("%d %s", code, text)
	}
	s.must(t, "POST", "/proxies/p/toxics", `{"type":"latency","client":null}`)
}

// TestWrongTypes: what is wrong is told in words, without names of Go's types.
func TestWrongTypes(t *testing.T) {
	s := newStage(t, nil)
	s.proxied(t, "p", `,"toxics":[{"type":"noop","name":"n"}]`)
	object, list := "must be an object such as {", "must be a list such as [{"
	for _, tc := range []struct{ ask, body, says string }{
		{"POST /proxies", `[]`, object + `\"name\": \"redis\"`},
		{"POST /proxies", `1.5`, object},
		{"POST /proxies", `{"name":1}`, "name must be a text, not a number"},
		{"POST /proxies", `{"name":"x","upstream":"y","enabled":"no"}`, "enabled must be true or false, not a text"},
		{"POST /proxies", `{"name":"x","upstreams":"y"}`, "upstreams must be a list of addresses"},
		{"POST /proxies", `{"name":"x","upstreams":[true]}`, "upstreams must be a list of addresses"},
		{"POST /proxies", `{"name":"x","upstream":"y","toxics":{}}`, "toxics: " + list + `\"type\"`},
		{"POST /proxies", `{"name":"x","upstream":"y","toxics":[1]}`, "toxics: " + object},
		{"POST /proxies", `{"name":"x","upstream":"y","toxics":[{"type":1}]}`, "toxics: type must be a text"},
		{"PATCH /proxies/p", `"x"`, object + `\"enabled\": false}, not a text`},
		{"PATCH /proxies/p", `{"listen":8080}`, "listen must be a text, not a number"},
		{"POST /populate", `{}`, list + `\"name\": \"redis\"`},
		{"POST /populate", `[[]]`, object},
		{"POST /populate", `[{"enabled":"no"}]`, "enabled must be true or false, not a text"},
		{"POST /populate", `[{"upstream":5}]`, "upstream must be a text, not a number"},
		{"POST /proxies/p/toxics", `[]`, object + `\"type\": \"latency\"`},
		{"POST /proxies/p/toxics", `{"client":"x"}`, "client must be a list of addresses"},
		{"POST /proxies/p/toxics", `{"stream":[]}`, "stream must be a text, not a list"},
		{"PATCH /proxies/p/toxics/n", `[]`, object + `\"attributes\"`},
		{"POST /proxies/p/toxics/n", `true`, "not a boolean"},
		{"POST /proxies", `{"name":`, "unexpected EOF"},
	} {
		method, path, _ := strings.Cut(tc.ask, " ")
		code, text := s.call(t, method, path, tc.body)
		if code != http.StatusBadRequest || !strings.Contains(text, "bad request body: ") || !strings.Contains(text, tc.says) {
			t.Errorf("%s %s: %d %s; want %s", tc.ask, tc.body, code, text, tc.says)
		}
		if strings.Contains(text, "Go ") || strings.Contains(text, "toxiproxy.") {
			t.Errorf("%s %s names a type of ours: %s", tc.ask, tc.body, text)
		}
	}
}
