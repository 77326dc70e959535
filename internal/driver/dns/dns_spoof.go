package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/chaosctl/chaosctl/fault"
)

var _ = serve(fault.DNSSpoof,
	func(p *fault.DNSLie) effect {
		l := lie{ttl: seconds(p.TTL)}
		for _, s := range p.Answers {
			if a, err := netip.ParseAddr(s); err == nil { // as the params' rules have it
				l.addrs = append(l.addrs, a.Unmap())
			}
		}
		if p.CNAME != "" {
			l.alias = dns.Fqdn(p.CNAME)
		}
		return effect{answer: l.answer}
	},
	func(p *fault.DNSLie) words {
		w := words{touches: "are answered with " + strings.Join(p.Answers, ", ")}
		switch {
		case p.CNAME != "":
			w.touches = "are answered with the alias " + p.CNAME
		case len(p.Answers) == 0:
			w.touches = "get an empty answer"
		}
		if p.TTL > 0 {
			w.undoes = fmt.Sprintf("callers may remember the answer for %s", p.TTL)
		}
		return w
	})

// lie is a false answer.
type lie struct {
	addrs []netip.Addr
	alias string // with the dot at its end; empty is none
	ttl   uint32
}

func (l lie) answer(ctx context.Context, q *query, ask asker) ([]byte, error) {
	m, err := q.answer(dns.RcodeSuccess, dns.ExtendedErrorCodeForgedAnswer, "chaosctl: "+fault.DNSSpoof.Name)
	if err != nil {
		return nil, err
	}
	name := m.Question[0].Name
	if l.alias != "" {
		m.Answer = append(m.Answer, &dns.CNAME{
			Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: l.ttl}, Target: l.alias,
		})
		if q.qtype == dns.TypeCNAME || q.qtype == dns.TypeANY {
			return q.pack(m)
		}
		name = l.alias
	}
	if l.alias != "" && len(l.addrs) == 0 {
		l.follow(ctx, q, m, ask)
		return q.pack(m)
	}
	before := len(m.Answer)
	for _, a := range l.addrs {
		if rr := l.record(name, q.qtype, a); rr != nil {
			m.Answer = append(m.Answer, rr)
		}
	}
	if len(m.Answer) == before {
		m.Ns = append(m.Ns, nothing(name, l.ttl))
	}
	return q.pack(m)
}

// record is an address as a record of the type that was asked for; nil if it is of
// another one.
func (l lie) record(name string, qtype uint16, a netip.Addr) dns.RR {
	h := dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: l.ttl}
	switch {
	case a.Is4() && (qtype == dns.TypeA || qtype == dns.TypeANY):
		return &dns.A{Hdr: h, A: net.IP(a.AsSlice())}
	case a.Is6() && (qtype == dns.TypeAAAA || qtype == dns.TypeANY):
		h.Rrtype = dns.TypeAAAA
		return &dns.AAAA{Hdr: h, AAAA: net.IP(a.AsSlice())}
	}
	return nil
}

// follow asks the upstreams for the alias and puts what they say behind it.
func (l lie) follow(ctx context.Context, q *query, m *dns.Msg, ask asker) {
	var req, got dns.Msg
	if req.Unpack(q.raw) != nil {
		return // it was read before
	}
	req.Question[0].Name = l.alias
	raw, err := req.Pack()
	if err == nil {
		further, _ := readQuery(raw, q.tcp)
		raw, err = ask(ctx, &further)
		if err == nil && truncated(raw) && !q.tcp {
			further.tcp = true
			raw, err = ask(ctx, &further)
		}
	}
	if err != nil || got.Unpack(raw) != nil {
		m.Rcode = dns.RcodeServerFailure
		return
	}
	m.Rcode = got.Rcode & 0xf
	m.Answer = append(m.Answer, got.Answer...)
	m.Ns = append(m.Ns, got.Ns...)
}
