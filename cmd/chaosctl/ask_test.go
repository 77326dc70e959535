//go:build unix

package main

import (
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdAsk sends a request that must be answered with a status; the answer's body is
// in the file answer:
//
//	ask 201 POST http://$TOXI/proxies '{"name":"redis"}'
func cmdAsk(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: ask STATUS METHOD URL [BODY]")
	}
	r, err := http.NewRequest(args[1], args[2], strings.NewReader(strings.Join(args[3:], "")))
	ts.Check(err)
	resp, err := of(ts).client.Do(r)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), body, 0o600))
	if got := strconv.Itoa(resp.StatusCode); got != args[0] {
		ts.Fatalf("%s %s: %s, want %s\n%s", args[1], args[2], got, args[0], body)
	}
}

// cmdHolds waits until a file holds a text: holds FILE TEXT.
func cmdHolds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: holds FILE TEXT")
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		b, err := os.ReadFile(ts.MkAbs(args[0]))
		if err == nil && strings.Contains(string(b), args[1]) {
			return
		}
		select {
		case <-tick.C:
		case <-limit.C:
			ts.Fatalf("%s never held %s:\n%s", args[0], args[1], b)
		}
	}
}
