package httpapi

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chaosctl/chaosctl/experiment"
)

// Lines arrive as they were, refusals as everywhere, and what breaks off says so.
func TestLedger(t *testing.T) {
	s := start(t, nil)
	c := connect(t, s.addr)
	run, err := c.StartRun(t.Context(), experiment.RunRequest{Document: "x"})
	if err != nil {
		t.Fatal(err)
	}
	q := experiment.LedgerQuery{Edge: "api -> auth", Limit: 3}
	var want, got []experiment.LedgerLine
	if err := s.LedgerLines(run.ID, q, func(l *experiment.LedgerLine) error { want = append(want, *l); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := c.Ledger(t.Context(), run.ID, q, func(l *experiment.LedgerLine) error { got = append(got, *l); return nil }); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("they have changed on the way:\n%s", diff)
	}
	each := 0
	count := func(*experiment.LedgerLine) error { each++; return nil }
	if err := c.Ledger(t.Context(), run.ID, experiment.LedgerQuery{}, count); err != nil || each != 0 {
		t.Errorf("nothing fits: %d lines, %v", each, err)
	}
	var e *experiment.Error
	err = c.Ledger(t.Context(), run.ID, experiment.LedgerQuery{Limit: 2000}, count)
	if !errors.As(err, &e) || e.Code != experiment.Conflict || each != 1000 {
		t.Errorf("it breaks off: %d lines, %v", each, err)
	}
	err = c.Ledger(t.Context(), run.ID, experiment.LedgerQuery{Edge: "nowhere"}, count)
	if !errors.As(err, &e) || e.Code != experiment.BadInput || len(e.Problems) != 1 || e.Problems[0].Path != "edge" {
		t.Errorf("a bad query: %#v", err)
	}
	if err = c.Ledger(t.Context(), "r-none", q, count); !errors.As(err, &e) || e.Code != experiment.NotFound {
		t.Errorf("no such run: %v", err)
	}
	stop := errors.New("enough")
	for range 2 * maxLedgers { // and none of them keeps a slot
		if err := c.Ledger(t.Context(), run.ID, experiment.LedgerQuery{Limit: 900}, func(*experiment.LedgerLine) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("each ends it: %v", err)
		}
	}
	resp := send(t, s.addr, http.MethodGet, "/v1/runs/"+run.ID+"/ledger?limit=2", "", nil)
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/x-ndjson" || strings.Count(bodyText(t, resp), "\n") != 2 || !strings.Contains(bodyText(t, resp), `"/<a>"`) {
		t.Errorf("%d %v %s", resp.StatusCode, resp.Header, bodyText(t, resp))
	}
	if resp := send(t, s.addr, http.MethodHead, "/v1/runs/"+run.ID+"/ledger?limit=2", "", nil); resp.StatusCode != 200 || bodyText(t, resp) != "" {
		t.Errorf("HEAD: %d %q", resp.StatusCode, bodyText(t, resp))
	}
	if resp := send(t, s.addr, http.MethodGet, "/v1/runs/"+run.ID+"/ledger?limit=-1", "", nil); resp.StatusCode/100 != 4 || !strings.Contains(bodyText(t, resp), "limit") {
		t.Errorf("%d %s", resp.StatusCode, bodyText(t, resp))
	}
	// Every field of a query is sent.
	for v, i := reflect.ValueOf(&q).Elem(), 0; i < v.NumField(); i++ {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("x & y " + strconv.Itoa(i))
		case reflect.Int:
			f.SetInt(int64(i))
		case reflect.Bool:
			f.SetBool(true)
		default:
			t.Fatalf("a %s", f.Type())
		}
	}
	if err := c.Ledger(t.Context(), run.ID, q, count); err != nil {
		t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := cmp.Diff(q, s.query); diff != "" {
		t.Errorf("the query has changed on the way:\n%s", diff)
	}
}

func bodyText(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	r.Body = io.NopCloser(strings.NewReader(string(b)))
	return string(b)
}
