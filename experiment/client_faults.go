package experiment

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// What callers can ask for by request headers.
const (
	AskDelay  = "delay"       // X-Chaos-Delay, x-envoy-fault-delay-request
	AskStatus = "status"      // X-Chaos-Status, x-envoy-fault-abort-request
	AskAbort  = "abort"       // X-Chaos-Abort
	AskGRPC   = "grpc-status" // X-Chaos-Grpc-Status, x-envoy-fault-abort-grpc-request
)

// MaxAskedDelay caps what callers ask for unless the topology says otherwise.
const MaxAskedDelay = 10 * time.Second

// maxAskedDelay is the highest cap.
const maxAskedDelay = fault.Duration(time.Hour)

// Asked is what the callers of an edge have asked for by request headers. A request
// counts once, whatever it asks for.
type Asked struct {
	// Matched requests asked for something.
	Matched uint64 `json:"matched" doc:"requests that asked for a fault"`
	// Injected ones were hurt.
	Injected uint64 `json:"injected" doc:"those that were hurt"`
	// Skipped ones were spared: by their share, a cap, protection, or since nothing
	// they asked for can be read and is allowed.
	Skipped uint64 `json:"skipped" doc:"those that were spared: by their share, a cap, or protection, or as nothing of it was allowed"`
	// Ignored counts values, not requests.
	Ignored uint64 `json:"ignored" doc:"values that could not be read, are not allowed, or contradict others"`
}

// Validate checks the list and the caps.
func (c *ClientFaults) Validate() error {
	var errs []error
	if len(c.Allow) == 0 {
		errs = append(errs, strict.Fieldf("allow", "is missing; name what callers may ask for: delay, status, abort, grpc-status"))
	}
	for i, what := range c.Allow {
		path := fmt.Sprintf("allow[%d]", i)
		errs = append(errs, at(path, among("fault to ask for", what, AskDelay, AskStatus, AskAbort, AskGRPC)))
		if slices.Contains(c.Allow[:min(i, 4)], what) {
			errs = append(errs, strict.Fieldf(path, "`%s` stands twice", strict.Clip(what)))
		}
	}
	if c.MaxDelay < 0 || c.MaxDelay > maxAskedDelay {
		errs = append(errs, strict.Fieldf("maxDelay", "must be at most 1h, not %s", c.MaxDelay))
	}
	if c.MaxShare < 0 || c.MaxShare > 1 {
		errs = append(errs, strict.Fieldf("maxShare", "must be above 0 and at most 1, for example 10%%"))
	}
	return errors.Join(errs...)
}

// checkClientFaults refuses them where no requests are seen, and where nobody may be
// hurt without a permission, which no caller can give.
func checkClientFaults(s *TopologySpec, e Edge) error {
	if e.ClientFaults == nil {
		return nil
	}
	_, known := s.Services[e.To]
	switch {
	case e.Listen == "":
		return errors.New("is about a relay; give the edge a `listen`, or leave it out")
	case known && !s.EdgeProtocol(e).SeesRequests():
		return fmt.Errorf("the edge is %s and sees no requests; leave it out, or give the edge `protocol: http`", s.EdgeProtocol(e))
	case s.Environment == Production:
		return errors.New("what is hurt in production needs --allow-production, which callers cannot give; leave it out")
	}
	return nil
}
