//go:build !linux

package relay

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// stopListening closes the listener. The port is free for others meanwhile.
func stopListening(ln listener) error { return ln.Close() } // a shared one stays

// listenAgain tries for two seconds to get the address back.
func listenAgain(ctx context.Context, ln listener, addr string) (listener, error) {
	if _, shared := ln.(*doorLine); shared {
		return ln, nil
	}
	return reopen(ctx, addr)
}

// fillers: there is no way to make a listener deaf here.
type fillers struct{}

func (*fillers) fill(listener) error     { return errors.ErrUnsupported }
func (*fillers) stop()                   {}
func (*fillers) has(netip.AddrPort) bool { return false }

func fullQueue(listener) error { return nil }

// reopen listens at an address that was in use a moment ago.
func reopen(ctx context.Context, addr string) (listener, error) {
	var last error
	t := time.NewTimer(0)
	defer t.Stop()
	for range 40 { // two seconds
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), last)
		}
		l, err := listen(ctx, addr, false)
		if err == nil {
			return l, nil
		}
		last = err
		t.Reset(50 * time.Millisecond)
	}
	return nil, last
}

func listenBare(netip.AddrPort, func() (uint16, bool)) (listener, error) {
	return nil, errors.ErrUnsupported
}
