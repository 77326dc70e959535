package ledger

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

var errDamaged = errors.New("the chunk cannot be read")

// decoder reads what an encoder wrote. It fails once and for all on the first thing
// that makes no sense.
type decoder struct {
	base  time.Time
	in    []byte
	bad   bool
	last  int64
	texts []string          // of this chunk
	known map[string]string // of all chunks, so that equal texts are one

	x      experiment.Exchange // what is handed out
	faults []string
	grpc   int
	answer experiment.Answer
}

func newDecoder(base time.Time) *decoder {
	return &decoder{base: base, known: map[string]string{}}
}

// chunk hands out the exchanges of a chunk.
func (d *decoder) chunk(in []byte, first uint64, n uint32, f func(*experiment.Exchange) error) error {
	d.in, d.last, d.texts = in, 0, d.texts[:0]
	for i := range uint64(n) {
		d.exchange()
		if d.bad {
			return errDamaged
		}
		d.x.No = first + i
		if err := f(&d.x); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) exchange() {
	has := d.number()
	d.x = experiment.Exchange{Edge: d.text(), Cut: has&isCut != 0, OK: has&isOK != 0}
	x := &d.x
	if has&hasFlow != 0 {
		x.Flow = d.text()
	}
	if has&hasConn != 0 {
		x.Conn = d.number()
	}
	if has&hasRequest != 0 {
		x.Method, x.Path = d.text(), d.text()
	}
	if has&hasStatus != 0 {
		x.Status = int(unzigzag(d.number()))
	}
	if has&hasIn != 0 {
		x.BytesIn = d.number()
	}
	if has&hasOut != 0 {
		x.BytesOut = d.number()
	}
	d.times(has)
	if has&hasEndedBy != 0 {
		x.EndedBy = d.text()
	}
	if has&hasTrace != 0 {
		d.digest(&x.TraceID)
	}
	if has&hasIdempotent != 0 {
		x.Idempotent = d.text()
	}
	if has&hasFaults != 0 {
		d.faults = d.faults[:0]
		for n := d.number(); n > 0 && !d.bad; n-- {
			d.faults = append(d.faults, d.text())
		}
		x.Faults = d.faults
	}
	d.rest(has)
}

func (d *decoder) rest(has uint64) {
	x := &d.x
	if has&hasProto != 0 {
		x.Proto = d.text()
	}
	if has&hasHost != 0 {
		x.Host = d.text()
	}
	if has&hasQuery != 0 {
		x.Query = d.text()
	}
	if has&hasGRPC != 0 {
		d.grpc = int(unzigzag(d.number()))
		x.GRPC = &d.grpc
	}
	if has&hasMessages != 0 {
		x.MessagesIn, x.MessagesOut = d.number(), d.number()
	}
	if has&hasKey != 0 {
		d.digest(&x.Key)
	}
	if has&hasKeyed != 0 {
		x.Keyed = experiment.Keying(d.text())
	}
	if has&hasAttempt != 0 {
		x.Attempt = int(unzigzag(d.number()))
	}
	if has&hasRequestID != 0 {
		d.digest(&x.RequestID)
	}
	if has&hasBodyHash != 0 {
		d.digest(&x.BodyHash)
	}
	if has&hasRetryAfter != 0 {
		x.RetryAfter = fault.Duration(unzigzag(d.number()))
	}
	if has&hasClass != 0 {
		x.Class = d.text()
	}
	if has&hasAnswer != 0 {
		d.answer = experiment.Answer{Type: d.text(), Size: d.number(), Shape: d.text(), Degraded: d.text()}
		d.digest(&d.answer.Hash)
		x.Answer = &d.answer
	}
}

func (d *decoder) times(has uint64) {
	start := d.last
	if has&hasStart != 0 {
		start += unzigzag(d.number())
		d.last = start
		d.x.Start = d.base.Add(time.Duration(start))
	}
	for _, t := range [...]struct {
		bit uint64
		at  *time.Time
	}{{hasFirstByte, &d.x.FirstByte}, {hasLastIn, &d.x.LastIn}, {hasEnd, &d.x.End}, {hasSent, &d.x.Sent}} {
		if has&t.bit != 0 {
			*t.at = d.base.Add(time.Duration(start + unzigzag(d.number())))
		}
	}
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.in)
	if size <= 0 {
		d.bad, d.in = true, nil
		return 0
	}
	d.in = d.in[size:]
	return n
}

// bytes takes n bytes.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.in)) {
		d.bad, d.in = true, nil
		return nil
	}
	b := d.in[:n]
	d.in = d.in[n:]
	return b
}

func (d *decoder) digest(to *experiment.Digest) { copy(to[:], d.bytes(uint64(len(to)))) }

func (d *decoder) text() string {
	switch how := d.number(); {
	case how == 0:
		return ""
	case how == 1:
		s := d.one(d.bytes(d.number()))
		d.texts = append(d.texts, s)
		return s
	case how == 2:
		return string(d.bytes(d.number()))
	case how-3 < uint64(len(d.texts)):
		return d.texts[how-3]
	}
	d.bad, d.in = true, nil
	return ""
}

// one makes equal texts one.
func (d *decoder) one(b []byte) string {
	if s, ok := d.known[string(b)]; ok {
		return s
	}
	if len(d.known) > 2*textsKnown {
		clear(d.known)
	}
	s := string(b)
	d.known[s] = s
	return s
}
