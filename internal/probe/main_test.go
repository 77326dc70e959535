package probe

import (
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/traffic"
)

// TestMain lets the test binary stand in for the commands of command probes.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "command:") {
		command(os.Args[1:])
	}
	goleak.VerifyTestMain(m)
}

func share(t *testing.T, s string) *experiment.ShareRule {
	t.Helper()
	var r experiment.ShareRule
	if err := r.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return &r
}

func limit(t *testing.T, s string) *experiment.TimeRule {
	t.Helper()
	var r experiment.TimeRule
	if err := r.UnmarshalText([]byte(s)); err != nil {
		t.Fatal(err)
	}
	return &r
}

// users is a flow whose answers are given by hand: request i is due at
// at + i/perSecond.
type users struct {
	t    *testing.T
	log  *traffic.Log
	at   time.Time
	step time.Duration
	next uint64
}

func recorder(t *testing.T, at time.Time, perSecond map[string]int) (*traffic.Recorder, map[string]*users) {
	t.Helper()
	var flows []experiment.Flow
	for name := range perSecond {
		flows = append(flows, experiment.Flow{Name: name, Timeout: fault.Duration(10 * time.Second)})
	}
	rec := traffic.NewRecorder(flows)
	all := map[string]*users{}
	for name, n := range perSecond {
		step := time.Second / time.Duration(n)
		log, err := rec.Begin(name, traffic.Schedule{Begin: at, Interval: step})
		if err != nil {
			t.Fatal(err)
		}
		all[name] = &users{t: t, log: log, at: at, step: step}
	}
	return rec, all
}

// until schedules requests up to a time after the begin; answer says how each
// ends, "" for not at all.
func (u *users) until(d time.Duration, class string, latency time.Duration) {
	for ; time.Duration(u.next)*u.step < d; u.next++ {
		u.log.Due(u.next)
		if class != "" {
			u.log.Done(u.next, traffic.Outcome{Class: class, OK: class == "200", Latency: latency})
		}
	}
}
