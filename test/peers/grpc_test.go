package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// raw passes messages as bytes.
type raw struct{}

func (raw) Name() string                  { return "raw" }
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(b)
	return nil
}

var _ encoding.Codec = raw{}

// calls is what a gRPC server has seen.
type calls struct{ echo, cancelled atomic.Int64 }

// grpcServer answers shop.Auth/Echo, a stream both ways, and shop.Auth/Wait, which
// lasts until its caller gives up.
func grpcServer(t *testing.T) (addr string, seen *calls) {
	t.Helper()
	seen = &calls{}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.ForceServerCodec(raw{}))
	echo := func(_ any, stream grpc.ServerStream) error {
		seen.echo.Add(1)
		in, _ := metadata.FromIncomingContext(stream.Context())
		if err := stream.SendHeader(metadata.Pairs("greeting", fmt.Sprint(in.Get("name")))); err != nil {
			return err
		}
		n := 0
		for {
			var b []byte
			err := stream.RecvMsg(&b)
			if err == io.EOF {
				stream.SetTrailer(metadata.Pairs("count", fmt.Sprint(n)))
				return nil
			}
			if err == nil {
				n++
				err = stream.SendMsg(&b)
			}
			if err != nil {
				return err
			}
		}
	}
	wait := func(_ any, stream grpc.ServerStream) error {
		<-stream.Context().Done()
		seen.cancelled.Add(1)
		return stream.Context().Err()
	}
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "shop.Auth", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{
		{StreamName: "Echo", Handler: echo, ServerStreams: true, ClientStreams: true},
		{StreamName: "Wait", Handler: wait, ServerStreams: true, ClientStreams: true},
	}}, nil)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return ln.Addr().String(), seen
}

func dialGRPC(t *testing.T, addr string) *grpc.ClientConn {
	t.Helper()
	c, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})), grpc.WithNoProxy())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

var both = &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}

// converse sends messages of many sizes by turns, and returns how it ended.
func converse(ctx context.Context, c *grpc.ClientConn) error {
	ctx = metadata.AppendToOutgoingContext(ctx, "name", "eve")
	s, err := c.NewStream(ctx, both, "/shop.Auth/Echo")
	if err != nil {
		return err
	}
	sizes := []int{0, 1, 16 << 10, 1 << 20}
	for i, n := range sizes {
		sent := bytes.Repeat([]byte{byte('a' + i)}, n)
		if err := s.SendMsg(&sent); err != nil && err != io.EOF { // what it is, the receipt says
			return err
		}
		var got []byte
		if err := s.RecvMsg(&got); err != nil {
			return err
		}
		if !bytes.Equal(got, sent) {
			return fmt.Errorf("%d bytes came back of %d", len(got), len(sent))
		}
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	var got []byte
	if err := s.RecvMsg(&got); err != io.EOF {
		return fmt.Errorf("after the last message: %w", err)
	}
	head, err := s.Header()
	if err != nil || !slices.Equal(head.Get("greeting"), []string{"[eve]"}) || !slices.Equal(s.Trailer().Get("count"), []string{fmt.Sprint(len(sizes))}) {
		return fmt.Errorf("header %v, trailer %v, %w", head, s.Trailer(), err)
	}
	return nil
}

func httpTopology(addr string) string {
	return fmt.Sprintf(`
apiVersion: chaosctl.dev/v1alpha1
kind: Topology
metadata: {name: peers}
spec:
  services:
    far: {address: %q, protocol: http}
  edges:
    - {from: users, to: far, listen: "127.0.0.1:0"}
`, addr)
}

const edgeName = "users -> far"

func TestGRPC(t *testing.T) {
	addr, seen := grpcServer(t)
	s := serve(t, httpTopology(addr))
	c := dialGRPC(t, s.listens[edgeName])
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	unhurt := func(when string) {
		t.Helper()
		for range 3 {
			if err := converse(ctx, c); err != nil {
				t.Fatalf("%s: %v", when, err)
			}
		}
	}
	unhurt("before")

	before := seen.echo.Load()
	id := s.inject("far", "--grpc-status", "RESOURCE_EXHAUSTED", "--grpc-message", "zu viel – später", "--grpc", "shop.*/Echo")
	for range 5 {
		err := converse(ctx, c)
		if got := status.Convert(err); got.Code() != codes.ResourceExhausted || got.Message() != "zu viel – später" {
			t.Errorf("%v", err)
		}
	}
	if r := s.receipt(id); r.Matched != 5 || r.Injected != 5 || seen.echo.Load() != before {
		t.Errorf("%+v, and the callee saw %d", r, seen.echo.Load()-before)
	}
	s.lift(id)
	unhurt("after grpc.status")

	id = s.inject("far", "--grpc-status", "UNAVAILABLE", "--attempts", "1-2")
	for _, key := range []string{"one", "two"} { // three attempts of each
		for attempt := 1; attempt <= 3; attempt++ {
			err := converse(metadata.AppendToOutgoingContext(ctx, "idempotency-key", key), c)
			if hurt := status.Code(err) == codes.Unavailable; hurt != (attempt <= 2) || err != nil && !hurt {
				t.Errorf("%s, attempt %d: %v", key, attempt, err)
			}
		}
	}
	if r := s.receipt(id); r.Matched != 6 || r.Injected != 4 || r.Skipped != 2 {
		t.Errorf("two calls of three attempts: %+v", r)
	}
	s.lift(id)

	// A deadline ends the call at the callee, too.
	short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
	defer stop()
	w, err := c.NewStream(short, both, "/shop.Auth/Wait")
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	if err := w.RecvMsg(&b); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("past the deadline: %v", err)
	}
	for seen.cancelled.Load() == 0 && ctx.Err() == nil {
		if err := converse(ctx, c); err != nil { // the connection goes on
			t.Fatal(err)
		}
	}
	if seen.cancelled.Load() != 1 {
		t.Error("the callee does not hear of it")
	}

	// The callee did it, and the caller never hears: one effect for each attempt.
	before = seen.echo.Load()
	id = s.inject("far", "--reply-lost")
	for range 4 {
		if err := once(ctx, c); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with the reply lost: %v", err)
		}
	}
	if r := s.receipt(id); seen.echo.Load()-before != int64(r.Injected) || r.Injected < 4 {
		t.Errorf("%+v, and the callee saw %d", r, seen.echo.Load()-before)
	}
	s.lift(id)
	unhurt("at the end")
}

// once is a call with one message.
func once(ctx context.Context, c *grpc.ClientConn) error {
	s, err := c.NewStream(ctx, both, "/shop.Auth/Echo")
	if err != nil {
		return err
	}
	b := []byte("one")
	if err := s.SendMsg(&b); err != nil && err != io.EOF {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	for err == nil {
		err = s.RecvMsg(&b)
	}
	if err == io.EOF {
		return nil
	}
	return err
}
