package flawed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// policy is how a caller defends itself. The zero value has no defence at all;
// sound is one without a weakness.
type policy struct {
	attempts int // at most; 0 never gives up
	// wait before attempt n+1.
	wait func(n int, r *random) time.Duration
	// obeys Retry-After: waits as long at least.
	obeys bool
	// final: retries answers that will not change, too.
	final bool
	// unsafe: retries what must not be done twice, too.
	unsafe bool
	// keyed: sends an idempotency key with what must not be done twice.
	keyed bool
	// try is the time limit of an attempt, total that of a call; 0 is none.
	try, total time.Duration
	// deaf: goes on when its own caller has gone.
	deaf    bool
	breaker *breaker // nil lets everything through
	pool    *pool    // nil is without a limit
}

// sound is a policy without a weakness: three attempts with growing, random waits,
// all in less time than users wait.
func sound() policy {
	return policy{attempts: 3, wait: jittered(25*time.Millisecond, 120*time.Millisecond), obeys: true, try: time.Second, total: 4 * time.Second}
}

// once is sound, but makes one attempt.
func once() policy {
	p := sound()
	p.attempts = 1
	return p
}

// longestWait caps waits that grow.
const longestWait = 250 * time.Millisecond

// jittered waits grow to the double each time, and any part of each but for a
// minimum is random.
func jittered(least, first time.Duration) func(int, *random) time.Duration {
	return func(n int, r *random) time.Duration {
		return least + r.upTo(min(first<<min(n-1, 20), longestWait)-least)
	}
}

// doubled waits grow to the double each time.
func doubled(first time.Duration) func(int, *random) time.Duration {
	return func(n int, _ *random) time.Duration { return min(first<<min(n-1, 20), longestWait) }
}

// fixed waits are always the same.
func fixed(d time.Duration) func(int, *random) time.Duration {
	return func(int, *random) time.Duration { return d }
}

// caller is the near end of an edge.
type caller struct {
	policy
	system    *System
	callee    string
	transport *http.Transport
	random    *random
}

// calls makes the near end of an edge that the case has.
func (s *System) calls(from, to string, p policy) *caller {
	edge := Edge{from, to}.String()
	var d net.Dialer
	t := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			stop := context.AfterFunc(s.ctx, cancel) // net/http goes on dialling when the request is gone
			defer stop()
			return d.DialContext(ctx, network, s.addresses[edge])
		},
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}
	c := &caller{policy: p, system: s, callee: to, transport: t, random: s.random(edge)}
	s.callers = append(s.callers, c)
	return c
}

// answer is what a callee said.
type answer struct {
	status     int
	body       []byte
	retryAfter time.Duration
}

// item reads the answer as it should be.
func (a answer) item() (Item, error) {
	var it Item
	dec := json.NewDecoder(strings.NewReader(string(a.body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&it); err != nil {
		return it, fmt.Errorf("read the answer: %w", err)
	}
	if it.Name == "" || it.Price <= 0 {
		return it, errors.New("read the answer: it has no name or no price")
	}
	return it, nil
}

// get asks for a path on behalf of a request.
func (c *caller) get(r *http.Request, path string) (answer, error) {
	return c.call(r, http.MethodGet, path, "")
}

// call asks until there is an answer that counts, or until the policy gives up.
// An answer of any status is no error.
func (c *caller) call(r *http.Request, method, path, body string) (answer, error) {
	ctx := r.Context()
	if c.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	if c.total > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.total)
		defer cancel()
	}
	h := http.Header{}
	if trace := r.Header.Get("Traceparent"); trace != "" && c.system.options.IDs != None {
		h.Set("Traceparent", trace)
	}
	if c.keyed {
		h.Set("Idempotency-Key", c.random.key())
	}
	for n := 1; ; n++ {
		a, err := c.guarded(ctx, method, path, body, h)
		if !c.again(ctx, n, method, a, err) {
			return a, err
		}
		wait := c.wait(n, c.random)
		if c.obeys {
			wait += a.retryAfter
		}
		if pause(ctx, wait) != nil {
			return a, err
		}
	}
}

// again tells whether another attempt is made after attempt n ended so.
func (c *caller) again(ctx context.Context, n int, method string, a answer, err error) bool {
	switch {
	case n == c.attempts, ctx.Err() != nil, errors.Is(err, errOpen), errors.Is(err, errFull):
		return false
	case method != http.MethodGet && !c.keyed && !c.unsafe:
		return false
	case err != nil:
		return true
	}
	switch a.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return c.final && a.status >= 400
}

// guarded makes an attempt if pool and breaker let it through.
func (c *caller) guarded(ctx context.Context, method, path, body string, h http.Header) (answer, error) {
	if err := c.pool.enter(ctx); err != nil {
		return answer{}, err
	}
	defer c.pool.leave()
	probe, ok := c.breaker.allow()
	if !ok {
		return answer{}, errOpen
	}
	a, err := c.attempt(ctx, method, path, body, h)
	c.breaker.done(probe, err == nil && a.status < 500)
	return a, err
}

// attempt asks once.
func (c *caller) attempt(ctx context.Context, method, path, body string, h http.Header) (answer, error) {
	if c.try > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.try)
		defer cancel()
	}
	// net/http repeats by itself what a kept connection lost, without a wait, if it can
	// have the body again: it can not with a reader that it does not know.
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.callee+path, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		return answer{}, err
	}
	req.ContentLength = int64(len(body))
	req.Header = h.Clone()
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return answer{}, fmt.Errorf("ask %s: %w", c.callee, err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && s >= 0 {
		a.retryAfter = time.Duration(s) * time.Second
	}
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err != nil {
		return answer{}, fmt.Errorf("ask %s: %w", c.callee, err)
	}
	return a, nil
}

// pass answers with what a callee said, if that is an item; else with an error
// that says so.
func pass(w http.ResponseWriter, a answer, err error) {
	switch {
	case err != nil:
		refuse(w, http.StatusServiceUnavailable, err.Error())
	case a.status >= 500, a.status == http.StatusTooManyRequests:
		refuse(w, http.StatusServiceUnavailable, "a service that is needed does not answer")
	case a.status >= 400:
		refuse(w, a.status, "a service that is needed does not take the request")
	default:
		it, err := a.item()
		if err != nil {
			refuse(w, http.StatusBadGateway, err.Error())
			return
		}
		reply(w, http.StatusOK, it)
	}
}
