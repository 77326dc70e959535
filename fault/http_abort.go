package fault

import "github.com/chaosctl/chaosctl/internal/strict"

// HTTPAbort closes instead of answering.
var HTTPAbort = define("http.abort",
	"Close the caller's connection instead of answering; the callee never sees the request.",
	Abort{How: "close"},
	`
kind: http.abort
target: {edge: api-service -> auth-service}
share: 0.1
`, Kind{
		Acts:     OnEdges,
		Grounds:  []string{"relay"},
		HTTPOnly: true,
	})

// Abort are the params of http.abort.
type Abort struct {
	// How the connection ends: close (FIN) or reset (RST).
	How string `json:"how,omitempty" doc:"how the connection ends: close (FIN) or reset (RST)" enum:"close,reset"`
}

// Validate checks the word.
func (p *Abort) Validate() error {
	if p.How != "close" && p.How != "reset" {
		return strict.Fieldf("how", "must be close or reset, not %q", strict.Clip(p.How))
	}
	return nil
}
