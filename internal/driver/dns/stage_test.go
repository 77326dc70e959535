package dns_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	driverdns "github.com/chaosctl/chaosctl/internal/driver/dns"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

func TestMain(m *testing.M) {
	before := descriptors()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if after := descriptors(); code == 0 && after > before {
			os.Stderr.WriteString("descriptors leak: " + strconv.Itoa(before) + " before, " + strconv.Itoa(after) + " after\n")
			code = 1
		}
		os.Exit(code)
	}))
}

// descriptors are the sockets that this process has open; 0 where that cannot be
// told.
func descriptors() int {
	n := 0
	list, _ := os.ReadDir("/proc/self/fd")
	for _, e := range list {
		if to, _ := os.Readlink("/proc/self/fd/" + e.Name()); strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

// cases has one entry per kind, added by the kind's own file.
var cases = map[string]drivertest.Case{}

func contract(k *fault.Kind, c drivertest.Case) bool {
	cases[k.Name] = c
	return true
}

func TestContract(t *testing.T) {
	drivertest.Run(t, drivertest.Suite{
		New:   func(t *testing.T) driver.Driver { return driverdns.New(nil) },
		Cases: cases,
	})
}

const (
	// patience bounds waits; delay is the size of effects, and more than an unhurt
	// query takes on a loaded machine.
	patience = 20 * time.Second
	delay    = 300 * time.Millisecond

	name  = "auth.test."
	truth = "192.0.2.10"
)

// upstream is a real server that answers in truth.
type upstream struct {
	addr string
	udp  *dns.Server
	tcp  *dns.Server
	seen atomic.Int64
	mute atomic.Bool // swallows everything
	long bool        // cuts nothing
}

// newUpstream serves by UDP and TCP on one port.
func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{}
	for try := 0; ; try++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			l.Close()
			if try > 20 {
				t.Fatal(err)
			}
			continue
		}
		u.addr = l.Addr().String()
		u.udp, u.tcp = serveDNS(t, u, &dns.Server{PacketConn: pc}), serveDNS(t, u, &dns.Server{Listener: l})
		return u
	}
}

// serveDNS runs a server until the test is over.
func serveDNS(t testing.TB, u *upstream, s *dns.Server) *dns.Server {
	t.Helper()
	up := make(chan struct{})
	s.Handler, s.NotifyStartedFunc, s.ReadTimeout = u, func() { close(up) }, patience
	s.MsgAcceptFunc = func(dns.Header) dns.MsgAcceptAction { return dns.MsgAccept }
	over := make(chan error, 1)
	go func() { over <- s.ActivateAndServe() }()
	<-up
	t.Cleanup(func() {
		s.Shutdown()
		<-over
	})
	return s
}

// ServeDNS answers for zone test; what is strange is written by hand.
func (u *upstream) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	u.seen.Add(1)
	if u.mute.Load() {
		return
	}
	m := truthFor(req)
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && !u.long {
		size := dns.MinMsgSize
		if o := req.IsEdns0(); o != nil {
			size = int(o.UDPSize())
		}
		m.Truncate(size)
	}
	w.WriteMsg(m)
}

// truthFor is what upstreams answer.
func truthFor(req *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	m.SetReply(req)
	m.RecursionAvailable = true
	o := req.IsEdns0()
	if o != nil {
		m.SetEdns0(4096, o.Do())
	}
	if len(req.Question) != 1 {
		m.Rcode = dns.RcodeFormatError
		return m
	}
	q := req.Question[0]
	rr := func(text string) dns.RR {
		r, err := dns.NewRR(q.Name + " 60 IN " + text)
		if err != nil {
			panic(err)
		}
		return r
	}
	switch lower := strings.ToLower(q.Name); {
	case lower == "missing.test.":
		m.Rcode = dns.RcodeNameError
	case q.Qtype == dns.TypeA:
		m.Answer = append(m.Answer, rr("A "+truth))
	case q.Qtype == dns.TypeAAAA:
		m.Answer = append(m.Answer, rr("AAAA 2001:db8::10"))
	case q.Qtype == dns.TypeTXT:
		for i := range 40 {
			m.Answer = append(m.Answer, rr("TXT "+strconv.Itoa(i)+strings.Repeat("x", 100)))
		}
	case q.Qtype == dns.TypeMX:
		m.Answer = append(m.Answer, rr("MX 10 mail.test."), rr("MX 20 MAIL2.test."))
	case q.Qtype == 65280:
		m.Answer = append(m.Answer, &dns.RFC3597{Hdr: dns.RR_Header{Name: q.Name, Rrtype: 65280, Class: 1, Ttl: 1}, Rdata: "00ff17"})
	}
	if o != nil && o.Do() && len(m.Answer) > 0 {
		m.Answer = append(m.Answer, rr("RRSIG A 8 2 60 20300101000000 20200101000000 1 test. c2lnbmF0dXJl"))
		m.AuthenticatedData = true
	}
	return m
}

// place is a resolver with its upstream and its driver.
type place struct {
	testing.TB
	up       *upstream
	resolver *driverdns.Resolver
	driver   *driverdns.Driver
	addr     string
}

const listenOn = "127.0.0.1:0"

func newPlace(t testing.TB) *place {
	t.Helper()
	up := newUpstream(t)
	return placeOn(t, up, driverdns.Options{Upstreams: []string{up.addr}})
}

func placeOn(t testing.TB, up *upstream, o driverdns.Options) *place {
	t.Helper()
	o.Listen = listenOn
	r, err := driverdns.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return &place{t, up, r, driverdns.New(r), r.Addr()}
}

// fault makes a fault on the names of the service.
func (p *place) fault(k *fault.Kind, set func(fault.Params)) fault.Fault {
	params := k.New()
	if set != nil {
		set(params)
	}
	return fault.Fault{
		Kind: k.Name, Target: fault.Target{Service: "auth"}, Params: params,
		At: &fault.Placed{Resolver: &fault.Resolver{Listen: listenOn, Service: "auth", Names: []string{"auth.test", "*.auth.test"}}},
	}
}

func (p *place) arm(f fault.Fault) driver.Change {
	p.Helper()
	c, err := p.driver.Plan(context.Background(), f)
	if err != nil {
		p.Fatal(err)
	}
	c.ID, c.Seed = rand.Text(), 7
	if err := p.driver.Apply(context.Background(), c); err != nil {
		p.Fatal(err)
	}
	return c
}

func (p *place) lift(c driver.Change) {
	p.Helper()
	if err := p.driver.Revert(context.Background(), c); err != nil {
		p.Fatal(err)
	}
}

func (p *place) receipt(c driver.Change) fault.Receipt {
	p.Helper()
	s, err := p.driver.Inspect(context.Background(), c)
	if err != nil {
		p.Fatal(err)
	}
	return s.Receipt
}

// ask asks with a real client; nil if there was no answer in time.
func (p *place) ask(network, qname string, qtype uint16, within time.Duration, more ...func(*dns.Msg)) *dns.Msg {
	p.Helper()
	m := new(dns.Msg)
	m.SetQuestion(qname, qtype)
	for _, f := range more {
		f(m)
	}
	c := &dns.Client{Net: network, Timeout: within}
	a, _, err := c.Exchange(m, p.addr)
	if err == nil {
		return a
	}
	if ne, ok := err.(net.Error); !ok || !ne.Timeout() {
		p.Fatalf("%s %s by %s: %v", qname, dns.Type(qtype), network, err)
	}
	return nil
}

func edns(size uint16, do bool) func(*dns.Msg) { return func(m *dns.Msg) { m.SetEdns0(size, do) } }

// raw sends bytes and returns what comes back.
func raw(t testing.TB, network, addr string, query []byte) []byte {
	t.Helper()
	c, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if network == "tcp" {
		query = append(binary.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	}
	if _, err := c.Write(query); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65535)
	if network == "udp" {
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	if _, err := io.ReadFull(c, buf[:2]); err != nil {
		t.Fatal(err)
	}
	a := buf[:binary.BigEndian.Uint16(buf)]
	if _, err := io.ReadFull(c, a); err != nil {
		t.Fatal(err)
	}
	return a
}

// felt makes a Felt that asks by UDP and by TCP; both must agree.
func (p *place) felt(hurt func(a *dns.Msg, took time.Duration) bool, within time.Duration) func(*testing.T) bool {
	return func(t *testing.T) bool {
		t.Helper()
		var seen [2]bool
		for i, network := range []string{"udp", "tcp"} {
			start := time.Now()
			a := p.ask(network, name, dns.TypeA, within)
			seen[i] = hurt(a, time.Since(start))
		}
		return seen[0] && seen[1]
	}
}

func (p *place) world(f fault.Fault, felt func(*testing.T) bool) *drivertest.World {
	return &drivertest.World{Driver: p.driver, Fault: f, Felt: felt}
}

// addresses are those of an answer.
func addresses(a *dns.Msg) (list []string) {
	for _, rr := range a.Answer {
		switch r := rr.(type) {
		case *dns.A:
			list = append(list, r.A.String())
		case *dns.AAAA:
			ip, _ := netip.AddrFromSlice(r.AAAA)
			list = append(list, ip.String())
		}
	}
	return list
}
