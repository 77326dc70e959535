package relay_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// stream is an endless, checkable sequence of bytes: words that count up, mixed
// with a seed, so that a lost, doubled or moved byte is seen where it happens.
type stream struct {
	seed uint64
	at   uint64
}

func newStream(seed uint64) *stream { return &stream{seed: seed} }

func (s *stream) byteAt(i uint64) byte {
	var w [8]byte
	h := (i/8 + s.seed) * 0x9e3779b97f4a7c15
	binary.LittleEndian.PutUint64(w[:], h^(h>>29))
	return w[i%8]
}

func (s *stream) Read(b []byte) (int, error) {
	i := 0
	for ; i < len(b) && s.at%8 != 0; i++ {
		b[i] = s.byteAt(s.at)
		s.at++
	}
	for ; i+8 <= len(b); i += 8 {
		h := (s.at/8 + s.seed) * 0x9e3779b97f4a7c15
		binary.LittleEndian.PutUint64(b[i:], h^(h>>29))
		s.at += 8
	}
	for ; i < len(b); i++ {
		b[i] = s.byteAt(s.at)
		s.at++
	}
	return len(b), nil
}

var errWrongByte = errors.New("it is not the one that was sent")

// check reads to the end and compares; it returns how many bytes there were.
func (s *stream) check(r io.Reader) (int64, error) {
	got, want := make([]byte, 64<<10), make([]byte, 64<<10)
	var total int64
	for {
		n, err := r.Read(got)
		s.Read(want[:n])
		for i := range n {
			if got[i] != want[i] {
				return total, fmt.Errorf("byte %d: %w", total+int64(i), errWrongByte)
			}
		}
		total += int64(n)
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
