package load

import (
	"slices"
	"testing"
	"time"
)

const short = 30 * time.Millisecond

// TestWithoutProxy: every load maker understands its upstream.
func TestWithoutProxy(t *testing.T) {
	ctx := t.Context()
	upstream := func(u *Upstream, err error) *Upstream {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(u.Close)
		return u
	}
	t.Run("download", func(t *testing.T) {
		d, err := Fetch(ctx, upstream(Source(ctx)).Addr, 3, short)
		if err != nil || d.Bytes() == 0 {
			t.Fatal(d.Bytes(), err)
		}
	})
	t.Run("requests", func(t *testing.T) {
		r, err := NewRequests(ctx, upstream(Web(ctx)).Addr, 4)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for range 2 {
			if got, err := r.Run(short); err != nil || len(got.Latencies) == 0 || got.PerSecond() <= 0 {
				t.Fatal(got, err)
			}
		}
	})
	t.Run("dials", func(t *testing.T) {
		got, err := Dial(ctx, upstream(Echo(ctx)).Addr, 4, 50, time.Minute)
		if err != nil || len(got.Latencies) < 50 {
			t.Fatal(got, err)
		}
	})
	t.Run("idle", func(t *testing.T) {
		c, err := Open(ctx, upstream(Echo(ctx)).Addr, 200)
		if err != nil || len(c.fds) != 200 {
			t.Fatal(err)
		}
		c.Close()
	})
	t.Run("sleepers", func(t *testing.T) {
		c, err := Sleepers(ctx, upstream(Source(ctx)).Addr, 5)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
	t.Run("pings", func(t *testing.T) {
		p, err := NewPings(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if err := p.Connect(p.Addr, 3); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		got, err := p.Run(20, time.Millisecond)
		if err != nil || len(got) != 20 || slices.Min(got) <= 0 {
			t.Fatal(got, err)
		}
		if took := time.Since(start); took < 19*time.Millisecond {
			t.Errorf("20 pings, 1 ms apart, took %v", took)
		}
	})
}

// TestNobodyThere: a load maker whose upstream hangs up says so, and does not
// measure nothing.
func TestNobodyThere(t *testing.T) {
	ctx := t.Context()
	gone, err := newUpstream(ctx, func(l *Loop, fd int) (handler, uint32) { return &hangUp{l, fd}, in })
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	if _, err := Fetch(ctx, gone.Addr, 1, short); err == nil {
		t.Error("a download from nobody is a success")
	}
	if _, err := Dial(ctx, gone.Addr, 1, 5, short); err == nil {
		t.Error("connections to nobody are a success")
	}
	if c, err := Open(ctx, gone.Addr, 5); err == nil {
		c.Close()
		t.Error("idle connections to nobody are a success")
	}
}

type hangUp struct {
	loop *Loop
	fd   int
}

func (h *hangUp) ready(uint32) { h.loop.drop(h.fd) }

// TestDeaf: nobody is accepted any more.
func TestDeaf(t *testing.T) {
	d, err := NewDeaf(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	to, err := target(d.Addr)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := connect(to)
	if err != nil {
		t.Fatal(err)
	}
	d.filler = append(d.filler, fd) // closed with the others
	if stands, err := standsWithin(fd, short); stands || err != nil {
		t.Error("a connection to it stands", err)
	}
}

func TestRate(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	d := &Download{end: ms(350)}
	// 1,000 bytes each 20 ms, so 50,000 a second, and a burst at first.
	for i := range 17 {
		d.arrivals = append(d.arrivals, arrival{ms(10 + 20*i), uint64(7000 + 1000*i)})
	}
	got, err := d.Rate(ms(100))
	if err != nil || int(got+0.5) != 50_000 {
		t.Errorf("rate %v, %v", got, err)
	}
	if got := d.Windows(ms(100), ms(100)); !slices.Equal(got, []float64{5000, 5000}) {
		t.Errorf("windows %v", got)
	}
	if d.FirstByte() != ms(10) || d.Bytes() != 23_000 {
		t.Error(d.FirstByte(), d.Bytes())
	}
	if _, err := (&Download{}).Rate(0); err == nil {
		t.Error("nothing has a rate")
	}
}
