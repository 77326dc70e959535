package relay

import (
	"fmt"
	"net/http"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.HTTPStatus,
	func(p *fault.Status) relay.Effect { return answerer{answer(p)} },
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
	switch {
	case p.Code == http.StatusNoContent || p.Code == http.StatusResetContent || p.Code == http.StatusNotModified:
	case p.Body != nil:
		a.Body = []byte(*p.Body)
	default:
		a.Body = fmt.Appendf(nil, `{"status":%d,"error":%q,"injectedBy":"chaosctl"}`+"\n", p.Code, phrase(p.Code))
		if a.Header.Get("Content-Type") == "" {
			a.Header.Set("Content-Type", "application/json")
		}
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
