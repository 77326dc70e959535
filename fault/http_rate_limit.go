package fault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// HTTPRateLimit refuses requests with 429.
var HTTPRateLimit = define("http.rate-limit",
	"Refuse requests with 429 and a Retry-After, all of them or those above a rate.",
	RateLimit{Format: RetrySeconds, Scope: PerEdge},
	`
kind: http.rate-limit
target: {service: auth-service}
params: {rate: 10/s, burst: 20, retryAfter: 2s}
`, Kind{
		Acts:     OnEdges,
		Grounds:  []string{"relay"},
		HTTPOnly: true,
		Details: `Without a rate every request that is drawn is refused; with one, those within it pass and count as skipped. burst requests may come at once before the rate holds; it is a bucket of tokens, one for all callers of the edge or one for each address.

The answer is an application/problem+json of 429 with Retry-After in whole seconds, rounded up, or as a date. With a rate it also carries RateLimit-Limit (the burst), RateLimit-Remaining (0) and RateLimit-Reset (seconds until the next request would pass), and the same with X- before; X-RateLimit-Reset is a time in seconds since 1970, as most servers write it.`,
		Flags: []Flag{
			{Name: "rate-limit", Usage: "refuse requests with 429 and a Retry-After", Chooses: true},
			{Name: "retry-after", Param: "retryAfter", Value: "D", Usage: "with --rate-limit: the Retry-After, for example 2s"},
			{Name: "requests", Param: "rate", Value: "N/s", Usage: "with --rate-limit: let so many requests pass, for example 10/s"},
		},
	})

// How a Retry-After is written.
const (
	RetrySeconds = "seconds"
	RetryDate    = "date"
	RetryNone    = "none" // left out
)

// PerClient is the scope of a limit that each caller's address has for itself.
const PerClient Scope = "client"

// RateLimit are the params of http.rate-limit.
type RateLimit struct {
	// RetryAfter that is told; 0 is when the next request would pass, or 1s
	// without a rate.
	RetryAfter Duration `json:"retryAfter,omitempty" doc:"the Retry-After, for example 2s; by default when the next request would pass, or 1s without a rate"`
	// Format of Retry-After: seconds, the default, date or none.
	Format string `json:"format,omitempty" doc:"how Retry-After is written; none leaves it out" enum:"seconds,date,none"`
	// Rate of the requests that pass; without, none does.
	Rate Frequency `json:"rate,omitempty" doc:"how many requests pass, for example 10/s or 600/m; none by default"`
	// Burst is how many may come at once; 0 is what comes in a second, at least 1.
	Burst int `json:"burst,omitempty" strict:"positive" doc:"how many requests may come at once; by default those of a second, at least 1"`
	// Scope of the rate: edge, the default, or client.
	Scope Scope `json:"scope,omitempty" doc:"what the rate holds for: all of the edge together, or each caller's address by itself" enum:"edge,client"`
}

// maxBurst bounds a bucket.
const maxBurst = 1_000_000

// Validate checks the ranges.
func (p *RateLimit) Validate() error {
	var errs []error
	if p.Format != RetrySeconds && p.Format != RetryDate && p.Format != RetryNone {
		errs = append(errs, strict.Fieldf("format", "must be seconds, date or none, not %q", strict.Clip(p.Format)))
	}
	if p.Format == RetryNone && p.RetryAfter != 0 {
		errs = append(errs, strict.Fieldf("retryAfter", "is not told with format none; leave one of them out"))
	}
	if p.Rate != "" {
		if _, err := p.Rate.parse(); err != nil {
			errs = append(errs, strict.Fieldf("rate", "%s", err))
		}
	}
	if p.Burst < 0 || p.Burst > maxBurst {
		errs = append(errs, strict.Fieldf("burst", "must be from 1 to %d, not %d", maxBurst, p.Burst))
	}
	if p.Burst > 0 && p.Rate == "" {
		errs = append(errs, strict.Fieldf("burst", "goes with `rate`, for example `rate: 10/s`"))
	}
	if p.Scope != PerEdge && p.Scope != PerClient {
		errs = append(errs, strict.Fieldf("scope", "must be edge or client, not %q", strict.Clip(string(p.Scope))))
	}
	return errors.Join(append(errs, mayDelay("retryAfter", p.RetryAfter))...)
}

// Frequency is how often something happens, written "10/s", "600/m" or "1000/h".
// The zero value stands for none.
type Frequency string

// maxPerSecond is the highest that is read.
const maxPerSecond = 1_000_000

// UnmarshalText reads a frequency.
func (f *Frequency) UnmarshalText(b []byte) error {
	if _, err := Frequency(b).parse(); err != nil {
		return err
	}
	*f = Frequency(b)
	return nil
}

// PerSecond is the frequency per second, 0 for none.
func (f Frequency) PerSecond() float64 {
	v, err := f.parse()
	if err != nil {
		return 0
	}
	return v
}

func (f Frequency) parse() (perSecond float64, err error) {
	num, unit, ok := strings.Cut(strings.TrimSpace(string(f)), "/")
	v, err := strconv.ParseFloat(num, 64)
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if !ok || err != nil || per == 0 || !(v > 0) || v/per.Seconds() > maxPerSecond || v/per.Seconds() < 1./86400 {
		return 0, fmt.Errorf("must be a rate such as 10/s, 600/m or 1000/h, up to %d/s, not %q", maxPerSecond, strict.Clip(string(f)))
	}
	return v / per.Seconds(), nil
}
