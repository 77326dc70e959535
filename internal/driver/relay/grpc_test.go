package relay_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// stock is a service of gRPC: Get answers what it is sent, Watch and Load stream down
// and up, Talk both ways.
type stock struct{ calls atomic.Int32 }

type text = wrapperspb.StringValue

func (s *stock) get(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	s.calls.Add(1)
	in := &text{}
	return in, decode(in)
}

// stream sends n messages back for each that comes, to the end.
func (s *stock) stream(_ any, ss grpc.ServerStream) error {
	s.calls.Add(1)
	for {
		in := &text{}
		switch err := ss.RecvMsg(in); {
		case errors.Is(err, io.EOF):
			return ss.SendMsg(&text{Value: "over"})
		case err != nil:
			return err
		}
		if err := ss.SendMsg(in); err != nil {
			return err
		}
	}
}

// calls makes a place whose callee is a gRPC server, with a client of it.
func calls(t *testing.T) (*place, *grpc.ClientConn, *stock) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, srv := &stock{}, grpc.NewServer()
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "shop.Stock", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Get", Handler: s.get}},
		Streams: []grpc.StreamDesc{{StreamName: "Talk", Handler: s.stream, ServerStreams: true, ClientStreams: true}},
	}, s)
	go srv.Serve(l)
	t.Cleanup(srv.Stop)
	p := newPlace(t, experiment.HTTP, l.Addr().String())
	c, err := grpc.NewClient("passthrough:///"+p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return p, c, s
}

// A client of gRPC's own reads code, message and metadata, of calls of all sorts; the
// callee sees none of those that are hurt.
func TestGRPCStatusIsReadByRealClients(t *testing.T) {
	p, c, server := calls(t)
	unary := func() (*text, metadata.MD, error) {
		out, trailer := &text{}, metadata.MD{}
		err := c.Invoke(t.Context(), "/shop.Stock/Get", &text{Value: "hello"}, out, grpc.Trailer(&trailer))
		return out, trailer, err
	}
	if out, _, err := unary(); err != nil || out.Value != "hello" {
		t.Fatalf("unhurt: %q, %v", out.Value, err)
	}
	const message = "100% gone – später\n"
	f := p.fault(fault.GRPCStatus, func(q fault.Params) {
		*q.(*fault.CallStatus) = fault.CallStatus{Code: "RESOURCE_EXHAUSTED", Message: message, Metadata: map[string]string{"Retry-Hint": "soon"}}
	})
	f.Share = 0.5
	change := p.arm(f)
	server.calls.Store(0)
	hurt, well := 0, 0
	for range 20 {
		out, trailer, err := unary()
		if err == nil && out.Value == "hello" {
			well++
			continue
		}
		hurt++
		if s := status.Convert(err); s.Code() != codes.ResourceExhausted || s.Message() != message || len(trailer.Get("retry-hint")) != 1 {
			t.Errorf("%v %q, trailer %v", s.Code(), s.Message(), trailer)
		}
	}
	want := fault.Receipt{Unit: fault.Exchange, Matched: 20, Injected: uint64(hurt), Skipped: uint64(well)}
	if r := p.done(change); r != want || hurt == 0 || well == 0 || int(server.calls.Load()) != well {
		t.Errorf("the client counts %d hurt and %d well, the callee %d; the receipt %+v", hurt, well, server.calls.Load(), r)
	}
	p.lift(change)

	f.Share = 0
	change = p.arm(f)
	ss, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/shop.Stock/Talk")
	if err != nil {
		t.Fatal(err)
	}
	if err := ss.RecvMsg(&text{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a stream ends with %v", err)
	}
	if a := p.ask(t, h2c, "POST", "/shop.Stock/Get", "", http.Header{"Content-Type": {"application/json"}}); a.header.Get("Grpc-Message") != "" && a.header.Get("Grpc-Status") == "8" {
		t.Errorf("what is no call: %+v", a)
	}
	if r := p.done(change); r.Matched != 1 {
		t.Errorf("%+v", r)
	}
	p.lift(change)
	if out, _, err := unary(); err != nil || out.Value != "hello" {
		t.Errorf("after: %q, %v", out.Value, err)
	}
}

// The deadline of a client counts the delay; a longer one is kept.
func TestGRPCDelayAndDeadlines(t *testing.T) {
	p, c, server := calls(t)
	get := func(within time.Duration) (time.Duration, error) {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		start := time.Now()
		err := c.Invoke(ctx, "/shop.Stock/Get", &text{Value: "hello"}, &text{})
		return time.Since(start), err
	}
	if _, err := get(patience); err != nil {
		t.Fatal(err)
	}
	change := p.arm(p.fault(fault.GRPCDelay, func(q fault.Params) { q.(*fault.CallDelay).Delay = fault.Duration(delay) }))
	if took, err := get(patience); err != nil || took < delay {
		t.Errorf("%s, %v", took, err)
	}
	if _, err := get(delay / 3); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("beyond the deadline: %v", err)
	}
	if n := server.calls.Load(); n != 2 {
		t.Errorf("the callee has seen %d calls, not those two whose clients were there", n)
	}
	if r := p.done(change); r.Injected != 2 {
		t.Errorf("%+v", r)
	}
}

// What is lost of gRPC is lost as a whole: the call fails, after the work was done.
func TestReplyLostOfGRPC(t *testing.T) {
	p, c, server := calls(t)
	change := p.arm(p.fault(fault.HTTPReplyLost, nil))
	for i := range 3 {
		err := c.Invoke(t.Context(), "/shop.Stock/Get", &text{Value: "pay"}, &text{})
		if err == nil || int(server.calls.Load()) != i+1 {
			t.Errorf("attempt %d: %v, done %d times", i+1, err, server.calls.Load())
		}
	}
	if r := p.done(change); r.Injected != 3 {
		t.Errorf("%+v", r)
	}
	p.lift(change)
	if err := c.Invoke(t.Context(), "/shop.Stock/Get", &text{Value: "pay"}, &text{}); err != nil {
		t.Errorf("after: %v", err)
	}
}
