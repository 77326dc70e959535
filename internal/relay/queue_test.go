package relay

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// halver cuts chunks in two and delays both.
type halver struct{ wait time.Duration }

func (h halver) Pass(c Chunk, emit func(Chunk)) {
	half := len(c.Data) / 2
	c.Due = c.Due.Add(h.wait)
	emit(Chunk{Data: c.Data[:half], Due: c.Due})
	c.Data = c.Data[half:]
	emit(c)
}

type still struct{}

func (still) Pass(c Chunk, emit func(Chunk)) { emit(c) }

// Every slice of a chunk gets back exactly what a lifted effect has added.
func TestDropTakesOneEffectOffEverySlice(t *testing.T) {
	b := budget{most: budgetSize}
	q := newQueue(&b)
	staging := func(s Stage) staged {
		a := &armed{gone: make(chan struct{}), receipt: fault.Receipt{}}
		return staged{&hit{armed: a}, s}
	}
	stages := []staged{staging(halver{time.Hour}), staging(halver{time.Minute}), staging(still{})}
	now := time.Now()
	q.through(stages, Chunk{Data: make([]byte, 8), Due: now}, nil)
	dues := func(want time.Duration) {
		t.Helper()
		if len(q.entries) != 4 {
			t.Fatalf("%d entries", len(q.entries))
		}
		for i, e := range q.entries {
			if got := e.due.Sub(now); got != want || len(e.data) != 2 {
				t.Errorf("slice %d: %d bytes due in %s, not %s", i, len(e.data), got, want)
			}
		}
	}
	dues(time.Hour + time.Minute)
	q.drop(stages[1].hit.armed)
	dues(time.Hour)
	q.drop(stages[0].hit.armed)
	dues(0)
	q.drop(stages[0].hit.armed) // twice is once
	dues(0)
	batch, _, open := q.take(nil)
	if len(batch) != 4 || !open {
		t.Errorf("%d are due, open %v", len(batch), open)
	}
	q.settle(batch)
	if !q.idle() || b.used.Load() != 0 {
		t.Errorf("after settling %d bytes are on the books", b.used.Load())
	}
}

// An effect that is lifted while a chunk is on its way into the queue must not
// delay it: the lift would not come by again.
func TestPushAfterLiftIsNotDelayed(t *testing.T) {
	b := budget{most: budgetSize}
	q := newQueue(&b)
	a := &armed{gone: make(chan struct{})}
	h := staged{&hit{armed: a}, halver{time.Hour}}
	a.lift()
	q.drop(a)
	q.through([]staged{h}, Chunk{Data: []byte("ab"), Due: time.Now()}, nil)
	if batch, next, _ := q.take(nil); len(batch) != 2 {
		t.Errorf("%d are due, the next at %s", len(batch), next)
	}
	q.close()
	if b.used.Load() != 2+2*entryCost {
		t.Errorf("%d", b.used.Load())
	}
}

// rated lets everything pass at once, but wants little to wait.
type rated struct{ still }

func (rated) Bound() int    { return 1000 }
func (rated) Rate() float64 { return 1e12 }

// Bytes that a peer does not take count against the bound, whether they are due
// in the queue or being written.
func TestWhatIsStuckCountsAgainstTheBound(t *testing.T) {
	b := budget{most: budgetSize}
	q := newQueue(&b)
	stages := []staged{{&hit{armed: &armed{gone: make(chan struct{})}}, rated{}}}
	most := bound(stages)
	if got := room(q, most); got != 1000 {
		t.Errorf("room for %d", got)
	}
	q.through(stages, Chunk{Data: make([]byte, 1000), Due: time.Now()}, nil)
	if got := room(q, most); got != 0 {
		t.Errorf("room for %d behind what is due", got)
	}
	batch, _, _ := q.take(nil)
	if got := room(q, most); got != 0 {
		t.Errorf("room for %d behind what is being written", got)
	}
	q.settle(batch)
	if got := room(q, most); got != 1000 {
		t.Errorf("room for %d once it was written", got)
	}
}
