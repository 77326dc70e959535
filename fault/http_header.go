package fault

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// HTTPHeader changes header fields.
var HTTPHeader = define("http.header",
	"Set, add or remove header fields of answers or requests.",
	Header{On: Response},
	`
kind: http.header
target: {service: auth-service}
params: {set: {Content-Type: text/html}, remove: [Cache-Control]}
`, Kind{
		Acts:     OnEdges,
		Grounds:  []string{"relay"},
		HTTPOnly: true,
		Details:  `Fields are removed first, then set, then added: set replaces what is there, add puts one more line beside it. Names fit in any case. Fields that frame a message or belong to one connection (Content-Length, Transfer-Encoding, Connection, Upgrade and their like) and Host are refused. An exchange without any of the fields that are removed, where nothing is set or added, counts as skipped. Answers that other faults give are not changed.`,
	})

// Header are the params of http.header.
type Header struct {
	// On is what is changed: response, the default, or request.
	On Direction `json:"on,omitempty" doc:"what is changed: the answer, or the request before it is forwarded" enum:"response,request"`
	// Set fields replace those of their name.
	Set map[string]string `json:"set,omitempty" doc:"fields that replace what is there, each with its value"`
	// Add puts fields beside those of their name.
	Add map[string]string `json:"add,omitempty" doc:"fields that are put beside what is there, each with its value"`
	// Remove takes all fields of a name out.
	Remove []string `json:"remove,omitempty" doc:"names of fields that are taken out"`
}

// Validate checks names, values and that something changes.
func (p *Header) Validate() error {
	var errs []error
	if p.On != Response && p.On != Request {
		errs = append(errs, strict.Fieldf("on", "must be response or request, not %q", strict.Clip(string(p.On))))
	}
	if len(p.Set)+len(p.Add)+len(p.Remove) == 0 {
		errs = append(errs, strict.Fieldf("", "must change something: give `set`, `add` or `remove`, for example `set: {Content-Type: text/html}`"))
	}
	errs = append(errs, checkFields("set", p.Set), checkFields("add", p.Add))
	seen := map[string]string{}
	for i, name := range p.Remove {
		at := fmt.Sprintf("remove[%d]", i)
		errs = append(errs, checkField(at, name, ""))
		seen[strings.ToLower(name)] = at
	}
	for _, name := range slices.Sorted(maps.Keys(p.Set)) {
		if at, twice := seen[strings.ToLower(name)]; twice {
			errs = append(errs, strict.Fieldf("set."+name, "is also in `%s`; to set it is enough", at))
		}
		seen[strings.ToLower(name)] = "set." + name
	}
	return errors.Join(errs...)
}

// checkFields checks header fields by name; a name stands once, in whatever case.
func checkFields(path string, fields map[string]string) error {
	var errs []error
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		errs = append(errs, checkField(path+"."+name, name, fields[name]))
		if other, twice := seen[strings.ToLower(name)]; twice {
			errs = append(errs, strict.Fieldf(path+"."+name, "is the same field as %s; leave one out", other))
		}
		seen[strings.ToLower(name)] = name
	}
	return errors.Join(errs...)
}

// checkField checks one header field that a fault may write.
func checkField(path, name, value string) error {
	if err := CheckHeader(name, value); err != nil {
		return strict.Fieldf(path, "%s", err)
	}
	switch strings.ToLower(name) {
	case "content-length", "transfer-encoding":
		return strict.Fieldf(path, "follows from the body and is set by chaosctl; leave it out")
	case "connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "http2-settings", "expect", "proxy-authenticate", "proxy-authorization":
		return strict.Fieldf(path, "belongs to the connection and is set by chaosctl; leave it out")
	case "host":
		return strict.Fieldf(path, "says where the request goes and stays as it is; leave it out")
	}
	return nil
}
