package fault

import (
	"errors"
	"fmt"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// DNSFail answers queries with an error.
var DNSFail = define("dns.fail",
	"Answer DNS queries for a service's names with SERVFAIL, NXDOMAIN or REFUSED.",
	DNSFailure{Rcode: ServFail, TTL: Duration(1e9)},
	`
kind: dns.fail
target: {service: auth-service}
params: {rcode: NXDOMAIN}
`, Kind{
		Acts:    OnNames,
		Grounds: []string{"resolver"},
		Details: `The topology's resolver answers in the place of its upstreams, which are not asked. NXDOMAIN comes with an SOA record whose TTL and minimum are ttl, so that callers keep the failure as long as that; they may then go on failing for as long after the lift. SERVFAIL and REFUSED are not to be kept, but some resolvers do so for a few seconds.

A caller that has resolved the name already, or keeps its connections open, asks nothing and feels nothing. One that validates DNSSEC itself finds NXDOMAIN unsigned and reports a failure of its own.`,
		Flags: []Flag{
			{Name: "dns", Param: "rcode", Value: "RCODE", Usage: "answer DNS queries for the service's names with nxdomain, servfail or refused", Chooses: true},
		},
	})

// Rcode is the error that a DNS answer bears.
type Rcode string

// The errors of dns.fail.
const (
	ServFail Rcode = "SERVFAIL"
	NXDomain Rcode = "NXDOMAIN"
	Refused  Rcode = "REFUSED"
)

// UnmarshalText reads an error in any case.
func (r *Rcode) UnmarshalText(b []byte) error {
	*r = Rcode(strings.ToUpper(string(b)))
	return r.check()
}

func (r Rcode) check() error {
	switch r {
	case ServFail, NXDomain, Refused:
		return nil
	case "TIMEOUT":
		return errors.New("must be SERVFAIL, NXDOMAIN or REFUSED; queries that get no answer are dns.timeout (--dns-timeout)")
	}
	if strings.HasPrefix(string(r), "SPOOF") {
		return errors.New("must be SERVFAIL, NXDOMAIN or REFUSED; false answers are dns.spoof (--dns-spoof IP)")
	}
	return fmt.Errorf("must be SERVFAIL, NXDOMAIN or REFUSED, not %q", strict.Clip(string(r)))
}

// DNSFailure are the params of dns.fail.
type DNSFailure struct {
	// Rcode of the answers; SERVFAIL by default.
	Rcode Rcode `json:"rcode,omitempty" doc:"the error that is answered; any case" enum:"SERVFAIL,NXDOMAIN,REFUSED"`
	// TTL is how long callers may keep an NXDOMAIN, in whole seconds, at most 24h; 1s
	// by default, and 0s to be asked again each time.
	TTL Duration `json:"ttl" doc:"how long callers may keep an NXDOMAIN, in whole seconds; at most 24h, 0s for not at all"`
	// Names that are hurt, as CompileName reads them; the target's by default.
	Names []string `json:"names,omitempty" doc:"the names that are hurt, patterns such as *.example.com too; those of the target's service by default"`
	// Types of queries that are hurt; all by default.
	Types []QueryType `json:"types,omitempty" doc:"the types of queries that are hurt, for example A and AAAA; all by default"`
}

// DNSNames are the names that are hurt.
func (p *DNSFailure) DNSNames() []string { return p.Names }

// QueryTypes are the types that are hurt; empty is all.
func (p *DNSFailure) QueryTypes() []QueryType { return p.Types }

// Validate checks the words.
func (p *DNSFailure) Validate() error {
	var rcode error
	if err := p.Rcode.check(); err != nil {
		rcode = strict.Fieldf("rcode", "%s", err)
	}
	return errors.Join(rcode, checkTTL(p.TTL), checkNames(p.Names), checkTypes(p.Types))
}
