package dns_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/chaosctl/chaosctl/fault"
	driverdns "github.com/chaosctl/chaosctl/internal/driver/dns"
)

// dig runs the real dig.
func (p *place) dig(args ...string) string {
	p.Helper()
	path, err := exec.LookPath("dig")
	if err != nil {
		p.Skip("this machine has no dig")
	}
	host, port, _ := net.SplitHostPort(p.addr)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, append([]string{"-r", "@" + host, "-p", port, "+tries=1", "+time=15"}, args...)...).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "no servers could be reached") {
		p.Fatalf("dig %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func TestDig(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for _, way := range [][]string{{"+noedns"}, {"+edns=0"}, {"+tcp"}, {"+dnssec"}, {"+bufsize=512"}, {"+bufsize=4096", "+cdflag"}, {"+tcp", "+keepopen"}, {"+cookie"}, {"+subnet=192.0.2.0/24"}} {
		out := p.dig(append(way, "auth.test", "A")...)
		if !strings.Contains(out, "status: NOERROR") || !strings.Contains(out, truth) || strings.Contains(strings.ToLower(out), "malformed") {
			t.Errorf("dig %v:\n%s", way, out)
		}
	}
	// dig asks again by TCP when an answer is cut.
	if out := p.dig("+noedns", "big.test", "TXT"); !strings.Contains(out, "ANSWER: 40") {
		t.Errorf("dig for a long answer:\n%s", out)
	}
	for kind, says := range map[*fault.Kind][]string{
		fault.DNSFail:    {"status: SERVFAIL", "EDE", "chaosctl: dns.fail"},
		fault.DNSTimeout: {"no servers could be reached"},
		fault.DNSSpoof:   {"status: NOERROR", "EDE", "198.51.100.7"},
	} {
		c := p.arm(p.fault(kind, func(q fault.Params) {
			if l, ok := q.(*fault.DNSLie); ok {
				l.Answers = []string{"198.51.100.7"}
			}
		}))
		for _, way := range []string{"+notcp", "+tcp"} {
			args := []string{way, "auth.test", "A"}
			if kind == fault.DNSTimeout {
				args = append(args, "+time=1")
			}
			out := p.dig(args...)
			for _, s := range says {
				if !strings.Contains(out, s) {
					t.Errorf("%s: dig %s does not say %q:\n%s", kind.Name, way, s, out)
				}
			}
		}
		p.lift(c)
	}
}

// What Go programs see of each kind.
func TestGoResolver(t *testing.T) {
	p := newPlace(t)
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, p.addr)
	}}
	look := func(within time.Duration) ([]string, *net.DNSError) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		list, err := r.LookupHost(ctx, "auth.test.")
		if e, ok := err.(*net.DNSError); ok {
			return list, e
		} else if err != nil {
			t.Fatal(err)
		}
		return list, nil
	}
	if list, err := look(patience); err != nil || fmt.Sprint(list) != "["+truth+" 2001:db8::10]" {
		t.Errorf("%v, %v", list, err)
	}
	for about, c := range map[string]struct {
		kind *fault.Kind
		set  func(fault.Params)
		is   func([]string, *net.DNSError) bool
	}{
		"NXDOMAIN": {fault.DNSFail, func(q fault.Params) { q.(*fault.DNSFailure).Rcode = fault.NXDomain }, func(_ []string, e *net.DNSError) bool { return e != nil && e.IsNotFound }},
		"SERVFAIL": {fault.DNSFail, nil, func(_ []string, e *net.DNSError) bool { return e != nil && e.IsTemporary && !e.IsNotFound }},
		"nothing":  {fault.DNSSpoof, nil, func(_ []string, e *net.DNSError) bool { return e != nil && e.IsNotFound }},
		"spoofed":  {fault.DNSSpoof, lie("198.51.100.7"), func(l []string, e *net.DNSError) bool { return fmt.Sprint(l) == "[198.51.100.7]" }},
		"timeout":  {fault.DNSTimeout, nil, func(_ []string, e *net.DNSError) bool { return e != nil && e.IsTimeout }},
	} {
		ch := p.arm(p.fault(c.kind, c.set))
		within := patience
		if c.kind == fault.DNSTimeout {
			within = 2 * delay
		}
		if list, err := look(within); !c.is(list, err) {
			t.Errorf("%s: %v, %+v", about, list, err)
		}
		p.lift(ch)
	}
}

// Messages that are no queries get a short error or nothing, and do no harm.
func TestMalformed(t *testing.T) {
	p := newPlace(t)
	p.arm(p.fault(fault.DNSFail, nil))
	good := queries(t)["A"]
	with := func(change func(b []byte)) []byte {
		b := bytes.Clone(good)
		change(b)
		return b
	}
	for about, c := range map[string]struct {
		query []byte
		rcode int
	}{
		"no question":       {with(func(b []byte) { b[5] = 0 }), dns.RcodeFormatError},
		"two questions":     {with(func(b []byte) { b[5] = 2 }), dns.RcodeFormatError},
		"header alone":      {good[:12], dns.RcodeFormatError},
		"cut in the name":   {good[:15], dns.RcodeFormatError},
		"cut in the type":   {good[:len(good)-3], dns.RcodeFormatError},
		"pointer to itself": {append(bytes.Clone(good[:12]), 0xc0, 12, 0, 1, 0, 1), dns.RcodeFormatError},
		"long label":        {append(bytes.Clone(good[:12]), 0x7f, 'a', 0, 0, 1, 0, 1), dns.RcodeFormatError},
		"update":            {with(func(b []byte) { b[2] = 5 << 3 }), dns.RcodeNotImplemented},
		"transfer":          {with(func(b []byte) { b[len(b)-3] = 252 }), dns.RcodeNotImplemented},
		"a record cut":      {append(with(func(b []byte) { b[11] = 1 }), 0, 0, 41, 4), dns.RcodeFormatError},
	} {
		for _, network := range []string{"udp", "tcp"} {
			a := raw(t, network, p.addr, c.query)
			if len(a) > len(c.query) || a[0] != c.query[0] || a[1] != c.query[1] || a[2]&0x80 == 0 || int(a[3]&0xf) != c.rcode {
				t.Errorf("%s by %s: %x is answered with %x", about, network, c.query, a)
			}
		}
	}
	c, err := net.Dial("udp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, silent := range [][]byte{{}, {1}, good[:11], with(func(b []byte) { b[2] |= 0x80 })} {
		c.Write(silent)
	}
	c.Write(with(func(b []byte) { b[0], b[1] = 0xab, 0xcd }))
	c.SetDeadline(time.Now().Add(patience))
	b := make([]byte, 512)
	if n, err := c.Read(b); err != nil || n < 12 || b[0] != 0xab || b[1] != 0xcd {
		t.Errorf("something else was answered first: %x, %v", b[:n], err)
	}
}

// Queries may be piped on one connection; half-closing it loses none.
func TestPipedQueries(t *testing.T) {
	p := newPlace(t)
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	const n = 300
	go func() {
		for i := range n {
			m := new(dns.Msg)
			m.SetQuestion(name, dns.TypeA)
			m.Id = uint16(i)
			b, _ := m.Pack()
			b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
			c.Write(b[:5]) // a frame may come in pieces
			c.Write(b[5:])
		}
		c.(*net.TCPConn).CloseWrite()
	}()
	seen := map[uint16]bool{}
	for range n {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			t.Fatalf("after %d answers: %v", len(seen), err)
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatal(err)
		}
		seen[binary.BigEndian.Uint16(b)] = true
	}
	if len(seen) != n {
		t.Errorf("%d of %d queries were answered", len(seen), n)
	}
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the connection ends with %v", err)
	}
}

// Thousands of queries at the same time: each is answered, some by a fault, the
// receipt counts what callers count, and nothing stays behind (see TestMain).
func TestLoad(t *testing.T) {
	p := newPlace(t)
	half := p.fault(fault.DNSSpoof, lie("198.51.100.7"))
	half.Share = 0.5
	c := p.arm(half)
	const callers, each = 100, 50
	var all sync.WaitGroup
	var mu sync.Mutex
	spoofed, answered := 0, 0
	for i := range callers {
		all.Go(func() {
			network := []string{"udp", "udp", "tcp"}[i%3]
			for range each {
				var a *dns.Msg
				for a == nil { // UDP may lose it
					a = p.ask(network, name, dns.TypeA, patience/4)
				}
				mu.Lock()
				answered++
				if addresses(a)[0] != truth {
					spoofed++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	r := p.receipt(c)
	if answered != callers*each || r.Matched < uint64(answered) || r.Injected+r.Skipped != r.Matched {
		t.Errorf("%d answers, receipt %+v", answered, r)
	}
	if r.Matched == uint64(answered) && r.Injected != uint64(spoofed) {
		t.Errorf("%d spoofed answers, receipt %+v", spoofed, r)
	}
	if spoofed < answered/3 || spoofed > 2*answered/3 {
		t.Errorf("%d of %d were spoofed, at a share of a half", spoofed, answered)
	}
}

// Five thousand queries wait at the same time; each is answered after the lift.
func TestThousandsWait(t *testing.T) {
	p := newPlace(t)
	c := p.arm(p.fault(fault.DNSDelay, wait(time.Hour)))
	const conns, piped = 50, 100
	q := queries(t)["A"]
	q = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	var all sync.WaitGroup
	answers := make(chan int, conns)
	for range conns {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(patience))
		if _, err := conn.Write(bytes.Repeat(q, piped)); err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			n := 0
			var size [2]byte
			for n < piped {
				if _, err := io.ReadFull(conn, size[:]); err != nil {
					break
				}
				if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint16(size[:]))); err != nil {
					break
				}
				n++
			}
			answers <- n
		})
	}
	for start := time.Now(); p.receipt(c).Injected < conns*piped; time.Sleep(time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatalf("%+v", p.receipt(c))
		}
	}
	p.lift(c)
	all.Wait()
	sum := 0
	for range conns {
		sum += <-answers
	}
	if s := p.resolver.Status(); sum != conns*piped || s.Lost != 0 || s.Unanswered != 0 {
		t.Errorf("%d answers, %+v", sum, s)
	}
}

// Closing waits for nobody: what waits or is asked ends at once.
func TestCloseEndsAll(t *testing.T) {
	up := newUpstream(t)
	p := placeOn(t, up, driverdns.Options{Upstreams: []string{up.addr}})
	p.arm(p.fault(fault.DNSDelay, wait(time.Hour)))
	up.mute.Store(true)
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := queries(t)["A"]
	c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...))
	for p.resolver.Status().Queries == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := p.resolver.Close(); err != nil {
		t.Error(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	if n, _ := c.Read(make([]byte, 1)); n != 0 {
		t.Error("it was answered")
	}
}

// A query that a delay has held until the close is still answered.
func TestCloseAnswersWhatWasHeld(t *testing.T) {
	p := newPlace(t)
	p.arm(p.fault(fault.DNSDelay, wait(time.Hour)))
	for _, network := range []string{"udp", "tcp"} {
		c, err := net.Dial(network, p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		q := queries(t)["A"]
		if network == "tcp" {
			q = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
		}
		for before := p.resolver.Status().Queries; p.resolver.Status().Queries == before; time.Sleep(time.Millisecond) {
			c.Write(q)
		}
		defer func() {
			c.SetDeadline(time.Now().Add(patience))
			if n, err := c.Read(make([]byte, 512)); n == 0 {
				t.Errorf("%s: not answered: %v", network, err)
			}
		}()
	}
	if err := p.resolver.Close(); err != nil {
		t.Error(err)
	}
}

// A caller by TCP that is gone is not waited for: its place under maxActive is free
// again.
func TestGoneCallersAreLetGo(t *testing.T) {
	p := newPlace(t)
	f := p.fault(fault.DNSDelay, wait(time.Hour))
	f.MaxActive = 1
	c := p.arm(f)
	q := queries(t)["A"]
	q = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	for hurt := uint64(1); hurt <= 3; hurt++ {
		for start := time.Now(); p.receipt(c).Injected < hurt; {
			if time.Since(start) > patience {
				t.Fatalf("the place is taken: %+v", p.receipt(c))
			}
			conn, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			before := p.receipt(c).Matched
			conn.Write(q)
			for p.receipt(c).Matched == before {
				time.Sleep(time.Millisecond)
			}
			conn.(*net.TCPConn).SetLinger(0) // a reset
			conn.Close()
		}
	}
}

// It listens wherever the topology says, and answers from there.
func TestListensAnywhere(t *testing.T) {
	up := newUpstream(t)
	for listen, call := range map[string]string{"localhost:0": "127.0.0.1", "0.0.0.0:0": "127.0.0.1", "[::1]:0": "::1", "[::]:0": "::1"} {
		r, err := driverdns.Open(context.Background(), driverdns.Options{Listen: listen, Upstreams: []string{up.addr}})
		if err != nil {
			if strings.Contains(listen, "::") {
				t.Logf("no IPv6 here: %v", err)
				continue
			}
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(r.Addr())
		p := &place{TB: t, resolver: r, addr: net.JoinHostPort(call, port)}
		for _, network := range []string{"udp", "tcp"} {
			if a := p.ask(network, name, dns.TypeA, patience); a == nil || len(addresses(a)) != 1 {
				t.Errorf("%s by %s: %v", listen, network, a)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
