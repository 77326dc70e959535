package relay_test

import (
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// A request that was drawn, and from which the effect was lifted before it had hurt
// it, is skipped: no receipt loses a request.
func TestLiftedBeforeTheDeed(t *testing.T) {
	w := newWeb(t, mirror)
	if err := w.edge.Arm(relay.Armed{ID: "e", Name: "e", Effect: ender{after: patience, how: relay.Reset}}); err != nil {
		t.Fatal(err)
	}
	code := make(chan int)
	go func() { code <- w.ask("GET", "/", "") }()
	until(t, "a request that waits", func() bool {
		r, _ := w.edge.Receipt("e")
		return r.Matched == 1
	})
	lift(t, w.edge, "e")
	if got := <-code; got != 200 {
		t.Errorf("answered with %d", got)
	}
	if r, _ := w.edge.Receipt("e"); r != (fault.Receipt{Unit: fault.Exchange, Matched: 1, Skipped: 1}) {
		t.Errorf("receipt %+v", r)
	}
}
