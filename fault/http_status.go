package fault

import (
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
		Flags:    []Flag{{Name: "status", Param: "code", Value: "N", Usage: "answer with HTTP status N", Chooses: true}},
	})

// Status are the params of http.status.
type Status struct {
	// Code from 200 to 599.
	Code int `json:"code" doc:"the status, from 200 to 599"`
	// Body of the answer; a short JSON object that names chaosctl by default.
	Body *string `json:"body,omitempty" doc:"the body of the answer; a short JSON object by default"`
	// Headers of the answer.
	Headers map[string]string `json:"headers,omitempty" doc:"header fields of the answer"`
}

// Validate checks the ranges.
func (p *Status) Validate() error {
	var errs []error
	if p.Code < 200 || p.Code > 599 {
		errs = append(errs, strict.Fieldf("code", "must be given, from 200 to 599, for example 503"))
	}
	if (p.Code == 204 || p.Code == 205 || p.Code == 304) && p.Body != nil && *p.Body != "" {
		errs = append(errs, strict.Fieldf("body", "an answer with status %d has no body", p.Code))
	}
	for k, v := range p.Headers {
		if err := CheckHeader(k, v); err != nil {
			errs = append(errs, strict.Fieldf("headers."+k, "%s", err))
		}
		switch strings.ToLower(k) {
		case "content-length", "transfer-encoding":
			errs = append(errs, strict.Fieldf("headers."+k, "follows from the body and is set by chaosctl; leave it out"))
		case "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "proxy-authenticate", "proxy-authorization":
			errs = append(errs, strict.Fieldf("headers."+k, "belongs to the connection and is set by chaosctl; leave it out"))
		}
	}
	return errors.Join(errs...)
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
