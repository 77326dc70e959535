package relay

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// begin fills in what is known of an exchange by its head.
func (x *exchange) begin() {
	r := x.r
	r.TLS = x.conn.tls
	if x.stream && r.ContentLength == 0 {
		r.Body = http.NoBody // as on HTTP/1
	}
	x.record = experiment.Exchange{
		Edge: x.edge.edge.name, Conn: x.conn.id, Method: clipTo(r.Method, methodKept), Path: clipTo(r.URL.Path, pathKept), Start: time.Now(),
		TraceID: traceID(r.Header.Get("Traceparent")),
		Proto:   r.Proto, Host: clip(r.Host), Query: redactQuery(r.URL.RawQuery),
		Cut: true, // until it was answered whole
	}
	if x.stream {
		x.record.Proto = "HTTP/2"
	}
	if isGRPC(r) {
		none := -1
		x.record.GRPC = &none
		x.messages[Up], x.messages[Down] = &grpcMessages{}, &grpcMessages{}
	}
	if x.bodyless() {
		x.lastIn = x.record.Start
	}
}

// complete fills in what is known at the end.
func (x *exchange) complete() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.record.LastIn = x.lastIn
	if x.heard || x.record.EndedBy != experiment.EndedByCaller { // else it came because the caller had left
		x.record.FirstByte = x.first
	}
	x.record.BytesIn, x.record.BytesOut = x.in.Load(), x.out.Load()
	if x.messages[Up] != nil {
		x.record.MessagesIn, x.record.MessagesOut = x.messages[Up].count(), x.messages[Down].count()
	}
}

// retryAfter is what the field of that name asks a caller to wait: seconds, or an HTTP
// date, counted from now (RFC 9110, section 10.2.3); 0 if it is neither.
func retryAfter(value string) fault.Duration {
	if value == "" {
		return 0
	}
	if n, err := strconv.ParseUint(value, 10, 32); err == nil {
		return fault.Duration(time.Duration(n) * time.Second)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return fault.Duration(max(0, time.Until(at)))
}

// bodyless tells whether the request has no body.
func (x *exchange) bodyless() bool {
	return x.r.Body == nil || x.r.Body == http.NoBody
}

// came counts bytes of the request's body, and notes its end.
func (x *exchange) came(b []byte, end bool) {
	x.in.Add(uint64(len(b)))
	if m := x.messages[Up]; m != nil {
		m.feed(b)
	}
	if end {
		x.mu.Lock()
		x.lastIn = time.Now()
		x.mu.Unlock()
	}
}

// went counts bytes of the answer's body.
func (x *exchange) went(b []byte) {
	x.out.Add(uint64(len(b)))
	if m := x.messages[Down]; m != nil {
		m.feed(b)
	}
}

// noteGRPC keeps the status of a call: of the trailers, or of an answer that is
// nothing else.
func (x *exchange) noteGRPC(h http.Header) {
	if x.record.GRPC == nil {
		return
	}
	if n, err := strconv.Atoi(h.Get("Grpc-Status")); err == nil {
		x.record.GRPC = &n
	}
}

// traceID takes the trace id out of a W3C traceparent; zero if it has none.
func traceID[T string | []byte](parent T) (id experiment.Digest) {
	from := dash(parent, 0) + 1
	to := from + 2*len(id)
	if from == 0 || len(parent) <= to || parent[to] != '-' || dash(parent, to+1) < 0 {
		return id
	}
	for i := range id {
		high, ok := lowerHex(parent[from+2*i])
		low, also := lowerHex(parent[from+2*i+1])
		if !ok || !also {
			return experiment.Digest{}
		}
		id[i] = high<<4 | low
	}
	return id
}

func lowerHex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// dash is where the next one is from i on, -1 without.
func dash[T string | []byte](s T, i int) int {
	for ; i < len(s); i++ {
		if s[i] == '-' {
			return i
		}
	}
	return -1
}

func clip(s string) string { return s[:min(len(s), 256)] }

const (
	methodKept = 32   // bytes of a method that are told
	pathKept   = 1024 // of a path; as many as of a query
)

// clipTo is the beginning of a text of its own, and says so.
func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// redactQuery masks the values of parameters that look secret by their names.
func redactQuery(raw string) string { return experiment.RedactQuery(raw) }
