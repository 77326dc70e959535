package dns

import "github.com/chaosctl/chaosctl/fault"

var _ = serve(fault.DNSTimeout,
	func(*fault.DNSSilence) effect { return effect{swallow: true} },
	func(*fault.DNSSilence) words { return words{touches: "get no answer"} })
