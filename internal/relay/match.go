package relay

import (
	"fmt"
	"net/http"
	"net/netip"
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
	grpc    *fault.GRPC    // nil: any request
	clients []netip.Prefix // any if empty
}

func compile(m *fault.Match) (*matcher, error) {
	if m == nil {
		return nil, nil
	}
	re, err := fault.CompilePath(m.Path)
	if err != nil {
		return nil, fmt.Errorf("match: path %w", err)
	}
	c := &matcher{methods: m.Method, path: re, grpc: m.GRPC, query: map[string]string{}, header: map[string]string{}}
	for k, v := range m.Header {
		c.header[http.CanonicalHeaderKey(k)] = v
	}
	for k, v := range m.Query {
		c.query[k] = v
	}
	for _, s := range m.Client {
		p, err := fault.ParseClient(s)
		if err != nil {
			return nil, fmt.Errorf("match: client %w", err)
		}
		c.clients = append(c.clients, p)
	}
	return c, nil
}

// matchesRequests tells whether a match asks for what only requests have.
func matchesRequests(m *fault.Match) bool {
	return m != nil && m.OnRequests()
}

// fitsClient tells whether the caller's address is one that is meant.
func (m *matcher) fitsClient(from netip.Addr) bool {
	if m == nil || len(m.clients) == 0 {
		return true
	}
	from = from.Unmap()
	return slices.ContainsFunc(m.clients, func(p netip.Prefix) bool { return p.Contains(from) })
}

// fits tells whether all that is given holds for the request.
func (m *matcher) fits(r *http.Request) bool {
	return m == nil || m.path.MatchString(r.URL.Path) && m.fitsRest(r) && (m.grpc == nil || isGRPC(r) && m.grpc.Fits(r.URL.Path))
}

// isGRPC tells whether a request is a gRPC call.
func isGRPC(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "application/grpc")
}

// spares is fits for protection, which rather spares a request too many: its
// path counts in every way in which an upstream may read it, and as that of a gRPC
// call whatever its content is said to be.
func (m *matcher) spares(r *http.Request) bool {
	return m == nil || m.fitsRest(r) && slices.ContainsFunc(readings(r.URL), func(p string) bool {
		return m.path.MatchString(p) && (m.grpc == nil || m.grpc.Fits(p))
	})
}

// readings are the ways in which servers read a path: as it came and decoded
// once; without ;parameters; with slashes joined, dot segments resolved, or both;
// with and without a slash at the end.
func readings(u *url.URL) []string {
	var all []string
	add := func(p string) {
		for _, p := range []string{p, p + "/", strings.TrimRight(p, "/")} {
			if p != "" && !slices.Contains(all, p) {
				all = append(all, p)
			}
		}
	}
	for _, p := range []string{u.EscapedPath(), u.Path} {
		for _, p := range []string{p, withoutParams(p)} {
			add(p)
			add(path.Clean("/" + p))
			add(joinSlashes(p))
			resolved := (&url.URL{Path: "/"}).ResolveReference(&url.URL{Path: p}).Path
			add(resolved)
			add(joinSlashes(resolved))
		}
	}
	return all
}

// withoutParams takes ;parameters off each segment.
func withoutParams(p string) string {
	if !strings.Contains(p, ";") {
		return p
	}
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

// joinSlashes makes one slash of several.
func joinSlashes(p string) string {
	var b strings.Builder
	for i := range len(p) {
		if p[i] != '/' || i == 0 || p[i-1] != '/' {
			b.WriteByte(p[i])
		}
	}
	return b.String()
}

// fitsRest is fits without the path.
func (m *matcher) fitsRest(r *http.Request) bool {
	if len(m.methods) > 0 && !slices.Contains(m.methods, r.Method) {
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
