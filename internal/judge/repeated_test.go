package judge

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// TestWhatIsAskedAgainAnyway: requests that come again and again although nothing failed
// are no retries once they fail: the same one several times for one request of a user,
// a push by the clock, a batch.
func TestWhatIsAskedAgainAnyway(t *testing.T) {
	at := func(d time.Duration) time.Time { return began.Add(d) }
	for name, fill := range map[string]func(add func(method string, id, body byte, start time.Duration)){
		"three of a kind": func(add func(string, byte, byte, time.Duration)) {
			for i := range 100 {
				for k := range 3 {
					add("GET", byte(i+1), 0, time.Duration(i)*97*time.Millisecond+time.Duration(k)*900*time.Microsecond)
				}
			}
		},
		"push": func(add func(string, byte, byte, time.Duration)) {
			for i := range 200 {
				add("POST", 0, 7, time.Duration(i)*50*time.Millisecond)
			}
		},
		"batch": func(add func(string, byte, byte, time.Duration)) {
			for i := range 10 {
				for k := range 5 {
					add("POST", 0, byte(k+1), time.Duration(i)*time.Second+time.Duration(k)*time.Millisecond)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := experiment.Run{Windows: []experiment.Window{
				{Stage: experiment.StageSteady, Start: at(0), End: at(2500 * time.Millisecond)},
				{Stage: experiment.StageHurt, Step: "down", Start: at(2500 * time.Millisecond), End: at(8 * time.Second)},
				{Stage: experiment.StageRecovery, Start: at(8 * time.Second), End: at(10 * time.Second)},
			}, Recovery: &experiment.RecoveryResult{Lift: at(8 * time.Second)}}
			var all []experiment.Exchange
			fill(func(method string, id, body byte, start time.Duration) {
				x := experiment.Exchange{Edge: "job -> cat", Method: method, Path: "/push", Status: 200, Start: at(start), End: at(start + 400*time.Microsecond),
					EndedBy: experiment.EndedByCallee, Key: experiment.Digest{1, id, body}, Keyed: experiment.ByBody}
				if id != 0 {
					x.TraceID, x.Keyed = experiment.Digest{2, id}, experiment.ByTrace
				}
				if start >= 2500*time.Millisecond && start < 8*time.Second {
					x.Status, x.Faults, x.EndedBy = 503, []string{"down"}, experiment.EndedByRelay
				}
				x.FirstByte, x.LastIn = x.End, x.Start
				all = append(all, x)
			})
			Ledger(&run, &experiment.Spec{}, ledger.NewBook(all))
			if len(run.Weaknesses) > 0 {
				t.Errorf("%+v", run.Weaknesses)
			}
		})
	}
}
