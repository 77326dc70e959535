package relay

import (
	"encoding/hex"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// The digests of `openssl mac -macopt hexkey:000102030405060708090a0b0c0d0e0f -macopt
// size:16 SIPHASH` of the bytes from 0 on.
func TestMixIsSipHash(t *testing.T) {
	for words, want := range map[int]string{
		0: "a3817f04ba25a8e66df67214c7550293", 1: "3b62a9ba6258f5610f83e264f31497b4", 2: "6ee2a4ca67b054bbfd3315bf85230577",
		3: "2db479ae78bd50d8882a8a178a6132ad", 8: "1eaf077dc0d4cd3f8cad4d383658a74b",
	} {
		m := newMix([2]uint64{0x0706050403020100, 0x0f0e0d0c0b0a0908})
		for w := range words {
			m.word(0x0706050403020100 + uint64(w)*0x0808080808080808)
		}
		if d := m.sum(); hex.EncodeToString(d[:]) != want {
			t.Errorf("%d words: %s, not %s", words, d, want)
		}
	}
}

func TestMixTellsTextsApart(t *testing.T) {
	seen := map[experiment.Digest][]string{}
	for _, texts := range [][]string{
		{}, {""}, {"", ""}, {"a"}, {"a", ""}, {"", "a"}, {"ab"}, {"a", "b"}, {"b", "a"}, {"a\x00"}, {"aaaaaaa"}, {"aaaaaaa\x00"},
		{"aaaaaaaa"}, {"aaaaaaaa", ""}, {"aaaaaaaab"}, {"aaaaaaaa", "b"}, {"aaaaaaaabbbbbbbb"}, {"aaaaaaaa", "bbbbbbbb"},
	} {
		d := digestOf(ofTarget, texts...)
		if other, ok := seen[d]; ok || d.IsZero() {
			t.Errorf("%q and %q: %s", other, texts, d)
		}
		seen[d] = texts
		bytes := make([][]byte, len(texts))
		for i := range texts {
			bytes[i] = []byte(texts[i])
		}
		if again := digestOf(ofTarget, bytes...); again != d {
			t.Errorf("%q: %s of texts, %s of bytes", texts, d, again)
		}
		if digestOf(ofRequestID, texts...) == d {
			t.Errorf("%q: the same of two sorts", texts)
		}
	}
}

// A body's sum hangs on its bytes and on nothing else.
func TestBodySum(t *testing.T) {
	body := make([]byte, 3000)
	for i := range body {
		body[i] = byte(i * i)
	}
	var h bodySum
	h.begin()
	h.add(body)
	want := h.sum()
	inPieces(body, func(feed func(func([]byte))) {
		h.begin()
		feed(func(p []byte) { h.add(p) })
		if got := h.sum(); got != want {
			t.Errorf("in pieces %s, whole %s", got, want)
		}
	})
	for _, other := range [][]byte{nil, body[1:], append([]byte{0}, body...), append(body[:2999:2999], 1)} {
		h.begin()
		h.add(other)
		if h.sum() == want {
			t.Errorf("%d other bytes have the same sum", len(other))
		}
	}
	h.begin()
	if !h.add(make([]byte, bodyLimit)) || h.add([]byte{0}) {
		t.Error("the limit is not where it should be")
	}
}

func TestTraceID(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	for parent, want := range map[string]string{
		"00-" + id + "-b7ad6b7169203331-01":        id,
		"-" + id + "--":                            id,
		"cc-" + id + "-b7ad6b7169203331-01-more":   id,
		"00-" + id + "-b7ad6b7169203331":           "",
		"00-" + id:                                 "",
		"00-" + id + "0-b7ad6b7169203331-01":       "",
		"00-" + id[1:] + "-b7ad6b7169203331-01":    "",
		"00-" + id[1:] + "A-b7ad6b7169203331-01":   "",
		"00-" + id[1:] + "x-b7ad6b7169203331-01":   "",
		"00-00000000000000000000000000000000-1-01": "",
		"": "", "-": "", "00": "", "00-": "",
	} {
		if got := traceID(parent).String(); got != want {
			t.Errorf("%q: %q", parent, got)
		}
		if got := traceID([]byte(parent)).String(); got != want {
			t.Errorf("%q as bytes: %q", parent, got)
		}
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	var a attempts
	key := func(n int) (d experiment.Digest) {
		d[0], d[1], d[2], d[3] = 1, byte(n), byte(n>>8), byte(n>>16)
		return d
	}
	for n := range 10 * attemptsMost {
		if got := a.next(key(n)); got != 1 {
			t.Fatalf("%d: attempt %d", n, got)
		}
		if again := n - attemptsMost/2; again >= 0 && n%2 == 0 && a.next(key(again)) < 2 {
			t.Fatalf("%d was forgotten at %d", again, n)
		}
	}
	if len(a.now)+len(a.last) > 2*attemptsMost {
		t.Errorf("%d and %d keys are kept", len(a.now), len(a.last))
	}
}
