package relay_test

import (
	"crypto/rand"
	"io"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

// limit is a fault that lets so many bytes pass.
func (p *place) limit(bytes fault.Size, set func(*fault.Limit)) fault.Fault {
	return p.fault(fault.NetLimit, func(q fault.Params) {
		q.(*fault.Limit).Bytes = &bytes
		if set != nil {
			set(q.(*fault.Limit))
		}
	})
}

var _ = contract(fault.NetLimit, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := tcpPlace(t)
	return p.world(p.limit(0, nil), func(t *testing.T) bool {
		c := p.dial()
		defer c.Close()
		_, err := echoes(c, patience)
		if isTimeout(err) {
			t.Fatal(err)
		}
		return err != nil
	})
}})

// Exactly so many bytes pass, and then both sides are closed.
func TestLimitIsExact(t *testing.T) {
	for _, size := range []int{1, 1000, 300_000} {
		p := tcpPlace(t)
		p.arm(p.limit(fault.Size(size), nil))
		conn := p.dial()
		defer conn.Close()
		go conn.Write(make([]byte, size+100_000))
		got, err := io.Copy(io.Discard, conn)
		if got != int64(size) || isTimeout(err) {
			t.Errorf("%d bytes passed, not %d (%v)", got, size, err)
		}
	}
}

// Each direction has its own count.
func TestLimitOfBothDirections(t *testing.T) {
	p := tcpPlace(t)
	p.arm(p.limit(100, func(q *fault.Limit) { q.Direction = fault.Both }))
	conn := p.dial()
	defer conn.Close()
	for range 99 {
		if _, err := echoes(conn, patience); err != nil {
			t.Fatal(err)
		}
	}
	conn.Write([]byte{1})
	ends(t, conn)
}

// A fault that takes the place of another goes on with its count.
func TestLimitIsInherited(t *testing.T) {
	p := tcpPlace(t)
	old := p.arm(p.limit(1000, nil))
	conn := p.dial()
	defer conn.Close()
	say := func(n int) error {
		conn.SetDeadline(deadline())
		if _, err := conn.Write(make([]byte, n)); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, n))
		return err
	}
	if err := say(900); err != nil {
		t.Fatal(err)
	}
	next := old
	next.ID, next.Fault = rand.Text(), p.limit(1200, nil)
	if err := p.driver.Update(t.Context(), old, next); err != nil {
		t.Fatal(err)
	}
	if err := say(300); err != nil {
		t.Errorf("not 300 of the 1200 bytes are left after 900: %v", err)
	}
	if err := say(1); err == nil {
		t.Error("the count began anew")
	}
}

// A connection lives for so long, whatever flows.
func TestLimitOfTime(t *testing.T) {
	p := tcpPlace(t)
	p.arm(p.fault(fault.NetLimit, func(q fault.Params) { q.(*fault.Limit).After = fault.Duration(delay) }))
	start := time.Now()
	conn := p.dial()
	defer conn.Close()
	for {
		if _, err := echoes(conn, patience); isTimeout(err) {
			t.Fatal(err)
		} else if err != nil {
			break
		}
	}
	if took := time.Since(start); took < delay {
		t.Errorf("it lived for %s", took)
	}
}
