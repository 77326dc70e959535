package relay_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// Who has sent a lot under a delay, all of which has arrived, and then resets: the
// other side learns of it, and nothing of the connection stays.
func TestResetAfterMuchUnderADelay(t *testing.T) {
	const size, times = 4 << 20, 8
	reads := func(c *net.TCPConn) (err error) {
		_, err = c.Read(make([]byte, 1))
		return err
	}
	sends := func(c *net.TCPConn) (err error) {
		if _, err = io.CopyN(c, newStream(1), size); err == nil {
			err = reads(c) // all of it is there
		}
		c.SetLinger(0)
		c.Close()
		return err
	}
	takes := func(c *net.TCPConn) (err error) {
		if _, err = io.CopyN(io.Discard, c, size); err == nil {
			_, err = c.Write([]byte{1})
		}
		if err != nil {
			return err
		}
		if err = reads(c); !isReset(err) {
			return fmt.Errorf("it reads %v, not a reset", err)
		}
		return nil
	}
	for _, way := range []relay.Way{relay.Up, relay.Down} {
		t.Run(way.String(), func(t *testing.T) {
			w := newWorld(t)
			caller, callee := sends, takes
			if way == relay.Down {
				caller, callee = takes, sends
			}
			done := make(chan error, 1)
			e := w.open("a", "b", experiment.TCP, server(t, func(c *net.TCPConn) {
				c.SetDeadline(time.Now().Add(patience))
				done <- callee(c)
			}))
			arm(t, e, "slow", slow(10*time.Millisecond, way))
			for range times {
				if err := caller(dial(t, e.Spec().Listen)); err != nil {
					t.Fatalf("the caller: %v", err)
				}
				if err := <-done; err != nil {
					t.Fatalf("the callee: %v", err)
				}
			}
			until(t, "the end of all connections", func() bool { return w.set.Status()[0].Open == 0 })
		})
	}
}
