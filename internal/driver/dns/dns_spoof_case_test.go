package dns_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.DNSSpoof, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := newPlace(t)
	return p.world(p.fault(fault.DNSSpoof, lie("198.51.100.7")), p.felt(func(a *dns.Msg, _ time.Duration) bool {
		return a != nil && slices.Equal(addresses(a), []string{"198.51.100.7"})
	}, patience))
}})

func lie(answers ...string) func(fault.Params) {
	return func(q fault.Params) { q.(*fault.DNSLie).Answers = answers }
}

func TestSpoofAnswers(t *testing.T) {
	p := newPlace(t)
	alias := func(to string, answers ...string) func(fault.Params) {
		return func(q fault.Params) { q.(*fault.DNSLie).CNAME, q.(*fault.DNSLie).Answers = to, answers }
	}
	for about, c := range map[string]struct {
		set    func(fault.Params)
		qtype  uint16
		addrs  []string
		alias  string
		rcode  int
		nodata bool
	}{
		"addresses of both families, A":    {set: lie("198.51.100.7", "2001:db8::7", "198.51.100.8"), qtype: dns.TypeA, addrs: []string{"198.51.100.7", "198.51.100.8"}},
		"addresses of both families, AAAA": {set: lie("198.51.100.7", "2001:db8::7"), qtype: dns.TypeAAAA, addrs: []string{"2001:db8::7"}},
		"the other family":                 {set: lie("198.51.100.7"), qtype: dns.TypeAAAA, nodata: true},
		"another type":                     {set: lie("198.51.100.7"), qtype: dns.TypeHTTPS, nodata: true},
		"nothing":                          {set: lie(), qtype: dns.TypeA, nodata: true},
		"an alias":                         {set: alias("other.test"), qtype: dns.TypeA, alias: "other.test.", addrs: []string{truth}},
		"an alias with addresses":          {set: alias("other.test", "198.51.100.7"), qtype: dns.TypeA, alias: "other.test.", addrs: []string{"198.51.100.7"}},
		"an alias of nothing":              {set: alias("missing.test"), qtype: dns.TypeA, alias: "missing.test.", rcode: dns.RcodeNameError},
		"the alias itself":                 {set: alias("other.test"), qtype: dns.TypeCNAME, alias: "other.test."},
	} {
		t.Run(about, func(t *testing.T) {
			ch := p.arm(p.fault(fault.DNSSpoof, c.set))
			defer p.lift(ch)
			a := p.ask("udp", name, c.qtype, patience)
			if a.Rcode != c.rcode || !slices.Equal(addresses(a), c.addrs) {
				t.Errorf("want %v:\n%s", c.addrs, a)
			}
			if c.alias != "" {
				if cn, ok := a.Answer[0].(*dns.CNAME); !ok || cn.Target != c.alias || cn.Hdr.Ttl != 1 {
					t.Errorf("want an alias of %s:\n%s", c.alias, a)
				}
			}
			if c.nodata && (len(a.Answer) != 0 || len(a.Ns) != 1 || a.Ns[0].Header().Rrtype != dns.TypeSOA) {
				t.Errorf("want an empty answer with SOA:\n%s", a)
			}
		})
	}
}

// A long false answer is cut for a caller by UDP who takes no more, and whole by
// TCP; so is what stands behind an alias.
func TestSpoofFitsTheCaller(t *testing.T) {
	p := newPlace(t)
	var many []string
	for i := range 16 {
		many = append(many, "2001:db8::"+string("0123456789abcdef"[i]))
	}
	c := p.arm(p.fault(fault.DNSSpoof, lie(many...)))
	long := strings.Repeat("x", 60) + "." + name
	if a := p.ask("udp", long, dns.TypeAAAA, patience); !a.Truncated || len(a.Answer) == 16 {
		t.Errorf("truncated %t with %d answers", a.Truncated, len(a.Answer))
	}
	if a := p.ask("tcp", long, dns.TypeAAAA, patience); a.Truncated || len(a.Answer) != 16 {
		t.Errorf("truncated %t with %d answers", a.Truncated, len(a.Answer))
	}
	p.lift(c)
	p.arm(p.fault(fault.DNSSpoof, func(q fault.Params) { q.(*fault.DNSLie).CNAME = "big.test" }))
	if a := p.ask("udp", name, dns.TypeTXT, patience, edns(1232, false)); !a.Truncated {
		t.Errorf("not truncated:\n%s", a)
	}
	if a := p.ask("tcp", name, dns.TypeTXT, patience); a.Truncated || len(a.Answer) != 41 {
		t.Errorf("truncated %t with %d answers", a.Truncated, len(a.Answer))
	}
}
