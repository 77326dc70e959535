package fault

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// GRPCStatus answers calls in the callee's place.
var GRPCStatus = define("grpc.status",
	"Answer gRPC calls with a status of your choice; the callee never sees them.",
	CallStatus{},
	`
kind: grpc.status
target: {service: inventory-service}
params: {code: UNAVAILABLE, message: try again later}
share: 20%
`, Kind{
		Acts:     OnEdges,
		Grounds:  []string{"relay"},
		HTTPOnly: true,
		Details:  `Calls of every sort, unary or streaming, are answered at once with a head that carries code and message and nothing behind it, as a server does that fails before its first message. Requests that are no gRPC calls (Content-Type application/grpc and its like) do not even count as matched.`,
		Flags: []Flag{
			{Name: "grpc-status", Param: "code", Value: "CODE", Usage: "answer gRPC calls with CODE, for example UNAVAILABLE or 14", Chooses: true},
			{Name: "grpc-message", Param: "message", Value: "TEXT", Usage: "with --grpc-status: the message"},
		},
	})

// CallStatus are the params of grpc.status.
type CallStatus struct {
	// Code by name or number; not OK.
	Code Code `json:"code" doc:"the code, by its number (14) or its name"`
	// Message that the client reads.
	Message string `json:"message,omitempty" doc:"the message that the client reads; by default one that names chaosctl"`
	// Metadata that goes with the status.
	Metadata map[string]string `json:"metadata,omitempty" doc:"metadata that goes with it; values of keys that end in -bin are base64"`
}

// maxMessage bounds a message: clients take 8 KiB of header fields in all.
const maxMessage = 2048

// Validate checks code, message and metadata.
func (p *CallStatus) Validate() error {
	var errs []error
	if n, err := p.Code.Number(); err != nil {
		errs = append(errs, strict.Fieldf("code", "%s", err))
	} else if n == 0 {
		errs = append(errs, strict.Fieldf("code", "must not be OK, which needs an answer to go with it"))
	}
	if len(p.Message) > maxMessage || !utf8.ValidString(p.Message) {
		errs = append(errs, strict.Fieldf("message", "must be a text of at most %d bytes", maxMessage))
	}
	for name, value := range p.Metadata {
		at := "metadata." + name
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "grpc-") || lower == "content-type" {
			errs = append(errs, strict.Fieldf(at, "belongs to gRPC itself and is set by chaosctl; leave it out"))
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r > 126 }) {
			errs = append(errs, strict.Fieldf(at, "must be ASCII; give other bytes as base64 under a key that ends in -bin"))
		}
	}
	return errors.Join(append(errs, checkFields("metadata", p.Metadata))...)
}

// Code is a gRPC status code, written by its name or number.
type Code string

// codes are the names by number (google.golang.org/grpc/codes).
var codes = []string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// Values are the names of all that a call can fail with.
func (Code) Values() []string { return codes[1:] }

// UnmarshalText reads a name, in any case, or a number; it keeps the name.
func (c *Code) UnmarshalText(b []byte) error {
	n, err := Code(b).Number()
	if err != nil {
		return err
	}
	*c = Code(codes[n])
	return nil
}

// Number is the code on the wire.
func (c Code) Number() (int, error) {
	if n, err := strconv.Atoi(string(c)); err == nil && n >= 0 && n < len(codes) {
		return n, nil
	}
	if n := slices.Index(codes, strings.ToUpper(string(c))); n >= 0 {
		return n, nil
	}
	if c == "" {
		return 0, errors.New("must be given, for example UNAVAILABLE")
	}
	return 0, fmt.Errorf("must be a gRPC code such as UNAVAILABLE or 14, not %q%s", strict.Clip(string(c)), strict.Suggest(strings.ToUpper(string(c)), codes))
}
