package dns

import (
	"fmt"
	"time"

	"github.com/chaosctl/chaosctl/fault"
)

var _ = serve(fault.DNSDelay,
	func(p *fault.DNSWait) effect {
		return effect{delay: func(chance func(string) float64) time.Duration {
			return p.Delay.Std() + time.Duration((2*chance("jitter")-1)*float64(p.Jitter))
		}}
	},
	func(p *fault.DNSWait) words {
		w := words{touches: fmt.Sprintf("are answered %s later", p.Delay), undoes: "queries that wait go on at once"}
		if p.Jitter > 0 {
			w.touches = fmt.Sprintf("are answered %s (give or take %s) later", p.Delay, p.Jitter)
		}
		return w
	})
