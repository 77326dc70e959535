package fault

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// Named is implemented by params that choose DNS names. A fault of such a kind
// needs no target if its params name something.
type Named interface {
	// DNSNames are the names and patterns, as CompileName reads them; empty stands
	// for those of the target's service.
	DNSNames() []string
}

// NameMatcher tells whether a DNS name fits a pattern.
type NameMatcher struct {
	exact, suffix string
	re            *regexp.Regexp
}

// Fits tells whether a name fits; case and a dot at its end do not matter.
func (m *NameMatcher) Fits(name string) bool {
	name = plainName(name)
	switch {
	case m.re != nil:
		return m.re.MatchString(name)
	case m.suffix != "":
		return len(name) > len(m.suffix) && strings.HasSuffix(name, m.suffix)
	}
	return name == m.exact
}

// CompileName reads a pattern over DNS names: a name, or one in which a star
// stands for any run of characters inside a label, two stars for any run at all,
// and `*.` in front for one label or more: *.example.com covers a.example.com and
// a.b.example.com, but not example.com. `*` alone is every name.
func CompileName(pattern string) (*NameMatcher, error) {
	p := plainName(pattern)
	if len(p) > 253 || p == "" || strings.Trim(p, "abcdefghijklmnopqrstuvwxyz0123456789-_.*") != "" ||
		strings.Contains(p, "..") || p[0] == '.' {
		hint := ""
		if strings.ContainsFunc(p, func(r rune) bool { return r > unicode.MaxASCII }) {
			hint = "; write names in other letters as they are asked for: xn--mnchen-3ya.example"
		}
		return nil, fmt.Errorf("must be a DNS name or a pattern such as *.example.com, not %q%s", strict.Clip(pattern), hint)
	}
	for label := range strings.SplitSeq(p, ".") {
		if len(label) > 63 {
			return nil, fmt.Errorf("has a label of more than 63 characters: %q", strict.Clip(label))
		}
	}
	suffix, below := strings.CutPrefix(p, "*")
	switch {
	case !strings.Contains(p, "*"):
		return &NameMatcher{exact: p}, nil
	case below && strings.HasPrefix(suffix, ".") && !strings.Contains(suffix, "*"):
		return &NameMatcher{suffix: suffix}, nil
	}
	q := regexp.QuoteMeta(p)
	q = strings.ReplaceAll(q, `\*\*`, "\x00")
	if rest, ok := strings.CutPrefix(q, `\*`); ok && (rest == "" || strings.HasPrefix(rest, `\.`)) {
		q = "\x00" + rest
	}
	q = strings.ReplaceAll(q, `\*`, `[^.]*`)
	q = strings.ReplaceAll(q, "\x00", `.*`)
	re, err := regexp.Compile("(?s)^" + q + "$")
	if err != nil {
		return nil, fmt.Errorf("must be a DNS name or a pattern such as *.example.com, not %q: %w", strict.Clip(pattern), err)
	}
	return &NameMatcher{re: re}, nil
}

// NamesMeet tells whether a name, or a pattern, is covered by another or covers
// it. What cannot be read meets nothing.
func NamesMeet(a, b string) bool {
	covers := func(pattern, name string) bool {
		m, err := CompileName(pattern)
		return err == nil && m.Fits(name)
	}
	return covers(a, b) || covers(b, a)
}

// plainName is a name as names are compared: lower case, without the dot at its
// end.
func plainName(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }

// checkNames refuses patterns that cannot be read.
func checkNames(names []string) error {
	if len(names) > maxMembers {
		return strict.Fieldf("names", "there are more than %d; give a pattern such as *.example.com", maxMembers)
	}
	var errs []error
	for i, n := range names {
		if _, err := CompileName(n); err != nil {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("names[%d]", i), "%s", err))
		}
	}
	return errors.Join(errs...)
}

// QueryType is the type that a DNS query asks for, in capitals: A, AAAA, MX, or
// TYPE65280 for one without a name here.
type QueryType string

// queryTypes are the types with a name.
var queryTypes = map[QueryType]uint16{
	"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "LOC": 29, "SRV": 33,
	"NAPTR": 35, "DNAME": 39, "DS": 43, "SSHFP": 44, "RRSIG": 46, "NSEC": 47, "DNSKEY": 48, "NSEC3": 50,
	"TLSA": 52, "SMIMEA": 53, "CDS": 59, "CDNSKEY": 60, "SVCB": 64, "HTTPS": 65, "SPF": 99, "ANY": 255, "URI": 256, "CAA": 257,
}

// Number is the type as it is sent; 0 if there is no such type.
func (t QueryType) Number() uint16 {
	if n, ok := queryTypes[t]; ok {
		return n
	}
	digits, ok := strings.CutPrefix(string(t), "TYPE")
	n, err := strconv.ParseUint(digits, 10, 16)
	if !ok || err != nil || digits[0] == '+' {
		return 0
	}
	return uint16(n)
}

// UnmarshalText reads a type in any case.
func (t *QueryType) UnmarshalText(b []byte) error {
	*t = QueryType(strings.ToUpper(string(b)))
	return t.check()
}

func (t QueryType) check() error {
	if t.Number() == 0 {
		return fmt.Errorf("must be a type of DNS records such as A, AAAA, MX or TYPE65280, not %q", strict.Clip(string(t)))
	}
	return nil
}

// checkTypes refuses types that there are not.
func checkTypes(types []QueryType) error {
	var errs []error
	if len(types) > maxMembers {
		return strict.Fieldf("types", "there are more than %d; leave them out for all", maxMembers)
	}
	for i, t := range types {
		if err := t.check(); err != nil {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("types[%d]", i), "%s", err))
		}
	}
	return errors.Join(errs...)
}

// maxTTL bounds how long an answer of ours may be kept.
const maxTTL = Duration(24 * 60 * 60 * 1e9)

// checkTTL checks how long callers may keep an answer.
func checkTTL(ttl Duration) error {
	if ttl < 0 || ttl > maxTTL || ttl%Duration(1e9) != 0 {
		return strict.Fieldf("ttl", "must be whole seconds, at most 24h, for example 5s, not %s", ttl)
	}
	return nil
}
