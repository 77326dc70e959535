package dns

import (
	"fmt"

	"github.com/miekg/dns"
)

// ownUDPSize is what we say to take by UDP.
const ownUDPSize = 1232

// answer begins an answer of our own to a query. Where the caller speaks EDNS it
// says why, as an extended error. The error is that of a query that cannot be
// read as a whole.
func (q *query) answer(rcode int, code uint16, why string) (*dns.Msg, error) {
	var req dns.Msg
	if err := req.Unpack(q.raw); err != nil {
		return nil, fmt.Errorf("read a query: %w", err)
	}
	m := new(dns.Msg)
	m.SetRcode(&req, rcode)
	m.RecursionAvailable = true
	m.Compress = true
	if opt := req.IsEdns0(); opt != nil {
		m.SetEdns0(ownUDPSize, opt.Do())
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: why})
	}
	return m, nil
}

// pack turns an answer of our own into bytes that fit the caller.
func (q *query) pack(m *dns.Msg) ([]byte, error) {
	b, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("write an answer: %w", err)
	}
	return q.fit(b), nil
}

// failed is the answer when no upstream gives one.
func (q *query) failed() []byte {
	m, err := q.answer(dns.RcodeServerFailure, dns.ExtendedErrorCodeNoReachableAuthority, "chaosctl: no upstream answers")
	if err == nil {
		var b []byte
		if b, err = q.pack(m); err == nil {
			return b
		}
	}
	return refusal(q.raw, dns.RcodeServerFailure)
}

// nothing says of a queried name, in the authority section, that there is nothing,
// and for how many seconds callers may remember it (RFC 2308). It stands for the
// zone above the name.
func nothing(name string, ttl uint32) dns.RR {
	zone := "."
	if i, end := dns.NextLabel(name, 0); !end {
		zone = name[i:]
	}
	return &dns.SOA{
		Hdr: dns.RR_Header{Name: zone, Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: ttl},
		Ns:  "chaosctl.invalid.", Mbox: "nobody.chaosctl.invalid.",
		Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl,
	}
}
