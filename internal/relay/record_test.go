package relay

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"testing"
)

func TestQueriesAreRedacted(t *testing.T) {
	for raw, want := range map[string]string{
		"":                           "",
		"a=1&b=2":                    "a=1&b=2",
		"token=abc":                  "token=(secret)",
		"a=1&api_key=abc&b":          "a=1&api_key=(secret)&b",
		"X-Amz-Signature=abc;x=1":    "X-Amz-Signature=(secret)",
		"pass%77ord=abc":             "pass%77ord=(secret)",
		"%zz=abc":                    "%zz=(secret)",
		"q=token":                    "q=token",
		"session":                    "session",
		"user.SessionId=1&a=b&a=c&&": "user.SessionId=(secret)&a=b&a=c&&",
	} {
		if got := redactQuery(raw); got != want {
			t.Errorf("%q became %q, not %q", raw, got, want)
		}
	}
}

// inPieces feeds bytes in pieces of every size up to 20.
func inPieces(b []byte, check func(feed func(feed func(b []byte)))) {
	for size := 1; size <= 20; size++ {
		check(func(feed func(b []byte)) {
			for p := b; len(p) > 0; {
				n := min(size, len(p))
				feed(p[:n])
				p = p[n:]
			}
		})
	}
}

func TestGRPCMessagesAreCounted(t *testing.T) {
	var b bytes.Buffer
	sizes := []uint32{0, 1, 5, 300, 0, 70000, 0}
	for _, n := range sizes {
		b.WriteByte(1)
		binary.Write(&b, binary.BigEndian, n)
		b.Write(make([]byte, n))
	}
	b.Write([]byte{0, 0, 0, 0, 9, 'h', 'a', 'l', 'f'}) // one that breaks off
	inPieces(b.Bytes(), func(feed func(func([]byte))) {
		var m grpcMessages
		feed(m.feed)
		if m.count() != uint64(len(sizes)) {
			t.Errorf("%d messages, not %d", m.count(), len(sizes))
		}
	})
}

func TestWebSocketMessagesAreCounted(t *testing.T) {
	var b bytes.Buffer
	frame := func(first byte, masked bool, size int) {
		b.WriteByte(first)
		mask := byte(0)
		if masked {
			mask = 0x80
		}
		switch {
		case size < 126:
			b.WriteByte(mask | byte(size))
		case size < 1<<16:
			b.WriteByte(mask | 126)
			binary.Write(&b, binary.BigEndian, uint16(size))
		default:
			b.WriteByte(mask | 127)
			binary.Write(&b, binary.BigEndian, uint64(size))
		}
		if masked {
			b.WriteString("mask")
		}
		b.Write(make([]byte, size))
	}
	for _, masked := range []bool{false, true} {
		for _, size := range []int{0, 1, 125, 126, 70000} {
			frame(0x81, masked, size) // text
			frame(0x02, masked, size) // the beginning of a binary one
			frame(0x89, masked, 3)    // a ping in between
			frame(0x00, masked, size)
			frame(0x80, masked, size) // its end
		}
	}
	frame(0x88, true, 2) // close
	inPieces(b.Bytes(), func(feed func(func([]byte))) {
		var m webSocketMessages
		feed(m.feed)
		if m.count() != 20 {
			t.Errorf("%d messages, not 20", m.count())
		}
	})
}

func TestDoubtfulLengths(t *testing.T) {
	const chunked = "Transfer-Encoding: chunked\r\n"
	for _, c := range []struct {
		sent  string
		known int // requests before that had a length
		want  bool
	}{
		{"POST / HTTP/1.1\r\n" + chunked + "\r\n", 0, false},
		{"POST / HTTP/1.1\r\nContent-Length: 3\r\n" + chunked + "\r\n", 0, true},
		{"POST / HTTP/1.1\n" + chunked + "cONTENT-lENGTH:3\n\n", 0, true},
		{"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST / HTTP/1.1\r\n" + chunked + "\r\n", 1, false},
		{"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcPOST / HTTP/1.1\r\nContent-Length: 3\r\n" + chunked + "\r\n", 1, true},
		{"POST / HTTP/1.1\r\nX-Content-Length: 3\r\nX: content-length:\r\n" + chunked + "\r\n", 0, false},
	} {
		inPieces([]byte(c.sent), func(feed func(func([]byte))) {
			var l lengths
			feed(l.feed)
			for range c.known {
				l.doubtful(&http.Request{Header: http.Header{"Content-Length": {"3"}}})
			}
			if got := l.doubtful(&http.Request{TransferEncoding: []string{"chunked"}}); got != c.want {
				t.Errorf("%q: %v", c.sent, got)
			}
		})
	}
}

func TestDetect(t *testing.T) {
	for first, want := range map[string]speech{
		"":                                unclear,
		"G":                               unclear,
		"GET":                             unclear,
		"GET ":                            unclear,
		"GET / HTTP/1.1\r\n":              speaksHTTP,
		"GET / HTTP/1.1\n":                speaksHTTP,
		"GET /":                           unclear,
		"PRI * HTTP/2.0\r\n\r\nSM":        speaksHTTP,
		"CONNECT a:1 HTTP/1.1\r\n":        speaksHTTP,
		"CONNECT {\"verbose\":true}\r\n":  speaksBytes,
		"GET key\r\n":                     speaksBytes,
		"GET k":                           speaksBytes,
		"PING\r\n":                        speaksBytes,
		"EHLO mail.example\r\n":           speaksBytes,
		"HELO host":                       unclear,
		"\x16\x03\x01":                    speaksBytes,
		"ssh":                             speaksBytes,
		"SSH-2.0-x\r\n":                   speaksBytes,
		"\r\n":                            speaksBytes,
		" / HTTP/1.1\r\n":                 speaksBytes,
		"ABCDEFGHIJKLMNOPQRSTUVWXYZ":      speaksBytes,
		"OPTIONS rtsp://x RTSP/1.0\r\n":   speaksBytes,
		"M-SEARCH * HTTP/1.1\r\n":         speaksHTTP,
		"GET http://x/ HTTP/1.1\r\nHost:": speaksHTTP,
	} {
		if got := detect([]byte(first)); got != want {
			t.Errorf("%q: %d, not %d", first, got, want)
		}
	}
}

func FuzzDetect(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "PING\r\n", "\x16\x03\x01\x00"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		whole := detect(b)
		at = min(max(at, 0), len(b))
		// What is clear early stays what it is.
		if early := detect(b[:at]); early != unclear && early != whole {
			t.Errorf("%q: %d, and of %q: %d", b[:at], early, b, whole)
		}
	})
}
