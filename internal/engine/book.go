package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/journal"
)

func journalDir(stateDir string) string { return filepath.Join(stateDir, "journals") }

func auditPath(stateDir string) string { return filepath.Join(stateDir, "audit.log") }

// entry is one record of a journal: an intent with its change, or "over" with
// the change's id.
type entry struct {
	Type   string         `json:"type"` // intent, over
	ID     string         `json:"id"`
	Time   time.Time      `json:"time"`
	Owner  string         `json:"owner,omitempty"`
	Change *driver.Change `json:"change,omitempty"`
}

const (
	typeIntent = "intent"
	typeOver   = "over"
)

// book is this process's journal of durable changes. The file appears with the
// first of them and goes when all are over.
type book struct {
	dir string

	mu   sync.Mutex
	j    *journal.Journal
	open map[string]bool
}

func (b *book) intent(c driver.Change, owner string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.j == nil {
		j, err := journal.Create(b.dir)
		if err != nil {
			return fmt.Errorf("create a journal: %w", err)
		}
		b.j, b.open = j, map[string]bool{}
	}
	if err := b.append(entry{Type: typeIntent, ID: c.ID, Owner: owner, Change: &c}); err != nil {
		return err
	}
	b.open[c.ID] = true
	return nil
}

func (b *book) over(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.j == nil || !b.open[id] {
		return nil
	}
	if err := b.append(entry{Type: typeOver, ID: id}); err != nil {
		return err
	}
	delete(b.open, id)
	return nil
}

func (b *book) append(en entry) error {
	en.Time = time.Now().UTC()
	rec, err := json.Marshal(en)
	if err != nil {
		return fmt.Errorf("encode a journal entry: %w", err)
	}
	if err := b.j.Append(rec); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

func (b *book) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.j == nil {
		return nil
	}
	j := b.j
	b.j = nil
	if len(b.open) > 0 {
		return j.Close() // debts: left for the next start
	}
	return j.Remove()
}

// SweepResult is what Sweep found, in words.
type SweepResult struct {
	// Reverted changes are gone now.
	Reverted []string `json:"reverted"`
	// Stuck changes could not be reverted; their journals are kept.
	Stuck []string `json:"stuck"`
}

// Sweep reverts every durable change that a process which is dead has left in
// force, as its journal tells. Journals of live processes are not touched.
func Sweep(ctx context.Context, stateDir string, drivers []driver.Driver) (SweepResult, error) {
	result := SweepResult{Reverted: []string{}, Stuck: []string{}}
	orphans, err := journal.Orphans(journalDir(stateDir)) // what could be read, and why the rest could not
	for _, o := range orphans {
		result.settle(context.WithoutCancel(ctx), o, drivers)
	}
	log := &audit{path: auditPath(stateDir)}
	for _, what := range result.Reverted {
		log.write("recovered", "", experiment.ActorOf(ctx), what, nil)
	}
	for _, what := range result.Stuck {
		log.write("stuck", "", experiment.ActorOf(ctx), what, nil)
	}
	err = errors.Join(err, log.close())
	if err != nil {
		return result, fmt.Errorf("read the journals: %w", err)
	}
	return result, nil
}

func (r *SweepResult) settle(ctx context.Context, o *journal.Orphan, drivers []driver.Driver) {
	debts, err := outstanding(o)
	if err != nil {
		r.Stuck = append(r.Stuck, fmt.Sprintf("journal %s: %v", o.Path(), err))
		_ = o.Release() // kept as it is for a person to look at
		return
	}
	left := false
	for i := len(debts) - 1; i >= 0; i-- { // last in, first out
		c := *debts[i].Change
		what := fmt.Sprintf("%s on %s (%s)", c.Fault.Kind, c.Fault.At, c.ID)
		if err := revertOne(ctx, drivers, c); err != nil {
			r.Stuck = append(r.Stuck, fmt.Sprintf("%s: %v", what, err))
			left = true
			continue
		}
		rec, err := json.Marshal(entry{Type: typeOver, ID: c.ID, Time: time.Now().UTC()})
		if err == nil {
			err = o.Append(rec)
		}
		if err != nil {
			left = true // reverting once more does no harm
		}
		r.Reverted = append(r.Reverted, what)
	}
	if left {
		err = o.Release()
	} else {
		err = o.Remove()
	}
	if err != nil {
		r.Stuck = append(r.Stuck, fmt.Sprintf("journal %s: %v", o.Path(), err))
	}
}

// outstanding returns the intents without an "over".
func outstanding(o *journal.Orphan) ([]entry, error) {
	recs, err := o.Records()
	if err != nil {
		return nil, err
	}
	var open []entry
	for i, rec := range recs {
		var en entry
		if err := json.Unmarshal(rec, &en); err != nil {
			return nil, fmt.Errorf("record %d: %w", i+1, err)
		}
		switch {
		case en.Type == typeIntent && en.Change != nil:
			open = append(open, en)
		case en.Type == typeOver:
			for k := range open {
				if open[k].ID == en.ID {
					open = append(open[:k], open[k+1:]...)
					break
				}
			}
		default:
			return nil, fmt.Errorf("record %d is of an unknown type %q", i+1, en.Type)
		}
	}
	return open, nil
}

func revertOne(ctx context.Context, drivers []driver.Driver, c driver.Change) error {
	d, ok := byName(drivers, c.Driver)
	if !ok {
		return fmt.Errorf("this chaosctl has no driver %q", c.Driver)
	}
	ctx, cancel := context.WithTimeout(ctx, revertTimeout)
	defer cancel()
	err := d.Revert(ctx, c)
	if errors.Is(err, driver.ErrNoTarget) {
		return nil // it is gone, and the effect with it
	}
	return err
}
