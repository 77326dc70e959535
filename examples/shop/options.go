package shop

import (
	"flag"
	"fmt"
	"time"
)

// Options are the weaknesses of a shop. Each takes one defence away; the zero
// value is a shop with all of them.
type Options struct {
	// NoFallback: a dependency that does not answer makes the answer a 503,
	// whatever the cache knows.
	NoFallback bool `json:"noFallback,omitempty"`
	// NoCache: no answer is kept, so that the fallback is an empty one.
	NoCache bool `json:"noCache,omitempty"`
	// NoStockFallback: checkout reads the stock from the database and has
	// nothing to say without it.
	NoStockFallback bool `json:"noStockFallback,omitempty"`
	// NoTimeout: a try lasts until the dependency answers or the user gives up.
	NoTimeout bool `json:"noTimeout,omitempty"`
	// RetryForever: tries go on until the user gives up, or for a minute.
	RetryForever bool `json:"retryForever,omitempty"`
	// RetryNoDelay: the next try follows at once.
	RetryNoDelay bool `json:"retryNoDelay,omitempty"`
	// NoBreaker: a dependency that is down is asked again for every request.
	NoBreaker bool `json:"noBreaker,omitempty"`
	// SlowHeal: a breaker that has opened closes only after trials have gone
	// well for this long; 0 closes it at the first that does.
	SlowHeal Wait `json:"slowHeal,omitempty"`
	// Timeout of one try; 40ms by default.
	Timeout Wait `json:"timeout,omitempty"`
	// Tries of one call, the first included; 3 by default.
	Tries int `json:"tries,omitempty"`
}

// AsShipped is the shop of the demo. It has one weakness: without the database
// there is no checkout.
func AsShipped() Options { return Options{NoStockFallback: true} }

const (
	defaultTimeout = 40 * time.Millisecond
	defaultTries   = 3
	longestCall    = time.Minute // bounds RetryForever when the user never gives up
)

func (o Options) timeout() time.Duration {
	if o.Timeout <= 0 {
		return defaultTimeout
	}
	return time.Duration(o.Timeout)
}

func (o Options) tries() int {
	if o.Tries <= 0 {
		return defaultTries
	}
	return o.Tries
}

// Flags declares a flag for every option on fs; what o holds is the default.
func (o *Options) Flags(fs *flag.FlagSet) {
	fs.BoolVar(&o.NoFallback, "no-fallback", o.NoFallback, "answer 503 when a dependency does not answer")
	fs.BoolVar(&o.NoCache, "no-cache", o.NoCache, "keep no answers, so that the fallback is an empty one")
	fs.BoolVar(&o.NoStockFallback, "no-stock-fallback", o.NoStockFallback, "no checkout without the database")
	fs.BoolVar(&o.NoTimeout, "no-timeout", o.NoTimeout, "wait for a dependency as long as the user does")
	fs.BoolVar(&o.RetryForever, "retry-forever", o.RetryForever, "retry until the user gives up")
	fs.BoolVar(&o.RetryNoDelay, "retry-no-delay", o.RetryNoDelay, "retry at once, without back-off")
	fs.BoolVar(&o.NoBreaker, "no-breaker", o.NoBreaker, "ask a dependency that is down for every request")
	fs.TextVar(&o.SlowHeal, "slow-heal", o.SlowHeal, "close a breaker only after trials went well for this long")
	fs.TextVar(&o.Timeout, "timeout", o.Timeout, "timeout of one try; 40ms by default")
	fs.IntVar(&o.Tries, "tries", o.Tries, "tries of one call; 3 by default")
}

// Wait is a duration that reads and writes as text, "3s".
type Wait time.Duration

// UnmarshalText reads a duration with a unit; a negative one is an error.
func (w *Wait) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	if err != nil || d < 0 {
		return fmt.Errorf("must be a duration such as 3s, not %q", b)
	}
	*w = Wait(d)
	return nil
}

// MarshalText writes the duration as Go does.
func (w Wait) MarshalText() ([]byte, error) { return []byte(time.Duration(w).String()), nil }
