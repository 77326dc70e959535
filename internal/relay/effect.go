package relay

import (
	"net/http"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

// Way is one of the two directions of an edge.
type Way uint8

// The ways: from the caller up to the callee, and down again.
const (
	Up Way = iota
	Down
)

func (w Way) String() string {
	if w == Up {
		return "request"
	}
	return "response"
}

// Ending is how a stream of bytes ends.
type Ending uint8

// The endings.
const (
	GoesOn Ending = iota
	Close         // FIN
	Reset         // RST
)

// Effect is what an armed fault does. It implements one or more of Stager,
// Holder, Swallower, Ender, Delayer, Answerer, Refuser and Sweeper; Arm refuses
// an effect that implements none which the edge's protocol can carry out.
// Effects are immutable: they are called from many goroutines.
//
// What is hurt is a unit: an exchange of an HTTP edge, a connection of a TCP
// edge; Refuser and Sweeper act on connections everywhere. Each unit is drawn
// once per effect.
type Effect any

// Stager is implemented by effects that shape bytes.
type Stager interface {
	// Stage is called once for each way of each unit that was drawn; nil leaves
	// that way alone. r is the unit's own chance.
	Stage(way Way, of fault.Unit, r *Rand) Stage
}

// Stage shapes the bytes of one way of one unit. It is used by one goroutine at
// a time. A stage may also implement Bounded.
type Stage interface {
	// Pass is given the chunks in order and emits what becomes of them: the same
	// later, in slices, changed in place, or nothing. It must not keep Data and
	// must not bring Due forward. It does not wait: the relay does, with one
	// queue for all stages.
	Pass(c Chunk, emit func(Chunk))
}

// Chunk is some bytes of a stream, or its head or end.
type Chunk struct {
	// Data is empty for the head of an exchange and for the end of a stream.
	Data []byte
	// Due is when it may leave. On entry it is when it came from the stage before.
	Due time.Time
	// End says that the stream ends here, and how.
	End Ending
}

// Bounded is implemented by stages that want less to wait in the queue than the
// relay allows, so that the sender feels the pressure.
type Bounded interface {
	// Bound is the most bytes that should wait for the stage at a time, at least
	// 1. What other stages delay on top does not count.
	Bound() int
	// Rate is how many bytes per second the stage lets pass, above 0.
	Rate() float64
}

// Holder is implemented by effects that hold bytes back until the lift. While
// the way up is held, a new connection is not dialled. Exchanges under way when
// it is armed are held, too.
type Holder interface{ Holds(way Way) bool }

// Swallower is implemented by effects that take all bytes of a unit, both ways,
// and lose them. A unit that lost some is closed at the lift.
type Swallower interface{ Swallows() }

// Ender is implemented by effects that end a unit: the connection, or the
// caller's connection of an exchange once its request was read. An exchange that
// is ended never reaches the callee.
type Ender interface {
	End() (after time.Duration, how Ending)
}

// Delayer is implemented by effects that wait before a request is forwarded.
// HTTP edges only.
type Delayer interface {
	Delay(r *Rand) time.Duration
}

// Answerer is implemented by effects that answer in the callee's place. HTTP
// edges only.
type Answerer interface{ Answer() Answer }

// Answer is a whole answer.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Refuser is implemented by effects that close the listener of an edge; what is
// open is reset unless it is to be kept.
type Refuser interface{ Refuses() (keepOpen bool) }

// Sweeper is implemented by effects that end connections which are open: each of
// them is drawn at the arming, and again at every interval; 0 is once.
type Sweeper interface {
	Sweep() (every time.Duration, how Ending)
}

// Rand is a stream of numbers that hangs on seed, fault, edge and unit alone.
type Rand struct{ state uint64 }

// Float returns the next number in [0, 1).
func (r *Rand) Float() float64 {
	r.state += 0x9e3779b97f4a7c15
	h := r.state
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9
	h = (h ^ (h >> 27)) * 0x94d049bb133111eb
	h ^= h >> 31
	return float64(h>>11) / (1 << 53)
}

// carriedOut tells whether an edge of this protocol can do anything with e, and
// which units it hurts.
func carriedOut(e Effect, http bool) (unit fault.Unit, ok bool) {
	switch e.(type) {
	case Refuser, Sweeper:
		return fault.Connection, true
	case Stager, Holder, Swallower, Ender:
		if http {
			return fault.Exchange, true
		}
		return fault.Connection, true
	case Delayer, Answerer:
		return fault.Exchange, http
	}
	return "", false
}
