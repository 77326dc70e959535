package experiment

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// checkPath refuses what cannot stand in the first line of a request: a path
// with its query. The example is one of what is meant.
func checkPath(s, example string) error {
	if err := notExpanded(s); err != nil {
		return err
	}
	if !strings.HasPrefix(s, "/") {
		return fmt.Errorf("must be a path that starts with /, for example %s, not %q", example, strict.Clip(s))
	}
	if err := checkPlain(s); err != nil {
		return err
	}
	if _, err := url.ParseRequestURI(s); err != nil {
		return unreadable(err)
	}
	return nil
}

// checkURL refuses what is not an absolute http or https URL.
func checkURL(s string) error {
	if s == "" {
		return errors.New("is missing; for example http://127.0.0.1:8080/healthz")
	}
	if err := notExpanded(s); err != nil {
		return err
	}
	if err := checkPlain(s); err != nil {
		return err
	}
	u, err := url.Parse(s)
	if scheme, _, ok := strings.Cut(s, "://"); err != nil && ok && isHTTP(scheme) {
		return unreadable(err)
	}
	if err != nil || u.Hostname() == "" || !isHTTP(u.Scheme) {
		return fmt.Errorf("must be a URL such as http://127.0.0.1:8080/healthz, not %q", strict.Clip(s))
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); (err != nil || n == 0) && u.Port() != "" || strings.HasSuffix(u.Host, ":") {
		return fmt.Errorf("the port must be a number from 1 to 65535, not %q", strict.Clip(u.Port()))
	}
	return nil
}

func isHTTP(scheme string) bool {
	return strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https")
}

// checkPlain refuses what no request can carry as it is written.
func checkPlain(s string) error {
	switch {
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }):
		return errors.New("must hold no spaces and no control characters; a space is written %20")
	case strings.Contains(s, "#"):
		return errors.New("must hold no fragment, which is never sent: leave out # and what follows; the character itself is written %23")
	}
	return nil
}

// unreadable says why a URL cannot be read, without the URL.
func unreadable(err error) error {
	var escape url.EscapeError
	if errors.As(err, &escape) {
		return fmt.Errorf("%q is no escape of two hexadecimal digits; the character %% itself is written %%25", string(escape))
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("cannot be read: %s", strict.Clip(err.Error()))
}

// checkMethod refuses what is no HTTP method; empty stands for the default.
func checkMethod(s string) error {
	if strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" || len(s) > 32 {
		return fmt.Errorf("must be a method in capitals such as GET, not %q", strict.Clip(s))
	}
	return nil
}

// ofHTTP and ofTraffic are header fields that documents cannot set: those that
// follow from the request itself and its connection, and those that the
// generator puts on each request of a flow.
func ofHTTP() []string {
	return []string{"Connection", "Content-Length", "Trailer", "Transfer-Encoding"}
}
func ofTraffic() []string { return append(ofHTTP(), "Traceparent", "Tracestate") }

// checkHeaders refuses header fields that HTTP does not allow, those that are
// ours to set, and one name in two spellings.
func checkHeaders(h map[string]string, ours []string) error {
	var errs []error
	seen := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(h)) {
		path, name := "headers."+k, http.CanonicalHeaderKey(k)
		if slices.Contains(ours, name) {
			errs = append(errs, strict.Fieldf(path, "is set by chaosctl; leave it out"))
			continue
		}
		errs = append(errs, at(path, fault.CheckHeader(k, h[k])))
		if other, twice := seen[name]; twice {
			errs = append(errs, strict.Fieldf(path, "is the header `%s` once more, as upper and lower case are the same there; leave one of them out", strict.Clip(other)))
			continue
		}
		seen[name] = k
	}
	return errors.Join(errs...)
}
