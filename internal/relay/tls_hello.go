package relay

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// helloMost is how many bytes a ClientHello may have, with its record headers.
const helloMost = 64 << 10

// What becomes of bytes that should be a ClientHello.
var (
	errHelloShort = errors.New("the ClientHello is not complete yet")
	errNotTLS     = errors.New("the caller does not speak TLS")
	errBadHello   = errors.New("the ClientHello cannot be read")
)

// hello is what a ClientHello says, as far as an edge needs it.
type hello struct {
	name     string   // that is called (SNI), lower case; empty if none was given
	protos   []string // offered by ALPN, the preferred one first
	versions []uint16 // of TLS that are offered, from 1.0 on, ascending
}

// helloReader takes a ClientHello out of the first bytes of a connection, as they
// come.
type helloReader struct {
	at  int    // how far it has read
	msg []byte // the handshake message, out of its records
}

const (
	recordHeader    = 5
	recordHandshake = 22
	recordMost      = 16 << 10
	typeClientHello = 1
)

// next is given all bytes so far. It returns errHelloShort until the ClientHello
// is complete.
func (r *helloReader) next(b []byte) (*hello, error) {
	if len(b) > 0 && b[0] != recordHandshake || len(b) > 1 && b[1] != 3 {
		return nil, errNotTLS
	}
	for len(b)-r.at >= recordHeader {
		head := b[r.at:]
		size := int(binary.BigEndian.Uint16(head[3:]))
		switch {
		case head[0] != recordHandshake, head[1] != 3, size == 0, size > recordMost:
			return nil, errBadHello
		case r.at+recordHeader+size > helloMost:
			return nil, errBadHello
		case len(head) < recordHeader+size:
			return nil, errHelloShort
		}
		r.msg = append(r.msg, head[recordHeader:recordHeader+size]...)
		r.at += recordHeader + size
		if r.msg[0] != typeClientHello {
			return nil, errBadHello
		}
		if len(r.msg) < 4 {
			continue
		}
		want := int(r.msg[1])<<16 | int(r.msg[2])<<8 | int(r.msg[3])
		if want > helloMost {
			return nil, errBadHello
		}
		if len(r.msg) >= 4+want {
			return parseHello(r.msg[4 : 4+want])
		}
	}
	return nil, errHelloShort
}

// fields reads the parts of a message one after the other. After a part that is
// not there everything is empty, and bad is set.
type fields struct {
	left []byte
	bad  bool
}

// take returns the next n bytes.
func (f *fields) take(n int) []byte {
	if f.bad || n > len(f.left) {
		f.left, f.bad = nil, true
		return nil
	}
	b := f.left[:n]
	f.left = f.left[n:]
	return b
}

// number reads one of n bytes.
func (f *fields) number(n int) int {
	v := 0
	for _, b := range f.take(n) {
		v = v<<8 | int(b)
	}
	return v
}

// vector returns what follows a length of n bytes.
func (f *fields) vector(n int) []byte { return f.take(f.number(n)) }

// The extensions an edge looks at.
const (
	extServerName = 0
	extALPN       = 16
	extVersions   = 43
)

// parseHello reads the body of a ClientHello (RFC 8446, section 4.1.2).
func parseHello(msg []byte) (*hello, error) {
	f := &fields{left: msg}
	legacy := f.number(2)
	f.take(32)  // random
	f.vector(1) // session
	f.vector(2) // cipher suites
	f.vector(1) // compression
	h := &hello{}
	var exts fields
	if len(f.left) > 0 { // SSL 3.0 has none
		exts.left = f.vector(2)
	}
	if f.bad {
		return nil, errBadHello
	}
	for len(exts.left) > 0 {
		kind := exts.number(2)
		body := &fields{left: exts.vector(2)}
		switch kind {
		case extServerName:
			h.name = serverName(body)
		case extALPN:
			h.protos = protocols(body)
		case extVersions:
			h.versions = versions(body)
		}
		if exts.bad || body.bad {
			return nil, errBadHello
		}
	}
	if h.versions == nil {
		for v := 0x0301; v <= min(legacy, 0x0303); v++ {
			h.versions = append(h.versions, uint16(v))
		}
	}
	return h, nil
}

func serverName(f *fields) string {
	list := &fields{left: f.vector(2)}
	for len(list.left) > 0 {
		kind, name := list.number(1), list.vector(2)
		if f.bad = f.bad || list.bad; kind == 0 && !f.bad {
			return tidyName(string(name))
		}
	}
	return ""
}

// tidyName spells a name as names are compared.
func tidyName(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func protocols(f *fields) []string {
	var all []string
	list := &fields{left: f.vector(2)}
	for len(list.left) > 0 {
		all = append(all, string(list.vector(1)))
	}
	f.bad = f.bad || list.bad
	return all
}

// versions leaves out those that nobody knows: callers add some, so that nobody
// minds new ones.
func versions(f *fields) []uint16 {
	all := []uint16{}
	list := &fields{left: f.vector(1)}
	for len(list.left) > 0 {
		if v := list.number(2); v >= 0x0301 && v <= 0x0304 {
			all = append(all, uint16(v))
		}
	}
	f.bad = f.bad || list.bad
	slices.Sort(all)
	return all
}
