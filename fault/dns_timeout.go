package fault

import "errors"

// DNSTimeout leaves queries without an answer.
var DNSTimeout = define("dns.timeout",
	"Swallow DNS queries for a service's names, so that callers wait in vain.",
	DNSSilence{},
	`
kind: dns.timeout
target: {service: auth-service}
`, Kind{
		Acts:    OnNames,
		Grounds: []string{"resolver"},
		Details: `The upstreams are not asked either. Most callers ask again after 5 seconds, twice or three times, and then ask the next resolver that they know: give them no other. By TCP the connection stays open, and other queries on it are answered.`,
		Flags: []Flag{
			{Name: "dns-timeout", Usage: "leave DNS queries for the service's names without an answer", Chooses: true},
		},
	})

// DNSSilence are the params of dns.timeout.
type DNSSilence struct {
	// Names that are hurt, as CompileName reads them; the target's by default.
	Names []string `json:"names,omitempty" doc:"the names that are hurt, patterns such as *.example.com too; those of the target's service by default"`
	// Types of queries that are hurt; all by default.
	Types []QueryType `json:"types,omitempty" doc:"the types of queries that are hurt, for example A and AAAA; all by default"`
}

// DNSNames are the names that are hurt.
func (p *DNSSilence) DNSNames() []string { return p.Names }

// QueryTypes are the types that are hurt; empty is all.
func (p *DNSSilence) QueryTypes() []QueryType { return p.Types }

// Validate checks names and types.
func (p *DNSSilence) Validate() error { return errors.Join(checkNames(p.Names), checkTypes(p.Types)) }
