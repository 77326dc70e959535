package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

// TestRun starts a system on free ports and stops it.
func TestRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"-free", "-flaw", "no-bulkhead", "-fixed", "-ids", "none", "-seed", "7"}, w, io.Discard)
		w.Close()
	}()
	ready := false
	for sc := bufio.NewScanner(r); !ready && sc.Scan(); {
		ready = strings.HasPrefix(sc.Text(), "ready: ")
	}
	stop()
	if got := <-code; got != 0 || !ready {
		t.Errorf("exit code %d, ready %t", got, ready)
	}
}

func TestFlags(t *testing.T) {
	for arg, want := range map[string]int{"-bogus": 2, "-help": 0, "-flaw=bogus": 2, "-seed=1": 0} {
		var out bytes.Buffer
		if code := run(t.Context(), []string{arg}, &out, io.Discard); code != want {
			t.Errorf("%s: exit code %d, want %d", arg, code, want)
		}
		if arg == "-seed=1" && !strings.Contains(out.String(), "retries-without-cap") {
			t.Errorf("without a flaw they are listed, not %q", out.String())
		}
	}
}
