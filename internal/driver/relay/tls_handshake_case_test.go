package relay_test

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.TLSHandshake, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p, conf := securePlace(t)
	return p.world(p.fault(fault.TLSHandshake, nil), func(t *testing.T) bool {
		err := p.shake(conf)
		if err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("not reset: %v", err)
		}
		return err != nil
	})
}})

func TestHandshakes(t *testing.T) {
	p, conf := securePlace(t)
	c := p.arm(p.fault(fault.TLSHandshake, func(q fault.Params) { q.(*fault.Handshake).How = fault.HandshakeClose }))
	if err := p.shake(conf); !errors.Is(err, io.EOF) {
		t.Errorf("not closed: %v", err)
	}
	p.lift(c)
	c = p.arm(p.fault(fault.TLSHandshake, func(q fault.Params) { q.(*fault.Handshake).How = fault.HandshakeStall }))
	shook := make(chan error, 1)
	go func() { shook <- p.shake(conf) }()
	select {
	case err := <-shook:
		t.Errorf("it did not stall: %v", err)
	case <-time.After(delay):
	}
	p.lift(c)
	if err := <-shook; err != nil {
		t.Errorf("after the lift: %v", err)
	}
}
