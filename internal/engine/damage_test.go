package engine

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// What is done to a ledger's file while a run is under way is said in the record, and to
// whoever reads the ledger.
func TestDamagedLedger(t *testing.T) {
	t.Parallel()
	f := newFront(t, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for n := 0; n < 3000; n++ { // half a minute
			<-tick.C
			all, _ := filepath.Glob(filepath.Join(f.cfg.StateDir, "runs", "*.ledger"))
			if len(all) == 0 {
				continue
			}
			if info, err := os.Stat(all[0]); err == nil && info.Size() > 1000 {
				if err := os.Truncate(all[0], 300); err != nil {
					t.Error(err)
				}
				return
			}
		}
		t.Error("nothing was written to a ledger")
	}()
	r := f.play(t, document(`{name: there, of: visit, success: ">= 1%"}`, "http.status", refused503, "  recovery: {within: 5s, hold: 500ms}\n"))
	<-done
	const says = "the file of the ledger was damaged"
	if r.Ledger == nil || !strings.Contains(r.Ledger.Why, says) || !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.Contains(n, says) }) {
		t.Errorf("%+v, notes %q", r.Ledger, r.Notes)
	}
	err := f.LedgerLines(r.ID, experiment.LedgerQuery{}, func(*experiment.LedgerLine) error { return nil })
	if e, ok := experiment.AsError(err); !ok || !strings.Contains(e.Message, says) {
		t.Errorf("its ledger: %v", err)
	}
}
