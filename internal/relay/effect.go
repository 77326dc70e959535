package relay

import (
	"net/http"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
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
	// Over is Close for the whole connection, as a stage ends it: what was
	// emitted before is still delivered, then both sides see a FIN.
	Over
)

// Effect is what an armed fault does. It implements one or more of Stager,
// BodyStager, Holder, Swallower, Ender, Delayer, Answerer, Replier, RequestEditor,
// Rewriter, ReplyLoser, Refuser, Deafener, Greeter, Handshaker, Packeter and Sweeper;
// Arm refuses an effect that implements none which the edge's protocol can carry out.
// It may implement Raw, CallsOnly and Parter besides.
// Effects are called from many goroutines; what they remember they guard themselves.
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
	// Free lets the chunk overtake others before it that are free, too, and due
	// later: bytes arrive in another order than they were sent in.
	Free bool
	// Alone has the chunk written by itself, however many are due at the same time.
	Alone bool
}

// Blind is implemented by stages that delay bytes without looking at them, in
// order: then many bytes need not be copied. TCP edges only.
type Blind interface {
	// Shift is when bytes that came at a moment are due, at least then; false if
	// the stage has to see them.
	Shift(came time.Time) (due time.Time, ok bool)
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

// Timed is implemented by stages that end their whole connection by themselves.
// TCP edges only.
type Timed interface {
	// Deadline is when the connection ends, and how; the zero time is never. It
	// is asked for once the stage is made and after every Pass.
	Deadline() (at time.Time, how Ending)
}

// Heir is implemented by stages that go on where the stage of the effect left off
// that theirs replaces (see Edge.Replace). TCP edges only.
type Heir interface {
	// Inherit is called before the first Pass, with a stage of the replaced
	// effect; it may be of any type.
	Inherit(from Stage)
}

// Parter is implemented by effects whose lift ends connections: those that were
// drawn. TCP edges only.
type Parter interface {
	// Parting is how a connection ends at the lift; GoesOn leaves it alone.
	// touched tells whether a stage has been given bytes or an end of it.
	Parting(touched bool) Ending
}

// Raw is implemented by effects that shape what only an edge that passes bytes
// has: the end of a connection, the pieces it is written in.
type Raw interface{ Raw() }

// Greeter is implemented by effects that leave new connections waiting: neither
// read nor dialled. TCP edges only.
type Greeter interface {
	// Greet is how long a connection waits, asked once for each that is drawn.
	Greet(r *Rand) time.Duration
}

// Deafener is implemented by effects that make the listener deaf: what tries to
// connect gets no answer at all until the lift. Arm refuses it where the system
// has no way to do that.
type Deafener interface{ Deafens() }

// Delayer is implemented by effects that wait before a request is forwarded.
// HTTP edges only.
type Delayer interface {
	Delay(r *Rand) time.Duration
}

// Answerer is implemented by effects that answer in the callee's place. HTTP
// edges only.
type Answerer interface{ Answer() Answer }

// Replier is implemented by effects that answer in the callee's place, each request
// by itself. HTTP edges only.
type Replier interface {
	// Reply answers r, which must not be changed; nil lets the request go on, as
	// skipped. It is called once for each exchange that was drawn.
	Reply(r *http.Request) *Answer
}

// RequestEditor is implemented by effects that change the head of a request before
// it is forwarded. HTTP edges only.
type RequestEditor interface {
	// EditRequest changes the fields of r, which is the relay's own copy; not those
	// of framing and not those that end at each connection. false says that nothing
	// was changed: then the exchange counts as skipped.
	EditRequest(r *http.Request, chance *Rand) (changed bool)
}

// Rewriter is implemented by effects that change the callee's answer. HTTP edges
// only; answers of other effects (Answerer) are not rewritten.
type Rewriter interface {
	// Rewrite may change the head, and puts a reader of the new body in the place of
	// the old. It calls Hurt before it changes something, or has the reader do so; an
	// exchange for which nobody has by its end counts as skipped. It must not wait
	// for anything but the body.
	Rewrite(r *Reply)
}

// BodyStager is implemented by effects that shape the bytes of answers, and have to
// see their heads for it. HTTP edges only. Other ways are left alone.
type BodyStager interface {
	Stager
	// StageBody is Stage for the way down, with the head of the answer, which must
	// not be changed; nil leaves the answer alone, and the exchange counts as skipped.
	StageBody(r *Reply) Stage
}

// CallsOnly is implemented by effects for gRPC calls; other requests are not matched.
type CallsOnly interface{ CallsOnly() }

// ReplyLoser is implemented by effects that let the callee finish, drop its
// answer, and end the caller's connection (on HTTP/2, the stream). HTTP edges only.
type ReplyLoser interface{ LoseReply() (how Ending) }

// Packeter is implemented by effects that act on datagrams. UDP edges only, where
// nothing else of the effect counts.
type Packeter interface {
	// Lane is called for each way of each session, once before its first datagram;
	// nil leaves that way alone: its datagrams are not matched.
	Lane(way Way) Lane
}

// Lane acts on the datagrams of one way of one session. It is used by one goroutine
// at a time; what lanes share they lock.
type Lane interface {
	// Packet decides over a datagram of so many bytes that was drawn, and that comes
	// to the effect at a moment. The zero Fate spares it: it counts as skipped.
	Packet(size int, came time.Time, chance *Rand) Fate
}

// Fate is what becomes of a datagram.
type Fate struct {
	// Drop loses it.
	Drop bool
	// Copies are sent besides; what later effects do to each is drawn anew.
	Copies int
	// Delay is waited before it leaves. Datagrams leave in the order in which they
	// are due, so different delays reorder them.
	Delay time.Duration
	// Behind lets it leave, before Delay is over, once so many later ones of its way
	// and session have overtaken it.
	Behind int
	// Edit changes its bytes in place; nil leaves them.
	Edit func(b []byte)
}

// Handshaker is implemented by effects that hurt TLS handshakes of edges that answer
// them themselves. The unit is the connection.
type Handshaker interface{ Handshake() Handshake }

// Handshake is how a TLS handshake is hurt.
type Handshake struct {
	// End ends the connection once the ClientHello was read: Close or Reset.
	End Ending
	// Stall answers nothing until the lift.
	Stall bool
	// Leaf is what is wrong with the certificate that is presented.
	Leaf Leaf
}

// Leaf is what is wrong with a certificate.
type Leaf string

// The certificates that an edge can present.
const (
	Sound     Leaf = ""           // nothing
	Expired   Leaf = "expired"    // its time is over
	WrongName Leaf = "wrong-name" // it is for another name
	Untrusted Leaf = "untrusted"  // nobody knows who signed it
)

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
func carriedOut(e Effect, p experiment.Protocol) (unit fault.Unit, ok bool) {
	if p == experiment.UDP {
		return onDatagrams(e)
	}
	_, raw := e.(Raw)
	switch e.(type) {
	case BodyStager:
		return fault.Exchange, p.SeesRequests()
	case Refuser, Sweeper, Deafener, Handshaker:
		return fault.Connection, true
	case Greeter:
		return fault.Connection, p == experiment.TCP
	case Stager, Holder, Swallower, Ender:
		switch {
		case p == experiment.HTTP:
			return fault.Exchange, !raw
		case p == experiment.Auto && !raw:
			return fault.Units, true // exchanges of some connections, other connections whole
		}
		return fault.Connection, true
	case Delayer, Answerer, Replier, RequestEditor, Rewriter, ReplyLoser:
		return fault.Exchange, p.SeesRequests()
	}
	return "", false
}

// onDatagrams is carriedOut for UDP edges, whose sessions count as connections.
func onDatagrams(e Effect) (unit fault.Unit, ok bool) {
	switch e := e.(type) {
	case Packeter:
		return fault.Datagram, true
	case Refuser:
		return fault.Connection, !e.Refuses() // a socket that is shut hears nobody
	case Sweeper:
		return fault.Connection, true
	}
	return "", false
}

// hurts tells whether an effect is for units of a sort.
func (a *armed) hurts(u fault.Unit) bool { return a.unit == u || a.unit == fault.Units }

// onListener tells whether an effect acts on the listener.
func onListener(e Effect) bool {
	switch e.(type) {
	case Refuser, Deafener:
		return true
	}
	return false
}

// onLinks tells whether an effect acts on listeners or on all open connections, by
// itself.
func onLinks(e Effect) bool {
	switch e.(type) {
	case Refuser, Sweeper, Deafener, Handshaker:
		return true
	}
	return false
}
