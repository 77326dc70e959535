package relay

import (
	"fmt"
	"net/http"
	"text/template"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.HTTPStatus,
	func(p *fault.Status) relay.Effect {
		if p.Template && p.Body != nil {
			if t, err := fault.CompileAnswer(*p.Body); err == nil { // Validate refuses others
				return filler{answer(p), t}
			}
		}
		return answerer{answer(p)}
	},
	func(p *fault.Status) words {
		return words{touches: fmt.Sprintf("requests on %%s are answered with %d, and the callee never sees them", p.Code)}
	})

// answerer answers in the callee's place.
type answerer struct{ answer relay.Answer }

func (a answerer) Answer() relay.Answer { return a.answer }

func answer(p *fault.Status) relay.Answer {
	a := relay.Answer{Status: p.Code, Header: http.Header{}}
	for k, v := range p.Headers {
		a.Header.Set(k, v)
	}
	media := ""
	switch {
	case p.Code == http.StatusNoContent || p.Code == http.StatusResetContent || p.Code == http.StatusNotModified:
	case p.Problem != nil:
		a.Body, media = p.Problem.Text(p.Code, phrase(p.Code)), "application/problem+json"
	case p.Body != nil:
		a.Body = []byte(*p.Body)
	default:
		a.Body = fmt.Appendf(nil, `{"status":%d,"error":%q,"injectedBy":"chaosctl"}`+"\n", p.Code, phrase(p.Code))
		media = "application/json"
	}
	if media != "" && a.Header.Get("Content-Type") == "" {
		a.Header.Set("Content-Type", media)
	}
	return a
}

// phrase says what a status means; by its class if it has no name.
func phrase(code int) string {
	if s := http.StatusText(code); s != "" {
		return s
	}
	return [...]string{"Success", "Redirection", "Client Error", "Server Error"}[code/100-2]
}

// filler answers with a template that each request fills in.
type filler struct {
	answer relay.Answer
	body   *template.Template
}

// Reply fills the template in as far as it goes.
func (f filler) Reply(r *http.Request) *relay.Answer {
	a := f.answer
	var b filled
	_ = f.body.Execute(&b, fault.AnswerData{ // what was written by then is the answer
		Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Host: r.Host, Status: a.Status, Phrase: phrase(a.Status), Get: r.Header.Get,
	})
	a.Body = b.text
	return &a
}

// filled takes what a template becomes, up to fault.MaxFilled.
type filled struct{ text []byte }

func (b *filled) Write(p []byte) (int, error) {
	n := min(len(p), fault.MaxFilled-len(b.text))
	b.text = append(b.text, p[:n]...)
	if n < len(p) {
		return n, fmt.Errorf("more than %d bytes", fault.MaxFilled)
	}
	return n, nil
}
