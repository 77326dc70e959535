package relay

import (
	"encoding/binary"
	"sync/atomic"
)

// messages counts the messages of one way of a stream as its bytes pass. feed is
// called by one goroutine at a time; count by anybody.
type messages interface {
	feed(b []byte)
	count() uint64
}

// grpcMessages counts those of gRPC: a flag, four bytes of length, the message.
type grpcMessages struct {
	head [5]byte
	have int
	left uint32
	n    atomic.Uint64
}

func (m *grpcMessages) count() uint64 { return m.n.Load() }

func (m *grpcMessages) feed(b []byte) {
	for len(b) > 0 {
		if m.left > 0 {
			skip := min(uint64(m.left), uint64(len(b)))
			m.left -= uint32(skip)
			b = b[skip:]
			if m.left == 0 {
				m.n.Add(1)
			}
			continue
		}
		n := copy(m.head[m.have:], b)
		m.have += n
		b = b[n:]
		if m.have == len(m.head) {
			m.have = 0
			if m.left = binary.BigEndian.Uint32(m.head[1:]); m.left == 0 {
				m.n.Add(1)
			}
		}
	}
}

// webSocketMessages counts those of WebSocket: text and binary ones, which may come
// in several frames; not pings, pongs and closes.
type webSocketMessages struct {
	head [14]byte // two bytes, up to eight of length, four of mask
	have int
	left uint64
	ends bool // the frame is the last one of a message
	n    atomic.Uint64
}

func (m *webSocketMessages) count() uint64 { return m.n.Load() }

func (m *webSocketMessages) feed(b []byte) {
	for len(b) > 0 {
		if m.left > 0 {
			skip := min(m.left, uint64(len(b)))
			m.left -= skip
			b = b[skip:]
			m.over()
			continue
		}
		m.head[m.have] = b[0]
		m.have++
		b = b[1:]
		if m.have < 2 || m.have < m.size() {
			continue
		}
		m.left = m.length()
		const fin, control = 0x80, 0x08
		m.ends = m.head[0]&fin != 0 && m.head[0]&control == 0
		m.have = 0
		m.over()
	}
}

// over counts a message if its last byte has passed.
func (m *webSocketMessages) over() {
	if m.left == 0 && m.ends {
		m.n.Add(1)
	}
}

// size is that of the frame's head.
func (m *webSocketMessages) size() int {
	n := 2
	switch m.head[1] & 0x7f {
	case 126:
		n += 2
	case 127:
		n += 8
	}
	if m.head[1]&0x80 != 0 {
		n += 4
	}
	return n
}

func (m *webSocketMessages) length() uint64 {
	switch l := m.head[1] & 0x7f; l {
	case 126:
		return uint64(binary.BigEndian.Uint16(m.head[2:]))
	case 127:
		return binary.BigEndian.Uint64(m.head[2:])
	default:
		return uint64(l)
	}
}
