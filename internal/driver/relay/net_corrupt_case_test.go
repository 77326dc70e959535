package relay_test

import (
	"bytes"
	"io"
	"math/bits"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

// flipped counts the bits in which two texts differ.
func flipped(a, b []byte) (n int) {
	for i := range a {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n
}

func damaging(rate fault.Chance, bits int) func(fault.Params) {
	return func(q fault.Params) {
		c := q.(*fault.Corrupt)
		c.Rate, c.Bits, c.Direction = rate, bits, fault.Response
	}
}

var _ = contract(fault.NetCorrupt, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := udpPlace(t)
	felt := p.hurts(func(got [][]byte, _ time.Duration) bool { return unhurt(got, few) != "" })
	return p.world(p.fault(fault.NetCorrupt, damaging(1, 1)), felt)
}})

func TestDamagedAreCounted(t *testing.T) {
	const n, bits = 1000, 3
	p := udpPlace(t)
	change := p.arm(p.fault(fault.NetCorrupt, damaging(0.2, bits)))
	got := p.volley(p.call(), n, all(n), patience)
	damaged := 0
	for i, b := range got {
		switch flips := flipped(b, numbered(i)); flips {
		case 0:
		case bits:
			damaged++
		default:
			t.Errorf("%d bits of a datagram are flipped", flips)
		}
	}
	if r := p.receipt(change); damaged != int(r.Injected) || len(got) != n || damaged < 120 || damaged > 280 {
		t.Errorf("%d of %d are damaged, the receipt says %+v", damaged, len(got), r)
	}
}

// A stream is damaged behind its first bytes, and keeps its length.
func TestDamagedStream(t *testing.T) {
	p := tcpPlace(t)
	f := p.fault(fault.NetCorrupt, func(q fault.Params) {
		damaging(0.5, 2)(q)
		q.(*fault.Corrupt).After = 64 << 10
	})
	plan, err := p.driver.Plan(t.Context(), f)
	if err != nil || !strings.Contains(plan.Touches, "emulated") {
		t.Fatalf("%q, %v", plan.Touches, err)
	}
	change := p.arm(f)
	c := p.dial()
	defer c.Close()
	want := bytes.Repeat([]byte{0x5a}, 1<<20)
	go c.Write(want)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	if n := flipped(got[:64<<10], want[:64<<10]); n != 0 {
		t.Errorf("%d bits are flipped in what is to be spared", n)
	}
	if n := flipped(got[64<<10:], want[64<<10:]); n < 300 {
		t.Errorf("%d bits are flipped behind it", n)
	}
	p.lift(change)
	if took, err := echoes(c, patience); err != nil {
		t.Error(took, err)
	}
}
