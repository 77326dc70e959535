package fault

import (
	"fmt"
	"math"
	"testing"
)

// TestDrawIsStable: a run with a recorded seed must make the same choices with
// every version of chaosctl.
func TestDrawIsStable(t *testing.T) {
	for _, tt := range []struct {
		seed             uint64
		fault, edge, key string
		want             string
	}{
		{0, "", "", "", "0.748066284694"},
		{7, "net.latency", "api-service -> auth-service", "1", "0.598231150818"},
		{7, "net.latency", "api-service -> auth-service", "2", "0.429006685825"},
		{8, "net.latency", "api-service -> auth-service", "1", "0.938175298625"},
		{math.MaxUint64, "http.status-2", "users -> web", "0af7651916cd43dd8448eb211c80319c/1", "0.884746493457"},
	} {
		if got := fmt.Sprintf("%.12f", Draw(tt.seed, tt.fault, tt.edge, tt.key)); got != tt.want {
			t.Errorf("Draw(%d, %q, %q, %q) = %s, want %s", tt.seed, tt.fault, tt.edge, tt.key, got, tt.want)
		}
	}
	if Hash(1, "a", "b") == Hash(1, "ab", "") || Hash(1, "a") == Hash(1, "a", "") || Hash(1) == Hash(2) {
		t.Error("texts run into each other")
	}
}

// TestDrawIsEven: in every tenth of [0, 1) as many as anywhere, within five
// standard deviations, and neighbours know nothing of each other.
func TestDrawIsEven(t *testing.T) {
	const n = 100_000
	for seed := range uint64(5) {
		var tenths [10]int
		var both, below int
		last := 1.0
		for i := range n {
			d := Draw(seed, "http.status", "a -> b", fmt.Sprint(i))
			if d < 0 || d >= 1 {
				t.Fatalf("draw %v", d)
			}
			tenths[int(d*10)]++
			if d < 0.2 {
				below++
				if last < 0.2 {
					both++
				}
			}
			last = d
		}
		limit := 5 * math.Sqrt(n*0.1*0.9)
		for i, c := range tenths {
			if math.Abs(float64(c)-n/10) > limit {
				t.Errorf("seed %d: %d draws in tenth %d", seed, c, i)
			}
		}
		if math.Abs(float64(both)-n*0.04) > 5*math.Sqrt(n*0.04) {
			t.Errorf("seed %d: %d pairs of neighbours below 0.2 of %d", seed, both, below)
		}
	}
}

// TestDrawShare is what done-when 3 hangs on: a share of 0.2 over 1,000 requests
// hits 150 to 250, whatever the seed.
func TestDrawShare(t *testing.T) {
	for seed := range uint64(200) {
		hits := 0
		for i := range 1000 {
			if Draw(seed, "http.status", "api-service -> auth-service", fmt.Sprint(i)) < 0.2 {
				hits++
			}
		}
		if hits < 140 || hits > 260 {
			t.Errorf("seed %d: %d hits", seed, hits)
		}
	}
}
