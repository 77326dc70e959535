package fault

import (
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/internal/strict"
)

func TestCompileName(t *testing.T) {
	for pattern, names := range map[string]struct{ fits, not string }{
		"auth.example.com":      {"auth.example.com AUTH.Example.COM auth.example.com.", "x.auth.example.com auth.example.co example.com authxexample.com"},
		"Auth.Example.COM.":     {"auth.example.com", "auth"},
		"*.example.com":         {"a.example.com a.b.example.com A.EXAMPLE.COM.", "example.com xexample.com a.example.com.org .example.com"},
		"*":                     {"a a.b.c", ""},
		"auth-*.example.com":    {"auth-1.example.com auth-.example.com", "auth-1.b.example.com auth.example.com"},
		"auth.**":               {"auth.a auth.a.b.c", "auth xauth.a"},
		"*.auth-*.example.com":  {"a.auth-1.example.com a.b.auth-1.example.com", "auth-1.example.com"},
		"a*b.c":                 {"ab.c axxb.c", "a.b.c"},
		"_dns._tcp.example.com": {"_dns._tcp.example.com", "dns.tcp.example.com"},
	} {
		m, err := CompileName(pattern)
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		for _, n := range strings.Fields(names.fits) {
			if !m.Fits(n) {
				t.Errorf("%s does not fit %s", n, pattern)
			}
		}
		for _, n := range strings.Fields(names.not) {
			if m.Fits(n) {
				t.Errorf("%s fits %s", n, pattern)
			}
		}
	}
	for _, bad := range []string{"", ".", "a b", "a..b", ".a", "http://a", "a:53", "ä.example", strings.Repeat("a.", 130), strings.Repeat("a", 64)} {
		if _, err := CompileName(bad); err == nil {
			t.Errorf("%q is a name", bad)
		}
	}
}

func TestNamesMeet(t *testing.T) {
	for _, c := range []struct {
		a, b string
		meet bool
	}{{"a.b", "A.B.", true}, {"*.b", "a.b", true}, {"a.b", "*.b", true}, {"a.b", "b", false}, {"", "a", false}, {"*", "a", true}} {
		if NamesMeet(c.a, c.b) != c.meet {
			t.Errorf("%q and %q", c.a, c.b)
		}
	}
}

func TestDNSParams(t *testing.T) {
	for text, says := range map[string]string{
		`{kind: dns.fail, target: {service: a}, params: {rcode: nxdomain, types: [aaaa, Type65280], ttl: 0s}}`: "",
		`{kind: dns.fail, target: {service: a}, params: {rcode: timeout}}`:                                     "--dns-timeout",
		`{kind: dns.fail, target: {service: a}, params: {rcode: "spoof=192.0.2.1"}}`:                           "--dns-spoof",
		`{kind: dns.fail, target: {service: a}, params: {rcode: NOTAUTH}}`:                                     "params.rcode: must be SERVFAIL, NXDOMAIN or REFUSED",
		`{kind: dns.fail, target: {service: a}, params: {ttl: 1500ms}}`:                                        "params.ttl: must be whole seconds",
		`{kind: dns.fail, target: {service: a}, params: {ttl: 25h}}`:                                           "params.ttl: must be whole seconds",
		`{kind: dns.fail, target: {service: a}, params: {types: [B]}}`:                                         "params.types[0]: must be a type",
		`{kind: dns.fail, target: {service: a}, params: {types: [TYPE0]}}`:                                     "params.types[0]: must be a type",
		`{kind: dns.fail, target: {service: a}, params: {types: [TYPE+1]}}`:                                    "params.types[0]: must be a type",
		`{kind: dns.fail, params: {names: [a, "b c"]}}`:                                                        "params.names[1]: must be a DNS name",
		`{kind: dns.delay, params: {names: [a]}}`:                                                              "params.delay: must be given",
		`{kind: dns.delay, params: {names: [a], delay: 1s, jitter: 2s}}`:                                       "params.jitter",
		`{kind: dns.timeout}`: "target: is missing",
		`{kind: dns.spoof, target: {service: a}, params: {answers: [192.0.2.1, "::1", x]}}`: "params.answers[2]: must be an IP address",
		`{kind: dns.spoof, target: {service: a}, params: {cname: "*.b"}}`:                   "params.cname: must be a DNS name",
		`{kind: dns.spoof, target: {service: a}, pulse: {on: 1s, off: 1s}, share: 50%}`:     "",
		`{kind: dns.spoof, target: {service: a}, attempts: "1"}`:                            "attempts: does not go with dns.spoof, which sees no requests",
		`{kind: dns.spoof, target: {service: a}, match: {path: /x}}`:                        "match: does not go with dns.spoof",
		`{kind: dns.spoof, target: {service: a}, after: {edge: "a -> b"}}`:                  "after: does not go with dns.spoof",
	} {
		var f Fault
		err := strict.Unmarshal("", []byte(text), &f)
		if err == nil {
			err = f.Validate()
		}
		if (says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, not %q", text, err, says)
		}
		if says == "" {
			roundTrip(t, f)
		}
	}
}

// FuzzName: a pattern that can be read never breaks on a name, and one without a
// star fits itself.
func FuzzName(f *testing.F) {
	for _, s := range []string{"auth.example.com", "*.example.com", "*", "a*b.**.c", "..", "a\x00b"} {
		f.Add(s, "a.example.com")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		m, err := CompileName(pattern)
		if err != nil {
			return
		}
		m.Fits(name)
		if !strings.Contains(pattern, "*") && !m.Fits(pattern) {
			t.Errorf("%q does not fit itself", pattern)
		}
		if !NamesMeet(pattern, pattern) {
			t.Errorf("%q does not meet itself", pattern)
		}
	})
}
