package dns_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.DNSTimeout, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := newPlace(t)
	return p.world(p.fault(fault.DNSTimeout, nil), func(*testing.T) bool { return p.silent("udp") && p.silent("tcp") })
}})

// silent tells whether a query gets no answer although others do at once; on a
// machine that is too busy to tell it asks again.
func (p *place) silent(network string) bool {
	p.Helper()
	for {
		if a := p.ask(network, name, dns.TypeA, 2*delay); a != nil {
			return false
		}
		start := time.Now()
		if a := p.ask(network, "other.test.", dns.TypeA, patience); a != nil && time.Since(start) < delay/3 {
			return true
		}
	}
}

// A swallowed query leaves its connection open, and others on it are answered.
func TestTimeoutSparesOthersOnTheConnection(t *testing.T) {
	p := newPlace(t)
	p.arm(p.fault(fault.DNSTimeout, nil))
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	for _, n := range []string{name, "other.test."} {
		m := new(dns.Msg)
		m.SetQuestion(n, dns.TypeA)
		b, _ := m.Pack()
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
			t.Fatal(err)
		}
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	var a dns.Msg
	if err := a.Unpack(b); err != nil || a.Question[0].Name != "other.test." {
		t.Errorf("%v\n%s", err, &a)
	}
}
