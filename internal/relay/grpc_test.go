package relay_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// plainCodec sends messages as they are.
type plainCodec struct{}

func (plainCodec) Name() string { return "plain" }

func (plainCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (plainCodec) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(b)
	return nil
}

// calls is a gRPC service of streams; what a method does hangs on its name.
func calls(gone chan<- error) *grpc.ServiceDesc {
	handle := func(_ any, s grpc.ServerStream) error {
		s.SetHeader(metadata.Pairs("x-head", "1"))
		s.SetTrailer(metadata.Pairs("x-trail", "2"))
		method, _ := grpc.MethodFromServerStream(s)
		switch method {
		case "/calls/Refuse":
			return status.Error(codes.PermissionDenied, "not you: 100% \u00fc")
		case "/calls/Wait":
			s.SendHeader(nil)
			<-s.Context().Done()
			gone <- s.Context().Err()
			return s.Context().Err()
		}
		for {
			var m []byte
			if err := s.RecvMsg(&m); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			n := 1
			if method == "/calls/Many" {
				n = 5
			}
			for range n {
				if err := s.SendMsg(&m); err != nil {
					return err
				}
			}
		}
	}
	d := &grpc.ServiceDesc{ServiceName: "calls", HandlerType: (*any)(nil)}
	for _, name := range []string{"Echo", "Refuse", "Wait", "Many"} {
		d.Streams = append(d.Streams, grpc.StreamDesc{StreamName: name, Handler: handle, ServerStreams: true, ClientStreams: true})
	}
	return d
}

// rpc is a gRPC service, an edge to it, and a client.
type rpc struct {
	*world
	edge   *relay.Edge
	conn   *grpc.ClientConn
	server *grpc.Server
	gone   chan error // contexts of calls of Wait
}

func newRPC(t *testing.T) *rpc {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := make(chan error, 10)
	srv := grpc.NewServer(grpc.ForceServerCodec(plainCodec{}), grpc.MaxRecvMsgSize(64<<20))
	srv.RegisterService(calls(gone), nil)
	served := make(chan struct{})
	go func() { defer close(served); srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-served })
	w := newWorld(t)
	e := w.open("api", "auth", experiment.HTTP, l.Addr().String())
	c, err := grpc.NewClient("passthrough:///"+e.Spec().Listen, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(plainCodec{}), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &rpc{w, e, c, srv, gone}
}

// stream is a call that can be told from others by its trailers.
func (r *rpc) stream(ctx context.Context, method string) grpc.ClientStream {
	r.Helper()
	s, err := r.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/calls/"+method)
	if err != nil {
		r.Fatal(err)
	}
	return s
}

func (r *rpc) unary(method string, send []byte) (got []byte, head, trail metadata.MD, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = r.conn.Invoke(ctx, "/calls/"+method, &send, &got, grpc.Header(&head), grpc.Trailer(&trail))
	return
}

func TestGRPCUnhurt(t *testing.T) {
	r := newRPC(t)
	for _, size := range []int{0, 1, 1000, 20 << 20} {
		send := make([]byte, size)
		newStream(1).Read(send)
		got, head, trail, err := r.unary("Echo", send)
		if !bytes.Equal(got, send) || err != nil {
			t.Errorf("%d bytes: %d came back, %v", size, len(got), err)
		}
		if head.Get("x-head")[0] != "1" || trail.Get("x-trail")[0] != "2" {
			t.Errorf("head %v, trailers %v", head, trail)
		}
	}
	s := r.stream(t.Context(), "Many")
	for i := range 3 {
		m := fmt.Append(nil, i)
		if err := s.SendMsg(&m); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			var got []byte
			if err := s.RecvMsg(&got); string(got) != string(m) || err != nil {
				t.Fatalf("message %d: %q %v", i, got, err)
			}
		}
	}
	s.CloseSend()
	var none []byte
	if err := s.RecvMsg(&none); err != io.EOF || s.Trailer().Get("x-trail")[0] != "2" {
		t.Errorf("the end of a stream: %v, %v", err, s.Trailer())
	}
	_, _, trail, err := r.unary("Refuse", nil)
	if st, _ := status.FromError(err); st.Code() != codes.PermissionDenied || st.Message() != "not you: 100% \u00fc" || trail.Get("x-trail")[0] != "2" {
		t.Errorf("an error: %v, trailers %v", err, trail)
	}
	if _, _, _, err := r.unary("Nothing", nil); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that is not there: %v", err)
	}
	until(t, "seven exchanges", func() bool { return len(r.exchanges()) == 7 })
	for i, want := range []struct {
		status  int
		in, out uint64
	}{{0, 1, 1}, {0, 1, 1}, {0, 1, 1}, {0, 1, 1}, {0, 3, 15}, {7, 1, 0}, {12, 1, 0}} {
		x := r.exchanges()[i]
		if x.GRPC == nil || *x.GRPC != want.status || x.Status != 200 || x.MessagesOut != want.out || x.Proto != "HTTP/2" {
			t.Errorf("exchange %d: %+v", i, x)
		}
		if want.status == 0 && x.MessagesIn != want.in {
			t.Errorf("exchange %d: %d messages in, not %d", i, x.MessagesIn, want.in)
		}
	}
	if s := r.set.Status()[0]; s.Accepted != 1 {
		t.Errorf("%d connections", s.Accepted)
	}
}

func TestGRPCDeadlineAndCancel(t *testing.T) {
	r := newRPC(t)
	if _, _, _, err := r.unary("Echo", nil); err != nil { // the deadline is not for connecting
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	s := r.stream(ctx, "Wait")
	var m []byte
	if err := s.RecvMsg(&m); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a deadline: %v", err)
	}
	if err := <-r.gone; err == nil {
		t.Error("the callee did not see the deadline")
	}
	until(t, "two exchanges", func() bool { return len(r.exchanges()) == 2 })
	ctx, cancel = context.WithCancel(t.Context())
	s = r.stream(ctx, "Wait")
	if _, err := s.Header(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.RecvMsg(&m); status.Code(err) != codes.Canceled {
		t.Errorf("a call that was called off: %v", err)
	}
	if err := <-r.gone; err != context.Canceled {
		t.Errorf("the callee saw %v", err)
	}
	until(t, "three exchanges", func() bool { return len(r.exchanges()) == 3 })
	// The callee knows the deadline, too, and may be the first.
	if x := r.exchanges()[2]; x.EndedBy != "caller" || *x.GRPC != -1 {
		t.Errorf("%+v", x)
	}
}

// TestGRPCHurt says what a client makes of what the relay does to a stream.
func TestGRPCHurt(t *testing.T) {
	r := newRPC(t)
	for _, c := range []struct {
		effect relay.Effect
		want   codes.Code
	}{
		{ender{how: relay.Reset}, codes.Internal},
		{ender{how: relay.Close}, codes.Internal},
		{answerer{503}, codes.Unavailable},
	} {
		id := fmt.Sprintf("%T %v", c.effect, c.want) + fmt.Sprint(c.effect)
		arm(t, r.edge, id, c.effect)
		if _, _, _, err := r.unary("Echo", []byte("x")); status.Code(err) != c.want {
			t.Errorf("%s: %v", id, err)
		}
		lift(t, r.edge, id)
		if _, _, _, err := r.unary("Echo", []byte("x")); err != nil {
			t.Errorf("after %s: %v", id, err)
		}
	}
	if s := r.set.Status()[0]; s.Accepted != 1 {
		t.Errorf("%d connections", s.Accepted)
	}
}

// TestGRPCCalleeStops: a callee that stops gracefully, or at once, is seen as
// unavailable, as it is without us.
func TestGRPCCalleeStops(t *testing.T) {
	r := newRPC(t)
	s := r.stream(t.Context(), "Echo")
	m := []byte("one")
	s.SendMsg(&m)
	if err := s.RecvMsg(&m); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.server.GracefulStop() }()
	m = []byte("two")
	s.SendMsg(&m)
	if err := s.RecvMsg(&m); err != nil || string(m) != "two" {
		t.Errorf("a stream while the callee is about to stop: %q %v", m, err)
	}
	s.CloseSend()
	if err := s.RecvMsg(&m); err != io.EOF {
		t.Errorf("its end: %v", err)
	}
	<-stopped
	if _, _, _, err := r.unary("Echo", nil); status.Code(err) != codes.Unavailable {
		t.Errorf("a callee that has stopped: %v", err)
	}
}

// TestGRPCRefused: a call that the callee has refused may be made again, and the
// client does so by itself.
func TestGRPCRefused(t *testing.T) {
	var n atomic.Int32
	w := newWorld(t)
	e := w.open("api", "auth", experiment.HTTP, frames(t, func(fr *http2.Framer, _ net.Conn, stream uint32) {
		if n.Add(1) == 1 {
			fr.WriteRSTStream(stream, http2.ErrCodeRefusedStream)
			return
		}
		answerFrames(fr, stream, ":status", "200", "content-type", "application/grpc", "grpc-status", "8", "grpc-message", "no%20more")
	}))
	c, err := grpc.NewClient("passthrough:///"+e.Spec().Listen, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodec(plainCodec{})))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := &rpc{w, e, c, nil, nil}
	_, _, _, err = r.unary("Echo", nil)
	if st, _ := status.FromError(err); st.Code() != codes.ResourceExhausted || st.Message() != "no more" {
		t.Errorf("%v", err)
	}
	until(t, "two exchanges", func() bool { return len(w.exchanges()) == 2 })
	for _, x := range w.exchanges() {
		if want := map[int]int{0: -1, 200: 8}[x.Status]; x.GRPC == nil || *x.GRPC != want {
			t.Errorf("a status without anything else: %+v", x)
		}
	}
}

func TestGRPCCalleeDies(t *testing.T) {
	r := newRPC(t)
	s := r.stream(t.Context(), "Echo")
	m := []byte("one")
	s.SendMsg(&m)
	if err := s.RecvMsg(&m); err != nil {
		t.Fatal(err)
	}
	r.server.Stop()
	if err := s.RecvMsg(&m); status.Code(err) != codes.Unavailable {
		t.Errorf("a stream of a callee that dies: %v", err)
	}
}
