package experiment

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// Degraded is how the answers of a flow say that they are less than usual, beside the
// ways that are known anyway (docs/judge.md). At least one of its fields.
type Degraded struct {
	// Header is "Name" or "Name: value", whatever the case.
	Header string `json:"header,omitempty" doc:"a header that says so, by itself or with a value, for example \"X-From: cache\""`
	// Field is "name" or "name=value" of a field at the top of a JSON body; by itself it
	// must be true.
	Field string `json:"field,omitempty" doc:"a field at the top of a JSON answer that says so: its name if it is true or false, else name=value, for example source=cache"`
}

// HeaderIs takes Header apart; value is empty if any will do.
func (d *Degraded) HeaderIs() (name, value string) {
	name, value, _ = strings.Cut(d.Header, ":")
	return http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
}

// FieldIs takes Field apart.
func (d *Degraded) FieldIs() (name, value string) {
	name, value, ok := strings.Cut(d.Field, "=")
	if !ok {
		value = "true"
	}
	return strings.TrimSpace(name), strings.TrimSpace(value)
}

// Validate checks both.
func (d *Degraded) Validate() error {
	if d.Header == "" && d.Field == "" {
		return strict.Fieldf("", "says nothing; give `header`, for example \"X-From: cache\", or `field`, for example source=cache")
	}
	errs := []error{at("header", notExpanded(d.Header)), at("field", notExpanded(d.Field))}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if d.Header != "" {
		name, value := d.HeaderIs()
		err := fault.CheckHeader(name, value)
		switch {
		case err == nil && LooksSecret(name):
			err = fmt.Errorf("must not be one that carries secrets, as %s does", strict.Clip(name))
		case err == nil && len(d.Header) > maxTitle:
			err = fmt.Errorf("must be at most %d characters long", maxTitle)
		}
		errs = append(errs, at("header", err))
	}
	if d.Field != "" {
		name, value := d.FieldIs()
		switch {
		case name == "" || value == "":
			errs = append(errs, strict.Fieldf("field", "must be a name, or name=value, for example source=cache"))
		case LooksSecret(name):
			errs = append(errs, strict.Fieldf("field", "must not be one that carries secrets, as %s does", strict.Clip(name)))
		case len(d.Field) > maxTitle:
			errs = append(errs, strict.Fieldf("field", "must be at most %d characters long", maxTitle))
		}
	}
	return errors.Join(errs...)
}
