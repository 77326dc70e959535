package relay

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// begin fills in what is known of an exchange by its head.
func (x *exchange) begin() {
	r := x.r
	r.TLS = x.conn.tls
	if x.stream && r.ContentLength == 0 {
		r.Body = http.NoBody // as on HTTP/1
	}
	x.record = experiment.Exchange{
		Edge: x.edge.edge.name, Conn: x.conn.id, Method: r.Method, Path: r.URL.Path, Start: time.Now(),
		TraceID: digest(traceID(r.Header.Get("Traceparent"))), Idempotent: clip(idempotencyKey(r.Header)),
		Proto: r.Proto, Host: clip(r.Host), Query: redactQuery(r.URL.RawQuery),
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
	x.record.FirstByte, x.record.LastIn, x.record.End = x.first, x.lastIn, time.Now()
	x.record.BytesIn, x.record.BytesOut = x.in.Load(), x.out.Load()
	if x.messages[Up] != nil {
		x.record.MessagesIn, x.record.MessagesOut = x.messages[Up].count(), x.messages[Down].count()
	}
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

// traceID takes the trace id out of a W3C traceparent; empty if it has none.
func traceID(parent string) string {
	p := strings.Split(parent, "-")
	if len(p) < 4 || len(p[1]) != 32 || strings.Trim(p[1], "0123456789abcdef") != "" || strings.Trim(p[1], "0") == "" {
		return ""
	}
	return p[1]
}

func clip(s string) string { return s[:min(len(s), 256)] }

// secretWords are those by which the name of a parameter tells that its value is
// secret.
var secretWords = []string{
	"authorization", "cookie", "token", "secret", "password", "passwd", "api-key", "apikey", "api_key", "credential", "signature", "session",
}

// queryLimit is how much of a query is kept.
const queryLimit = 1024

// redactQuery masks the values of parameters that look secret by their names.
func redactQuery(raw string) string {
	if raw == "" {
		return ""
	}
	parts := strings.Split(raw, "&")
	for i, p := range parts {
		name, _, ok := strings.Cut(p, "=")
		if plain, err := url.QueryUnescape(name); ok && (err != nil || looksSecret(plain)) {
			parts[i] = name + "=(secret)"
		}
	}
	all := strings.Join(parts, "&")
	return all[:min(len(all), queryLimit)]
}

func looksSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range secretWords {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}
