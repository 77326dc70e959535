package experiment

import (
	"errors"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// Problem is one mistake of a document, with its place.
type Problem = strict.Problem

// Problems is every mistake of a document; Parse and Load return it as error.
type Problems = strict.Problems

// Code says what kind of refusal an Error is.
type Code string

// The codes.
const (
	BadInput     Code = "bad-input"   // the caller can mend it: exit 2
	NotFound     Code = "not-found"   // no such injection, run, service or edge: exit 2
	Guarded      Code = "guarded"     // environment, protection or blast radius forbid it: exit 2
	Conflict     Code = "conflict"    // something is in the way: exit 1
	Unsupported  Code = "unsupported" // this ground or machine cannot do it: exit 2
	CannotUndo   Code = "stuck"       // could not be rolled back: exit 5
	Unavailable  Code = "unavailable" // shutting down, or no server there: exit 1
	Unauthorised Code = "unauthorised"
)

// Error is a refusal with what would help. It travels through the API unchanged.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
	// Hint says what to do next.
	Hint string `json:"hint,omitempty"`
	// Problems are set when a document is at fault.
	Problems Problems `json:"problems,omitempty"`
}

func (e *Error) Error() string {
	if len(e.Problems) > 0 {
		if e.Message == "" {
			return e.Problems.Error()
		}
		return e.Message + ":\n" + e.Problems.Error()
	}
	return e.Message
}

// ExitCode is that of a command that ends with this error.
func (e *Error) ExitCode() int {
	switch e.Code {
	case BadInput, NotFound, Guarded, Unsupported:
		return ExitInput
	case CannotUndo:
		return ExitStuck
	}
	return ExitError
}

// AsError finds an Error in err, or makes one: Problems become BadInput.
func AsError(err error) (*Error, bool) {
	var e *Error
	if errors.As(err, &e) {
		return e, true
	}
	var ps Problems
	if errors.As(err, &ps) {
		return &Error{Code: BadInput, Problems: ps}, true
	}
	return nil, false
}
