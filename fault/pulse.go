package fault

import (
	"errors"
	"time"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// Pulse has a fault come and go. It is on first, unless there is an offset. At the
// end of each time that it is on, it lets go of what it holds, as at its lift; at
// the start of each it takes live connections as at its arming. While it is off,
// nothing is matched.
type Pulse struct {
	// On and Off are how long it is in force and out of it, from 10ms to 1h.
	On  Duration `json:"on" doc:"how long the fault is in force each time, from 10ms to 1h"`
	Off Duration `json:"off" doc:"how long it is out of force in between, from 10ms to 1h"`
	// Offset is how long after the arming (with `after`: after the awakening) it is
	// on for the first time; at once by default.
	Offset Duration `json:"offset,omitempty" doc:"how long it waits before it is on for the first time; not at all by default"`
}

// minPhase is the shortest time that a pulse is on or off.
const minPhase = Duration(10 * time.Millisecond)

// Validate checks the times.
func (p *Pulse) Validate() error {
	var errs []error
	for _, t := range []struct {
		name string
		d    Duration
	}{{"on", p.On}, {"off", p.Off}} {
		if t.d < minPhase || t.d > maxDelay {
			errs = append(errs, strict.Fieldf(t.name, "must be given, from 10ms to 1h, for example 5s"))
		}
	}
	return errors.Join(append(errs, mayDelay("offset", p.Offset))...)
}

// IsOn tells whether it is on after so long.
func (p *Pulse) IsOn(since time.Duration) bool {
	if p == nil {
		return true
	}
	since -= p.Offset.Std()
	return since >= 0 && since%(p.On+p.Off).Std() < p.On.Std()
}

// String is ON/OFF, or ON/OFF/OFFSET.
func (p *Pulse) String() string {
	if p.Offset > 0 {
		return p.On.String() + "/" + p.Off.String() + "/" + p.Offset.String()
	}
	return p.On.String() + "/" + p.Off.String()
}
