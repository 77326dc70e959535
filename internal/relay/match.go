package relay

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
)

// matcher is a fault.Match, compiled. A nil matcher fits everything.
type matcher struct {
	methods []string
	path    *regexp.Regexp
	header  map[string]string // canonical name -> glob
	query   map[string]string
}

func compile(m *fault.Match) (*matcher, error) {
	if m == nil {
		return nil, nil
	}
	re, err := fault.CompilePath(m.Path)
	if err != nil {
		return nil, fmt.Errorf("match: path %w", err)
	}
	c := &matcher{methods: m.Method, path: re, query: map[string]string{}, header: map[string]string{}}
	for k, v := range m.Header {
		c.header[http.CanonicalHeaderKey(k)] = v
	}
	for k, v := range m.Query {
		c.query[k] = v
	}
	return c, nil
}

// fits tells whether all that is given holds for the request.
func (m *matcher) fits(r *http.Request) bool {
	if m == nil {
		return true
	}
	if len(m.methods) > 0 && !slices.Contains(m.methods, r.Method) {
		return false
	}
	if !m.path.MatchString(r.URL.Path) {
		return false
	}
	for name, glob := range m.header {
		values := r.Header[name]
		if name == "Host" {
			values = []string{r.Host}
		}
		if !anyGlob(glob, values) {
			return false
		}
	}
	if len(m.query) > 0 {
		q, _ := url.ParseQuery(r.URL.RawQuery) // what can be read of it
		for name, glob := range m.query {
			if !anyGlob(glob, q[name]) {
				return false
			}
		}
	}
	return true
}

// anyGlob matches values; other than in paths, * stands for slashes, too.
func anyGlob(glob string, values []string) bool {
	flat := func(s string) string { return strings.ReplaceAll(s, "/", "\x00") }
	return slices.ContainsFunc(values, func(v string) bool {
		ok, err := path.Match(flat(glob), flat(v))
		return ok && err == nil
	})
}
