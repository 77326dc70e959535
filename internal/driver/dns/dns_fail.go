package dns

import (
	"context"
	"fmt"

	"github.com/miekg/dns"

	"github.com/chaosctl/chaosctl/fault"
)

var _ = serve(fault.DNSFail,
	func(p *fault.DNSFailure) effect {
		rcode := map[fault.Rcode]int{
			fault.ServFail: dns.RcodeServerFailure, fault.NXDomain: dns.RcodeNameError, fault.Refused: dns.RcodeRefused,
		}[p.Rcode]
		ttl := seconds(p.TTL)
		return effect{answer: func(_ context.Context, q *query, _ asker) ([]byte, error) {
			m, err := q.answer(rcode, dns.ExtendedErrorCodeOther, "chaosctl: "+fault.DNSFail.Name)
			if err != nil {
				return nil, err
			}
			if rcode == dns.RcodeNameError {
				m.Ns = append(m.Ns, nothing(m.Question[0].Name, ttl))
			}
			return q.pack(m)
		}}
	},
	func(p *fault.DNSFailure) words {
		w := words{touches: fmt.Sprintf("are answered with %s", p.Rcode)}
		if p.Rcode == fault.NXDomain && p.TTL > 0 {
			w.undoes = fmt.Sprintf("callers may remember the failure for %s", p.TTL)
		}
		return w
	})

// seconds is a TTL as it is sent.
func seconds(ttl fault.Duration) uint32 { return uint32(ttl.Std().Seconds()) }
