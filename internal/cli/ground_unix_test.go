//go:build unix

package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/engine"
)

// What a topology says of callees that are down is what their callers see.
func TestWhenDown(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	near, err := net.Dial("tcp", held.Addr().String()) // its address is taken, and nobody listens there
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	for _, tt := range []struct {
		said experiment.WhenDown
		want error
	}{
		{"", syscall.ECONNRESET},
		{experiment.DownReset, syscall.ECONNRESET},
		{experiment.DownClose, io.EOF},
		{experiment.DownRefuse, syscall.ECONNREFUSED},
	} {
		t.Run(string(tt.said), func(t *testing.T) {
			top := &experiment.Topology{Metadata: experiment.Meta{Name: "t"}, Spec: experiment.TopologySpec{
				Services: map[string]experiment.Service{"db": {Address: near.LocalAddr().String(), Protocol: experiment.TCP}},
				Edges:    []experiment.Edge{{From: experiment.Users, To: "db", Listen: "127.0.0.1:0", WhenDown: tt.said}},
			}}
			g, err := openGround(t.Context(), engine.Config{Topology: top, StateDir: t.TempDir()}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := g.close(context.Background()); err != nil {
					t.Error(err)
				}
			}()
			listen := g.relays.Status()[0].Listen
			// A relay that is to refuse finds out by the first caller at the latest.
			for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
				if err = knock(listen); errors.Is(err, tt.want) {
					return
				}
				if tt.said != experiment.DownRefuse {
					break
				}
			}
			t.Errorf("a caller sees %v, want %v", err, tt.want)
		})
	}
}

// knock connects and reads; it returns how that ends.
func knock(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	_, err = c.Read(make([]byte, 1))
	return err
}
