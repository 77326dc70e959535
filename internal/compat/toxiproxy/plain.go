package toxiproxy

import (
	"bytes"
	"net/http"
	"strconv"
	"time"
)

// plain is a request as nearly all clients send it, found whole or in part at the
// start of what a connection has brought. Its texts lie in there.
type plain struct {
	method, path, host []byte
	head, size         int // bytes of the head, and of the whole request
}

// maxPlain is the size of the largest plain request, head and body.
const maxPlain = 1 << 20

var headEnd = []byte("\r\n\r\n")

// readPlain reads the head of a request. Whatever is not beyond doubt is not
// plain, so that only net/http has to know what to do about it: that is an
// incomplete head, another protocol than HTTP/1.1, a path that is to be cleaned
// or unescaped, a header that may change how a request is read or answered, one
// that is given twice, and all that is malformed.
func readPlain(b []byte) (p plain, ok bool) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		return p, false
	}
	p.head = end + len(headEnd)
	line, rest := cutLine(b[:end+2])
	if p.method, line, ok = bytes.Cut(line, []byte{' '}); !ok || !plainMethod(p.method) {
		return p, false
	}
	var proto []byte
	if p.path, proto, ok = bytes.Cut(line, []byte{' '}); !ok || string(proto) != "HTTP/1.1" || !plainPath(p.path) {
		return p, false
	}
	var host, length, agent, connection bool
	body := 0
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		name, value, found := bytes.Cut(line, []byte{':'})
		value = bytes.Trim(value, " \t")
		if !found || !printable(value) {
			return p, false
		}
		switch {
		case is(name, "Host"):
			p.host, ok = value, once(&host) && plainHost(value)
		case is(name, "Content-Length"):
			body, ok = plainLength(value)
			ok = once(&length) && ok
		case is(name, "User-Agent"):
			ok = once(&agent) && !bytes.HasPrefix(value, []byte("Mozilla/"))
		case is(name, "Connection"):
			ok = once(&connection) && is(value, "keep-alive")
		default:
			ok = is(name, "Accept") || is(name, "Accept-Encoding") || is(name, "Accept-Language") || is(name, "Content-Type")
		}
		if !ok {
			return p, false
		}
	}
	p.size = p.head + body
	return p, host && p.size <= maxPlain
}

// cutLine takes the line up to the first CRLF off.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, headEnd[:2])
	return line, rest
}

// once is true the first time.
func once(seen *bool) bool {
	first := !*seen
	*seen = true
	return first
}

// is compares without case; both are ASCII, for name is.
func is(b []byte, name string) bool {
	return len(b) == len(name) && (string(b) == name || bytes.EqualFold(b, []byte(name)) && !bytes.ContainsFunc(b, beyondASCII))
}

func beyondASCII(r rune) bool { return r > '~' }

func plainMethod(m []byte) bool {
	switch string(m) {
	case http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete:
		return true
	}
	return false
}

// plainPath tells whether a path means what it says.
func plainPath(path []byte) bool {
	if len(path) == 0 || path[0] != '/' {
		return false
	}
	for i, c := range path {
		if !letterOrDigit(c) && c != '-' && c != '_' && c != '/' && c != '.' && c != ':' {
			return false
		}
		if (c == '/' || c == '.') && i > 0 && path[i-1] == '/' {
			return false // a doubled slash or, maybe, a dot segment
		}
	}
	return true
}

func plainHost(host []byte) bool {
	for _, c := range host {
		if !letterOrDigit(c) && c != '-' && c != '_' && c != '.' && c != ':' {
			return false
		}
	}
	return len(host) > 0
}

func letterOrDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// plainLength reads digits, as few as a plain request can have.
func plainLength(b []byte) (n int, ok bool) {
	if len(b) == 0 || len(b) > len("1048576") {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

func printable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}

// chunkedFrom is the size from which net/http sends a body in chunks.
const chunkedFrom = 2049

// appendAnswer writes an answer as net/http does, with the headers of Door.write.
// date is that of the header; last says that the connection is closed after it.
func (d *Door) appendAnswer(b []byte, a answer, id string, date []byte, last bool) []byte {
	b = strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(a.status), 10)
	b = append(append(append(b, ' '), http.StatusText(a.status)...), "\r\n"...)
	if a.kind != "" {
		b = appendHeader(b, "Content-Type", a.kind)
	}
	if a.ours {
		b = appendHeader(b, "X-Chaosctl-Version", d.cfg.Version)
	}
	if a.kind == plainType {
		b = appendHeader(b, "X-Content-Type-Options", "nosniff")
	}
	b = appendHeader(b, requestIDHeader, id)
	b = append(append(append(b, "Date: "...), date...), "\r\n"...)
	chunked := len(a.body) >= chunkedFrom
	empty := a.status == http.StatusNoContent
	if !chunked && !empty {
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), int64(len(a.body)), 10), "\r\n"...)
	}
	if last {
		b = appendHeader(b, "Connection", "close")
	}
	switch {
	case empty:
		return append(b, "\r\n"...)
	case !chunked:
		return append(append(b, "\r\n"...), a.body...)
	}
	b = append(appendHeader(b, "Transfer-Encoding", "chunked"), "\r\n"...)
	b = append(strconv.AppendInt(b, int64(len(a.body)), 16), "\r\n"...)
	return append(append(b, a.body...), "\r\n0\r\n\r\n"...)
}

func appendHeader(b []byte, name, value string) []byte {
	return append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
}

// dateText is the Date header, written anew once a second.
type dateText struct {
	second int64
	text   []byte
}

func (d *dateText) at(now time.Time) []byte {
	if s := now.Unix(); s != d.second {
		d.second, d.text = s, now.UTC().AppendFormat(d.text[:0], http.TimeFormat)
	}
	return d.text
}
