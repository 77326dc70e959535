package toxiproxy

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

// FuzzAPI sends what it likes to every route. The door must not panic, must answer
// 2xx or 4xx (500 only where an address cannot be listened on, as the original), and
// must afterwards tell everywhere the same of what it has.
func FuzzAPI(f *testing.F) {
	routes := []string{
		"POST /proxies", "POST /populate", "POST /proxies/p", "PATCH /proxies/p", "DELETE /proxies/p", "POST /proxies/p/toxics",
		"PATCH /proxies/p/toxics/t", "POST /proxies/p/toxics/t", "DELETE /proxies/p/toxics/t", "POST /reset", "GET /proxies", "PUT /proxies",
	}
	for _, body := range []string{
		``, `null`, `{}`, `[]`, `[null]`, `{"name":"p","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`, `[{"name":"p","upstream":"x","toxics":[{"type":"noop"}]}]`,
		`{"enabled":false,"listen":":0","upstreams":["a","b"],"when_down":"refuse"}`, `{"Name":"t","Type":"latency","Stream":"UpStream","Attributes":{"Latency":1e3,"jitter":9.0}}`,
		`{"name":"t","type":"slicer","attributes":{"average_size":0,"size_variation":-1,"delay":9223372036854775808}}`, `{"type":"bandwidth","attributes":{"rate":-1,"scope":"edge"}}`,
		`{"name":"t","type":"packet_loss","attributes":{"loss_rate":1e308,"correlation":-1e308},"toxicity":1e-46}`, `{"attributes":{"latency":1e400},"toxicity":0.5}`,
		`{"type":"limit_data","stream":"both","attributes":{"bytes":1099511627776},"client":["::/0"]}`, `{"type":"refuse","name":"t"}`, `{"toxicity":0}`, `{"name":"\ud800","upstream":"\u0000"}`,
	} {
		for i := range routes {
			f.Add(uint8(i), []byte(body))
		}
	}
	s := newStage(f, nil)
	f.Fuzz(func(t *testing.T, route uint8, body []byte) {
		if reaches(body) {
			return
		}
		method, path, _ := strings.Cut(routes[int(route)%len(routes)], " ")
		code, text := s.call(t, method, path, string(body))
		if code >= 500 && (code != 500 || !strings.Contains(text, "listen") && !strings.Contains(text, "address")) {
			t.Errorf("%s %s %q: %d %s", method, path, body, code, text)
		}
		s.consistent(t)
		if names := s.names(); len(names) > 8 {
			for _, name := range names {
				if err := s.remove(context.Background(), name); err != nil {
					t.Errorf("remove %q: %v", name, err)
				}
			}
		}
	})
}

// reaches tells whether a body would have names looked up or ports taken that are
// not ours.
func reaches(body []byte) bool {
	var one Proxy
	var many []Proxy
	_ = decode(body, &one, aProxy)
	_ = decode(body, &many, aProxy)
	for _, p := range append(many, one) {
		host, port, err := net.SplitHostPort(p.Listen)
		if err != nil {
			continue
		}
		if _, err := netip.ParseAddr(host); host != "" && err != nil || port != "" && port != "0" {
			return true
		}
	}
	return false
}

// consistent holds all that the door tells against each other, and against what
// the engine has in force.
func (s *stage) consistent(t testing.TB) {
	t.Helper()
	type shown struct {
		Name    string
		Enabled bool
		Toxics  []struct {
			Name, Stream string
			Toxicity     float64
		}
	}
	var all map[string]shown
	list := s.must(t, "GET", "/proxies", "")
	if err := json.Unmarshal([]byte(list), &all); err != nil {
		t.Fatalf("GET /proxies: %v in %s", err, list)
	}
	edges, faults := 0, 0
	for name, p := range all {
		if p.Enabled {
			edges++
		}
		names := map[string]bool{}
		for _, x := range p.Toxics {
			if names[x.Name] {
				t.Errorf("%q has two toxics %q", name, x.Name)
			}
			names[x.Name] = true
			if p.Enabled && x.Toxicity > 0 {
				faults++
			}
		}
		if one := s.get1(t, name); one != "" && !strings.Contains(list, one) {
			t.Errorf("%q is %s by itself, and all are %s", name, one, list)
		}
	}
	status := s.engine.Status(context.Background())
	if len(status.Edges) != edges || len(status.Injections) != faults {
		t.Errorf("the engine has %d edges and %d faults; the door tells of %d and %d: %s", len(status.Edges), len(status.Injections), edges, faults, list)
	}
}

// get1 asks for one proxy; empty if its name cannot stand in a path.
func (s *stage) get1(t testing.TB, name string) string {
	t.Helper()
	if name != "p" {
		return ""
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest("GET", "/proxies/p", http.NoBody))
	if w.Code != http.StatusOK {
		t.Errorf("GET /proxies/p: %d", w.Code)
	}
	return w.Body.String()
}

// TestAtOnce does everything at the same time; run it with -race.
func TestAtOnce(t *testing.T) {
	s := newStage(t, nil)
	done := make(chan struct{})
	const workers, rounds = 8, 40
	for w := range workers {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range rounds {
				name := fmt.Sprintf("p%d", (w+i)%3)
				s.call(t, "POST", "/proxies", fmt.Sprintf(`{"name":%q,"listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`, name))
				s.call(t, "POST", "/proxies/"+name+"/toxics", fmt.Sprintf(`{"type":"latency","name":"t%d","attributes":{"latency":%d}}`, w, i))
				s.call(t, "PATCH", "/proxies/"+name+"/toxics/t"+fmt.Sprint(w), `{"attributes":{"jitter":1},"toxicity":0.5}`)
				switch i % 5 {
				case 0:
					s.call(t, "POST", "/proxies/"+name, `{"enabled":false}`)
				case 1:
					s.call(t, "POST", "/reset", "")
				case 2:
					s.call(t, "DELETE", "/proxies/"+name, "")
				case 3:
					_, _ = s.engine.Halt(context.Background(), "test") // nothing here can get stuck
				case 4:
					s.call(t, "POST", "/populate", `[{"name":"p0","listen":"127.0.0.1:0","upstream":"127.0.0.1:2","toxics":[{"type":"noop"}]}]`)
				}
			}
		}()
	}
	for range workers {
		<-done
	}
	s.consistent(t)
	s.must(t, "POST", "/reset", "")
	s.consistent(t)
}
