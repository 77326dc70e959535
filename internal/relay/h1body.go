package relay

import "errors"

// errFraming: what came is no body of the sort that was announced.
var errFraming = errors.New("the body is not framed as announced")

// framing is how the end of a body is known.
type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byEnd // of the connection
)

// chunkState is what comes next in a chunked body.
type chunkState uint8

const (
	chunkSize  chunkState = iota // hexadecimal digits
	chunkBlank                   // white space after them
	chunkExt                     // an extension, which is dropped
	chunkLF                      // of the line with the size
	chunkData
	chunkCR // after the data
	chunkEndLF
	trailerStart // of a line, or the empty line
	trailerName
	trailerValue
	trailerLF
	lastLF
)

const (
	chunkLine   = 4 << 10  // bytes of a line with a size, at most
	trailerMost = 16 << 10 // bytes of trailers, at most
)

// h1Body follows the body of a message.
type h1Body struct {
	framing  framing
	state    chunkState
	trailers bool   // are passed on, else dropped
	left     uint64 // of the length, or of the chunk
	data     uint64 // bytes of content so far
	digits   int
	line     int // bytes of the line, or of all trailers
	done     bool
	saw      func([]byte) // is given the content; may be nil
}

func newBody(f framing, length int64, trailers bool) h1Body {
	b := h1Body{framing: f, trailers: trailers}
	switch {
	case f == byLength && length > 0:
		b.left = uint64(length)
	case f == noBody, f == byLength:
		b.done = true
	}
	return b
}

// pass takes what belongs to the body off the start of b. It returns how many bytes
// those are, and how many bytes of b are to be passed on: what is dropped was
// moved out of the way.
func (m *h1Body) pass(b []byte) (used, kept int, err error) {
	switch m.framing {
	case byLength:
		used = int(min(m.left, uint64(len(b))))
		m.left -= uint64(used)
		m.content(b[:used])
		m.done = m.left == 0
		return used, used, nil
	case byEnd:
		m.content(b)
		return len(b), len(b), nil
	case byChunks:
		return m.passChunks(b)
	}
	return 0, 0, nil
}

func (m *h1Body) content(b []byte) {
	m.data += uint64(len(b))
	if m.saw != nil {
		m.saw(b)
	}
}

func (m *h1Body) passChunks(b []byte) (used, kept int, err error) {
	for used < len(b) && !m.done {
		if m.state == chunkData {
			n := int(min(m.left, uint64(len(b)-used)))
			m.content(b[used : used+n])
			if kept != used {
				copy(b[kept:], b[used:used+n])
			}
			used, kept = used+n, kept+n
			if m.left -= uint64(n); m.left == 0 {
				m.state = chunkCR
			}
			continue
		}
		c := b[used]
		keep, ok := m.step(c)
		if !ok {
			return used, kept, errFraming
		}
		used++
		if keep {
			b[kept] = c
			kept++
		}
	}
	return used, kept, nil
}

// step takes one byte that is not data; keep says whether it is passed on.
func (m *h1Body) step(c byte) (keep, ok bool) {
	switch m.state {
	case chunkSize, chunkBlank, chunkExt, chunkLF:
		return m.sizeLine(c)
	case chunkCR:
		m.state = chunkEndLF
		return true, c == '\r'
	case chunkEndLF:
		m.state = chunkSize
		return true, c == '\n'
	}
	return m.trailer(c)
}

func (m *h1Body) sizeLine(c byte) (keep, ok bool) {
	if m.line++; m.line > chunkLine {
		return false, false
	}
	if m.state == chunkLF {
		m.state, m.line, m.digits = chunkData, 0, 0
		if m.left == 0 {
			m.state = trailerStart
		}
		return true, c == '\n'
	}
	if d, hex := unhex(c); hex && m.state == chunkSize {
		m.digits++
		m.left = m.left<<4 | uint64(d)
		return true, m.digits <= 16 && m.left < 1<<60
	}
	if m.digits == 0 {
		return false, false
	}
	switch {
	case c == '\r':
		m.state = chunkLF
		return true, true
	case c < ' ' && c != '\t' || c == 0x7f:
		return false, false
	case m.state == chunkExt:
	case blank(c):
		m.state = chunkBlank
	case c == ';':
		m.state = chunkExt
	default:
		return false, false
	}
	return false, true
}

func (m *h1Body) trailer(c byte) (keep, ok bool) {
	if m.line++; m.line > trailerMost {
		return false, false
	}
	switch m.state {
	case trailerStart:
		if c == '\r' {
			m.state = lastLF
			return true, true
		}
		m.state = trailerName
		return m.trailers, inName[c]
	case trailerName:
		if c == ':' {
			m.state = trailerValue
			return m.trailers, true
		}
		return m.trailers, inName[c]
	case trailerValue:
		if c == '\r' {
			m.state = trailerLF
			return m.trailers, true
		}
		return m.trailers, c >= ' ' && c != 0x7f || c == '\t'
	case trailerLF:
		m.state = trailerStart
		return m.trailers, c == '\n'
	}
	m.done = true
	return true, c == '\n'
}
