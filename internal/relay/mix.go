package relay

import (
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"math/bits"

	"github.com/chaosctl/chaosctl/experiment"
)

// mix is SipHash-2-4 with 128 bits (Aumasson and Bernstein 2012) of some words. Texts
// go in behind their lengths, so that "a","b" is not "ab","". Its key is of this
// process: whoever has the digests alone cannot find out by guessing what they are of.
type mix struct {
	v0, v1, v2, v3 uint64
	words          uint64
}

// secret keys the digests of this process.
var secret = func() (k [2]uint64) {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	k[0], k[1] = binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])
	return k
}()

func newMix(k [2]uint64) mix {
	return mix{v0: k[0] ^ 0x736f6d6570736575, v1: k[1] ^ 0x646f72616e646f6d ^ 0xee, v2: k[0] ^ 0x6c7967656e657261, v3: k[1] ^ 0x7465646279746573}
}

func (m *mix) round() {
	m.v0 += m.v1
	m.v2 += m.v3
	m.v1 = bits.RotateLeft64(m.v1, 13) ^ m.v0
	m.v3 = bits.RotateLeft64(m.v3, 16) ^ m.v2
	m.v0 = bits.RotateLeft64(m.v0, 32)
	m.v2 += m.v1
	m.v0 += m.v3
	m.v1 = bits.RotateLeft64(m.v1, 17) ^ m.v2
	m.v3 = bits.RotateLeft64(m.v3, 21) ^ m.v0
	m.v2 = bits.RotateLeft64(m.v2, 32)
}

func (m *mix) word(w uint64) {
	m.words++
	m.v3 ^= w
	m.round()
	m.round()
	m.v0 ^= w
}

func (m *mix) digest(d experiment.Digest) {
	m.word(binary.LittleEndian.Uint64(d[:8]))
	m.word(binary.LittleEndian.Uint64(d[8:]))
}

// mixText takes in a text.
func mixText[T string | []byte](m *mix, s T) {
	m.word(uint64(len(s)))
	i := 0
	for ; i+8 <= len(s); i += 8 {
		m.word(uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56)
	}
	if i < len(s) {
		var w uint64
		for k := 0; i < len(s); i, k = i+1, k+8 {
			w |= uint64(s[i]) << k
		}
		m.word(w)
	}
}

// sum ends it.
func (m *mix) sum() (d experiment.Digest) {
	m.word(m.words * 8 << 56)
	m.v2 ^= 0xee
	for half := range 2 {
		for range 4 {
			m.round()
		}
		binary.LittleEndian.PutUint64(d[half*8:], m.v0^m.v1^m.v2^m.v3)
		m.v1 ^= 0xdd
	}
	return d
}

// What digests are of; each begins with one of these.
const (
	ofIdempotency uint64 = iota + 1
	ofRequestID
	ofTrace
	ofBody
	ofTarget
)

// digestOf is that of texts.
func digestOf[T string | []byte](what uint64, texts ...T) experiment.Digest {
	m := newMix(secret)
	m.word(what)
	for _, t := range texts {
		mixText(&m, t)
	}
	return m.sum()
}

// bodySum hashes a body, in whatever pieces it comes. The two hashes in it are quick,
// and good enough to tell bodies apart, but not to be shown: only their mix is.
type bodySum struct {
	size int
	a, b maphash.Hash
}

var bodySeeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

// begin begins another body.
func (h *bodySum) begin() {
	h.size = 0
	h.a.SetSeed(bodySeeds[0])
	h.b.SetSeed(bodySeeds[1])
}

// add takes in more of it; false once it is too large to be of use.
func (h *bodySum) add(p []byte) bool {
	if h.size += len(p); h.size > bodyLimit {
		return false
	}
	_, _ = h.a.Write(p) // never fails
	_, _ = h.b.Write(p)
	return true
}

func (h *bodySum) sum() experiment.Digest {
	m := newMix(secret)
	m.word(ofBody)
	m.word(uint64(h.size))
	m.word(h.a.Sum64())
	m.word(h.b.Sum64())
	return m.sum()
}

// nothing is the sum of an empty body.
var nothing = func() experiment.Digest {
	var h bodySum
	h.begin()
	return h.sum()
}()
