package dns_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	driverdns "github.com/chaosctl/chaosctl/internal/driver/dns"
)

func TestPlanRefuses(t *testing.T) {
	p := newPlace(t)
	good := p.fault(fault.DNSFail, nil)
	with := func(change func(*fault.Fault)) fault.Fault {
		f := p.fault(fault.DNSFail, nil)
		change(&f)
		return f
	}
	for about, c := range map[string]struct {
		driver *driverdns.Driver
		fault  fault.Fault
		is     error
	}{
		"no resolver":           {driverdns.New(nil), good, driver.ErrNoTarget},
		"another resolver":      {p.driver, with(func(f *fault.Fault) { f.At.Resolver.Listen = "127.0.0.1:1" }), driver.ErrNoTarget},
		"on an edge":            {p.driver, with(func(f *fault.Fault) { f.At = &fault.Placed{Relay: &fault.RelayEdge{From: "a", To: "b"}} }), driver.ErrNoTarget},
		"another driver's kind": {p.driver, with(func(f *fault.Fault) { f.Kind = "net.reset" }), driver.ErrUnsupported},
		"another kind's params": {p.driver, with(func(f *fault.Fault) { f.Params = &fault.DNSLie{} }), nil},
		"no such rcode":         {p.driver, with(func(f *fault.Fault) { f.Params = &fault.DNSFailure{Rcode: "NOTZONE"} }), nil},
		"match":                 {p.driver, with(func(f *fault.Fault) { f.Match = &fault.Match{Client: []string{"127.0.0.1"}} }), driver.ErrUnsupported},
		"a name":                {p.driver, with(func(f *fault.Fault) { f.At.Resolver.Names = []string{"a b"} }), nil},
	} {
		if _, err := c.driver.Plan(context.Background(), c.fault); err == nil || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", about, err)
		}
	}
	c, err := p.driver.Plan(context.Background(), good)
	if err != nil {
		t.Fatal(err)
	}
	c.ID, c.Protect = "protected", []fault.Match{{Path: "/pay"}}
	if err := p.driver.Apply(context.Background(), c); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("requests are protected: %v", err)
	}
}

func TestPlanSaysItInWords(t *testing.T) {
	p := newPlace(t)
	f := p.fault(fault.DNSFail, func(q fault.Params) {
		q.(*fault.DNSFailure).Rcode, q.(*fault.DNSFailure).Types = fault.NXDomain, []fault.QueryType{"A", "AAAA"}
	})
	f.Share, f.MaxActive = 0.2, 3
	c, err := p.driver.Plan(context.Background(), f)
	want := "queries for auth.test, *.auth.test on the resolver (" + p.addr + ") are answered with NXDOMAIN, 20% of those for A and AAAA, at most 3 at a time"
	if err != nil || c.Touches != want || c.Undoes != "the effect is taken out of the resolver; callers may remember the failure for 1s" || !c.Volatile {
		t.Errorf("%q, %q, %v", c.Touches, c.Undoes, err)
	}
}

// Names, types and class choose who is hurt; the rest passes, and is not counted.
func TestWhomItHurts(t *testing.T) {
	p := newPlace(t)
	c := p.arm(p.fault(fault.DNSFail, func(q fault.Params) { q.(*fault.DNSFailure).Types = []fault.QueryType{"A", "TYPE65280"} }))
	chaos := func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }
	for _, q := range []struct {
		name  string
		qtype uint16
		more  func(*dns.Msg)
		hurt  bool
	}{
		{name: "auth.test.", qtype: dns.TypeA, hurt: true},
		{name: "AUTH.TEST.", qtype: 65280, hurt: true},
		{name: "a.b.auth.test.", qtype: dns.TypeA, hurt: true},
		{name: "auth.test.", qtype: dns.TypeAAAA},
		{name: "test.", qtype: dns.TypeA},
		{name: "xauth.test.", qtype: dns.TypeA},
		{name: `x\.auth.test.`, qtype: dns.TypeA},
		{name: "auth.test.example.", qtype: dns.TypeA},
		{name: "auth.test.", qtype: dns.TypeA, more: chaos},
	} {
		more := []func(*dns.Msg){}
		if q.more != nil {
			more = append(more, q.more)
		}
		a := p.ask("udp", q.name, q.qtype, patience, more...)
		if (a.Rcode == dns.RcodeServerFailure) != q.hurt {
			t.Errorf("%+v:\n%s", q, a)
		}
	}
	if r := p.receipt(c); r != (fault.Receipt{Unit: fault.Query, Matched: 3, Injected: 3}) {
		t.Errorf("%+v", r)
	}
}

// maxActive spares what comes while as many are hurt; the same seed hits the same.
func TestModifiers(t *testing.T) {
	p := newPlace(t)
	f := p.fault(fault.DNSDelay, wait(time.Hour))
	f.MaxActive = 1
	c := p.arm(f)
	first := make(chan struct{})
	go func() {
		defer close(first)
		p.ask("udp", name, dns.TypeA, patience)
	}()
	for p.receipt(c).Injected == 0 {
		time.Sleep(time.Millisecond)
	}
	if a := p.ask("udp", name, dns.TypeA, patience); a == nil || len(addresses(a)) != 1 {
		t.Error("a second query is hurt")
	}
	if r := p.receipt(c); r != (fault.Receipt{Unit: fault.Query, Matched: 2, Injected: 1, Skipped: 1}) {
		t.Errorf("%+v", r)
	}
	p.lift(c)
	<-first
	draws := func() (hit []bool) {
		f := p.fault(fault.DNSFail, nil)
		f.Share = 0.5
		c := p.arm(f)
		defer p.lift(c)
		for range 20 {
			hit = append(hit, p.ask("udp", name, dns.TypeA, patience).Rcode == dns.RcodeServerFailure)
		}
		return hit
	}
	one, two := draws(), draws()
	if !slices.Equal(one, two) || !slices.Contains(one, true) || !slices.Contains(one, false) {
		t.Errorf("%v\n%v", one, two)
	}
}

// A pulse comes and goes; what it holds goes on when it goes.
func TestPulse(t *testing.T) {
	p := newPlace(t)
	f := p.fault(fault.DNSDelay, wait(time.Hour))
	f.Pulse = &fault.Pulse{On: fault.Duration(time.Second), Off: fault.Duration(time.Hour)}
	c := p.arm(f)
	if a := p.ask("udp", name, dns.TypeA, patience); a == nil || len(addresses(a)) != 1 {
		t.Errorf("%v", a)
	}
	r := p.receipt(c)
	if r.Injected > 1 || r.Injected != r.Matched {
		t.Errorf("%+v", r)
	}
	if a := p.ask("udp", name, dns.TypeA, patience); a == nil || p.receipt(c) != r {
		t.Errorf("while it is off: %+v, before %+v", p.receipt(c), r)
	}
}

// Update leaves no gap, and the first change is over.
func TestUpdate(t *testing.T) {
	p := newPlace(t)
	old := p.arm(p.fault(fault.DNSFail, nil))
	fresh, err := p.driver.Plan(context.Background(), p.fault(fault.DNSSpoof, lie("198.51.100.7")))
	if err != nil {
		t.Fatal(err)
	}
	fresh.ID = "fresh"
	over := make(chan struct{})
	stop := make(chan struct{})
	go func() {
		defer close(over)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if a := p.ask("udp", name, dns.TypeA, patience); a.Rcode == dns.RcodeSuccess && addresses(a)[0] == truth {
				t.Error("there was a gap")
				return
			}
		}
	}()
	if err := p.driver.Update(context.Background(), old, fresh); err != nil {
		t.Fatal(err)
	}
	close(stop)
	<-over
	if s, _ := p.driver.Inspect(context.Background(), old); s.InForce {
		t.Error("both are in force")
	}
	if a := p.ask("udp", name, dns.TypeA, patience); addresses(a)[0] != "198.51.100.7" {
		t.Errorf("%s", a)
	}
	fresh.Until = time.Now().Add(-time.Second)
	fresh.ID = "late"
	if err := p.driver.Apply(context.Background(), fresh); err == nil || !strings.Contains(err.Error(), "lease") {
		t.Errorf("a change whose lease is over is applied: %v", err)
	}
}
