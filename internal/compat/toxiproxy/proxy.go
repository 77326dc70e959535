package toxiproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
)

// caller is the name that all edges of proxies come from, and the owner of their
// faults.
const caller = "toxiproxy"

const maxUpstreams = 100

// proxy is one proxy as it is. It never changes: an update makes another.
type proxy struct {
	name      string
	listen    string // as bound, once it has been
	upstream  string
	upstreams []string // if several were given
	whenDown  string   // if it was given
	enabled   bool
	toxics    []*toxic // in the order in which they came
	halts     uint64   // the engine's, when the toxics were put in force
	json      []byte
}

// Proxy is a proxy as a client sends it.
type Proxy struct {
	Name      string          `json:"name"`
	Listen    string          `json:"listen"`
	Upstream  string          `json:"upstream"`
	Enabled   bool            `json:"enabled"`
	Toxics    json.RawMessage `json:"toxics"`
	Upstreams []string        `json:"upstreams"`
	WhenDown  string          `json:"when_down"`
}

// complete fills in what another field says, and refuses what is missing; its place
// in a list, from 1, is said behind the field's name.
func (in *Proxy) complete(place int) error {
	if in.Upstream == "" && len(in.Upstreams) > 0 {
		in.Upstream = in.Upstreams[0]
	}
	switch {
	case in.Name == "":
		return missingField("name", place)
	case in.Upstream == "":
		return missingField("upstream", place)
	}
	return in.check()
}

func (in *Proxy) check() error {
	switch {
	case len(in.Name) > maxName:
		return badBodyf("name must be at most %d bytes long, not %d", maxName, len(in.Name))
	case len(in.Upstreams) > maxUpstreams:
		return badBodyf("upstreams must be at most %d, not %d", maxUpstreams, len(in.Upstreams))
	case slices.Contains(in.Upstreams, ""):
		return badBodyf("upstreams must not hold an empty address")
	case len(in.Upstreams) > 0 && !slices.Contains(in.Upstreams, in.Upstream):
		return badBodyf("upstream must be one of upstreams, or be left out, not %s", clip(strconv.Quote(in.Upstream)))
	case !slices.Contains([]string{"", "close", "reset", "refuse"}, in.WhenDown):
		return badBodyf("when_down must be close, reset or refuse, not %s", clip(strconv.Quote(in.WhenDown)))
	}
	return nil
}

func (in *Proxy) proxy(toxics []*toxic) *proxy {
	return &proxy{
		name: in.Name, listen: in.Listen, upstream: in.Upstream, upstreams: in.Upstreams, whenDown: in.WhenDown, toxics: toxics,
		enabled: in.Enabled,
	}
}

// addresses are where connections go.
func (p *proxy) addresses() []string {
	if len(p.upstreams) > 0 {
		return p.upstreams
	}
	return []string{p.upstream}
}

// with returns a copy for a change.
func (p *proxy) with(toxics []*toxic) *proxy {
	fresh := *p
	fresh.toxics = toxics
	return &fresh
}

// write writes the proxy down as answers show it.
func (p *proxy) write() { p.json = p.text(listed(p.toxics)) }

// kept is the proxy as the state file has it: its toxics stand in the order in
// which they act.
func (p *proxy) kept() []byte {
	if slices.Equal(listed(p.toxics), p.toxics) {
		return p.json
	}
	return p.text(p.toxics)
}

func (p *proxy) text(toxics []*toxic) []byte {
	b := append(make([]byte, 0, 192), `{"name":`...)
	b = appendQuoted(b, p.name)
	b = appendQuoted(append(b, `,"listen":`...), p.listen)
	b = appendQuoted(append(b, `,"upstream":`...), p.upstream)
	b = strconv.AppendBool(append(b, `,"enabled":`...), p.enabled)
	b = appendToxics(append(b, `,"Logger":{},"toxics":`...), toxics)
	if len(p.upstreams) > 0 {
		if list, err := json.Marshal(p.upstreams); err == nil { // texts can always be encoded
			b = append(append(b, `,"upstreams":`...), list...)
		}
	}
	if p.whenDown != "" {
		b = appendQuoted(append(b, `,"when_down":`...), p.whenDown)
	}
	return append(b, '}')
}

// resolve is an address to listen on as the original compares it.
func resolve(listen string) (string, error) {
	a, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return "", err
	}
	return a.String(), nil
}

// sameListen tells whether an address to listen on, given and resolved, is the
// one that a proxy has already: all spellings of "every interface" are one. Port 0
// always asks for another.
func (p *proxy) sameListen(resolved string) bool {
	if p.listen == resolved {
		return true
	}
	host, port, err := net.SplitHostPort(p.listen)
	if err != nil {
		return false
	}
	h, n, err := net.SplitHostPort(resolved)
	return err == nil && n == port && n != "0" && every(host) && every(h)
}

func every(host string) bool { return host == "" || host == "0.0.0.0" || host == "::" }

// differs tells whether a proxy would have to be made anew to be as in says.
func (p *proxy) differs(in *Proxy) (bool, error) {
	resolved, err := resolve(in.Listen)
	if err != nil {
		return false, err
	}
	return in.Listen != p.listen && !p.sameListen(resolved) || in.Upstream != p.upstream || !slices.Equal(in.Upstreams, p.upstreams) || in.WhenDown != p.whenDown, nil
}

// changed is what p is to be after an update; its name stays. One upstream alone,
// if it is another than the one that is shown, takes the place of several: who
// sends a proxy back as it was shown to a client of the original changes nothing.
func (p *proxy) changed(body []byte) (*Proxy, error) {
	in := &Proxy{Listen: p.listen, Upstream: p.upstream, Enabled: p.enabled, WhenDown: p.whenDown}
	if err := decode(body, in, aProxyUpdate); err != nil {
		return nil, err
	}
	in.Name = p.name
	switch {
	case in.Upstreams == nil && in.Upstream == p.upstream:
		in.Upstreams = p.upstreams
	case len(in.Upstreams) > 0:
		var given struct {
			Upstream *string `json:"upstream"`
		}
		if err := decode(body, &given, aProxyUpdate); err != nil {
			return nil, err
		}
		if given.Upstream == nil {
			in.Upstream = in.Upstreams[0]
		}
	}
	return in, in.complete(0)
}

// free tells whether an address that p is to move to can be bound, so that an
// update which cannot succeed changes nothing. Where p itself may be what is in the
// way, only the host is tried.
func (p *proxy) free(listen string) error {
	a, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil {
		return err
	}
	try := *a
	if p.enabled && p.mayHold(a) {
		try.Port = 0
	}
	l, err := net.Listen("tcp", try.String())
	if err == nil {
		return l.Close()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		op.Addr = a
		return op
	}
	return fmt.Errorf("listen on %s: %w", listen, err)
}

// mayHold tells whether the listener of p may keep others from an address.
func (p *proxy) mayHold(a *net.TCPAddr) bool {
	own, err := net.ResolveTCPAddr("tcp", p.listen)
	return err == nil && own.Port == a.Port && (own.IP.Equal(a.IP) || all(own.IP) || all(a.IP))
}

// all tells whether an address is every interface.
func all(ip net.IP) bool { return len(ip) == 0 || ip.IsUnspecified() }
