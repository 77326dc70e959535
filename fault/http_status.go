package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// HTTPStatus answers in the callee's place.
var HTTPStatus = define("http.status",
	"Answer requests with a status of your choice; the callee never sees them.",
	Status{},
	`
kind: http.status
target: {service: auth-service}
params: {code: 503}
share: 0.2
match: {method: [GET], path: /users/*}
`, Kind{
		Acts:     OnEdges,
		Grounds:  []string{"relay"},
		HTTPOnly: true,
		Details: `The body is a short JSON object by default, a text of your choice (body), or a problem document of RFC 9457 (problem), with its Content-Type.

With template: true the body is a template of Go's text/template, filled in for each request from {{.Method}}, {{.Path}}, {{.Query}}, {{.Host}}, {{.Status}}, {{.Phrase}} and {{.Header "X-Request-Id"}}. if and with, comparisons, and, or, not, len, html, js, urlquery and json (a text as JSON, in quotes) are there; loops and everything else are not. Header gives nothing for Authorization, Cookie and their like. A body that would be larger than 64KiB is cut off.`,
		Flags: []Flag{{Name: "status", Param: "code", Value: "N", Usage: "answer with HTTP status N", Chooses: true}},
	})

// Status are the params of http.status.
type Status struct {
	// Code from 200 to 599.
	Code int `json:"code" doc:"the status, from 200 to 599"`
	// Body of the answer; a short JSON object that names chaosctl by default.
	Body *string `json:"body,omitempty" doc:"the body of the answer; a short JSON object by default"`
	// Problem is a problem document in the place of Body.
	Problem *ProblemDoc `json:"problem,omitempty" doc:"a problem document (application/problem+json) in the place of body: {title, detail, type}, each optional"`
	// Template fills Body in for each request.
	Template bool `json:"template,omitempty" doc:"body is a template that each request fills in, for example {{.Method}} {{.Path}}"`
	// Headers of the answer.
	Headers map[string]string `json:"headers,omitempty" doc:"header fields of the answer"`
}

// ProblemDoc is a problem document (RFC 9457).
type ProblemDoc struct {
	// Title is what the status is called by default.
	Title string `json:"title,omitempty" doc:"what went wrong, in a few words; the name of the status by default"`
	// Detail is left out by default.
	Detail string `json:"detail,omitempty" doc:"what went wrong this time"`
	// Type is about:blank by default.
	Type string `json:"type,omitempty" doc:"a URI that names the sort of problem; about:blank by default"`
}

// Text is the document as JSON; title stands in for one that is not given.
func (p ProblemDoc) Text(status int, title string) []byte {
	doc := struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{p.Type, p.Title, status, p.Detail}
	if doc.Type == "" {
		doc.Type = "about:blank"
	}
	if doc.Title == "" {
		doc.Title = title
	}
	text, err := json.Marshal(doc)
	if err != nil {
		return nil // texts and a number can always be written
	}
	return append(text, '\n')
}

// Validate checks the ranges.
func (p *Status) Validate() error {
	var errs []error
	if p.Code < 200 || p.Code > 599 {
		errs = append(errs, strict.Fieldf("code", "must be given, from 200 to 599, for example 503"))
	}
	if bare := p.Code == 204 || p.Code == 205 || p.Code == 304; bare && (p.Body != nil && *p.Body != "" || p.Problem != nil) {
		field := "body"
		if p.Problem != nil {
			field = "problem"
		}
		errs = append(errs, strict.Fieldf(field, "an answer with status %d has no body", p.Code))
	}
	switch {
	case p.Problem != nil && p.Body != nil:
		errs = append(errs, strict.Fieldf("problem", "stands in the place of `body`; leave one of them out"))
	case p.Template && p.Body == nil:
		errs = append(errs, strict.Fieldf("template", "goes with `body`, which is the template"))
	case p.Template:
		if _, err := CompileAnswer(*p.Body); err != nil {
			errs = append(errs, strict.Fieldf("body", "%s", err))
		}
	}
	return errors.Join(append(errs, checkFields("headers", p.Headers))...)
}

// CheckHeader refuses names and values that HTTP does not allow (RFC 9110,
// section 5), so that none can break out of its line.
func CheckHeader(name, value string) error {
	for _, r := range name {
		if r > 126 || r <= 32 || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) {
			return fmt.Errorf("is not a header name")
		}
	}
	if name == "" {
		return fmt.Errorf("is not a header name")
	}
	for _, r := range value {
		if r < 32 && r != '\t' || r == 127 {
			return fmt.Errorf("must be one line of plain text")
		}
	}
	return nil
}
