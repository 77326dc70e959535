package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/judge"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

// recording is the ledger of a run while it is under way. Without a file, because the
// state folder does not take one, the run goes on without a ledger.
type recording struct {
	path  string
	file  *ledger.Writer // nil without
	sum   experiment.LedgerSummary
	tally tally
}

func ledgerPath(stateDir, id string) string { return filepath.Join(stateDir, "runs", id+".ledger") }

// take takes an exchange down; it keeps nothing of it.
func (l *recording) take(x *experiment.Exchange) {
	if l.file != nil {
		l.tally.note(x)
		l.file.Take(x)
	}
}

// beginLedger has the run's exchanges taken down.
func (r *run) beginLedger() {
	l := &recording{path: ledgerPath(r.engine.cfg.StateDir, r.id)}
	r.ledger = l
	file, err := ledger.Create(l.path, ledger.Header{Run: r.id, Experiment: r.record.Experiment, Started: r.record.Started})
	if err != nil {
		l.sum.Why = "there is no ledger: " + oneLine(err)
		return
	}
	l.file = file
	r.engine.cfg.Relays.Listen(l.take)
}

// afterword is how long exchanges are still taken down after the traffic has ended: a
// relay tells of one a moment after its caller has the answer, and on a busy machine
// the caller may have ended the run before that.
const afterword = 100 * time.Millisecond

// endLedger ends that, once nothing is under way any more.
func (r *run) endLedger() {
	if r.ledger == nil || r.ledger.file == nil {
		return
	}
	moment := time.NewTimer(afterword)
	defer moment.Stop()
	<-moment.C
	r.engine.cfg.Relays.Listen(nil)
	r.ledger.sum = r.ledger.file.Close()
}

// judgeLedger judges what was taken down. Without a ledger nothing was seen, and all
// that was expected is unknown.
func (r *run) judgeLedger(final *experiment.Run) {
	if r.ledger == nil {
		return
	}
	defer sparing()()
	sum, why := r.ledger.sum, r.ledger.sum.Why
	var book *ledger.Book
	if r.ledger.file != nil {
		var err error
		if book, err = ledger.Load(r.ledger.path, ledger.MostJudged, final.Windows...); err != nil {
			why = strings.TrimPrefix(why+"; ", "; ") + "the ledger cannot be read again: " + oneLine(err)
		} else if n := unread(sum, book.Read); n > 0 {
			book.Missing += n
			why = strings.TrimPrefix(why+"; ", "; ") + damaged(sum, n)
		}
	}
	sum.Why = why
	if why != "" {
		final.Notes = append(final.Notes[:len(final.Notes):len(final.Notes)], "ledger: "+why)
	}
	final.Ledger = &sum
	if book == nil {
		judge.NoLedger(final, r.spec, why)
		return
	}
	sum.Judged = uint64(len(book.Entries))
	judge.Ledger(final, r.spec, book)
}

// unread is how many exchanges that were written cannot be read again.
func unread(s experiment.LedgerSummary, read uint64) uint64 {
	all := s.Exchanges + s.Requests
	return all - min(read, all)
}

func damaged(s experiment.LedgerSummary, n uint64) string {
	return fmt.Sprintf("the file of the ledger was damaged: %d of %d exchanges cannot be read", n, s.Exchanges+s.Requests)
}

// frugal is how much garbage, in percent of what is in use, waits while a book is in
// memory: it is the largest thing that a process of ours ever holds.
const frugal = 25

// spared counts who is sparing, and keeps what the collector was told before.
var spared struct {
	sync.Mutex
	by, before int
}

// sparing has the process spare memory until what it returns is called, which gives
// back what was used.
func sparing() (end func()) {
	debug.FreeOSMemory()
	spared.Lock()
	defer spared.Unlock()
	if spared.by++; spared.by == 1 {
		spared.before = debug.SetGCPercent(frugal)
	}
	return func() {
		spared.Lock()
		defer spared.Unlock()
		if spared.by--; spared.by == 0 {
			debug.SetGCPercent(spared.before)
		}
		debug.FreeOSMemory()
	}
}

// LedgerLines hands the exchanges of a run's ledger that fit a query to each, in the
// order in which they ended, until each returns an error, which it returns. Of a run
// that is under way or was killed, it is what has been written so far.
func (e *Engine) LedgerLines(id string, q experiment.LedgerQuery, each func(*experiment.LedgerLine) error) error {
	r, err := e.Run(id)
	if err != nil {
		r = nil
	}
	return LedgerLines(e.cfg.StateDir, id, r, q, each)
}

// LedgerLines reads the ledger of a run in a state folder. r is its record; nil if
// there is none because the process was killed. If the file holds less than was written
// to it, that is the error, once all that can be read was handed over.
func LedgerLines(stateDir, id string, r *experiment.Run, q experiment.LedgerQuery, each func(*experiment.LedgerLine) error) error {
	path, err := findLedger(stateDir, id, r)
	if err != nil {
		return err
	}
	defer sparing()()
	if err := ledger.Lines(path, r, q, each); err != nil || r == nil || r.Ledger == nil {
		return err
	}
	info, err := ledger.Peek(path)
	if err != nil {
		return err
	}
	if n := unread(*r.Ledger, info.Exchanges+info.Requests); n > 0 {
		return &experiment.Error{Code: experiment.Unavailable, Message: damaged(*r.Ledger, n)}
	}
	return nil
}

func findLedger(stateDir, id string, r *experiment.Run) (string, error) {
	none := &experiment.Error{Code: experiment.NotFound, Message: "there is no run \"" + id + "\" in " + stateDir, Hint: "`chaosctl report` lists the runs"}
	if !runID.MatchString(id) {
		none.Message = "\"" + id + "\" is not the id of a run"
		return "", none
	}
	path := ledgerPath(stateDir, id)
	switch _, err := os.Stat(path); {
	case err == nil:
		return path, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	case r == nil:
		return "", none
	}
	none.Message, none.Hint = "run "+id+" has no ledger", "it ended before its traffic began, was made by an older chaosctl, or its ledger was deleted"
	if r.Ledger != nil && r.Ledger.Why != "" {
		none.Message += ": " + r.Ledger.Why
	}
	return "", none
}
