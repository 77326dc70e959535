package fault

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// DNSSpoof answers queries with addresses of its own.
var DNSSpoof = define("dns.spoof",
	"Answer DNS queries for a service's names with other addresses, another name, or none.",
	DNSLie{TTL: Duration(1e9)},
	`
kind: dns.spoof
target: {service: auth-service}
params: {answers: [192.0.2.1], ttl: 5s}
`, Kind{
		Acts:    OnNames,
		Grounds: []string{"resolver"},
		Details: `A query for A gets those of the answers that are IPv4, one for AAAA those that are IPv6; every other type, and a type that no answer fits, gets an empty answer (NODATA), so that nothing true slips past. Without answers and cname all of them get that. With cname the name is an alias: its target's records stand behind it, taken from the answers if there are any, else from the upstreams.

Callers keep an answer for its ttl, so they may go on using it for as long after the lift. A caller that validates DNSSEC itself finds the answer unsigned and takes it for a failure.`,
		Flags: []Flag{
			{Name: "dns-spoof", Param: "answers", Value: "IP", Usage: "answer DNS queries for the service's names with this address; several are separated by commas", Chooses: true},
		},
	})

// DNSLie are the params of dns.spoof.
type DNSLie struct {
	// Answers are IP addresses; none for an empty answer.
	Answers []string `json:"answers,omitempty" doc:"the IP addresses that are answered, IPv4 and IPv6; none by default, which is an empty answer"`
	// CNAME is the name that the queried one is made an alias of.
	CNAME string `json:"cname,omitempty" doc:"make the name an alias of this one"`
	// TTL is how long callers may keep the answer, in whole seconds, at most 24h; 1s
	// by default, and 0s to be asked again each time.
	TTL Duration `json:"ttl" doc:"how long callers may keep the answer, in whole seconds; at most 24h, 0s for not at all"`
	// Names that are hurt, as CompileName reads them; the target's by default.
	Names []string `json:"names,omitempty" doc:"the names that are hurt, patterns such as *.example.com too; those of the target's service by default"`
	// Types of queries that are hurt; all by default.
	Types []QueryType `json:"types,omitempty" doc:"the types of queries that are hurt, for example A and AAAA; all by default"`
}

// maxAnswers is how many addresses one answer may hold: they fit into 512 bytes.
const maxAnswers = 16

// DNSNames are the names that are hurt.
func (p *DNSLie) DNSNames() []string { return p.Names }

// QueryTypes are the types that are hurt; empty is all.
func (p *DNSLie) QueryTypes() []QueryType { return p.Types }

// Validate checks the addresses, names and types.
func (p *DNSLie) Validate() error {
	errs := []error{checkTTL(p.TTL), checkNames(p.Names), checkTypes(p.Types)}
	if len(p.Answers) > maxAnswers {
		errs = append(errs, strict.Fieldf("answers", "there are %d; the limit is %d", len(p.Answers), maxAnswers))
	}
	for i, s := range p.Answers {
		if a, err := netip.ParseAddr(s); err != nil || a.Zone() != "" {
			errs = append(errs, strict.Fieldf(fmt.Sprintf("answers[%d]", i), "must be an IP address such as 192.0.2.1, not %q", strict.Clip(s)))
		}
	}
	if p.CNAME != "" {
		if _, err := CompileName(p.CNAME); err != nil || strings.Contains(p.CNAME, "*") {
			errs = append(errs, strict.Fieldf("cname", "must be a DNS name such as other.example.com, not %q", strict.Clip(p.CNAME)))
		}
	}
	return errors.Join(errs...)
}
