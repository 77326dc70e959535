package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// BenchmarkLook groups 300,000 exchanges: with trace ids, and without any id.
func BenchmarkLook(b *testing.B) {
	ms := time.Millisecond
	for _, ids := range []bool{true, false} {
		s := fiction{rate: 2000, tries: 3, wait: doubling(100*ms, 0.2), took: upTo(20 * ms), fail: 0.5, parents: true, keys: 1, secs: 60, noise: ms}
		all, _, parent, run := s.play()
		if ids {
			for i := range all {
				x := &all[i]
				of := x.No
				if p := parent[of]; p != 0 {
					of = p
				}
				x.TraceID = experiment.Digest{1, byte(of), byte(of >> 8), byte(of >> 16)}
				x.Key, x.Keyed = x.TraceID, experiment.ByTrace
			}
		}
		book := NewBook(all)
		b.Run(fmt.Sprintf("%d exchanges, ids %v", len(all), ids), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Look(book, run)
			}
		})
	}
}
