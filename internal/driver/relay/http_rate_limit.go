package relay

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.HTTPRateLimit,
	func(p *fault.RateLimit) relay.Effect { return newLimiter(*p) },
	func(p *fault.RateLimit) words {
		what := "requests on %s"
		if p.Rate != "" {
			what += " above " + string(p.Rate)
			if p.Scope == fault.PerClient {
				what += " of one address"
			}
		}
		return words{touches: what + " are refused with 429, and the callee never sees them"}
	})

// limiter refuses requests above a rate, or all of them.
type limiter struct {
	p     fault.RateLimit
	rate  float64 // per second; 0 lets none pass
	burst float64

	mu        sync.Mutex
	now, last map[string]*bucket // by client; the last ones only, see bucketOf
}

// bucket holds tokens; a request that passes takes one.
type bucket struct {
	tokens float64
	at     time.Time // when there were so many
}

func newLimiter(p fault.RateLimit) *limiter {
	l := &limiter{p: p, rate: p.Rate.PerSecond(), burst: float64(p.Burst), now: map[string]*bucket{}}
	if p.Burst == 0 {
		l.burst = math.Max(1, math.Floor(l.rate))
	}
	return l
}

// Reply refuses a request that finds no token.
func (l *limiter) Reply(r *http.Request) *relay.Answer {
	now := time.Now()
	wait := time.Duration(0) // until there is a token
	if l.rate > 0 {
		if wait = l.take(r.RemoteAddr, now); wait == 0 {
			return nil
		}
	}
	a := &relay.Answer{Status: http.StatusTooManyRequests, Header: http.Header{"Content-Type": {"application/problem+json"}}}
	a.Body = fault.ProblemDoc{Detail: "chaosctl limits the rate of requests here"}.Text(a.Status, http.StatusText(a.Status))
	if l.rate > 0 {
		in := ceilSeconds(wait)
		for name, value := range map[string]int64{"Limit": int64(l.burst), "Remaining": 0, "Reset": in} {
			a.Header.Set("Ratelimit-"+name, strconv.FormatInt(value, 10))
			if name == "Reset" {
				value = now.Unix() + in
			}
			a.Header.Set("X-Ratelimit-"+name, strconv.FormatInt(value, 10))
		}
	}
	after := l.p.RetryAfter.Std()
	if after == 0 {
		after = max(wait, time.Second)
	}
	switch l.p.Format {
	case fault.RetryDate:
		// A date has whole seconds: to round up keeps it from coming too early.
		at := now.Add(after + time.Second - 1).Truncate(time.Second)
		a.Header.Set("Retry-After", at.UTC().Format(http.TimeFormat))
	case fault.RetrySeconds:
		a.Header.Set("Retry-After", fmt.Sprint(ceilSeconds(after)))
	}
	return a
}

func ceilSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// take takes a token, and returns 0; without one, how long it takes until there is.
func (l *limiter) take(from string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.bucketOf(from, now)
	b.tokens = math.Min(l.burst, b.tokens+math.Max(0, now.Sub(b.at).Seconds())*l.rate)
	b.at = now
	if b.tokens < 1 {
		return max(1, time.Duration((1-b.tokens)/l.rate*float64(time.Second)))
	}
	b.tokens--
	return 0
}

// manyClients is how many buckets are kept at least.
const manyClients = 1 << 15

// bucketOf finds the bucket for a caller; that of one who was not seen for long
// may be forgotten: it is full again then, or there are very many.
func (l *limiter) bucketOf(from string, now time.Time) *bucket {
	key := ""
	if l.p.Scope == fault.PerClient {
		key = from
		if host, _, err := net.SplitHostPort(from); err == nil {
			key = host
		}
	}
	b := l.now[key]
	if b == nil {
		if b = l.last[key]; b == nil {
			b = &bucket{l.burst, now}
		}
		if len(l.now) >= manyClients {
			l.now, l.last = map[string]*bucket{}, l.now
		}
		l.now[key] = b
	}
	return b
}
