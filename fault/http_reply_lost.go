package fault

import "github.com/chaosctl/chaosctl/internal/strict"

// HTTPReplyLost lets the callee do its work and loses the answer.
var HTTPReplyLost = define("http.reply-lost",
	"Let the callee do its work to the end, lose its answer, and end the caller's connection.",
	ReplyLost{How: "close"},
	`
kind: http.reply-lost
target: {edge: api-service -> payment-service}
match: {method: [POST], path: /payments}
share: 0.05
`, Kind{
		Acts:     OnEdges,
		Grounds:  []string{"relay"},
		HTTPOnly: true,
		Severs:   true,
		Details:  `The request is forwarded as it is, and the answer is read to its end before the connection ends; of it the caller sees nothing. Whoever tries again without an idempotency key does the work twice: that is what this is for. On HTTP/2 the stream is reset, not the connection. http.abort ends the connection before the callee has seen the request.`,
		Flags:    []Flag{{Name: "reply-lost", Usage: "let the callee do its work and lose its answer", Chooses: true}},
	})

// ReplyLost are the params of http.reply-lost.
type ReplyLost struct {
	// How the connection ends: close (FIN) or reset (RST).
	How string `json:"how,omitempty" doc:"how the connection ends: close (FIN) or reset (RST); on HTTP/2 the stream is reset either way" enum:"close,reset"`
}

// Validate checks the word.
func (p *ReplyLost) Validate() error {
	if p.How != "close" && p.How != "reset" {
		return strict.Fieldf("how", "must be close or reset, not %q", strict.Clip(p.How))
	}
	return nil
}
