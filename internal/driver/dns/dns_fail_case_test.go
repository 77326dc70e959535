package dns_test

import (
	"slices"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.DNSFail, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := newPlace(t)
	return p.world(p.fault(fault.DNSFail, nil), p.felt(func(a *dns.Msg, _ time.Duration) bool {
		return a != nil && a.Rcode == dns.RcodeServerFailure
	}, patience))
}})

// Each error comes as it was asked for, without asking the upstream; NXDOMAIN can
// be remembered for its ttl, and says so in the way resolvers read.
func TestFailRcodes(t *testing.T) {
	p := newPlace(t)
	for rcode, want := range map[fault.Rcode]int{
		fault.ServFail: dns.RcodeServerFailure, fault.NXDomain: dns.RcodeNameError, fault.Refused: dns.RcodeRefused,
	} {
		c := p.arm(p.fault(fault.DNSFail, func(q fault.Params) {
			q.(*fault.DNSFailure).Rcode, q.(*fault.DNSFailure).TTL = rcode, fault.Duration(7*time.Second)
		}))
		before := p.up.seen.Load()
		a := p.ask("udp", "x.AUTH.test.", dns.TypeMX, patience, edns(1232, false))
		if a.Rcode != want || len(a.Answer) != 0 || p.up.seen.Load() != before || !a.RecursionAvailable {
			t.Errorf("%s:\n%s", rcode, a)
		}
		ede := slices.ContainsFunc(a.IsEdns0().Option, func(o dns.EDNS0) bool {
			e, ok := o.(*dns.EDNS0_EDE)
			return ok && e.ExtraText == "chaosctl: dns.fail"
		})
		if !ede {
			t.Errorf("%s does not say whose it is:\n%s", rcode, a)
		}
		if rcode == fault.NXDomain {
			soa, ok := a.Ns[0].(*dns.SOA)
			if !ok || soa.Hdr.Name != "AUTH.test." || soa.Hdr.Ttl != 7 || soa.Minttl != 7 {
				t.Errorf("the authority is %v", a.Ns)
			}
		} else if len(a.Ns) != 0 {
			t.Errorf("%s comes with %v", rcode, a.Ns)
		}
		if r := p.receipt(c); r != (fault.Receipt{Unit: fault.Query, Matched: 1, Injected: 1}) {
			t.Errorf("%+v", r)
		}
		p.lift(c)
	}
	if a := p.ask("udp", "x.AUTH.test.", dns.TypeA, patience); len(a.Answer) != 1 {
		t.Errorf("after the lift:\n%s", a)
	}
}
