package relay

import "bytes"

// The heads of HTTP/1.1 messages as the fast path reads them. It accepts only what
// every reader of HTTP takes for the same message; anything else is left to
// net/http, which knows what to do about it.

// verdict is what was found at the start of some bytes.
type verdict uint8

const (
	unfinished verdict = iota // a head without an end, so far
	plain                     // a head with nothing unusual in it
	unusual                   // anything else
)

// span is a piece of a head.
type span struct{ from, to int }

func (s span) of(b []byte) []byte { return b[s.from:s.to] }
func (s span) empty() bool        { return s.from == s.to }

// cutsMost is how many fields of a head are left out at most.
const cutsMost = 4

// h1Head is what the fast path knows of a head.
type h1Head struct {
	size   int  // bytes, with the empty line
	method span // of requests
	target span
	status int   // of answers
	length int64 // Content-Length; -1 for none
	chunks bool  // Transfer-Encoding: chunked
	close  bool  // Connection: close
	host   span

	// Of requests: what tells which call they are an attempt of.
	trace, requestID, correlation span
	idempotent, idempotentX       span
	retryAfter                    span // of answers

	cuts  [cutsMost]span
	ncuts int
}

// readRequest reads the head of a request at the start of b.
func (h *h1Head) readRequest(b []byte) verdict {
	*h = h1Head{length: -1}
	i := 0
	for i < len(b) && b[i] >= 'A' && b[i] <= 'Z' {
		i++
	}
	if i == len(b) {
		return short(b)
	}
	if i == 0 || i > 16 || b[i] != ' ' {
		return unusual
	}
	h.method = span{0, i}
	i++
	from := i
	if i = targetEnd(b, i); i == len(b) {
		return short(b)
	}
	h.target = span{from, i}
	const version = " HTTP/1.1\r\n"
	rest := b[i:]
	if len(rest) < len(version) {
		if version[:len(rest)] == string(rest) {
			return short(b)
		}
		return unusual
	}
	if i == from || b[from] != '/' || i > from+1 && b[from+1] == '/' || string(rest[:len(version)]) != version {
		return unusual
	}
	v := h.fields(b, i+len(version), false)
	if v != plain {
		return v
	}
	bodiless := string(h.method.of(b)) == "GET" || string(h.method.of(b)) == "HEAD"
	if h.host.empty() || h.close || h.length >= 0 && h.chunks || string(h.method.of(b)) == "CONNECT" || bodiless && (h.chunks || h.length > 0) {
		return unusual
	}
	return plain
}

// short is what a head is without its end: unfinished, until it is long.
func short(b []byte) verdict {
	if len(b) >= h1HeadMost {
		return unusual
	}
	return unfinished
}

// h1HeadMost is how long a head the fast path waits for, in bytes.
const h1HeadMost = 16 << 10

// targetEnd is where a target ends that begins at i: at the first byte that a path
// or query has not, as written by all who write it the same way.
func targetEnd(b []byte, i int) int {
	for query := false; i < len(b); i++ {
		switch c := b[i]; {
		case c == '?':
			query = true
		case c == '%':
			if i+2 < len(b) && !(hexDigit(b[i+1]) && hexDigit(b[i+2])) {
				return i
			}
		case !inPath[c] && !(query && inQuery(c)):
			return i
		}
	}
	return i
}

func hexDigit(c byte) bool { _, ok := unhex(c); return ok }

func unhex(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}

func inQuery(c byte) bool { return c > ' ' && c < 0x7f && c != '#' }

// The bytes that may stand in a path, in a name of a field, in a host.
var (
	inPath = bytesOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/")
	inName = bytesOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~")
	inHost = bytesOf("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]")
)

func bytesOf(s string) *[256]bool {
	var set [256]bool
	for i := range len(s) {
		set[s[i]] = true
	}
	return &set
}

// readResponse reads the head of an answer at the start of b.
func (h *h1Head) readResponse(b []byte) verdict {
	*h = h1Head{length: -1}
	const version = "HTTP/1.1 "
	if n := min(len(b), len(version)); string(b[:n]) != version[:n] {
		return unusual
	}
	i := len(version)
	if len(b) < i+4 {
		return unfinished
	}
	for _, c := range b[i : i+3] {
		if c < '0' || c > '9' {
			return unusual
		}
		h.status = h.status*10 + int(c-'0')
	}
	if b[i+3] != ' ' || h.status < 100 {
		return unusual
	}
	end, v := valueEnd(b, i+4)
	if v != plain {
		return v
	}
	v = h.fields(b, end+2, true)
	if v == plain && (h.length >= 0 && h.chunks || h.chunks && (h.status < 200 || h.status == 204 || h.status == 304)) {
		return unusual
	}
	return v
}

// valueEnd is where the text from i on ends in CRLF.
func valueEnd(b []byte, i int) (int, verdict) {
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' && c != '\t' || c == 0x7f {
			break
		}
	}
	switch {
	case i == len(b), i+1 == len(b) && b[i] == '\r':
		return i, short(b)
	case b[i] == '\r' && b[i+1] == '\n':
		return i, plain
	}
	return i, unusual
}

// fields reads the fields, the first of which begins at i, and the empty line.
func (h *h1Head) fields(b []byte, i int, answer bool) verdict {
	for {
		from := i
		if i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n' {
			h.size = i + 2
			return plain
		}
		for i < len(b) && inName[b[i]] {
			i++
		}
		if i == len(b) || i == from && b[i] == '\r' && i+1 == len(b) {
			return short(b)
		}
		if i == from || b[i] != ':' {
			return unusual
		}
		name := b[from:i]
		end, v := valueEnd(b, i+1)
		if v != plain {
			return v
		}
		value := span{i + 1, end}
		for value.from < value.to && blank(b[value.from]) {
			value.from++
		}
		for value.from < value.to && blank(b[value.to-1]) {
			value.to--
		}
		i = end + 2
		if !h.field(b, name, value, span{from, i}, answer) {
			return unusual
		}
	}
}

func blank(c byte) bool { return c == ' ' || c == '\t' }

// field looks at one field; false if it is more than the fast path is for.
func (h *h1Head) field(b, name []byte, value, line span, answer bool) bool {
	v := value.of(b)
	switch len(name) {
	case 2:
		return !is(name, "te")
	case 4:
		if is(name, "host") && !answer {
			first := h.host.empty()
			h.host = value
			return first && !value.empty() && all(v, inHost)
		}
	case 6:
		return !is(name, "expect") || answer
	case 7:
		return !is(name, "upgrade") && (!is(name, "trailer") || answer)
	case 10:
		switch {
		case is(name, "connection"):
			if is(v, "close") && !h.close {
				h.close = true // answers keep it
				return true
			}
			return is(v, "keep-alive") && h.cut(line)
		case is(name, "keep-alive"):
			return h.cut(line)
		}
	case 11:
		if answer {
			first(&h.retryAfter, name, value, "retry-after")
		} else {
			first(&h.trace, name, value, "traceparent")
		}
	case 12:
		if is(name, "content-type") && !answer {
			return len(v) < 16 || !is(v[:16], "application/grpc")
		}
		first(&h.requestID, name, value, "x-request-id")
	case 14:
		if is(name, "content-length") {
			n, ok := decimal(v)
			ok = ok && h.length < 0 && plainly(b, name, value, line)
			h.length = n
			return ok
		}
		return !is(name, "http2-settings")
	case 15:
		first(&h.idempotent, name, value, "idempotency-key")
	case 16:
		first(&h.correlation, name, value, "x-correlation-id")
		return !is(name, "proxy-connection")
	case 17:
		first(&h.idempotentX, name, value, "x-idempotency-key")
		if is(name, "transfer-encoding") {
			once := !h.chunks
			h.chunks = true
			return once && is(v, "chunked") && plainly(b, name, value, line)
		}
	case 18:
		return !is(name, "proxy-authenticate")
	case 19:
		return !is(name, "proxy-authorization")
	}
	return true
}

// first notes the value of a field the first time that it comes, as Header.Get does.
func first(s *span, name []byte, value span, of string) {
	if s.to == 0 && is(name, of) {
		*s = value
	}
}

// plainly tells whether a field is written as everybody writes it. Of other blanks some
// readers make another value, which for the length of a body is too much.
func plainly(b, name []byte, value, line span) bool {
	before := b[line.from+len(name)+1 : value.from]
	return value.to+2 == line.to && (len(before) == 0 || string(before) == " ")
}

// cut leaves a line out.
func (h *h1Head) cut(line span) bool {
	if h.ncuts == cutsMost {
		return false
	}
	h.cuts[h.ncuts] = line
	h.ncuts++
	return true
}

// is compares without regard to case; lower is in lower case.
func is(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i := range len(b) {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

func all(b []byte, set *[256]bool) bool {
	for _, c := range b {
		if !set[c] {
			return false
		}
	}
	return true
}

// decimal reads a number of up to 18 digits.
func decimal(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// trim writes a head without the lines that are to be left out to the end of its
// place in b, and returns where it begins.
func (h *h1Head) trim(b []byte) int {
	begin := h.size
	to := h.size
	for k := h.ncuts - 1; k >= 0; k-- {
		begin -= copy(b[begin-(to-h.cuts[k].to):begin], b[h.cuts[k].to:to])
		to = h.cuts[k].from
	}
	if h.ncuts > 0 {
		begin -= copy(b[begin-to:begin], b[:to])
	} else {
		begin = 0
	}
	return begin
}

// headEnd is where a head ends, however its lines do; 0 if it does not end.
func headEnd(b []byte) int {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], '\n')
		if n < 0 {
			return 0
		}
		i += n + 1
		switch {
		case i < len(b) && b[i] == '\n':
			return i + 1
		case i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n':
			return i + 2
		}
	}
}
