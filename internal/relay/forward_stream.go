package relay

import (
	"errors"
	"net/http"
	"net/http/httptrace"
	"strings"
)

// streamError is what net/http makes of a RST_STREAM, or of what deserves one: its
// own type, whose fields these are, fills in any that looks like it.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "the stream was reset" }

// isStreamError tells whether an exchange alone has failed, not its connection.
func isStreamError(err error) bool {
	var e streamError
	return errors.As(err, &e) || unprocessed(err)
}

// unprocessed tells whether the callee has said, by GOAWAY, that it did nothing with
// the request.
func unprocessed(err error) bool {
	return err != nil && strings.Contains(err.Error(), "graceful shutdown GOAWAY")
}

// unsent is why a request was not sent at all.
type unsent struct{ error }

func (u unsent) Unwrap() error { return u.error }

// goAways is how often a request without a body is sent again because of a GOAWAY.
const goAways = 3

// roundTripStream has the callee answer by HTTP/2. A request that the callee refuses
// to look at because it is about to close is sent again, on another connection; with
// a body that is the caller's to do.
func (x *exchange) roundTripStream(req *http.Request) (*http.Response, error) {
	side := x.conn.callee
	if !side.streams() {
		return nil, errSpeaksHTTP1
	}
	req = req.WithContext(httptrace.WithClientTrace(x.ctx, x.trace()))
	own := *req.URL
	req.URL = &own
	own.Scheme = side.scheme()
	if strings.HasPrefix(own.Opaque, "//") { // would be taken for an authority
		own.Opaque, own.RawQuery, own.ForceQuery = "", x.r.URL.RawQuery, x.r.URL.ForceQuery
	}
	for tries := 0; ; tries++ {
		line, err := side.lines.reserve(x.ctx, side)
		if err != nil {
			return nil, unsent{err}
		}
		x.passDialled()
		resp, err := line.RoundTrip(req)
		if err == nil || !unprocessed(err) || tries == goAways || !x.bodyless() {
			return resp, err
		}
	}
}
