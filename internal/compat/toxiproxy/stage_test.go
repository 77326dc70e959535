package toxiproxy

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/driver"
	driverrelay "github.com/chaosctl/chaosctl/internal/driver/relay"
	"github.com/chaosctl/chaosctl/internal/engine"
	"github.com/chaosctl/chaosctl/internal/relay"
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// stage is a door on a real engine with real relays.
type stage struct {
	*Door
	engine *engine.Engine
	set    *relay.Set
}

func newStage(t testing.TB, change func(*Config)) *stage {
	t.Helper()
	ctx := context.Background()
	set := relay.NewSet(relay.Options{})
	e, err := engine.New(ctx, engine.Config{
		Topology: &experiment.Topology{APIVersion: experiment.APIVersion, Kind: experiment.KindTopology, Metadata: experiment.Meta{Name: "toxiproxy"}},
		Relays:   set, Drivers: []driver.Driver{driverrelay.New(set)}, StateDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Edges: e, Faults: e, Watch: e, Seed: 1, Version: "test"}
	if change != nil {
		change(&c)
	}
	s := &stage{New(c), e, set}
	t.Cleanup(func() {
		if err := s.Door.Close(ctx); err != nil {
			t.Error(err)
		}
		if err := e.Close(ctx); err != nil {
			t.Error(err)
		}
		end, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = set.Shutdown(end) // what had to be cut is no failure here
	})
	return s
}
