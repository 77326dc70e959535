package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

func (f *fake) Connections(_ context.Context, edge string) ([]experiment.Connection, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := []experiment.Connection{}
	for _, c := range f.open {
		if edge == "" || c.Edge == edge {
			all = append(all, c)
		}
	}
	if edge == "nowhere" {
		return nil, &experiment.Error{Code: experiment.NotFound, Message: "there is no edge nowhere", Hint: "the edges are: api -> auth"}
	}
	return all, nil
}

func (f *fake) CloseConnection(ctx context.Context, id uint64, reset bool) (experiment.Connection, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := slices.IndexFunc(f.open, func(c experiment.Connection) bool { return c.ID == id })
	if n < 0 {
		return experiment.Connection{}, &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("no connection %d", id)}
	}
	c := f.open[n]
	f.open = slices.Delete(f.open, n, n+1)
	f.reasons = append(f.reasons, fmt.Sprintf("%d reset=%t by %s", id, reset, experiment.ActorOf(ctx)))
	return c, nil
}

func TestConnections(t *testing.T) {
	s := start(t, nil)
	if got := text(t, send(t, s.addr, "GET", "/v1/connections", "", nil)); got != `{"connections":[]}`+"\n" {
		t.Errorf("an empty list is a list: %s", got)
	}
	const large = 1<<64 - 1
	s.open = []experiment.Connection{{ID: 7, Edge: "api -> auth", Client: "127.0.0.1:5", State: "open"}, {ID: large, Edge: "api -> db"}}
	var list ConnectionList
	if err := json.Unmarshal([]byte(text(t, send(t, s.addr, "GET", "/v1/connections?edge=api+-%3E+auth", "", nil))), &list); err != nil || len(list.Connections) != 1 || list.Connections[0].ID != 7 {
		t.Errorf("%+v %v", list, err)
	}
	refused(t, send(t, s.addr, "GET", "/v1/connections?edge=nowhere", "", nil), 404, experiment.NotFound)
	refused(t, send(t, s.addr, "GET", "/v1/connections?edge="+strings.Repeat("x", 600), "", nil), 422, experiment.BadInput)
	refused(t, send(t, s.addr, "DELETE", "/v1/connections/8", "", nil), 404, experiment.NotFound)
	for _, bad := range []string{"/v1/connections/x", "/v1/connections/-1", "/v1/connections/18446744073709551616", "/v1/connections/7?reset=perhaps"} {
		refused(t, send(t, s.addr, "DELETE", bad, "", nil), 422, experiment.BadInput)
	}
	if resp := send(t, s.addr, "DELETE", fmt.Sprintf("/v1/connections/%d?reset=true", uint64(large)), "", nil); resp.StatusCode != 200 || !strings.Contains(text(t, resp), `"id":18446744073709551615`) {
		t.Errorf("close: %s", resp.Status)
	}
	send(t, s.addr, "DELETE", "/v1/connections/7", "", with("Chaosctl-Actor", "ann"))
	if want := []string{"18446744073709551615 reset=true by api", "7 reset=false by ann"}; !slices.Equal(s.reasons, want) {
		t.Errorf("the engine was asked %q, want %q", s.reasons, want)
	}
}
