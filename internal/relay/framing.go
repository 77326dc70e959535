package relay

import (
	"bytes"
	"net/http"
	"slices"
	"sync"
)

// lengths counts the Content-Length fields of what a caller sends by HTTP/1. The
// server drops that field without a word where a request has a Transfer-Encoding,
// too, which is how requests are smuggled past whoever goes by the other one. What
// looks like the field in a body counts as well: it costs the caller a connection.
type lengths struct {
	mu          sync.Mutex
	seen, known int
	line        []byte // the beginning of the current line, as much as is needed
	skip        bool   // to the next line
}

const lengthField = "content-length:"

// feed looks at bytes as they come.
func (l *lengths) feed(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(b) > 0 {
		if l.skip {
			i := bytes.IndexByte(b, '\n')
			if i < 0 {
				return
			}
			b, l.skip = b[i+1:], false
			continue
		}
		n := min(len(b), len(lengthField)-len(l.line))
		l.line = append(l.line, b[:n]...)
		if i := bytes.IndexByte(l.line, '\n'); i >= 0 {
			b = b[n-(len(l.line)-i-1):]
			l.line = l.line[:0]
			continue
		}
		b = b[n:]
		if len(l.line) == len(lengthField) {
			if bytes.EqualFold(l.line, []byte(lengthField)) {
				l.seen++
			}
			l.line, l.skip = l.line[:0], true
		}
	}
}

// doubtful tells whether a request may have had a length besides being chunked. It
// is asked once for each request.
func (l *lengths) doubtful(r *http.Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known += len(r.Header["Content-Length"])
	return slices.Contains(r.TransferEncoding, "chunked") && l.seen > l.known
}
