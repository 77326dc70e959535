package relay

import (
	"net/http"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.HTTPHeader,
	func(p *fault.Header) relay.Effect {
		if p.On == fault.Request {
			return requestEditor{*p}
		}
		return answerEditor{*p}
	},
	func(p *fault.Header) words {
		var what []string
		for _, part := range []struct {
			verb  string
			names []string
		}{{"lose", p.Remove}, {"have a changed", sortedKeys(p.Set)}, {"get one more", sortedKeys(p.Add)}} {
			if len(part.names) > 0 {
				what = append(what, part.verb+" "+strings.ReplaceAll(strings.Join(part.names, ", "), "%", "%%"))
			}
		}
		return words{touches: flow(p.On) + " on %s " + strings.Join(what, " and ")}
	})

type requestEditor struct{ p fault.Header }

func (e requestEditor) EditRequest(r *http.Request, _ *relay.Rand) bool { return edit(r.Header, e.p) }

type answerEditor struct{ p fault.Header }

func (e answerEditor) Rewrite(r *relay.Reply) {
	h := r.Header.Clone()
	if edit(h, e.p) && r.Hurt() {
		r.Header = h
	}
}

// edit changes the fields of h and tells whether it did. A field keeps the spelling
// it has there.
func edit(h http.Header, p fault.Header) (changed bool) {
	for _, name := range p.Remove {
		for _, key := range spellings(h, name) {
			delete(h, key)
			changed = true
		}
	}
	for name, value := range p.Set {
		keys := spellings(h, name)
		if len(keys) == 1 && slices.Equal(h[keys[0]], []string{value}) {
			continue
		}
		for _, key := range keys {
			delete(h, key)
		}
		h[http.CanonicalHeaderKey(name)] = []string{value}
		changed = true
	}
	for name, value := range p.Add {
		key := http.CanonicalHeaderKey(name)
		if keys := spellings(h, name); len(keys) > 0 {
			key = keys[0]
		}
		if strings.EqualFold(key, "User-Agent") && slices.Equal(h[key], []string{""}) {
			h[key] = nil // the relay's word for none
		}
		h[key] = append(h[key], value)
		changed = true
	}
	return changed
}

// spellings are the keys of h that are a name, in whatever case, sorted.
func spellings(h http.Header, name string) []string {
	var keys []string
	for key := range h {
		if strings.EqualFold(key, name) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
