package relay_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
)

// udpPlace has a callee that echoes datagrams.
func udpPlace(t *testing.T) *place {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.(*net.UDPConn).SetReadBuffer(4 << 20)
	var all sync.WaitGroup
	all.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { c.Close() })
	return newPlace(t, experiment.UDP, c.LocalAddr().String())
}

// call opens a caller's socket.
func (p *place) call() *net.UDPConn {
	p.Helper()
	c, err := net.Dial("udp", p.addr)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { c.Close() })
	c.(*net.UDPConn).SetReadBuffer(4 << 20)
	return c.(*net.UDPConn)
}

// numbered is a datagram that says which one it is.
func numbered(i int) []byte {
	b := bytes.Repeat([]byte{0xa5}, 64)
	binary.BigEndian.PutUint32(b, uint32(i))
	return b
}

// volley sends n datagrams, a few at a time, and returns the echoes, as they came:
// as many as will says when nothing is under way any more, and those that nobody
// expects. Where fewer come than that, it gives up once none has come for a while.
func (p *place) volley(c *net.UDPConn, n int, will func() int, quiet time.Duration) [][]byte {
	p.Helper()
	const atATime = 32
	var got [][]byte
	b := make([]byte, 1<<16)
	read := func(within time.Duration) bool {
		c.SetReadDeadline(time.Now().Add(within))
		n, err := c.Read(b)
		if err == nil {
			got = append(got, slices.Clone(b[:n]))
		}
		return err == nil
	}
	for i := range n {
		if _, err := c.Write(numbered(i)); err != nil {
			p.Fatal(err)
		}
		if i%atATime == atATime-1 {
			for read(2 * time.Millisecond) {
			}
		}
	}
	for latest := time.Now(); len(got) < will() && time.Since(latest) < quiet; {
		if read(20 * time.Millisecond) {
			latest = time.Now()
		}
	}
	for read(20 * time.Millisecond) {
	}
	return got
}

// all says that each datagram is answered.
func all(n int) func() int { return func() int { return n } }

// receipt is one that adds up: it waits for the datagram that is just being decided on.
func (p *place) receipt(c driver.Change) fault.Receipt {
	p.Helper()
	for start := time.Now(); ; runtime.Gosched() {
		s, err := p.driver.Inspect(p.Context(), c)
		if err != nil {
			p.Fatal(err)
		}
		r := s.Receipt
		if r.Unit == fault.Datagram && r.Matched == r.Injected+r.Skipped {
			return r
		}
		if time.Since(start) > patience {
			p.Fatalf("the receipt is %+v", r)
		}
	}
}

// unhurt tells what is wrong with the echoes of n datagrams.
func unhurt(got [][]byte, n int) string {
	if len(got) != n {
		return "lost or doubled"
	}
	for i, b := range got {
		if !bytes.Equal(b, numbered(i)) {
			return "reordered or damaged"
		}
	}
	return ""
}

// few are enough to tell, also where a coin is thrown for each.
const few = 32

// hurts tells whether an effect shows in a few echoes; each time to a caller of its
// own, whom nothing late reaches.
func (p *place) hurts(felt func(got [][]byte, took time.Duration) bool) func(t *testing.T) bool {
	return func(t *testing.T) bool {
		c := p.call()
		defer c.Close()
		start := time.Now()
		got := p.volley(c, few, all(few), 2*delay)
		hurt := felt(got, time.Since(start))
		if why := unhurt(got, few); !hurt && why != "" {
			t.Errorf("%s although the effect is not felt", why)
		}
		return hurt
	}
}

// Whatever is not for datagrams is refused, with the reason.
func TestUDPRefuses(t *testing.T) {
	p := udpPlace(t)
	keep := p.fault(fault.NetRefuse, func(q fault.Params) { q.(*fault.Refuse).KeepOpen = true })
	requests := p.fault(fault.NetLoss, nil)
	requests.Match = &fault.Match{Path: "/x"}
	for name, c := range map[string]struct {
		f    fault.Fault
		says string
	}{
		"bytes":    {p.fault(fault.NetSlice, nil), "passes datagrams"},
		"requests": {p.fault(fault.HTTPStatus, func(q fault.Params) { q.(*fault.Status).Code = 503 }), "protocol: http"},
		"held":     {p.fault(fault.NetStall, nil), "passes datagrams"},
		"open":     {keep, "keepOpen"},
		"match":    {requests, "match"},
	} {
		_, err := p.driver.Plan(t.Context(), c.f)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	tcp := tcpPlace(t)
	for _, k := range []*fault.Kind{fault.NetDuplicate, fault.NetReorder} {
		if _, err := tcp.driver.Plan(t.Context(), tcp.fault(k, nil)); err == nil || !strings.Contains(err.Error(), "protocol: udp") {
			t.Errorf("%s on tcp: %v", k.Name, err)
		}
	}
	web := httpPlace(t)
	for _, k := range []*fault.Kind{fault.NetLoss, fault.NetCorrupt} {
		if _, err := web.driver.Plan(t.Context(), web.fault(k, nil)); err == nil || !strings.Contains(err.Error(), "protocol: tcp") {
			t.Errorf("%s on http: %v", k.Name, err)
		}
	}
}

// What is said of a UDP edge is about datagrams and sessions.
func TestUDPWords(t *testing.T) {
	p := udpPlace(t)
	for name, f := range map[string]fault.Fault{
		"latency":   p.fault(fault.NetLatency, func(q fault.Params) { q.(*fault.Latency).Delay = fault.Duration(delay) }),
		"bandwidth": p.fault(fault.NetBandwidth, func(q fault.Params) { q.(*fault.Bandwidth).Rate = 1e6 }),
		"loss":      p.fault(fault.NetLoss, nil),
		"corrupt":   p.fault(fault.NetCorrupt, nil),
		"duplicate": p.fault(fault.NetDuplicate, nil),
		"reorder":   p.fault(fault.NetReorder, nil),
		"blackhole": p.fault(fault.NetBlackhole, nil),
		"kill":      p.fault(fault.NetKill, nil),
		"refuse":    p.fault(fault.NetRefuse, nil),
		"cut":       p.fault(fault.NetPartition, nil),
		"cut to":    p.fault(fault.NetPartition, func(q fault.Params) { q.(*fault.Partition).Direction = fault.CutTo }),
		"cut from":  p.fault(fault.NetPartition, func(q fault.Params) { q.(*fault.Partition).Direction = fault.CutFrom }),
		"reject":    p.fault(fault.NetPartition, func(q fault.Params) { q.(*fault.Partition).Mode = fault.CutReject }),
	} {
		c, err := p.driver.Plan(t.Context(), f)
		if err != nil {
			t.Fatal(name, err)
		}
		for _, word := range []string{"connection", "bytes", "held", "dialled", "reset", "listens", "emulated"} {
			if strings.Contains(c.Touches+c.Undoes, word) {
				t.Errorf("%s: %q has %q, undone: %q", name, c.Touches, word, c.Undoes)
			}
		}
	}
}

// Kinds that act on all sorts of edges are felt on UDP ones, and only while they are
// in force; the receipt counts datagrams.
func TestUDPKinds(t *testing.T) {
	for name, k := range map[string]struct {
		kind *fault.Kind
		set  func(fault.Params)
		felt func(got [][]byte, took time.Duration) bool
		min  uint64
	}{
		"latency": {fault.NetLatency, func(q fault.Params) { q.(*fault.Latency).Delay = fault.Duration(delay) },
			func(got [][]byte, took time.Duration) bool { return took >= delay && len(got) == few }, few},
		"blackhole": {fault.NetBlackhole, nil, func(got [][]byte, _ time.Duration) bool { return len(got) == 0 }, few},
		"partition": {fault.NetPartition, nil, func(got [][]byte, _ time.Duration) bool { return len(got) == 0 }, few},
		"cut one way": {fault.NetPartition, func(q fault.Params) { q.(*fault.Partition).Direction = fault.CutFrom },
			func(got [][]byte, _ time.Duration) bool { return len(got) == 0 }, few},
	} {
		t.Run(name, func(t *testing.T) {
			p := udpPlace(t)
			felt := p.hurts(k.felt)
			if felt(t) {
				t.Error("felt before")
			}
			c := p.arm(p.fault(k.kind, k.set))
			if !felt(t) {
				t.Error("not felt")
			}
			r := p.receipt(c)
			p.lift(c)
			if felt(t) {
				t.Error("felt after the lift")
			}
			if r.Injected != k.min || p.receipt(c) != r {
				t.Errorf("%+v, then %+v", r, p.receipt(c))
			}
		})
	}
}

// A refused port is refused: callers whose sockets are connected see it, as if nobody
// had it, and the same port serves afterwards. Sessions end.
func TestUDPRefused(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a socket can be made to refuse on Linux only")
	}
	p := udpPlace(t)
	for _, q := range []fault.Fault{
		p.fault(fault.NetRefuse, nil),
		p.fault(fault.NetPartition, func(q fault.Params) { q.(*fault.Partition).Mode = fault.CutReject }),
	} {
		c := p.call()
		refused := func() bool {
			t.Helper()
			_, err := echoes(c, patience)
			if err != nil && !isRefusedText(err) {
				t.Fatal(err)
			}
			return err != nil
		}
		if refused() {
			t.Fatal("refused before")
		}
		change := p.arm(q)
		if !refused() {
			t.Error("not refused")
		}
		if got := p.set.Connections(""); len(got) != 0 {
			t.Errorf("sessions are open: %+v", got)
		}
		p.lift(change)
		if refused() {
			t.Error("refused after the lift")
		}
		if s, _ := p.driver.Inspect(t.Context(), change); s.Receipt.Unit != fault.Connection || s.Receipt.Injected < 2 {
			t.Errorf("%+v", s.Receipt)
		}
	}
}

// A session that is killed goes on from another port, as behind a NAT that forgets.
func TestUDPKill(t *testing.T) {
	p := udpPlace(t)
	c := p.call()
	if _, err := echoes(c, patience); err != nil {
		t.Fatal(err)
	}
	before := p.set.Connections("")
	change := p.arm(p.fault(fault.NetKill, nil))
	x := p.end()
	if len(x.Faults) != 1 || x.MessagesIn != 1 || x.MessagesOut != 1 || x.BytesIn != 1 || x.BytesOut != 1 || x.EndedBy != "relay" {
		t.Errorf("%+v", x)
	}
	if _, err := echoes(c, patience); err != nil {
		t.Fatal(err)
	}
	if after := p.set.Connections(""); len(before) != 1 || len(after) != 1 || before[0].ID == after[0].ID || after[0].Client != before[0].Client {
		t.Errorf("%+v, then %+v", before, after)
	}
	if s, _ := p.driver.Inspect(t.Context(), change); s.Receipt.Injected != 1 {
		t.Errorf("%+v", s.Receipt)
	}
}

// The modifiers of a fault are drawn for each datagram.
func TestUDPModifiers(t *testing.T) {
	const n = 500
	p := udpPlace(t)
	c := p.call()
	others := p.fault(fault.NetBlackhole, nil)
	others.Match = &fault.Match{Client: []string{"10.0.0.0/8"}}
	some := p.fault(fault.NetBlackhole, nil)
	some.Share, some.Match = 0.3, &fault.Match{Client: []string{"127.0.0.0/8"}}
	one := p.fault(fault.NetLatency, func(q fault.Params) {
		q.(*fault.Latency).Delay, q.(*fault.Latency).Direction = fault.Duration(time.Minute), fault.Request
	})
	one.MaxActive = 1
	first, second, third := p.arm(others), p.arm(some), p.arm(one)
	got := p.volley(c, n, func() int { return n - int(p.receipt(second).Injected) - 1 }, patience)
	if r := p.receipt(first); r.Matched != 0 {
		t.Errorf("of other callers: %+v", r)
	}
	// Both ways are drawn: nearly half is lost.
	if r := p.receipt(second); len(got) != n-int(r.Injected)-1 || r.Injected < 180 || r.Injected > 320 {
		t.Errorf("of %d %d came, share: %+v", n, len(got), r)
	}
	if r := p.receipt(third); r.Injected != 1 || r.Skipped != r.Matched-1 {
		t.Errorf("maxActive: %+v", r)
	}
}
