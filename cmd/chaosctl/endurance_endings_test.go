//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// under is what the endings are tried under; delay is what it adds at least.
var under = []struct {
	name, toxics string
	delay        time.Duration
}{
	{"nothing", ``, 0},
	{"latency", `,"toxics":[{"type":"latency","stream":"both","attributes":{"latency":60,"jitter":10}}]`, 50 * time.Millisecond},
	{"bandwidth", `,"toxics":[{"type":"bandwidth","stream":"both","attributes":{"rate":2000}}]`, 0},
	{"slicer", `,"toxics":[{"type":"slicer","stream":"both","attributes":{"average_size":3000,"size_variation":1000}}]`, 0},
	{"all of them", `,"toxics":[
		{"type":"latency","stream":"both","attributes":{"latency":30}},
		{"type":"slicer","stream":"downstream","attributes":{"average_size":3000}},
		{"type":"bandwidth","stream":"downstream","attributes":{"rate":4000}},
		{"type":"slow_close","stream":"both","attributes":{"delay":30}}]`, 30 * time.Millisecond},
}

// TestEndings: the end of one way is not the end of the other, a reset arrives as a
// reset, and a refusal as the proxy says.
func TestEndings(t *testing.T) {
	s := startToxi(t, "")
	for i, u := range under {
		t.Run(u.name, func(t *testing.T) {
			t.Run("caller's half-close", func(t *testing.T) { halfClose(t, s.in(t), fmt.Sprintf("half%d", i), u.toxics, u.delay) })
			t.Run("callee's half-close", func(t *testing.T) { calleeHalfClose(t, s.in(t), fmt.Sprintf("callee%d", i), u.toxics) })
			t.Run("caller ends", func(t *testing.T) { callerEnds(t, s.in(t), fmt.Sprintf("caller%d", i), u.toxics) })
			t.Run("callee ends", func(t *testing.T) { calleeEnds(t, s.in(t), fmt.Sprintf("end%d", i), u.toxics) })
		})
	}
	t.Run("refused", func(t *testing.T) { refused(t, s.in(t)) })
	s.stop()
}

const half = 300_000 // bytes each way

// send writes n bytes of the text of a seed.
func send(c io.Writer, seed uint64, n int) error {
	for sent := 0; sent < n; {
		k := min(n-sent, maxText)
		if _, err := c.Write(text(seed, uint64(sent), k)); err != nil {
			return err
		}
		sent += k
	}
	return nil
}

// whole reads c to its end, which must come after n bytes of the text of a seed.
func whole(c io.Reader, seed uint64, n int) error {
	got, err := follow(c, seed, 0, make([]byte, 16<<10), nil)
	if err == nil && got != uint64(n) {
		err = fmt.Errorf("the end came after %d bytes, want %d", got, n)
	}
	return err
}

func through(t *testing.T, relay string) *net.TCPConn {
	t.Helper()
	c, err := dialFrom("", relay)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// verdict waits for what the upstream has seen.
func verdict(t *testing.T, ch <-chan error) error {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case err := <-ch:
		return err
	case <-limit.C:
		t.Fatal("the upstream never saw the end")
		return nil
	}
}

// halfClose: the upstream answers when it has seen the end of the request.
func halfClose(t *testing.T, s *toxi, name, toxics string, delay time.Duration) {
	seen := make(chan error, 1)
	relay := s.proxy(name, upstream(t, "127.0.0.1:0", func(c *net.TCPConn) {
		err := whole(c, 1, half)
		if err == nil {
			err = send(c, 2, half)
		}
		seen <- err
	}), toxics)
	c := through(t, relay)
	began := time.Now()
	if err := send(c, 1, half); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := whole(c, 2, half); err != nil {
		t.Errorf("answer: %v", err)
	}
	if err := verdict(t, seen); err != nil {
		t.Errorf("request: %v", err)
	}
	if took := time.Since(began); took < 2*delay {
		t.Errorf("it took %s: no toxic was in force", took)
	}
}

// calleeHalfClose: the upstream has no more to say, and still gets all.
func calleeHalfClose(t *testing.T, s *toxi, name, toxics string) {
	seen := make(chan error, 1)
	relay := s.proxy(name, upstream(t, "127.0.0.1:0", func(c *net.TCPConn) {
		err := send(c, 2, half)
		if err == nil {
			err = c.CloseWrite()
		}
		if err == nil {
			err = whole(c, 1, half)
		}
		seen <- err
	}), toxics)
	c := through(t, relay)
	if err := whole(c, 2, half); err != nil {
		t.Fatalf("answer: %v", err)
	}
	if err := send(c, 1, half); err != nil {
		t.Fatal(err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := verdict(t, seen); err != nil {
		t.Errorf("request: %v", err)
	}
}

func reset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }

// callerEnds: what the upstream sees when the caller resets, and when it closes.
func callerEnds(t *testing.T, s *toxi, name, toxics string) {
	seen := make(chan error, 1)
	relay := s.proxy(name, upstream(t, "127.0.0.1:0", func(c *net.TCPConn) {
		if err := greet(c); err != nil {
			seen <- err
			return
		}
		_, err := c.Read(make([]byte, 1))
		seen <- err
	}), toxics)
	for _, hard := range []bool{true, false, true} {
		c := through(t, relay)
		if err := meet(c); err != nil {
			t.Fatal(err)
		}
		if hard {
			_ = c.SetLinger(0)
		}
		_ = c.Close()
		if err := verdict(t, seen); hard != reset(err) || !hard && err != io.EOF {
			t.Errorf("reset %t: the upstream sees %v", hard, err)
		}
	}
}

// calleeEnds: what the caller sees of the other side's end, idle and with bytes
// before it.
func calleeEnds(t *testing.T, s *toxi, name, toxics string) {
	hard := make(chan bool, 1)
	relay := s.proxy(name, upstream(t, "127.0.0.1:0", func(c *net.TCPConn) {
		if err := greet(c); err != nil {
			return
		}
		if <-hard {
			_ = c.SetLinger(0)
		}
	}), toxics)
	for _, h := range []bool{true, false, true} {
		c := through(t, relay)
		if err := meet(c); err != nil {
			t.Fatal(err)
		}
		hard <- h
		if _, err := c.Read(make([]byte, 1)); h != reset(err) || !h && err != io.EOF {
			t.Errorf("reset %t: the caller sees %v", h, err)
		}
	}
}

// greet and meet exchange a byte, so that both sides are known to be there and
// nothing is under way.
func greet(c *net.TCPConn) error {
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	_, err := c.Write(b)
	return err
}

func meet(c *net.TCPConn) error {
	if _, err := c.Write([]byte("x")); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 1))
	return err
}

// refused: nobody listens upstream.
func refused(t *testing.T, s *toxi) {
	// The near end of a connection is taken, and nobody listens there.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	nobody := taken.LocalAddr().String()

	// sees is what a caller sees: the error of connecting, or of reading.
	sees := func(relay string) (connect, read error) {
		c, err := dialFrom("", relay)
		if err != nil {
			return err, nil
		}
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
		return nil, err
	}
	for _, when := range []string{"", `,"when_down":"close"`, `,"when_down":"reset"`} {
		relay := s.proxy("down"+fmt.Sprint(len(when), when[max(0, len(when)-6):]), nobody, when)
		for range 20 {
			connect, read := sees(relay)
			// A reset may be quicker than connecting.
			if wantsReset := when == `,"when_down":"reset"`; wantsReset && !reset(read) && !reset(connect) || !wantsReset && (connect != nil || read != io.EOF) {
				t.Errorf("%s: connect: %v, read: %v", when, connect, read)
			}
		}
	}
	relay := s.proxy("refuses", nobody, `,"when_down":"refuse"`)
	began := time.Now()
	for {
		connect, read := sees(relay)
		if errors.Is(connect, syscall.ECONNREFUSED) {
			break
		}
		if !reset(read) && !reset(connect) || time.Since(began) > patience {
			t.Fatalf("refuse: connect: %v, read: %v", connect, read)
		}
	}
	// A proxy whose upstream is there again serves again.
	s.must("POST", "/proxies/refuses", fmt.Sprintf(`{"upstream":%q}`, upstream(t, "127.0.0.1:0", func(c *net.TCPConn) { _ = greet(c) })))
	if err := meet(through(t, relay)); err != nil {
		t.Errorf("an upstream that is there: %v", err)
	}
}
