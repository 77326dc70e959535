package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// What is emulated is said once for each kind and edge, and nothing else is.
func TestEmulatedIsSaid(t *testing.T) {
	top := &experiment.TopologySpec{
		Services: map[string]experiment.Service{"dns": {Protocol: experiment.UDP}, "db": {}, "both": {}},
		Edges:    []experiment.Edge{{From: "api", To: "dns"}, {From: "api", To: "db"}, {From: "api", To: "both", Protocol: experiment.UDP}},
	}
	at := func(k *fault.Kind, to string) fault.Fault {
		return fault.Fault{Kind: k.Name, At: &fault.Placed{Relay: &fault.RelayEdge{From: "api", To: to}}}
	}
	places := []fault.Fault{
		at(fault.NetLoss, "dns"), at(fault.NetLoss, "db"), at(fault.NetLoss, "db"), at(fault.NetLoss, "both"), at(fault.NetCorrupt, "db"),
		at(fault.NetLatency, "db"), {Kind: fault.ProcPause.Name, At: &fault.Placed{Process: &fault.Process{}}},
	}
	got := emulated(top, places, nil)
	if len(got) != 2 || !strings.HasPrefix(got[0], "net.loss is emulated on api -> db, a tcp edge: ") || !strings.HasPrefix(got[1], "net.corrupt is emulated on api -> db, a tcp edge: ") {
		t.Errorf("%q", got)
	}
	if more := emulated(top, places, got); len(more) != 0 || !slices.Equal(got, emulated(top, places, nil)) {
		t.Errorf("said again: %q", more)
	}
}
