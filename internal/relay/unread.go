package relay

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// drainLimit is how much of a body is drained; with more of it left, the connection
// ends.
const drainLimit = 256 << 10

// drain reads what is left of the body of a request that the relay has answered, so
// that the next may follow on its connection.
func (x *exchange) drain() {
	if x.record.EndedBy != "relay" || x.stream || x.bodyless() || x.r.Header.Get("Expect") != "" {
		return
	}
	x.conn.SetReadDeadline(time.Now().Add(lingerTime))
	_, err := io.CopyN(io.Discard, x.r.Body, drainLimit)
	x.conn.SetReadDeadline(time.Time{})
	if err == io.EOF {
		x.came(nil, true)
	}
}

// partWays ends a connection whose request was answered before all of it was read.
// The server must not have it any more: it would read the rest of the body, at whose
// end it begins to watch for callers who leave, and panics at the end of the next one
// because it does so already; and what follows a body that is framed wrongly it would
// take for a request. Nobody else reads the body when it is called.
func (x *exchange) partWays() {
	if !x.whole || x.stream || x.bodyless() || !x.record.LastIn.IsZero() || x.record.Status == http.StatusSwitchingProtocols {
		return
	}
	_, rw, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return
	}
	defer x.conn.Close()
	rw.WriteString(x.tail())
	if rw.Flush() != nil || x.conn.CloseWrite() != nil {
		return
	}
	// With bytes unread, closing would be seen as a reset, and the answer be lost.
	x.conn.SetReadDeadline(time.Now().Add(lingerTime))
	io.CopyN(io.Discard, x.conn, lingerBytes)
}

// tail is what the server would still write of an answer on HTTP/1 whose body has
// been written: the end of one without a length, with its trailers.
func (x *exchange) tail() string {
	h := x.w.Header()
	if !x.r.ProtoAtLeast(1, 1) || x.r.Method == http.MethodHead || x.record.Status == http.StatusNoContent || x.record.Status == http.StatusNotModified || h.Get("Content-Length") != "" {
		return ""
	}
	trailers := http.Header{}
	for _, name := range h["Trailer"] {
		if v, ok := h[http.CanonicalHeaderKey(name)]; ok {
			trailers[http.CanonicalHeaderKey(name)] = v
		}
	}
	for key, v := range h {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok {
			trailers[name] = v
		}
	}
	var b strings.Builder
	b.WriteString("0\r\n")
	trailers.Write(&b) // to memory
	return b.String() + "\r\n"
}
