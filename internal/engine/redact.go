package engine

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// masked stands in records where a secret was.
const masked = experiment.Masked

// sensitive tells by its name whether a header or parameter carries a secret.
func sensitive(name string) bool { return experiment.LooksSecret(name) }

// redactDocument masks the secrets that a document spells out: values of
// sensitive headers and passwords of URLs. ${env:NAME} references stay, they
// tell nothing. A secret that is spelled in a way which cannot be masked, such
// as with escapes, makes it withhold the whole document.
func redactDocument(document string, s *experiment.Spec) string {
	plain := document
	document = keyBlock.ReplaceAllString(document, masked)
	if document == plain && spellsOutKeys(s.Topology) {
		return withheld
	}
	for _, secret := range secretsOf(s) {
		if !strings.Contains(document, secret) {
			return withheld
		}
	}
	return redact(document, s)
}

const withheld = "(withheld: it spells out a secret in a way that cannot be masked; use ${env:NAME} instead)\n"

// keyBlock is a private key in PEM, on lines of its own or with \n for line breaks.
var keyBlock = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)

// spellsOutKeys tells whether a topology holds a key itself.
func spellsOutKeys(t *experiment.TopologySpec) bool {
	if t == nil {
		return false
	}
	for _, s := range t.Services {
		if s.TLS != nil && s.TLS.Key != "" && !strings.HasPrefix(s.TLS.Key, experiment.FilePrefix) && !strings.HasPrefix(s.TLS.Key, "${env:") {
			return true
		}
	}
	return false
}

// redact masks the secrets of an experiment in a text about it.
func redact(text string, s *experiment.Spec) string {
	for _, secret := range secretsOf(s) {
		text = strings.ReplaceAll(text, secret, masked)
	}
	return text
}

// secretsOf lists what an experiment spells out, longest first.
func secretsOf(s *experiment.Spec) []string {
	var all []string
	add := func(v string) {
		if v != "" && !strings.HasPrefix(v, "${env:") {
			all = append(all, v)
		}
	}
	headers := func(h map[string]string) {
		for k, v := range h {
			if sensitive(k) {
				add(v)
			}
		}
	}
	address := func(raw string) {
		u, err := url.Parse(raw)
		if err != nil {
			return
		}
		if _, has := u.User.Password(); has {
			// As it is spelled: the password may hold escapes.
			_, rest, _ := strings.Cut(raw, "://")
			user, _, _ := strings.Cut(rest, "@")
			_, password, _ := strings.Cut(user, ":")
			add(password)
		}
		for k, vs := range u.Query() {
			if sensitive(k) {
				for _, v := range vs {
					add(v)
				}
			}
		}
	}
	for _, f := range s.Traffic {
		if f.HTTP != nil {
			headers(f.HTTP.Headers)
			address(f.HTTP.Path)
		}
	}
	for _, p := range s.Probes {
		if p.HTTP != nil {
			headers(p.HTTP.Headers)
			address(p.HTTP.URL)
		}
		if p.Prometheus != nil {
			address(p.Prometheus.URL)
		}
	}
	for _, step := range s.Steps {
		for _, f := range step.Faults {
			if f.Match != nil {
				headers(f.Match.Header)
				headers(f.Match.Query)
			}
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // one may be part of another
	return all
}

// shown is a fault as status, journals of runs and reports may show it.
func shown(f fault.Fault) fault.Fault {
	if f.Match == nil {
		return f
	}
	m := *f.Match
	for _, set := range []*map[string]string{&m.Header, &m.Query} {
		clone := maps.Clone(*set)
		for k := range clone {
			if sensitive(k) {
				clone[k] = masked
			}
		}
		*set = clone
	}
	f.Match = &m
	return f
}
