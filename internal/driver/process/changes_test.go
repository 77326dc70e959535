package process

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestRevertEndsAnApply: a Revert does not wait for an Apply that may never end
// by itself, but it does wait for its end.
func TestRevertEndsAnApply(t *testing.T) {
	d := New()
	applying, stop := context.WithCancel(t.Context())
	applied, err := d.turn(applying, "c", stop)
	if err != nil {
		t.Fatal(err)
	}
	other, err := d.turn(t.Context(), "other", nil)
	if err != nil {
		t.Fatal("another change has to wait:", err)
	}
	other()

	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.turn(short, "c", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("a second turn of a change during its first: %v", err)
	}
	d.interrupt("c")
	select {
	case <-applying.Done():
	default:
		t.Fatal("the Apply was not told to end")
	}
	reverting := make(chan error)
	go func() {
		end, err := d.turn(t.Context(), "c", nil)
		if err == nil {
			end()
		}
		reverting <- err
	}()
	applied()
	if err := <-reverting; err != nil {
		t.Fatal(err)
	}
	if len(d.busy) != 0 {
		t.Errorf("still busy: %v", d.busy)
	}
}
