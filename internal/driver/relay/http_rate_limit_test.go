package relay_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// The answer says when to come again, as it was asked for.
func TestRateLimitSaysWhen(t *testing.T) {
	for name, tt := range map[string]struct {
		params fault.RateLimit
		want   string
	}{
		"default":  {fault.RateLimit{}, "1"},
		"rounded":  {fault.RateLimit{RetryAfter: fault.Duration(1200 * time.Millisecond)}, "2"},
		"whole":    {fault.RateLimit{RetryAfter: fault.Duration(2 * time.Second)}, "2"},
		"none":     {fault.RateLimit{Format: fault.RetryNone}, ""},
		"the rate": {fault.RateLimit{Rate: "1/h", Burst: 1}, "3600"},
	} {
		for _, s := range protocols {
			t.Run(name+" by "+string(s), func(t *testing.T) {
				p := placeFor(t, s, shop)
				p.arm(p.fault(fault.HTTPRateLimit, func(q fault.Params) {
					to := q.(*fault.RateLimit)
					to.RetryAfter, to.Rate, to.Burst = tt.params.RetryAfter, tt.params.Rate, tt.params.Burst
					if tt.params.Format != "" {
						to.Format = tt.params.Format
					}
				}))
				if tt.params.Rate != "" {
					if a := p.ask(t, s, "GET", "/", "", nil); a.status != 200 {
						t.Errorf("the first is answered with %d", a.status)
					}
				}
				a := p.ask(t, s, "GET", "/", "", nil)
				if got := a.header.Get("Retry-After"); a.err != nil || a.status != 429 || got != tt.want {
					t.Errorf("%d, %q, %v", a.status, got, a.err)
				}
				var problem struct {
					Type, Title string
					Status      int
				}
				if err := json.Unmarshal([]byte(a.body), &problem); err != nil || problem.Status != 429 || problem.Title != "Too Many Requests" || a.header.Get("Content-Type") != "application/problem+json" {
					t.Errorf("%s %v", a.body, err)
				}
				told := fmt.Sprint(a.header.Get("RateLimit-Limit"), " ", a.header.Get("RateLimit-Remaining"), " ", a.header.Get("RateLimit-Reset"), " ", a.header.Get("X-RateLimit-Limit"))
				if want := "1 0 3600 1"; tt.params.Rate != "" && told != want || tt.params.Rate == "" && told != "   " {
					t.Errorf("told %q", told)
				}
				if at, err := strconv.ParseInt(a.header.Get("X-RateLimit-Reset"), 10, 64); tt.params.Rate != "" && (err != nil || at < time.Now().Unix()+3000) {
					t.Errorf("again at %d, %v", at, err)
				}
			})
		}
	}
}

func TestRateLimitSaysADate(t *testing.T) {
	p := webPlace(t, shop)
	p.arm(p.fault(fault.HTTPRateLimit, func(q fault.Params) {
		q.(*fault.RateLimit).Format, q.(*fault.RateLimit).RetryAfter = fault.RetryDate, fault.Duration(time.Hour)
	}))
	before := time.Now()
	a := p.ask(t, plain, "GET", "/", "", nil)
	at, err := http.ParseTime(a.header.Get("Retry-After"))
	if err != nil || at.Before(before.Add(time.Hour)) || at.After(time.Now().Add(time.Hour+time.Second)) {
		t.Errorf("%s, %v", a.header.Get("Retry-After"), err)
	}
}

// What is within the rate passes and counts as skipped; the bucket fills again.
func TestRateLimitLetsSomePass(t *testing.T) {
	p := webPlace(t, shop)
	change := p.arm(p.fault(fault.HTTPRateLimit, func(q fault.Params) { q.(*fault.RateLimit).Rate, q.(*fault.RateLimit).Burst = "1/h", 5 }))
	passed := 0
	for range 12 {
		if a := p.ask(t, plain, "GET", "/", "", nil); a.status == 200 {
			passed++
		}
	}
	if r := p.done(change, 12); passed != 5 || r.Injected != 7 || r.Skipped != 5 {
		t.Errorf("%d pass, %+v", passed, r)
	}
	p.lift(change)
	p.arm(p.fault(fault.HTTPRateLimit, func(q fault.Params) { q.(*fault.RateLimit).Rate, q.(*fault.RateLimit).Burst = "20/s", 1 }))
	start := time.Now()
	for passed = 0; passed < 10; {
		if a := p.ask(t, plain, "GET", "/", "", nil); a.status == 200 {
			passed++
		}
	}
	if took := time.Since(start); took < 9*time.Second/20 {
		t.Errorf("10 pass in %s at 20/s", took)
	}
}

func TestRateLimitByClient(t *testing.T) {
	p := webPlace(t, shop)
	p.arm(p.fault(fault.HTTPRateLimit, func(q fault.Params) {
		q.(*fault.RateLimit).Rate, q.(*fault.RateLimit).Burst, q.(*fault.RateLimit).Scope = "1/h", 2, fault.PerClient
	}))
	for _, from := range []string{"127.0.0.2", "127.0.0.3"} {
		tr := &http.Transport{DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext, DisableKeepAlives: true}
		passed := 0
		for range 5 {
			a := p.askBy(t, &http.Client{Transport: tr}, "GET", "/", "", nil)
			if a.err != nil {
				t.Skipf("this system has no %s: %v", from, a.err)
			}
			if a.status == 200 {
				passed++
			}
		}
		if passed != 2 {
			t.Errorf("%d of %s pass", passed, from)
		}
	}
}
