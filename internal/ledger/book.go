package ledger

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// Never stands for an instant that did not come.
const Never = time.Duration(-1 << 63)

// Ender is who ended an exchange.
type Ender uint8

// The enders; Nobody if it is not known.
const (
	Nobody Ender = iota
	Caller
	Callee
	Relay
)

// NoGRPC is the gRPC status of what is no gRPC call.
const NoGRPC = -2

// Edge of a book.
type Edge struct{ Name, From, To string }

// Route is what was asked for.
type Route struct{ Method, Path, Query string }

// Entry is an exchange, small. Instants are counted from Book.Base.
type Entry struct {
	No     uint64
	Edge   int32 // in Book.Edges
	Flow   int32 // in Book.Flows; -1 for what relays saw
	Route  int32 // in Book.Routes; -1 for connections
	Answer int32 // in Book.Answers; -1 if there is none

	Start     time.Duration
	FirstByte time.Duration // Never without
	LastIn    time.Duration // Never if the request was not read whole
	End       time.Duration
	Sent      time.Duration // of the traffic; Never for what relays saw

	Conn  uint64
	Key   uint64 // of the call; 0 without
	Trace uint64 // 0 without
	// Request is the request id; 0 without.
	Request uint64

	RetryAfter time.Duration // 0 without
	Status     int16         // 0: no answer
	GRPC       int16         // NoGRPC, -1 without a status, else the status
	EndedBy    Ender
	By         uint8 // in keyings
	Cut        bool  // the caller did not get a whole answer
	Hurt       bool  // a fault was applied
	Idempotent bool  // it carries an idempotency key
	OK         bool  // of the traffic: a success of the flow
	Class      uint8 // of the traffic, in Book.Classes
}

var keyings = []experiment.Keying{experiment.Unkeyed, experiment.ByIdempotency, experiment.ByRequestID, experiment.ByTrace, experiment.ByBody}

// Keying is what grouped it.
func (e *Entry) Keying() experiment.Keying { return keyings[e.By] }

// GaveUp tells whether the caller hung up before it had a whole answer.
func (e *Entry) GaveUp() bool { return e.Cut && e.EndedBy == Caller }

// unanswered tells whether there was no whole answer. Connections have no status, and
// are fine unless they were cut.
func (e *Entry) unanswered() bool {
	return e.Cut || e.Status == 0 && (e.Route >= 0 || e.Flow >= 0)
}

// Failed tells whether the exchange failed in a way that a caller may try again for:
// no whole answer, 429, 5xx, or a gRPC status other than OK.
func (e *Entry) Failed() bool {
	switch {
	case e.unanswered():
		return true
	case e.GRPC != NoGRPC:
		return e.GRPC != 0
	}
	return e.Status == 429 || e.Status >= 500
}

// Refused tells whether the answer is a final no: 4xx but 429, with which asking again
// is of no use.
func (e *Entry) Refused() bool {
	return !e.Cut && e.Status >= 400 && e.Status < 500 && e.Status != 429
}

// Outcome is how it ended, in a word: its status, "grpc 14", "timeout" (the caller hung
// up), "reset", or "ended" for a connection that ended well.
func (e *Entry) Outcome() string {
	switch {
	case e.GaveUp():
		return "timeout"
	case e.unanswered():
		return "reset"
	case e.Status == 0:
		return "ended"
	case e.GRPC > 0:
		return "grpc " + strconv.Itoa(int(e.GRPC))
	}
	return strconv.Itoa(int(e.Status))
}

// Took is how long it lasted.
func (e *Entry) Took() time.Duration { return e.End - e.Start }

// Book is the exchanges of a run, in the order of their starts.
type Book struct {
	Base    time.Time
	Entries []Entry
	Edges   []Edge
	Flows   []string
	Routes  []Route
	Classes []string
	Answers []experiment.Answer
	// Faults are the names of those applied, by number of exchange, where there were any.
	Missing uint64 // exchanges that are not here, for lack of room, or lost on the way to the disk
	Read    uint64 // exchanges that the file holds, whether they are here or not
	Holes   []Hole // where those that there was no room for are missing, in their order

	edges   map[string]int32
	flows   map[string]int32
	routes  map[Route]int32
	classes map[string]uint8
	answers map[experiment.Answer]int32
}

// NewBook makes a book of exchanges. Those without a number get that of their place.
func NewBook(all []experiment.Exchange) *Book {
	b := &Book{}
	for i := range all {
		if all[i].No == 0 {
			x := all[i]
			x.No = uint64(i + 1)
			b.Add(&x)
			continue
		}
		b.Add(&all[i])
	}
	b.Sort()
	return b
}

// Add takes an exchange in; Sort must follow before anybody looks.
func (b *Book) Add(x *experiment.Exchange) {
	if b.edges == nil {
		b.edges, b.flows, b.routes = map[string]int32{}, map[string]int32{}, map[Route]int32{}
		b.classes, b.answers = map[string]uint8{}, map[experiment.Answer]int32{}
	}
	if b.Base.IsZero() {
		b.Base = x.Start
	}
	e := Entry{
		No: x.No, Edge: b.edge(x.Edge), Flow: -1, Route: -1, Answer: -1,
		Start: b.at(x.Start), FirstByte: b.at(x.FirstByte), LastIn: b.at(x.LastIn), End: b.at(x.End), Sent: b.at(x.Sent),
		Conn: x.Conn, Key: short(x.Key), Trace: short(x.TraceID), Request: short(x.RequestID),
		RetryAfter: x.RetryAfter.Std(), Status: int16(min(max(x.Status, 0), 999)), GRPC: NoGRPC,
		By: uint8(max(slices.Index(keyings, x.Keyed), 0)), Cut: x.Cut, Hurt: len(x.Faults) > 0, Idempotent: x.Idempotent != "", OK: x.OK,
	}
	if x.GRPC != nil {
		e.GRPC = int16(min(max(*x.GRPC, -1), 999))
	}
	switch x.EndedBy {
	case experiment.EndedByCaller:
		e.EndedBy = Caller
	case experiment.EndedByCallee:
		e.EndedBy = Callee
	case experiment.EndedByRelay:
		e.EndedBy = Relay
	}
	if x.Method != "" {
		e.Route = index(&b.Routes, b.routes, Route{x.Method, x.Path, x.Query})
	}
	if x.Flow != "" {
		e.Flow = index(&b.Flows, b.flows, x.Flow)
		c, ok := b.classes[x.Class]
		if !ok && len(b.Classes) < 256 {
			c = uint8(len(b.Classes))
			b.Classes, b.classes[x.Class] = append(b.Classes, x.Class), c
		}
		e.Class = c
	}
	if x.Answer != nil {
		e.Answer = index(&b.Answers, b.answers, *x.Answer)
	}
	b.Entries = append(b.Entries, e)
}

func index[T comparable](list *[]T, known map[T]int32, v T) int32 {
	i, ok := known[v]
	if !ok {
		i = int32(len(*list))
		*list, known[v] = append(*list, v), i
	}
	return i
}

func (b *Book) edge(name string) int32 {
	if i, ok := b.edges[name]; ok {
		return i
	}
	from, to, _ := strings.Cut(name, " -> ")
	b.Edges = append(b.Edges, Edge{name, from, to})
	b.edges[name] = int32(len(b.Edges) - 1)
	return b.edges[name]
}

func (b *Book) at(t time.Time) time.Duration {
	if t.IsZero() {
		return Never
	}
	return t.Sub(b.Base)
}

// Time is the instant that d counts to from Base.
func (b *Book) Time(d time.Duration) time.Time { return b.Base.Add(d) }

// short is half of a digest, never 0 for one that is there.
func short(d experiment.Digest) uint64 {
	if d.IsZero() {
		return 0
	}
	return max(1, binary.LittleEndian.Uint64(d[:])^binary.LittleEndian.Uint64(d[8:]))
}

// Sort puts the entries in the order of their starts.
func (b *Book) Sort() {
	slices.SortFunc(b.Entries, func(x, y Entry) int { return cmp.Or(cmp.Compare(x.Start, y.Start), cmp.Compare(x.No, y.No)) })
}

// EdgeOf is the number of an edge, -1 if it has no exchange.
func (b *Book) EdgeOf(name string) int32 {
	if i, ok := b.edges[name]; ok {
		return i
	}
	return -1
}
