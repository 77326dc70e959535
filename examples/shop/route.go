package shop

import (
	"context"
	"net"
	"sync"
	"time"
)

// route is the near end of an edge: it dials the address that is set.
type route struct {
	mu      sync.Mutex
	address string
	changed []func() // closes what is idle on the old address
	closed  bool
	next    int
	dials   map[int]context.CancelFunc // under way
}

func newRoute(address string) *route {
	return &route{address: address, dials: map[int]context.CancelFunc{}}
}

// onChange registers what is to be done after each set.
func (r *route) onChange(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = append(r.changed, f)
}

func (r *route) set(address string) {
	r.mu.Lock()
	r.address = address
	changed := r.changed
	r.mu.Unlock()
	for _, f := range changed {
		f()
	}
}

// dial connects to the address within two seconds; it ends with ctx and with
// Close. (net/http goes on dialling when the request is gone.)
func (r *route) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	r.mu.Lock()
	address, n := r.address, r.next
	r.next++
	if r.closed {
		cancel()
	}
	r.dials[n] = cancel
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.dials, n)
		r.mu.Unlock()
	}()
	var d net.Dialer
	return d.DialContext(ctx, "tcp", address)
}

// Close ends the dials under way and all later ones.
func (r *route) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, cancel := range r.dials {
		cancel()
	}
	return nil
}
