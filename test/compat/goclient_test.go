//go:build linux

package compat

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	tclient "github.com/Shopify/toxiproxy/v2/client"
)

// TestGoClient drives every function of Toxiproxy's own Go client, and holds
// what it gives against what it gives on the original.
func TestGoClient(t *testing.T) {
	t.Parallel()
	var said [2]string
	for i, s := range pair(t) {
		said[i] = goClient(t, s)
	}
	if said[0] != said[1] {
		t.Errorf("--- original\n%s\n--- ours\n%s", said[0], said[1])
	}
	tell(t, "Go client v2.12.0: %d calls give the same", strings.Count(said[0], "\n"))
}

// transcript notes results, ports masked.
type transcript struct {
	b strings.Builder
	m *mask
}

func (n *transcript) note(what string, v any, err error) {
	text, merr := json.Marshal(v)
	if merr != nil {
		text = []byte(merr.Error())
	}
	status := 0
	var api *tclient.ApiError
	if errors.As(err, &api) {
		status = api.Status
	}
	fmt.Fprintln(&n.b, sameWords(n.m.hide(fmt.Sprintf("%s: %s, %v %d", what, text, err, status))))
}

// sameWords takes out what either says of a wrong attribute: see differences.
func sameWords(s string) string {
	for _, words := range []string{wrongOriginal, wrongOurs} {
		s = pattern(words).ReplaceAllString(s, "(wrong)")
	}
	return s
}

// goClient is one go at everything; it returns a transcript.
func goClient(t *testing.T, s *server) string {
	t.Helper()
	n := &transcript{m: newMask(s)}
	c := tclient.NewClient(s.addr)
	up := echo(t)
	n.m.named[up[strings.LastIndex(up, ":")+1:]] = "{echo}"

	v, err := c.Version()
	n.note("Version", string(v), err)
	all, err := c.Proxies()
	n.note("Proxies", all, err)

	p, err := c.CreateProxy("p", "localhost:0", up)
	n.note("CreateProxy", p, err)
	if err != nil {
		t.Fatal(err)
	}
	n.note("through it", speak(p.Listen, "hello"), nil)
	_, err = c.CreateProxy("p", "localhost:0", up)
	n.note("CreateProxy again", nil, err)
	_, err = c.CreateProxy("", "localhost:0", up)
	n.note("CreateProxy without a name", nil, err)
	_, err = c.CreateProxy("q", "localhost:0", "")
	n.note("CreateProxy without an upstream", nil, err)
	_, err = c.CreateProxy("q", p.Listen, up)
	n.note("CreateProxy on a port that is taken", nil, err)

	q := c.NewProxy()
	q.Name, q.Listen, q.Upstream = "q", "localhost:0", up
	n.note("Save of a new one, disabled", q, q.Save())
	n.note("Enable", q, q.Enable())
	n.note("through it", speak(q.Listen, "hello"), nil)
	n.note("Disable", q, q.Disable())
	n.note("through it", speak(q.Listen, "hello"), nil)
	q.Upstream = "127.0.0.1:1"
	n.note("Save of a change", q, q.Save())
	got, err := c.Proxy("q")
	n.note("Proxy", got, err)
	_, err = c.Proxy("none")
	n.note("Proxy that is not there", nil, err)

	toxics(n, c, p)

	n.note("Delete", nil, q.Delete())
	n.note("Delete again", nil, q.Delete())
	n.note("Save after Delete", nil, q.Save())
	list, err := c.Populate([]tclient.Proxy{{Name: "p", Listen: p.Listen, Upstream: up, Enabled: true}, {Name: "r", Listen: "localhost:0", Upstream: up, Enabled: true}, {Name: "off", Listen: "localhost:0", Upstream: up}})
	n.note("Populate", list, err)
	_, err = c.Populate([]tclient.Proxy{{Name: "x"}})
	n.note("Populate without an upstream", nil, err)
	_, err = c.Populate([]tclient.Proxy{{Name: "x", Listen: p.Listen, Upstream: up, Enabled: true}})
	n.note("Populate on a port that is taken", nil, err)
	list, err = c.Populate(nil)
	n.note("Populate with nothing", list, err)
	n.note("ResetState", nil, c.ResetState())
	all, err = c.Proxies()
	n.note("Proxies", all, err)
	for name, p := range all {
		if err := p.Delete(); err != nil {
			t.Errorf("%s: delete %s: %v", s.side, name, err)
		}
	}
	return n.b.String()
}

func toxics(n *transcript, c *tclient.Client, p *tclient.Proxy) {
	add := func(what, name, kind, stream string, toxicity float32, attrs tclient.Attributes) {
		x, err := p.AddToxic(name, kind, stream, toxicity, attrs)
		n.note("AddToxic "+what, x, err)
	}
	add("latency", "", "latency", "", 1, tclient.Attributes{"latency": 100, "jitter": 10})
	add("of requests", "up", "latency", "upstream", 0.5, tclient.Attributes{"latency": 100})
	add("with the default toxicity", "d", "slicer", "downstream", -1, tclient.Attributes{"average_size": 10, "size_variation": 2, "delay": 1})
	add("without attributes", "n", "noop", "downstream", 1, nil)
	add("again", "n", "noop", "downstream", 1, nil)
	add("of no type", "x", "nonsense", "downstream", 1, nil)
	add("of no stream", "x", "noop", "nonsense", 1, nil)
	add("with a wrong attribute", "x", "latency", "", 1, tclient.Attributes{"latency": "long"})
	for _, k := range kinds {
		attrs := tclient.Attributes{}
		for _, a := range k.attrs {
			attrs[a] = 20
		}
		add(k.name, "k-"+k.name, k.name, "upstream", 0, attrs)
	}
	list, err := p.Toxics()
	n.note("Toxics", list, err)
	x, err := p.UpdateToxic("up", 0.25, tclient.Attributes{"jitter": 5})
	n.note("UpdateToxic", x, err)
	x, err = p.UpdateToxic("up", -1, tclient.Attributes{"latency": 7})
	n.note("UpdateToxic, toxicity kept", x, err)
	_, err = p.UpdateToxic("none", 1, nil)
	n.note("UpdateToxic that is not there", nil, err)
	_, err = p.UpdateToxic("up", 1, tclient.Attributes{"latency": true})
	n.note("UpdateToxic with a wrong attribute", nil, err)
	n.note("RemoveToxic", nil, p.RemoveToxic("up"))
	n.note("RemoveToxic again", nil, p.RemoveToxic("up"))

	o := &tclient.ToxicOptions{ProxyName: "p", ToxicName: "o", ToxicType: "bandwidth", Stream: "upstream", Toxicity: 1, Attributes: tclient.Attributes{"rate": 1000}}
	x, err = c.AddToxic(o)
	n.note("Client.AddToxic", x, err)
	o.Attributes = tclient.Attributes{"rate": 2000}
	x, err = c.UpdateToxic(o)
	n.note("Client.UpdateToxic", x, err)
	n.note("Client.RemoveToxic", nil, c.RemoveToxic(o))
	n.note("Client.RemoveToxic again", nil, c.RemoveToxic(o))
	o.ProxyName = "none"
	_, err = c.AddToxic(o)
	n.note("Client.AddToxic to no proxy", nil, err)
	_, err = c.UpdateToxic(o)
	n.note("Client.UpdateToxic of no proxy", nil, err)
	n.note("Client.RemoveToxic of no proxy", nil, c.RemoveToxic(o))
}
