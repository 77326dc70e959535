package relay_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// What narrows a fault is said in the plan, refused where it cannot be, and handed to
// the relay.
func TestModifiersArePassedOn(t *testing.T) {
	p := httpPlace(t)
	if err := p.set.Open(t.Context(), relay.Spec{From: "api", To: "db", Protocol: experiment.TCP, Listen: "127.0.0.1:0", Upstreams: []string{"127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	f := p.fault(fault.HTTPStatus, func(q fault.Params) { q.(*fault.Status).Code = 503 })
	f.Attempts, f.After = "1-2", &fault.After{Edge: "api -> db", Calls: 2}
	f.Pulse = &fault.Pulse{On: fault.Duration(time.Second), Off: fault.Duration(2 * time.Second)}
	f.Match = &fault.Match{GRPC: &fault.GRPC{Service: "shop.*"}}
	c, err := p.driver.Plan(t.Context(), f)
	const want = "on all exchanges that match gRPC shop.*/*, in attempt 1-2 of each call, 1s on and 2s off in turn, from when api -> db was called 2 times"
	if err != nil || !strings.HasSuffix(c.Touches, want) {
		t.Errorf("planned %q, not %q, %v", c.Touches, want, err)
	}
	f.Match, f.Pulse, f.After = nil, nil, nil
	if c, err = p.driver.Plan(t.Context(), f); err != nil {
		t.Fatal(err)
	}
	if c.ID = "once"; p.driver.Apply(t.Context(), c) != nil {
		t.Fatal("it cannot be applied")
	}
	for _, want := range []int{503, 503, 200} {
		if code, _, _, err := p.get(patience); code != want {
			t.Errorf("%d (%v), not %d", code, err, want)
		}
	}
	for _, edge := range []string{"api -> auth", "api -> nobody"} {
		f.After = &fault.After{Edge: edge}
		if _, err := p.driver.Plan(t.Context(), f); !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), "another edge") {
			t.Errorf("after %s: %v", edge, err)
		}
	}
	tcp := tcpPlace(t)
	f = tcp.fault(fault.NetLatency, func(q fault.Params) { q.(*fault.Latency).Delay = 1e9 })
	f.Attempts = "1"
	if _, err := tcp.driver.Plan(t.Context(), f); !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), "attempts") {
		t.Errorf("attempts on tcp: %v", err)
	}
	f.Attempts = ""
	f.Pulse = &fault.Pulse{On: fault.Duration(time.Second), Off: fault.Duration(time.Second)}
	if c, err := tcp.driver.Plan(t.Context(), f); err != nil || !strings.HasSuffix(c.Touches, "on all connections, 1s on and 1s off in turn") {
		t.Errorf("planned %q, %v", c.Touches, err)
	}
}

// Real gRPC clients: the first two tries of each call fail, calls being told apart by
// their messages; match chooses methods; a stream, which has no key, goes through.
func TestAttemptsOfGRPC(t *testing.T) {
	p, conn, _ := calls(t)
	f := p.fault(fault.GRPCStatus, func(q fault.Params) { q.(*fault.CallStatus).Code = "UNAVAILABLE" })
	f.Attempts, f.Match = "1-2", &fault.Match{GRPC: &fault.GRPC{Service: "shop.*"}}
	c := p.arm(f)
	for _, message := range []string{"one", "two"} {
		for i, want := range []codes.Code{codes.Unavailable, codes.Unavailable, codes.OK} {
			if got := status.Code(conn.Invoke(t.Context(), "/shop.Stock/Get", &text{Value: message}, &text{})); got != want {
				t.Errorf("%s, try %d: %s, not %s", message, i+1, got, want)
			}
		}
	}
	talk, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/shop.Stock/Talk")
	if err != nil {
		t.Fatal(err)
	}
	for _, message := range []string{"one", "two"} {
		out := &text{}
		if err := errors.Join(talk.SendMsg(&text{Value: message}), talk.RecvMsg(out)); err != nil || out.Value != message {
			t.Errorf("stream: %q, %v", out.Value, err)
		}
	}
	if err := errors.Join(talk.CloseSend(), talk.RecvMsg(&text{})); err != nil || !errors.Is(talk.RecvMsg(&text{}), io.EOF) {
		t.Errorf("the end of the stream: %v", err)
	}
	s, err := p.driver.Inspect(t.Context(), c)
	if err != nil || s.Receipt != (fault.Receipt{Unit: fault.Exchange, Matched: 7, Injected: 4, Skipped: 3}) {
		t.Errorf("receipt %+v, %v", s.Receipt, err)
	}
}
