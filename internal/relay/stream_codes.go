package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/http"
	"reflect"
	"sync"
)

// codes makes the reset of a stream say what the callee's said. net/http resets
// streams with INTERNAL_ERROR alone, and to clients of gRPC it matters a lot whether a
// call was refused, called off or broken. So the frames that the server writes are
// followed, and the code of such a reset is replaced.
type codes struct {
	mu   sync.Mutex
	want map[uint32]uint32 // by stream

	// Of whoever writes.
	head    [9]byte
	have    int    // bytes of head
	left    uint32 // bytes of the frame after its head
	replace bool   // the frame is a reset whose code is code
	code    [4]byte
}

// Of HTTP/2 (RFC 9113, sections 6.4 and 7).
const (
	frameReset    = 0x3
	refusedStream = 0x7
)

// set has a stream's reset say code.
func (c *codes) set(stream, code uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.want == nil || len(c.want) >= maxStreams { // of streams that were over already
		c.want = map[uint32]uint32{}
	}
	c.want[stream] = code
}

func (c *codes) take(stream uint32) (code uint32, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	code, ok = c.want[stream]
	delete(c.want, stream)
	return code, ok
}

// follow returns what is to be written in the place of b.
func (c *codes) follow(b []byte) []byte {
	out := b
	for i := 0; i < len(b); {
		if c.have < len(c.head) {
			n := copy(c.head[c.have:], b[i:])
			c.have, i = c.have+n, i+n
			if c.have == len(c.head) {
				c.begin()
			}
			continue
		}
		n := int(min(c.left, uint32(len(b)-i)))
		if c.replace {
			if &out[0] == &b[0] {
				out = bytes.Clone(b) // it is the server's
			}
			copy(out[i:i+n], c.code[4-c.left:])
		}
		i, c.left = i+n, c.left-uint32(n)
		if c.left == 0 {
			c.have = 0
		}
	}
	return out
}

// begin looks at the head of a frame.
func (c *codes) begin() {
	c.left = binary.BigEndian.Uint32(c.head[:]) >> 8
	c.replace = false
	if c.left == 4 && c.head[3] == frameReset {
		var code uint32
		code, c.replace = c.take(binary.BigEndian.Uint32(c.head[5:]) &^ (1 << 31))
		binary.BigEndian.PutUint32(c.code[:], code)
	}
	if c.left == 0 {
		c.have = 0
	}
}

// resetAs resets the exchange's stream as the callee has reset its own.
func (x *exchange) resetAs(err error) {
	var e streamError
	ok := errors.As(err, &e)
	if unprocessed(err) || errors.As(err, new(unsent)) {
		e.Code, ok = refusedStream, true
	}
	if stream, known := streamOf(x.w); ok && known {
		x.conn.codes.set(stream, e.Code)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.endLocked("callee", Reset)
}

// streamOf is the number of the stream that is answered on w. net/http does not tell,
// so it is looked up in what it keeps; where that has changed, false: then resets say
// INTERNAL_ERROR. A test notices.
func streamOf(w http.ResponseWriter) (uint32, bool) {
	v := reflect.ValueOf(w)
	for _, name := range []string{"rws", "stream", "id"} {
		if v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if v.Kind() != reflect.Struct {
			return 0, false
		}
		v = v.FieldByName(name)
	}
	if v.Kind() != reflect.Uint32 {
		return 0, false
	}
	return uint32(v.Uint()), true
}
