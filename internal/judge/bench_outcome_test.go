package judge

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// BenchmarkClassify judges the outcomes of 300,000 exchanges.
func BenchmarkClassify(b *testing.B) {
	s := newSim(1, "front -> back")
	for i := range 25 {
		s.flow(string(rune('a'+i)), "front", one(func(i int) reply {
			return reply{200, 30 * ms, varied(plainJSON, i), []child{{"front -> back", 503, 5 * ms, true, 0}, {"front -> back", 200, 5 * ms, false, 10 * ms}}}
		}))
	}
	all := s.all
	for k := 1; len(s.all) < 300_000; k++ {
		for _, x := range all {
			d := time.Duration(k) * 130 * time.Microsecond
			x.Start, x.End = x.Start.Add(d), x.End.Add(d)
			x.TraceID[5], x.Key[5] = byte(k), byte(k)
			s.all = append(s.all, x)
		}
	}
	v := ledger.Look(ledger.NewBook(s.all), &s.run)
	b.ReportMetric(float64(len(v.Entries)), "entries")
	for b.Loop() {
		c := classify(v, &s.spec)
		recovery(c)
		if n := c.flows[0].Windows[1].Counts[experiment.OutcomeMasked]; n == 0 {
			b.Fatal(c.flows[0].Windows[1].Counts)
		}
	}
}
