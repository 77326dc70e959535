package relay_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

func losing(share fault.Chance) func(fault.Params) {
	return func(q fault.Params) { q.(*fault.Loss).Loss, q.(*fault.Loss).Direction = share, fault.Request }
}

var _ = contract(fault.NetLoss, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := udpPlace(t)
	felt := p.hurts(func(got [][]byte, _ time.Duration) bool { return len(got) == 0 })
	return p.world(p.fault(fault.NetLoss, losing(1)), felt)
}})

// What the receipt says was lost is what the caller misses, however it is lost, and
// the share is the one that was asked for.
func TestLossIsCounted(t *testing.T) {
	const n = 2000
	for name, set := range map[string]func(*fault.Loss){
		"each":       func(p *fault.Loss) {},
		"burst":      func(p *fault.Loss) { p.Burst = 4 },
		"correlated": func(p *fault.Loss) { p.Correlation = 0.5 },
		"answers":    func(p *fault.Loss) { p.Direction = fault.Response },
		"both":       func(p *fault.Loss) { p.Direction = fault.Both },
	} {
		t.Run(name, func(t *testing.T) {
			p := udpPlace(t)
			c := p.call()
			change := p.arm(p.fault(fault.NetLoss, func(q fault.Params) {
				losing(0.2)(q)
				set(q.(*fault.Loss))
			}))
			got := p.volley(c, n, func() int { return n - int(p.receipt(change).Injected) }, patience)
			r := p.receipt(change)
			if int(r.Injected) != n-len(got) {
				t.Errorf("%d were lost, the receipt says %+v", n-len(got), r)
			}
			if share := float64(r.Injected) / float64(r.Matched); share < 0.12 || share > 0.28 {
				t.Errorf("%.3g were lost", share)
			}
			p.lift(change)
			if why := unhurt(p.volley(c, 100, all(100), patience), 100); why != "" {
				t.Errorf("after the lift: %s", why)
			}
		})
	}
}

// On a stream loss is a delay, never a hole; it is said to be emulated.
func TestLossOnStream(t *testing.T) {
	p := tcpPlace(t)
	c := p.dial()
	defer c.Close()
	took, err := echoes(c, patience)
	if err != nil || took >= delay/2 {
		t.Fatalf("%s, %v before", took, err)
	}
	f := p.fault(fault.NetLoss, func(q fault.Params) { q.(*fault.Loss).Loss, q.(*fault.Loss).Direction = 0.5, fault.Request })
	plan, err := p.driver.Plan(t.Context(), f)
	if err != nil || !bytes.Contains([]byte(plan.Touches), []byte("emulated")) {
		t.Fatalf("%q, %v", plan.Touches, err)
	}
	change := p.arm(f)
	stalled := 0
	for range 10 { // one byte each way: nothing follows, so a timeout each
		took, err := echoes(c, patience)
		if err != nil {
			t.Fatal(err)
		}
		if took >= 200*time.Millisecond {
			stalled++
		}
	}
	if stalled < 2 {
		t.Errorf("%d of 10 were stalled", stalled)
	}
	p.lift(change)
	change = p.arm(p.fault(fault.NetLoss, func(q fault.Params) {
		q.(*fault.Loss).Loss, q.(*fault.Loss).RTT = 0.01, fault.Duration(10*time.Millisecond)
	}))
	want := make([]byte, 1<<20)
	rand.Read(want)
	go c.Write(want)
	got := make([]byte, len(want))
	c.SetDeadline(deadline())
	start := time.Now()
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("damaged: %v", err)
	}
	// 7 of the 719 segments are lost each way, in the mean.
	if took := time.Since(start); took < 20*time.Millisecond {
		t.Errorf("it took %s", took)
	}
	p.lift(change)
	if took, err = echoes(c, patience); err != nil || took >= delay/2 {
		t.Errorf("%s, %v after the lift", took, err)
	}
}
