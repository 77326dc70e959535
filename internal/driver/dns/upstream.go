package dns

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	tryTime   = 3 * time.Second  // an upstream has this long if there is another one
	shunTime  = 10 * time.Second // one that failed is asked last for as long
	maxAsking = 512              // queries that are asked at the same time
)

// upstream is one resolver that answers in truth.
type upstream interface {
	// exchange returns the answer to a query as it came, cut if it came by another
	// way than the query and is too long for that.
	exchange(ctx context.Context, q *query) ([]byte, error)
	// close lets go of what waits for a query; queries under way go on.
	close()
}

// ranked is an upstream and whether it is well.
type ranked struct {
	upstream
	name string
	// shunned is until when it is asked last, in Unix nanoseconds.
	shunned atomic.Int64
}

// upstreams are all of a resolver.
type upstreams struct {
	patience time.Duration
	asking   chan struct{}
	given    []*ranked
	system   *system // in the place of given; nil if there are some
}

// newUpstreams reads the options. itself tells which address is the resolver's own.
func newUpstreams(o Options, itself func(address string) bool) (*upstreams, error) {
	u := &upstreams{patience: cmp.Or(o.Patience, defaultPatience), asking: make(chan struct{}, maxAsking)}
	roots := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(o.Roots) > 0 {
		roots.RootCAs = x509.NewCertPool()
		if !roots.RootCAs.AppendCertsFromPEM(o.Roots) {
			return nil, errors.New("resolver.ca holds no certificate; give PEM, or file:PATH")
		}
	}
	d := dialer(itself)
	if len(o.Upstreams) == 0 {
		u.system = &system{file: cmp.Or(o.System, "/etc/resolv.conf"), itself: itself, dialer: d}
		if _, err := u.system.upstreams(); err != nil {
			return nil, err
		}
		return u, nil
	}
	for _, s := range o.Upstreams {
		spec, err := experiment.ParseUpstream(s)
		if err != nil {
			return nil, fmt.Errorf("resolver.upstreams: %w", err)
		}
		if itself(spec.Address) {
			return nil, fmt.Errorf("resolver.upstreams: %s is the resolver itself, which would ask itself for ever; name another one", s)
		}
		r := &ranked{name: s}
		switch spec.Transport {
		case experiment.DoT:
			own := roots.Clone()
			own.ServerName = spec.Host
			r.upstream = newStream(&tls.Dialer{NetDialer: d, Config: own}, spec.Address)
		case experiment.DoH:
			r.upstream = newHTTPS(d, roots.Clone(), spec.URL)
		default:
			r.upstream = newPlain(d, spec.Address)
		}
		u.given = append(u.given, r)
	}
	return u, nil
}

// errItself: an upstream turns out to be the resolver.
var errItself = errors.New("it is the resolver itself; give upstreams by their IP addresses, others than its own")

// dialer makes connections to everybody but the resolver itself. It resolves the
// names of upstreams by the system's resolvers, on the same condition: a resolver
// that the system asks would have to ask the upstream for its own address.
func dialer(itself func(string) bool) *net.Dialer {
	control := func(_ context.Context, _, address string, _ syscall.RawConn) error {
		if itself(address) {
			return errItself
		}
		return nil
	}
	plain := &net.Dialer{ControlContext: control}
	return &net.Dialer{ControlContext: control, Resolver: &net.Resolver{PreferGo: true, Dial: plain.DialContext}}
}

// names are the upstreams as they were given or found.
func (u *upstreams) names() []string {
	var names []string
	list, _ := u.list()
	for _, r := range list {
		names = append(names, r.name)
	}
	return names
}

func (u *upstreams) list() ([]*ranked, error) {
	if u.system != nil {
		return u.system.upstreams()
	}
	return u.given, nil
}

func (u *upstreams) close() {
	list := u.given
	if u.system != nil {
		list = u.system.close()
	}
	for _, r := range list {
		r.upstream.close()
	}
}

// ask asks the upstreams one after the other until one answers, those that are
// well first. An error that an upstream answers with is an answer.
func (u *upstreams) ask(ctx context.Context, q *query) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, u.patience)
	defer cancel()
	select {
	case u.asking <- struct{}{}:
		defer func() { <-u.asking }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%d queries are asked already: %w", maxAsking, ctx.Err())
	}
	list, err := u.list()
	if err != nil {
		return nil, err
	}
	errs := []error{}
	for i, r := range byHealth(list) {
		a, err := r.try(ctx, q, i < len(list)-1)
		if err == nil {
			return a, nil
		}
		errs = append(errs, fmt.Errorf("upstream %s: %w", r.name, err))
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// byHealth puts those that failed lately last.
func byHealth(list []*ranked) []*ranked {
	if len(list) < 2 {
		return list
	}
	now := time.Now().UnixNano()
	shunned := func(r *ranked) int {
		if r.shunned.Load() > now {
			return 1
		}
		return 0
	}
	order := slices.Clone(list)
	slices.SortStableFunc(order, func(a, b *ranked) int { return shunned(a) - shunned(b) })
	return order
}

// try asks one upstream, for a short time if there are others to ask.
func (r *ranked) try(ctx context.Context, q *query, others bool) ([]byte, error) {
	if others {
		one, cancel := context.WithTimeout(ctx, tryTime)
		defer cancel()
		ctx = one
	}
	a, err := r.exchange(ctx, q)
	if err != nil {
		r.shunned.Store(time.Now().Add(shunTime).UnixNano())
		return nil, err
	}
	r.shunned.Store(0)
	return a, nil
}
