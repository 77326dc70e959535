package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// told is a small ledger with its run: two calls on an edge, one of them tried twice,
// and two requests of the users.
func told(t *testing.T) (path string, r *experiment.Run) {
	t.Helper()
	w, path := create(t)
	start := w.enc.base
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	trace := func(b byte) experiment.Digest { return experiment.Digest{b, 0xcd} }
	grpc := 14
	for _, x := range []experiment.Exchange{
		{Edge: "api -> auth", Method: "POST", Path: "/pay", Status: 503, Start: at(1010), LastIn: at(1010), FirstByte: at(1011), End: at(1012), EndedBy: "relay", Faults: []string{"down"}, TraceID: trace(1), Key: trace(1), Keyed: experiment.ByTrace},
		{Edge: "api -> auth", Method: "POST", Path: "/pay", Status: 200, Start: at(1100), LastIn: at(1100), FirstByte: at(1101), End: at(1102), EndedBy: "callee", TraceID: trace(1), Key: trace(1), Keyed: experiment.ByTrace},
		{Edge: "users -> api", Flow: "buy", Method: "POST", Path: "/buy", Status: 200, Start: at(1000), Sent: at(1000), End: at(1110), Class: "200", OK: true, TraceID: trace(1)},
		{Edge: "api -> stock", Method: "POST", Path: "/shop.Stock/Get", Status: 200, GRPC: &grpc, Start: at(2000), LastIn: at(2000), FirstByte: at(2001), End: at(2002), EndedBy: "callee", TraceID: trace(2), Key: trace(2), Keyed: experiment.ByTrace},
		{Edge: "users -> api", Flow: "look", Method: "GET", Path: "/look", Start: at(2000), Sent: at(2000), End: at(3000), Class: "timeout", Cut: true, TraceID: trace(2)},
		{Edge: "api -> db", Start: at(100), End: at(2900), EndedBy: "caller", Cut: true},
	} {
		w.Take(&x)
	}
	if sum := w.Close(); sum.Exchanges != 4 || sum.Requests != 2 {
		t.Fatalf("%+v", sum)
	}
	return path, &experiment.Run{ID: "r-abc", Started: start, Windows: []experiment.Window{
		{Stage: experiment.StageSteady, Start: start, End: at(1000)},
		{Stage: experiment.StageHurt, Step: "down", Start: at(1000), End: at(2000)},
		{Stage: experiment.StageRecovery, Start: at(2000), End: at(3500)},
	}}
}

func TestLinesThatFit(t *testing.T) {
	path, r := told(t)
	type query = experiment.LedgerQuery
	for name, c := range map[string]struct {
		q    query
		want []uint64
	}{
		"all":            {query{}, []uint64{1, 2, 3, 4, 5, 6}},
		"edge":           {query{Edge: "api -> auth"}, []uint64{1, 2}},
		"edge of users":  {query{Edge: "users -> api"}, []uint64{3, 5}},
		"flow":           {query{Flow: "look"}, []uint64{5}},
		"method":         {query{Method: "get"}, []uint64{5}},
		"path":           {query{Path: "/*"}, []uint64{1, 2, 3, 5}},
		"deep path":      {query{Path: "/**"}, []uint64{1, 2, 3, 4, 5}},
		"outcome":        {query{Outcome: "503"}, []uint64{1}},
		"outcomes":       {query{Outcome: "5xx, Timeout"}, []uint64{1, 5, 6}},
		"grpc":           {query{Outcome: "grpc-14"}, []uint64{4}},
		"family":         {query{Outcome: "2xx"}, []uint64{2, 3}},
		"failed":         {query{Failed: true}, []uint64{1, 4, 5, 6}},
		"hurt":           {query{Hurt: true}, []uint64{1}},
		"stage":          {query{Stage: "hurt"}, []uint64{1, 2, 3}},
		"step":           {query{Step: "down", Method: "POST", Edge: "api -> auth"}, []uint64{1, 2}},
		"numbers":        {query{No: "#1, 3-4"}, []uint64{1, 3, 4}},
		"more than are":  {query{No: "5-500"}, []uint64{5, 6}},
		"trace":          {query{Trace: "02CD"}, []uint64{4, 5}},
		"since":          {query{Since: "2s"}, []uint64{4, 5}},
		"until":          {query{Until: "1s"}, []uint64{6}},
		"between":        {query{Since: "1000ms", Until: "1.1s"}, []uint64{1, 3}},
		"limit":          {query{Limit: 2}, []uint64{1, 2}},
		"a call":         {query{Failed: true, Edge: "api -> auth", Calls: true}, []uint64{1, 2}},
		"limit of calls": {query{Edge: "api -> auth", Calls: true, Limit: 1}, []uint64{1, 2}},
		"nothing":        {query{Edge: "api -> stock", Hurt: true}, nil},
	} {
		var got []uint64
		err := Lines(path, r, c.q, func(l *experiment.LedgerLine) error { got = append(got, l.No); return nil })
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, expected %v; %v", name, got, c.want, err)
		}
	}
	var call int
	if err := Lines(path, r, experiment.LedgerQuery{No: "2"}, func(l *experiment.LedgerLine) error {
		if c := l.Call; c == nil || c.Attempt != 2 || c.Of != 2 || c.By != experiment.ByTrace || l.Outcome != "200" || l.Failed ||
			l.Offset.Std() != 1100*time.Millisecond || l.Took.Std() != 2*time.Millisecond || l.Stage != experiment.StageHurt || l.Step != "down" {
			t.Fatalf("%+v, call %+v", l, l.Call)
		}
		call = l.Call.No
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := Lines(path, r, experiment.LedgerQuery{Call: call}, func(*experiment.LedgerLine) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("%d attempts of call %d, %v", n, call, err)
	}
	stop := fmt.Errorf("enough of it")
	if err := Lines(path, r, experiment.LedgerQuery{}, func(*experiment.LedgerLine) error { return stop }); err != stop {
		t.Errorf("each ends it: %v", err)
	}
}

// What is wrong with a query names the field and what would be right, all at once.
func TestBadQueries(t *testing.T) {
	path, r := told(t)
	for want, q := range map[string]experiment.LedgerQuery{
		`edge: must be one of api -> auth, api -> db, api -> stock, users -> api, not "x"`: {Edge: "x"},
		`flow: must be one of buy, look, not "x"`:                                          {Flow: "x"},
		`stage: must be one of hurt, recovery, steady, not "x"`:                            {Stage: "x"},
		`step: must be one of down, not "x"`:                                               {Step: "x"},
		`outcome: must be a status such as 503`:                                            {Outcome: "503,600"},
		`no: must be numbers of exchanges from 1`:                                          {No: "0"},
		`not "9-3"`:                               {No: "1,9-3"},
		`not "x"`:                                 {No: "x"},
		`call: must be from 1 to 3, not 99`:       {Call: 99},
		`call: must be from 1 to 3, not -1`:       {Call: -1},
		`trace: must be a trace id of 32`:         {Trace: "xyz"},
		`since: must be how long after the start`: {Since: "x"},
		`until: must be later than since, 2s`:     {Since: "2s", Until: "1s"},
		`path: must be a glob such as`:            {Path: "["},
		`limit: must be at least 1`:               {Limit: -1},
	} {
		err := Lines(path, r, q, nil)
		if e, ok := experiment.AsError(err); !ok || e.Code != experiment.BadInput || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, expected %s", q, err, want)
		}
	}
	e, ok := experiment.AsError(Lines(path, r, experiment.LedgerQuery{Edge: "x", Outcome: "x", No: "x"}, nil))
	if !ok || len(e.Problems) != 3 {
		t.Errorf("three mistakes: %+v", e)
	}
	// Of a killed run there is the ledger alone.
	n := 0
	if err := Lines(path, nil, experiment.LedgerQuery{}, func(*experiment.LedgerLine) error { n++; return nil }); err != nil || n != 6 {
		t.Errorf("without a record: %d, %v", n, err)
	}
	if err := Lines(path, nil, experiment.LedgerQuery{Stage: "hurt"}, nil); err == nil || !strings.Contains(err.Error(), "stage: is not known") {
		t.Errorf("a stage without a record: %v", err)
	}
}
