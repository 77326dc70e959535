package traffic

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
)

// The classes of requests that got no complete answer. All others are known by
// their status.
const (
	Timeout   = "timeout"   // no complete answer within the flow's timeout
	Refused   = "refused"   // nothing listens there
	Reset     = "reset"     // the connection was reset (RST)
	Closed    = "closed"    // the connection was closed before an answer
	DNS       = "dns"       // the name could not be resolved
	Truncated = "truncated" // the answer broke off
	Overrun   = "overrun"   // could not be sent in time
	Other     = "other"
)

// classOf names what went wrong, while the body was read or before.
func classOf(err error, body bool) string {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.As(err, &dns):
		return DNS
	case isRefused(err):
		return Refused
	case isReset(err):
		return Reset
	case errors.As(err, &timeout) && timeout.Timeout():
		return Timeout
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF),
		strings.Contains(err.Error(), "server closed idle connection"):
		if body {
			return Truncated
		}
		return Closed
	case body:
		return Truncated // a chunk that makes no sense, and the like
	}
	return Other
}

func isEOF(err error) bool { return err == io.EOF }

// statusText spares an allocation for the common statuses.
func statusText(code int) string {
	switch code {
	case 200:
		return "200"
	case 503:
		return "503"
	}
	return strconv.Itoa(code)
}
