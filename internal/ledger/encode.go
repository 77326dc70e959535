package ledger

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// What an exchange has, in the bits of its first number. Each bit but the last
// two stands for a field that follows, in this order.
const (
	hasFlow = 1 << iota
	hasConn
	hasRequest // method, path
	hasStatus
	hasIn
	hasOut
	hasStart
	hasFirstByte
	hasLastIn
	hasEnd
	hasSent
	hasEndedBy
	hasTrace
	hasIdempotent
	hasFaults
	hasProto
	hasHost
	hasQuery
	hasGRPC
	hasMessages
	hasKey
	hasKeyed
	hasAttempt
	hasRequestID
	hasBodyHash
	hasRetryAfter
	hasClass
	hasAnswer
	isCut
	isOK
)

const (
	// textShared is how long a text may be that is written once per chunk.
	textShared = 256
	// textsKnown is how many texts are remembered; with more, all are forgotten.
	textsKnown = 4096
	// leastRecord is the least that an exchange takes in a chunk.
	leastRecord = 2
)

// encoder writes exchanges into a chunk, each text once.
type encoder struct {
	buf   []byte
	base  time.Time
	last  int64 // start of the exchange before, in ns from base
	chunk uint64
	next  uint64                 // number of the next text of this chunk
	texts map[string]*sharedText // of this chunk and of earlier ones
	late  [32]*sharedText        // some that came of late, by lateOf: most texts of an exchange are those of the one before
}

// lateOf is where a text is kept that is not empty.
func lateOf(s string) int { return (len(s)*5 ^ int(s[0]) ^ int(s[len(s)-1])*3) % 32 }

// sharedText is what was written once, in one chunk.
type sharedText struct {
	text      string
	chunk, at uint64
}

// begin starts a chunk in buf.
func (e *encoder) begin(buf []byte) {
	if len(e.texts) > textsKnown {
		clear(e.texts)
		clear(e.late[:])
	}
	e.buf, e.last, e.next = buf, 0, 0
	e.chunk++
}

// bulk is about how many bytes an exchange's texts take.
func bulk(x *experiment.Exchange) int {
	n := len(x.Edge) + len(x.Flow) + len(x.Method) + len(x.Path) + len(x.EndedBy) + len(x.Idempotent) + len(x.Proto) + len(x.Host) + len(x.Query) + len(x.Keyed) + len(x.Class)
	for _, f := range x.Faults {
		n += len(f) + 2
	}
	if a := x.Answer; a != nil {
		n += len(a.Type) + len(a.Shape) + len(a.Degraded)
	}
	return n
}

// add writes an exchange.
func (e *encoder) add(x *experiment.Exchange) {
	has := fieldsOf(x)
	e.number(has)
	e.text(x.Edge)
	if has&hasFlow != 0 {
		e.text(x.Flow)
	}
	if has&hasConn != 0 {
		e.number(x.Conn)
	}
	if has&hasRequest != 0 {
		e.text(x.Method)
		e.text(x.Path)
	}
	if has&hasStatus != 0 {
		e.number(zigzag(int64(x.Status)))
	}
	if has&hasIn != 0 {
		e.number(x.BytesIn)
	}
	if has&hasOut != 0 {
		e.number(x.BytesOut)
	}
	e.times(x, has)
	if has&hasEndedBy != 0 {
		e.text(x.EndedBy)
	}
	if has&hasTrace != 0 {
		e.buf = append(e.buf, x.TraceID[:]...)
	}
	if has&hasIdempotent != 0 {
		e.text(x.Idempotent)
	}
	if has&hasFaults != 0 {
		e.number(uint64(len(x.Faults)))
		for _, f := range x.Faults {
			e.text(f)
		}
	}
	e.rest(x, has)
}

// rest writes what not all edges have.
func (e *encoder) rest(x *experiment.Exchange, has uint64) {
	if has&hasProto != 0 {
		e.text(x.Proto)
	}
	if has&hasHost != 0 {
		e.text(x.Host)
	}
	if has&hasQuery != 0 {
		e.text(x.Query)
	}
	if has&hasGRPC != 0 {
		e.number(zigzag(int64(*x.GRPC)))
	}
	if has&hasMessages != 0 {
		e.number(x.MessagesIn)
		e.number(x.MessagesOut)
	}
	if has&hasKey != 0 {
		e.buf = append(e.buf, x.Key[:]...)
	}
	if has&hasKeyed != 0 {
		e.text(string(x.Keyed))
	}
	if has&hasAttempt != 0 {
		e.number(zigzag(int64(x.Attempt)))
	}
	if has&hasRequestID != 0 {
		e.buf = append(e.buf, x.RequestID[:]...)
	}
	if has&hasBodyHash != 0 {
		e.buf = append(e.buf, x.BodyHash[:]...)
	}
	if has&hasRetryAfter != 0 {
		e.number(zigzag(int64(x.RetryAfter)))
	}
	if has&hasClass != 0 {
		e.text(x.Class)
	}
	if a := x.Answer; a != nil {
		e.text(a.Type)
		e.number(a.Size)
		e.text(a.Shape)
		e.text(a.Degraded)
		e.buf = append(e.buf, a.Hash[:]...)
	}
}

// times writes the start as what lies between it and that of the exchange before, the
// others as what lies between them and the start.
func (e *encoder) times(x *experiment.Exchange, has uint64) {
	start := e.last
	if has&hasStart != 0 {
		start = int64(x.Start.Sub(e.base))
		e.number(zigzag(start - e.last))
		e.last = start
	}
	for _, t := range [...]struct {
		bit uint64
		at  *time.Time
	}{{hasFirstByte, &x.FirstByte}, {hasLastIn, &x.LastIn}, {hasEnd, &x.End}, {hasSent, &x.Sent}} {
		if has&t.bit != 0 {
			e.number(zigzag(int64(t.at.Sub(e.base)) - start))
		}
	}
}

func (e *encoder) number(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }

// text writes 0 for an empty text, 1 and the text for one that later exchanges of the
// chunk may refer to, 2 and the text for another, and its number + 3 for one that
// was written. Nothing of s is kept.
func (e *encoder) text(s string) {
	if s == "" {
		e.buf = append(e.buf, 0)
		return
	}
	late := &e.late[lateOf(s)]
	t := *late
	if t == nil || t.text != s {
		if t = e.texts[s]; t != nil {
			*late = t
		}
	}
	if t != nil && t.chunk == e.chunk {
		e.number(t.at + 3)
		return
	}
	how := byte(1)
	switch {
	case len(s) > textShared || t == nil && len(e.texts) >= 2*textsKnown:
		how = 2
	case t == nil:
		t = &sharedText{text: strings.Clone(s)}
		e.texts[t.text] = t
	}
	if how == 1 {
		t.chunk, t.at = e.chunk, e.next
		e.next++
	}
	e.buf = append(e.buf, how)
	e.number(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

// fieldsOf is what an exchange has.
func fieldsOf(x *experiment.Exchange) uint64 {
	var has uint64
	set := func(bit uint64, is bool) {
		if is {
			has |= bit
		}
	}
	set(hasFlow, x.Flow != "")
	set(hasConn, x.Conn != 0)
	set(hasRequest, x.Method != "" || x.Path != "")
	set(hasStatus, x.Status != 0)
	set(hasIn, x.BytesIn != 0)
	set(hasOut, x.BytesOut != 0)
	set(hasStart, !x.Start.IsZero())
	set(hasFirstByte, !x.FirstByte.IsZero())
	set(hasLastIn, !x.LastIn.IsZero())
	set(hasEnd, !x.End.IsZero())
	set(hasSent, !x.Sent.IsZero())
	set(hasEndedBy, x.EndedBy != "")
	set(hasTrace, !x.TraceID.IsZero())
	set(hasIdempotent, x.Idempotent != "")
	set(hasFaults, len(x.Faults) > 0)
	set(hasProto, x.Proto != "")
	set(hasHost, x.Host != "")
	set(hasQuery, x.Query != "")
	set(hasGRPC, x.GRPC != nil)
	set(hasMessages, x.MessagesIn != 0 || x.MessagesOut != 0)
	set(hasKey, !x.Key.IsZero())
	set(hasKeyed, x.Keyed != "")
	set(hasAttempt, x.Attempt != 0)
	set(hasRequestID, !x.RequestID.IsZero())
	set(hasBodyHash, !x.BodyHash.IsZero())
	set(hasRetryAfter, x.RetryAfter != fault.Duration(0))
	set(hasClass, x.Class != "")
	set(hasAnswer, x.Answer != nil)
	set(isCut, x.Cut)
	set(isOK, x.OK)
	return has
}

func zigzag(n int64) uint64 { return uint64(n)<<1 ^ uint64(n>>63) }

func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }
