package experiment

import (
	"strings"
	"testing"
)

func TestProxyValidate(t *testing.T) {
	for field, p := range map[string]Proxy{
		"":             {Hosts: []string{"a.example", "a.example:80", "[::1]"}, Intercept: []string{"*", "*.example:8443"}},
		"hosts[1]":     {Hosts: []string{"a.example", "A.example.:443"}},
		"intercept[0]": {Intercept: []string{"*:0"}},
		"intercept[1]": {Intercept: []string{"*", "*:https"}},
		"intercept[2]": {Intercept: []string{"*", "*:1", "*:65536"}},
		"listen":       {Listen: "0.0.0.0:3128"},
	} {
		if p.From = "a"; p.Listen == "" {
			p.Listen = "127.0.0.1:0"
		}
		err := p.Validate()
		if field == "" && err != nil || field != "" && (err == nil || !strings.Contains(err.Error(), field) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%q: %v", field, err)
		}
	}
}

// The edges of hosts that are intercepted answer TLS, and say so.
func TestProxyIntercepts(t *testing.T) {
	s := &TopologySpec{Proxy: &Proxy{
		From: "a", Listen: "127.0.0.1:3128", Hosts: []string{"api.example.com", "api.example.com:80", "b.example:9443", "c.example:9443"},
		Intercept: []string{"*.Example.com", "b.example:9443"},
	}}
	for i, want := range []Protocol{HTTP, Auto, HTTP, Auto} {
		if e := s.proxied()[i].edge; e.Protocol != want || (e.TLS != nil) != (want == HTTP) {
			t.Errorf("%s: %s, tls %v", e.Name(), e.Protocol, e.TLS)
		}
	}
	for _, c := range []struct {
		pattern, host, port string
		want                bool
	}{
		{"*", "a.example", "443", true}, {"*", "a.example", "8443", true}, {"*", "a.example", "80", false}, {"*:80", "a.example", "80", true},
		{"*.example", "a.example", "443", true}, {"*.example", "example", "443", false}, {"[::1]:443", "::1", "443", true},
	} {
		if Intercepted([]string{c.pattern}, c.host, c.port) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

// What a proxy has made since does not make the server's topology another one.
func TestProxySameTopology(t *testing.T) {
	doc := func() *TopologySpec {
		return &TopologySpec{
			Services: map[string]Service{"a": {Address: "127.0.0.1:1"}, "b": {Address: "127.0.0.1:2"}}, Proxy: &Proxy{From: "a", Listen: "127.0.0.1:3128"},
			Edges: []Edge{{From: "a", To: "b", Listen: "127.0.0.1:3"}},
		}
	}
	served := doc()
	served.Services["dependency-x"] = Service{Address: "x:443"}
	served.Edges = append(served.Edges, Edge{From: "a", To: "dependency-x", Listen: "127.0.0.1:4"})
	if why := sameTopology(doc(), served); why != "" {
		t.Error(why)
	}
	served.Services["c"] = Service{Address: "127.0.0.1:5"}
	if why := sameTopology(doc(), served); why == "" {
		t.Error("another service was not noticed")
	}
	if len(served.Edges) != 2 || len(served.Services) != 4 {
		t.Error("what is served was changed")
	}
}
