package chaosctl_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/examples/shop"
	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/relay"
	relays "github.com/chaosctl/chaosctl/internal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestShopBehindRelays puts a relay on every edge of the shop and hurts it with
// the faults of the examples: what users get before, while and after.
func TestShopBehindRelays(t *testing.T) {
	s, set := shopBehindRelays(t)
	d := relay.New(set)
	for _, tc := range []struct {
		example string
		edge    string
		fault   fault.Fault
		status  int
		source  shop.Source
	}{
		{"survives-slow-auth", shop.APIToAuth, fault.Fault{Kind: "net.latency", Params: &fault.Latency{Delay: fault.Duration(30 * time.Second), Direction: fault.Response}}, 200, shop.Cache},
		{"flaky-auth, all of it", shop.APIToAuth, fault.Fault{Kind: "http.status", Params: &fault.Status{Code: 503}}, 200, shop.Cache},
		{"broken-catalog, all of it", shop.APIToCatalog, fault.Fault{Kind: "http.body", Params: &fault.Body{Truncate: "50%", ContentLength: fault.LengthKept}}, 200, shop.Cache},
		{"broken-catalog, all is lost", shop.APIToCatalog, fault.Fault{Kind: "http.reply-lost", Params: &fault.ReplyLost{How: "close"}}, 200, shop.Cache},
		{"stops-at-half", shop.APIToDB, fault.Fault{Kind: "net.refuse", Params: &fault.Refuse{}}, 503, ""},
		{"falls-without-db", shop.APIToDB, fault.Fault{Kind: "net.partition", Params: &fault.Partition{Direction: fault.CutBoth, Mode: fault.CutDrop}}, 503, ""},
	} {
		t.Run(tc.example, func(t *testing.T) {
			if status, source := buy(t, s); status != 200 || source != shop.Live {
				t.Fatalf("before: %d from %q", status, source)
			}
			from, to, _ := fault.SplitEdge(tc.edge)
			f := tc.fault
			f.Target, f.At = fault.Target{Edge: tc.edge}, &fault.Placed{Relay: &fault.RelayEdge{From: from, To: to}}
			c, err := d.Plan(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			c.ID, c.Until = tc.example, time.Now().Add(time.Minute)
			if err := d.Apply(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			status, source := buy(t, s)
			if status != tc.status || source != tc.source {
				t.Errorf("while it lasts: %d from %q, want %d from %q", status, source, tc.status, tc.source)
			}
			if err := d.Revert(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if status, source := buy(t, s); status != 200 || source != shop.Live {
				t.Errorf("after: %d from %q", status, source)
			}
		})
	}
}

func shopBehindRelays(t *testing.T) (*shop.Shop, *relays.Set) {
	t.Helper()
	// Half a second a try: long for a loaded machine, short for a fault. No
	// breaker, so that one request tells.
	s, err := shop.Start(t.Context(), shop.Config{Options: shop.Options{
		NoStockFallback: true, NoBreaker: true, Timeout: shop.Wait(500 * time.Millisecond),
	}})
	if err != nil {
		t.Fatal(err)
	}
	set := relays.NewSet(relays.Options{})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(); err != nil {
			t.Errorf("close the shop: %v", err)
		}
		if err := set.Shutdown(ctx); err != nil {
			t.Errorf("close the relays: %v", err)
		}
	})
	for _, name := range shop.Edges() {
		from, to, _ := fault.SplitEdge(name)
		spec := relays.Spec{From: from, To: to, Protocol: experiment.HTTP, Listen: "127.0.0.1:0", Upstreams: []string{s.Addresses()[to]}}
		if to == shop.DB {
			spec.Protocol = experiment.TCP
		}
		if err := set.Open(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
		edge, ok := set.Edge(name)
		if !ok {
			t.Fatalf("%s is not open", name)
		}
		if err := s.Route(name, edge.Spec().Listen); err != nil {
			t.Fatal(err)
		}
	}
	return s, set
}

func buy(t *testing.T, s *shop.Shop) (int, shop.Source) {
	t.Helper()
	c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(s.URL() + "/checkout")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got shop.Checkout
	if resp.StatusCode == http.StatusOK {
		if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
			t.Fatal(fmt.Errorf("read the checkout: %w", err))
		}
	}
	return resp.StatusCode, got.Source
}
