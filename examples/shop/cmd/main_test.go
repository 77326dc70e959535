package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRun starts the program on free ports, buys something and stops it.
func TestRun(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	r, w := io.Pipe()
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"-free", "-timeout", "10s"}, w, io.Discard)
		w.Close()
	}()
	var url string
	for sc := bufio.NewScanner(r); url == "" && sc.Scan(); {
		url, _ = strings.CutPrefix(sc.Text(), "ready: ")
		if !strings.HasPrefix(url, "http") {
			url = ""
		}
	}
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !bytes.Contains(b, []byte(`"source":"live"`)) {
		t.Errorf("%s", b)
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d", got)
	}
}

func TestBadFlag(t *testing.T) {
	if code := run(t.Context(), []string{"-bogus"}, io.Discard, io.Discard); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	if code := run(t.Context(), []string{"-help"}, io.Discard, io.Discard); code != 0 {
		t.Errorf("-help: exit code %d, want 0", code)
	}
}
