package dns_test

import (
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.DNSDelay, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := newPlace(t)
	return p.world(p.fault(fault.DNSDelay, wait(delay)), p.felt(func(a *dns.Msg, took time.Duration) bool {
		return a != nil && len(addresses(a)) == 1 && took >= delay
	}, patience))
}})

func wait(d time.Duration) func(fault.Params) {
	return func(q fault.Params) { q.(*fault.DNSWait).Delay = fault.Duration(d) }
}

// What waits goes on at the lift, and others do not wait with it.
func TestDelayEndsWithTheLift(t *testing.T) {
	p := newPlace(t)
	c := p.arm(p.fault(fault.DNSDelay, wait(time.Hour)))
	answered := make(chan *dns.Msg, 1)
	go func() { answered <- p.ask("udp", name, dns.TypeA, patience) }()
	for p.receipt(c).Injected == 0 {
		time.Sleep(time.Millisecond)
	}
	if a := p.ask("udp", "other.test.", dns.TypeA, patience); a == nil {
		t.Error("another name waits, too")
	}
	select {
	case <-answered:
		t.Error("it did not wait")
	default:
	}
	p.lift(c)
	if a := <-answered; a == nil || len(addresses(a)) != 1 {
		t.Errorf("after the lift: %v", a)
	}
}

// A delay comes before an error, whichever was put in force first.
func TestDelayComesFirst(t *testing.T) {
	p := newPlace(t)
	fail, late := p.arm(p.fault(fault.DNSFail, nil)), p.arm(p.fault(fault.DNSDelay, wait(delay)))
	start := time.Now()
	a := p.ask("udp", name, dns.TypeA, patience)
	if a.Rcode != dns.RcodeServerFailure || time.Since(start) < delay {
		t.Errorf("%s after %s", dns.RcodeToString[a.Rcode], time.Since(start))
	}
	if f, d := p.receipt(fail), p.receipt(late); f.Injected != 1 || d.Injected != 1 {
		t.Errorf("%+v, %+v", f, d)
	}
}
