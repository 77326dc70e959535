package toxiproxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/chaosctl/chaosctl/experiment"
)

// refusal is an error with the status that it is answered with.
type refusal struct {
	message string
	status  int
}

func (r *refusal) Error() string { return r.message }

// What clients compare with, word for word.
var (
	errProxyNotFound = &refusal{"proxy not found", http.StatusNotFound}
	errProxyExists   = &refusal{"proxy already exists", http.StatusConflict}
	errToxicNotFound = &refusal{"toxic not found", http.StatusNotFound}
	errToxicExists   = &refusal{"toxic already exists", http.StatusConflict}
	errInvalidStream = &refusal{"stream was invalid, can be either upstream or downstream", http.StatusBadRequest}
	errInvalidType   = &refusal{"invalid toxic type", http.StatusBadRequest}
)

func badBody(err error) error {
	return &refusal{"bad request body: " + err.Error(), http.StatusBadRequest}
}

func badBodyf(format string, args ...any) error { return badBody(fmt.Errorf(format, args...)) }

func missingField(what string, place int) error {
	if place > 0 {
		what = fmt.Sprintf("%s at proxy %d", what, place)
	}
	return &refusal{"missing required field: " + what, http.StatusBadRequest}
}

// asRefusal is any error as it is answered: of a network error the text that the
// system's own call gives, without what we were about.
func asRefusal(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	var e *experiment.Error
	if errors.As(err, &e) {
		return &refusal{e.Message, statusOf(e.Code)}
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return &refusal{op.Error(), http.StatusInternalServerError}
	}
	return &refusal{err.Error(), http.StatusInternalServerError}
}

func statusOf(c experiment.Code) int {
	switch c {
	case experiment.BadInput, experiment.Unsupported:
		return http.StatusBadRequest
	case experiment.NotFound:
		return http.StatusNotFound
	case experiment.Conflict:
		return http.StatusConflict
	case experiment.Guarded:
		return http.StatusForbidden
	case experiment.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// body is the refusal in JSON.
func (r *refusal) body() []byte {
	b := appendQuoted([]byte(`{"error":`), r.message)
	return fmt.Appendf(b, `,"status":%d}`, r.status)
}

// appendQuoted writes a text as encoding/json does, HTML escaped.
func appendQuoted(b []byte, s string) []byte {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...) // a string can always be encoded
			}
			return append(b, text...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
