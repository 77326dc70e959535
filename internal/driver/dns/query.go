package dns

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

const (
	headerSize = 12
	maxMessage = 65535
	// minUDP is what every caller takes by UDP without saying so.
	minUDP = 512
)

// query is a query as it came, with as much of it read as faults need.
type query struct {
	raw []byte
	// name in lower case, without the dot at its end; a dot inside a label and what
	// is not printable are written \DDD. The root is empty.
	name         string
	qtype, class uint16
	end          int  // of the question in raw
	tcp          bool // how it came
}

// fate is what becomes of a message by its form alone.
type fate int

const (
	forward fate = iota
	drop         // it is no query, and an answer might go round and round
	formErr
	notImp
)

// readQuery reads a message. The query's raw is the message itself; its question
// is there only if the fate is forward.
func readQuery(raw []byte, tcp bool) (query, fate) {
	q := query{raw: raw, tcp: tcp}
	if len(raw) < headerSize || raw[2]&0x80 != 0 {
		return q, drop
	}
	if opcode := raw[2] >> 3 & 0xf; opcode != dns.OpcodeQuery {
		return q, notImp
	}
	if binary.BigEndian.Uint16(raw[4:]) != 1 {
		return q, formErr
	}
	name, at, ok := readName(raw, headerSize)
	if !ok || at+4 > len(raw) {
		return q, formErr
	}
	q.name, q.end = name, at+4
	q.qtype, q.class = binary.BigEndian.Uint16(raw[at:]), binary.BigEndian.Uint16(raw[at+2:])
	if q.qtype == dns.TypeAXFR || q.qtype == dns.TypeIXFR {
		return q, notImp
	}
	return q, forward
}

// readName reads a name without pointers, of which a question has none.
func readName(raw []byte, at int) (name string, end int, ok bool) {
	var b strings.Builder
	for start := at; at < len(raw); {
		n := int(raw[at])
		at++
		if n == 0 {
			return b.String(), at, at-start <= 255
		}
		if n > 63 || at+n > len(raw) {
			return "", 0, false
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		for _, c := range raw[at : at+n] {
			switch {
			case c >= 'A' && c <= 'Z':
				b.WriteByte(c + 'a' - 'A')
			case c == '.' || c == '\\' || c <= ' ' || c >= 0x7f:
				fmt.Fprintf(&b, `\%03d`, c)
			default:
				b.WriteByte(c)
			}
		}
		at += n
	}
	return "", 0, false
}

// refusal is the short answer to a message that is not forwarded: its header with
// an error, which is never longer than the message.
func refusal(raw []byte, rcode byte) []byte {
	a := make([]byte, headerSize)
	copy(a, raw[:4])
	a[2] = a[2]&0x79 | 0x80 // QR, opcode, RD
	a[3] = rcode
	return a
}

// answers tells whether a message answers the query: by its id and question. Some
// servers leave the question out of their errors.
func (q *query) answers(a []byte) bool {
	if len(a) < headerSize || a[0] != q.raw[0] || a[1] != q.raw[1] || a[2]&0x80 == 0 {
		return false
	}
	if binary.BigEndian.Uint16(a[4:]) == 0 {
		return a[3]&0xf != dns.RcodeSuccess
	}
	return binary.BigEndian.Uint16(a[4:]) == 1 && len(a) >= q.end && sameQuestion(a[headerSize:q.end], q.raw[headerSize:q.end])
}

// sameQuestion compares without regard to the case of letters.
func sameQuestion(a, b []byte) bool {
	lower := func(c byte) byte {
		if c >= 'A' && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}
	for i := range a {
		if a[i] != b[i] && (i >= len(a)-4 || lower(a[i]) != lower(b[i])) {
			return false
		}
	}
	return true
}

// truncated tells whether an answer says that it is not whole.
func truncated(a []byte) bool { return len(a) > 2 && a[2]&0x02 != 0 }

// fit cuts an answer that is too long for a caller by UDP down to one that says
// so. It is for answers that did not come by UDP themselves.
func (q *query) fit(a []byte) []byte {
	if q.tcp || len(a) <= minUDP {
		return a
	}
	var req dns.Msg
	limit := minUDP
	if req.Unpack(q.raw) == nil {
		if opt := req.IsEdns0(); opt != nil {
			limit = max(limit, int(opt.UDPSize()))
		}
	}
	var m dns.Msg
	if len(a) <= limit || m.Unpack(a) != nil {
		return a
	}
	m.Compress = true
	m.Truncate(limit)
	short, err := m.Pack()
	if err != nil {
		return refusal(q.raw, dns.RcodeServerFailure)
	}
	return short
}
