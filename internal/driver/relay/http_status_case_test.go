package relay_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/driver/drivertest"
)

var _ = contract(fault.HTTPStatus, drivertest.Case{Setup: func(t *testing.T) *drivertest.World {
	p := httpPlace(t)
	f := p.fault(fault.HTTPStatus, func(q fault.Params) { q.(*fault.Status).Code = 503 })
	f.Match = &fault.Match{Path: "/users/*"}
	return p.world(f, func(t *testing.T) bool {
		status, body, _, err := p.get(patience)
		if err != nil || status != 200 && !strings.Contains(body, "chaosctl") {
			t.Fatalf("%d %q %v", status, body, err)
		}
		return status == 503
	})
}})

func TestStatusAnswersAsAsked(t *testing.T) {
	text := "<b>gone</b>"
	for name, c := range map[string]struct {
		params fault.Status
		method string
		want   string
	}{
		"default body": {fault.Status{Code: 503}, "GET", `503 application/json 69 {"status":503,"error":"Service Unavailable","injectedBy":"chaosctl"}` + "\n"},
		"own":          {fault.Status{Code: 410, Body: &text, Headers: map[string]string{"content-type": "text/html"}}, "GET", "410 text/html 11 " + text},
		"head":         {fault.Status{Code: 503, Body: &text}, "HEAD", "503  11 "},
		"no name":      {fault.Status{Code: 599}, "GET", `599 application/json 62 {"status":599,"error":"Server Error","injectedBy":"chaosctl"}` + "\n"},
		"reset":        {fault.Status{Code: 205}, "GET", "205  0 "},
		"no content":   {fault.Status{Code: 204}, "GET", "204  0 "},
	} {
		t.Run(name, func(t *testing.T) {
			p := httpPlace(t)
			change, err := p.driver.Plan(t.Context(), p.fault(fault.HTTPStatus, func(q fault.Params) { *q.(*fault.Status) = c.params }))
			if err != nil {
				t.Fatal(err)
			}
			change.ID = "x"
			if err := p.driver.Apply(t.Context(), change); err != nil {
				t.Fatal(err)
			}
			conn := p.dial()
			defer conn.Close()
			req, _ := http.NewRequest(c.method, "http://auth/", nil)
			for range 2 { // the connection stays usable
				req.Write(conn)
				resp, err := http.ReadResponse(bufio.NewReader(conn), req)
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				if got := fmt.Sprint(resp.StatusCode, " ", resp.Header.Get("Content-Type"), " ", resp.ContentLength, " ", string(b)); got != c.want {
					t.Errorf("%q, not %q", got, c.want)
				}
			}
		})
	}
}

func TestStatusAsAProblem(t *testing.T) {
	for _, s := range protocols {
		p := placeFor(t, s, shop)
		p.arm(p.fault(fault.HTTPStatus, func(q fault.Params) {
			*q.(*fault.Status) = fault.Status{Code: 402, Problem: &fault.ProblemDoc{Detail: "no <money>", Type: "https://example.com/broke"}}
		}))
		a := p.ask(t, s, "GET", "/", "", nil)
		want := `{"type":"https://example.com/broke","title":"Payment Required","status":402,"detail":"no \u003cmoney\u003e"}` + "\n"
		if a.status != 402 || a.body != want || a.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%+v", a)
		}
	}
}

func TestStatusByATemplate(t *testing.T) {
	text := `{{.Method}} {{.Host}}{{.Path}}?{{.Query}} {{.Status}} {{.Phrase}} {{json (.Header "x-request-id")}}{{with .Header "Authorization"}} {{.}}{{end}}`
	for _, s := range protocols {
		p := placeFor(t, s, shop)
		p.arm(p.fault(fault.HTTPStatus, func(q fault.Params) { *q.(*fault.Status) = fault.Status{Code: 409, Body: &text, Template: true} }))
		for _, id := range []string{"one", `t"wo`} {
			a := p.ask(t, s, "DELETE", "/a%20b?c=d", "", http.Header{"X-Request-Id": {id}, "Authorization": {"secret"}})
			if want := fmt.Sprintf("DELETE %s/a b?c=d 409 Conflict %q", p.addr, id); a.status != 409 || a.body != want {
				t.Errorf("got  %s\nwant %s", a.body, want)
			}
		}
	}
	endless := strings.Repeat(`{{.Path}}`, 60)
	p := webPlace(t, shop)
	p.arm(p.fault(fault.HTTPStatus, func(q fault.Params) { *q.(*fault.Status) = fault.Status{Code: 409, Body: &endless, Template: true} }))
	if a := p.ask(t, plain, "GET", "/"+strings.Repeat("x", 4000), "", nil); a.err != nil || len(a.body) != fault.MaxFilled {
		t.Errorf("%d bytes, %v", len(a.body), a.err)
	}
}
