package fault

import "errors"

// DNSDelay delays queries.
var DNSDelay = define("dns.delay",
	"Wait before DNS queries for a service's names are answered.",
	DNSWait{},
	`
kind: dns.delay
target: {service: auth-service}
params: {delay: 2s, jitter: 500ms}
`, Kind{
		Acts:    OnNames,
		Grounds: []string{"resolver"},
		Details: `The query goes to the upstreams after the delay, so that the answer is as fresh as any. At the lift, queries that wait go on at once. A delay of more than 5 seconds is a timeout to most callers.`,
		Flags: []Flag{
			{Name: "dns-delay", Param: "delay", Value: "D", Usage: "delay the answers to DNS queries for the service's names by D, for example 2s", Chooses: true},
		},
	})

// DNSWait are the params of dns.delay.
type DNSWait struct {
	// Delay before a query is passed on, more than 0 and at most 1h.
	Delay Duration `json:"delay" doc:"how long to wait, for example 2s; more than 0, at most 1h"`
	// Jitter varies the delay evenly within [delay-jitter, delay+jitter].
	Jitter Duration `json:"jitter,omitempty" doc:"varies the delay evenly by up to this much either way; at most the delay"`
	// Names that are hurt, as CompileName reads them; the target's by default.
	Names []string `json:"names,omitempty" doc:"the names that are hurt, patterns such as *.example.com too; those of the target's service by default"`
	// Types of queries that are hurt; all by default.
	Types []QueryType `json:"types,omitempty" doc:"the types of queries that are hurt, for example A and AAAA; all by default"`
}

// DNSNames are the names that are hurt.
func (p *DNSWait) DNSNames() []string { return p.Names }

// QueryTypes are the types that are hurt; empty is all.
func (p *DNSWait) QueryTypes() []QueryType { return p.Types }

// Validate checks the ranges, names and types.
func (p *DNSWait) Validate() error {
	return errors.Join(mustDelay("delay", p.Delay, "2s"), jitterWithin(p.Jitter, p.Delay), checkNames(p.Names), checkTypes(p.Types))
}
