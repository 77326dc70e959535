package fault

import (
	"errors"
	"fmt"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// HTTPBody damages the bodies of answers.
var HTTPBody = define("http.body",
	"Damage the body of answers: cut it off, turn it into garbage, replace it, or change one JSON field.",
	Body{ContentLength: LengthHonest},
	`
kind: http.body
target: {service: catalog-service}
params: {truncate: 50%}
share: 0.1
`, Kind{
		Acts:     OnEdges,
		Grounds:  []string{"relay"},
		HTTPOnly: true,
		Details: `Exactly one of truncate, garbage, replace and json. The callee does its work; head and status stay as they are, but for the length. Bodies are changed as they are on the wire, so a compressed body is cut off or becomes garbage in its compressed form. What is not changed counts as skipped: answers without a body, a body that ends before the cut, a share of a body whose length is not told beforehand.

json reads the whole body before it goes on, up to 1MiB, and changes one value in it; every other byte stays. Larger bodies, compressed ones, those whose Content-Type is not JSON and those without that field pass unchanged and count as skipped.

With contentLength kept, the head still tells the length that the callee's body had: a shorter body breaks off before its end, and the connection with it (on HTTP/2, the stream); a longer one is cut at that length. A body without Content-Length that is truncated breaks off without its end; there is no other lie to tell for one.`,
		Flags: []Flag{
			{Name: "body-truncate", Param: "truncate", Value: "EXTENT", Usage: "cut answers off after EXTENT, for example 1KiB or 50%", Chooses: true},
			{Name: "body-replace", Param: "replace", Value: "TEXT", Usage: "replace the body of answers by TEXT", Chooses: true},
			{Name: "body-garbage", Param: "garbage", Usage: "turn the body of answers into random bytes", Chooses: true},
		},
	})

// What the head of a changed body says of its length.
const (
	LengthHonest = "honest" // what it is now
	LengthKept   = "kept"   // what it was
)

// MaxBody bounds the bodies that are given, or read as a whole: 1 MiB.
const MaxBody = Size(1 << 20)

// Body are the params of http.body.
type Body struct {
	// Truncate is how much of the body is left.
	Truncate Extent `json:"truncate,omitempty" doc:"how much of the body is left: bytes such as 1KiB, or a share such as 50%"`
	// Garbage puts random bytes in the place of the body's.
	Garbage bool `json:"garbage,omitempty" doc:"put random bytes in the place of the body's; as many, with the same Content-Type"`
	// Replace is another body.
	Replace *string `json:"replace,omitempty" doc:"another body, at most 1MiB"`
	// ContentType of Replace; the callee's stays without.
	ContentType string `json:"contentType,omitempty" doc:"the Content-Type of replace; the callee's stays by default"`
	// JSON changes one value.
	JSON *JSONEdit `json:"json,omitempty" doc:"change one value of a JSON body: {path: user.name, value: eve}, or {path: user, delete: true}; places of a list in brackets, and the whole in quotes: \"roles[0]\""`
	// ContentLength is honest, the default, or kept.
	ContentLength string `json:"contentLength,omitempty" doc:"honest tells the length of the changed body; kept lies: it still tells the old one" enum:"honest,kept"`
}

// Validate checks that one change is asked for, and its values.
func (p *Body) Validate() error {
	var given []string
	var errs []error
	if p.Truncate != "" {
		given = append(given, "truncate")
		if _, _, err := p.Truncate.parse(); err != nil {
			errs = append(errs, strict.Fieldf("truncate", "%s", err))
		}
	}
	if p.Garbage {
		given = append(given, "garbage")
	}
	if p.Replace != nil {
		given = append(given, "replace")
		if len(*p.Replace) > int(MaxBody) {
			errs = append(errs, strict.Fieldf("replace", "must be at most %s long", MaxBody))
		}
	}
	if p.JSON != nil {
		given = append(given, "json")
		if err := p.JSON.Validate(); err != nil {
			errs = append(errs, prefixed("json", err))
		}
	}
	if len(given) != 1 {
		errs = append(errs, strict.Fieldf("", "must have exactly one of `truncate`, `garbage`, `replace` and `json`%s", butHas(given)))
	}
	if p.ContentType != "" {
		if err := CheckHeader("Content-Type", p.ContentType); err != nil {
			errs = append(errs, strict.Fieldf("contentType", "%s", err))
		}
		if p.Replace == nil {
			errs = append(errs, strict.Fieldf("contentType", "goes with `replace`; to change it alone there is http.header"))
		}
	}
	switch {
	case p.ContentLength != LengthHonest && p.ContentLength != LengthKept:
		errs = append(errs, strict.Fieldf("contentLength", "must be honest or kept, not %q", strict.Clip(p.ContentLength)))
	case p.ContentLength == LengthKept && p.Garbage:
		errs = append(errs, strict.Fieldf("contentLength", "there is no lie to tell: garbage is as long as the body was; leave it out"))
	}
	return errors.Join(errs...)
}

func butHas(given []string) string {
	if len(given) == 0 {
		return ""
	}
	return ", not " + strings.Join(given, " and ")
}

// Extent is a part of a body, written in bytes ("1KiB") or as a share ("50%").
// The zero value stands for none.
type Extent string

// UnmarshalText reads an extent.
func (e *Extent) UnmarshalText(b []byte) error {
	if _, _, err := Extent(b).parse(); err != nil {
		return err
	}
	*e = Extent(b)
	return nil
}

// Of is how many bytes of a body of this length the extent takes in, at most all
// of them; length is -1 for a body of unknown length. false says that it cannot be
// told.
func (e Extent) Of(length int64) (n int64, ok bool) {
	bytes, part, err := e.parse()
	switch {
	case err != nil || part > 0 && length < 0:
		return 0, false
	case part > 0:
		return int64(part * float64(length)), true
	case length >= 0:
		return min(bytes, length), true
	}
	return bytes, true
}

// parse reads bytes, or a share in (0, 1); a share of 0 stands for bytes.
func (e Extent) parse() (bytes int64, part float64, err error) {
	bad := fmt.Errorf("must be bytes such as 1KiB, or a share above 0%% and below 100%%, not %q", strict.Clip(string(e)))
	if strings.HasSuffix(string(e), "%") {
		part, err = parsePart(string(e))
		if err != nil || !(part > 0 && part < 1) {
			return 0, 0, bad
		}
		return 0, part, nil
	}
	var z Size
	if z.UnmarshalText([]byte(e)) != nil || z > maxSize {
		return 0, 0, bad
	}
	return int64(z), 0, nil
}
