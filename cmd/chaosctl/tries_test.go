//go:build unix

package main

import (
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdTries sends a request as often as there are statuses, 0 for no answer, with
// header fields and a body:
//
//	tries 503,503,200 POST http://$RELAY/pay 'Idempotency-Key: 1' body
//
// In header fields % stands for the number of the try.
func cmdTries(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: tries STATUS,... METHOD URL ['NAME: VALUE']... [BODY]")
	}
	var got []string
	for i := range strings.Split(args[0], ",") {
		var body io.Reader
		fields := http.Header{}
		for _, a := range args[3:] {
			if name, value, ok := strings.Cut(a, ": "); ok {
				fields.Set(name, strings.ReplaceAll(value, "%", strconv.Itoa(i+1)))
			} else {
				body = strings.NewReader(a)
			}
		}
		r, err := http.NewRequest(args[1], args[2], body)
		ts.Check(err)
		r.Header = fields
		status := "0"
		if resp, err := of(ts).client.Do(r); err == nil {
			status = strconv.Itoa(resp.StatusCode)
			_, err = io.Copy(io.Discard, resp.Body)
			ts.Check(err)
			ts.Check(resp.Body.Close())
		}
		got = append(got, status)
	}
	if all := strings.Join(got, ","); all != args[0] {
		ts.Fatalf("%s %s: %s, not %s", args[1], args[2], all, args[0])
	}
}
