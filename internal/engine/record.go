package engine

import (
	"sync"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/judge"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// recording is the ledger of a run while it is under way.
// FIRST CUT, in memory, to be replaced by ledger.Writer.
type recording struct {
	mu  sync.Mutex
	all []experiment.Exchange
}

func (l *recording) take(x *experiment.Exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x.No = uint64(len(l.all) + 1)
	l.all = append(l.all, *x)
}

// beginLedger has the run's exchanges taken down.
func (r *run) beginLedger() {
	r.ledger = &recording{}
	r.engine.cfg.Relays.Listen(r.ledger.take)
}

// endLedger ends that, once nothing is under way any more.
func (r *run) endLedger() {
	if r.ledger != nil {
		r.engine.cfg.Relays.Listen(nil)
	}
}

// judgeLedger judges what was taken down.
func (r *run) judgeLedger(final *experiment.Run) {
	if r.ledger == nil {
		return
	}
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	judge.Ledger(final, r.spec, ledger.NewBook(r.ledger.all))
}
