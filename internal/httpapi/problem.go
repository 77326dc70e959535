package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chaosctl/chaosctl/experiment"
)

// internalError is the code of what nobody foresaw.
const internalError experiment.Code = "internal"

// problem is the one shape of refusals: RFC 9457 with the members of
// experiment.Error; detail is its message.
type problem struct {
	Title    string              `json:"title" doc:"the status in words"`
	Status   int                 `json:"status" doc:"the HTTP status"`
	Detail   string              `json:"detail,omitempty" doc:"what is wrong, in one sentence"`
	Code     experiment.Code     `json:"code" doc:"for programs: bad-input, not-found, guarded, conflict, unsupported, stuck, unavailable, unauthorised or internal"`
	Hint     string              `json:"hint,omitempty" doc:"what to do next"`
	Problems experiment.Problems `json:"problems,omitempty" doc:"every mistake of the request or document, each with its path"`

	headers http.Header
}

func (p *problem) Error() string                   { return p.Detail }
func (p *problem) GetStatus() int                  { return p.Status }
func (p *problem) ContentType(string) string       { return "application/problem+json" }
func (p *problem) GetHeaders() http.Header         { return p.headers }
func (p *problem) with(key, value string) *problem { p.headers.Set(key, value); return p }

func newProblem(status int, code experiment.Code, detail, hint string) *problem {
	return &problem{Title: http.StatusText(status), Status: status, Detail: detail, Code: code, Hint: hint, headers: http.Header{}}
}

// asProblem makes a problem of any error.
func asProblem(err error) *problem {
	var p *problem
	if errors.As(err, &p) {
		return p
	}
	e, ok := experiment.AsError(err)
	if !ok {
		return newProblem(http.StatusInternalServerError, internalError, err.Error(), "")
	}
	p = newProblem(statusOf(e.Code), e.Code, e.Message, e.Hint)
	p.Problems = e.Problems
	if p.Status == http.StatusUnauthorized {
		p.with("WWW-Authenticate", challenge)
	}
	return p
}

func statusOf(c experiment.Code) int {
	switch c {
	case experiment.BadInput:
		return http.StatusBadRequest
	case experiment.Unauthorised:
		return http.StatusUnauthorized
	case experiment.Guarded:
		return http.StatusForbidden
	case experiment.NotFound:
		return http.StatusNotFound
	case experiment.Conflict:
		return http.StatusConflict
	case experiment.Unsupported:
		return http.StatusUnprocessableEntity
	case experiment.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// reshape turns the errors that huma makes by itself, for parameters, into ours.
func reshape(_ huma.Context, _ string, v any) (any, error) {
	e, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := experiment.BadInput
	if e.Status >= http.StatusInternalServerError {
		code = internalError
	}
	p := newProblem(e.Status, code, "the request has mistakes", "GET /openapi.json says what is allowed")
	for _, d := range e.Errors {
		p.Problems = append(p.Problems, experiment.Problem{Path: strings.TrimSpace(d.Location), Message: d.Message})
	}
	return p, nil
}

// write answers with the problem, outside of huma.
func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	for k, v := range p.headers {
		h[k] = v
	}
	h.Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails
}
