package relay

import (
	"crypto/tls"
	"net"
	"slices"
	"testing"
	"time"
)

// helloOf is what a caller of the standard library sends first.
func helloOf(t testing.TB, conf *tls.Config) []byte {
	t.Helper()
	c, s := net.Pipe()
	defer s.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Client(c, conf).Handshake()
	}()
	b := make([]byte, 16<<10)
	s.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, err := s.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	<-done
	return b[:n]
}

// inRecords cuts a ClientHello into records of a size.
func inRecords(b []byte, size int) []byte {
	var out []byte
	for body := b[recordHeader:]; len(body) > 0; {
		n := min(size, len(body))
		out = append(append(out, 22, 3, 1, byte(n>>8), byte(n)), body[:n]...)
		body = body[n:]
	}
	return out
}

func TestHello(t *testing.T) {
	whole := helloOf(t, &tls.Config{ServerName: "Pay.Example.com.", NextProtos: []string{"h2", "http/1.1"}})
	for _, b := range [][]byte{whole, inRecords(whole, 1), inRecords(whole, 7), inRecords(whole, 100)} {
		var r helloReader
		for n := range b { // byte by byte
			if h, err := r.next(b[:n]); err != errHelloShort {
				t.Fatalf("%d of %d bytes: %+v %v", n, len(b), h, err)
			}
		}
		h, err := r.next(b)
		if err != nil || h.name != "pay.example.com" || !slices.Equal(h.protos, []string{"h2", "http/1.1"}) || !slices.Equal(h.versions, []uint16{tls.VersionTLS12, tls.VersionTLS13}) {
			t.Errorf("read %+v (%v)", h, err)
		}
	}
	old := helloOf(t, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if h, err := new(helloReader).next(old); err != nil || h.name != "" || len(h.protos) != 0 || !slices.Equal(h.versions, []uint16{tls.VersionTLS10, tls.VersionTLS11}) {
		t.Errorf("read %+v (%v)", h, err)
	}
}

func TestHelloBad(t *testing.T) {
	for name, b := range map[string][]byte{
		"plain":         []byte("GET / HTTP/1.1\r\n"),
		"one byte":      {0x16, 2},
		"an alert":      {21, 3, 1, 0, 2, 2, 10},
		"empty record":  {22, 3, 1, 0, 0},
		"large record":  {22, 3, 1, 0xff, 0xff},
		"server hello":  {22, 3, 1, 0, 4, 2, 0, 0, 0},
		"far too large": {22, 3, 1, 0, 4, 1, 2, 0, 0},
		"empty":         {22, 3, 1, 0, 4, 1, 0, 0, 0},
		"cut":           {22, 3, 1, 0, 8, 1, 0, 0, 4, 3, 3, 0, 0},
	} {
		if h, err := new(helloReader).next(b); err != errNotTLS && err != errBadHello {
			t.Errorf("%s: %+v %v", name, h, err)
		}
	}
	// Records without an end are given up.
	var b []byte
	for len(b) < helloMost+recordMost {
		b = append(append(b, 22, 3, 1, 0x20, 0), make([]byte, 0x2000)...)
	}
	b[5], b[6], b[7], b[8] = 1, 0, 0xff, 0xf0
	if _, err := new(helloReader).next(b); err != errBadHello {
		t.Errorf("without an end: %v", err)
	}
}

// FuzzClientHello: what is read does not hang on how the bytes come, and nothing
// breaks the reader.
func FuzzClientHello(f *testing.F) {
	whole := helloOf(f, &tls.Config{ServerName: "pay.example.com", NextProtos: []string{"h2"}})
	f.Add(whole, 1)
	f.Add(inRecords(whole, 9), 5)
	f.Add([]byte{22, 3, 1, 0, 4, 1, 0, 0, 0}, 2)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 3)
	f.Fuzz(func(t *testing.T, b []byte, step int) {
		b = b[:min(len(b), 80<<10)]
		h, err := new(helloReader).next(b)
		if (h == nil) == (err == nil) {
			t.Fatalf("%+v %v", h, err)
		}
		step = max(1, step, len(b)/512) // an end that comes byte by byte is looked at as often
		var r helloReader
		var mine *hello
		bad := error(errHelloShort)
		for n := 0; n < len(b) && bad == errHelloShort; {
			n = min(len(b), n+min(step, len(b)))
			mine, bad = r.next(b[:n])
		}
		if bad != err && !(len(b) == 0) {
			t.Fatalf("at once: %v; bit by bit: %v", err, bad)
		}
		if h != nil && (mine == nil || mine.offer() != h.offer()) {
			t.Fatalf("at once %+v, bit by bit %+v", h, mine)
		}
		if h != nil && !slices.IsSorted(h.versions) {
			t.Fatalf("versions %x", h.versions)
		}
	})
}
