package fault

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// decode reads the params of a kind.
func decode(k *Kind, params string) (Params, error) {
	var f Fault
	doc := fmt.Sprintf("{kind: %s, target: {service: a}, params: %s}", k.Name, params)
	err := strict.Unmarshal("", []byte(doc), &f)
	return f.Params, err
}

func TestParamsOfHTTPAndGRPC(t *testing.T) {
	for _, tt := range []struct {
		kind   *Kind
		params string
		want   string // "" is good
	}{
		{HTTPBody, "{truncate: 1KiB}", ""},
		{HTTPBody, "{truncate: 99.5%, contentLength: kept}", ""},
		{HTTPBody, "{truncate: 100%}", "params.truncate: must be bytes such as 1KiB, or a share above 0% and below 100%"},
		{HTTPBody, "{truncate: 10}", "params.truncate: must be bytes"},
		{HTTPBody, "{truncate: 0.5}", "params.truncate: must be bytes"},
		{HTTPBody, "{garbage: true}", ""},
		{HTTPBody, "{garbage: true, contentLength: kept}", "params.contentLength: there is no lie to tell"},
		{HTTPBody, "{garbage: true, truncate: 1KiB}", "must have exactly one of `truncate`, `garbage`, `replace` and `json`, not truncate and garbage"},
		{HTTPBody, "{}", "must have exactly one"},
		{HTTPBody, `{replace: "", contentType: text/html}`, ""},
		{HTTPBody, "{truncate: 1B, contentType: text/html}", "params.contentType: goes with `replace`"},
		{HTTPBody, `{replace: a, contentType: "a\nb"}`, "params.contentType: must be one line"},
		{HTTPBody, "{replace: a, contentLength: wrong}", "params.contentLength: must be honest or kept"},
		{HTTPBody, `{json: {path: "a.b[0]", value: 1}}`, ""},
		{HTTPBody, `{json: {path: "[0][\"a.b\"].c", value: {a: [1, null]}}}`, ""},
		{HTTPBody, "{json: {path: a, value: null}}", ""},
		{HTTPBody, "{json: {path: a, delete: true}}", ""},
		{HTTPBody, "{json: {path: a}}", "params.json: must have exactly one of `value` and `delete: true`"},
		{HTTPBody, "{json: {path: a, value: 1, delete: true}}", "params.json: must have exactly one"},
		{HTTPBody, "{json: {value: 1}}", "params.json.path: is missing"},
		{HTTPBody, "{json: {path: a..b, value: 1}}", "params.json.path: must be keys and places"},
		{HTTPBody, `{json: {path: "a[-1]", value: 1}}`, "params.json.path: must be keys and places"},
		{HTTPBody, `{json: {path: "a[b]", value: 1}}`, "params.json.path: must be keys and places"},
		{HTTPBody, `{json: {path: "a]", value: 1}}`, "params.json.path: must be keys and places"},
		{HTTPBody, `{json: {path: "a[0]b", value: 1}}`, "params.json.path: must be keys and places"},
		{HTTPBody, "{json: {path: a, valu: 1}}", "params.json.valu: is not a field here; did you mean `value`?"},
		{HTTPBody, "{json: {path: " + strings.Repeat("a.", 200) + "b, value: 1}}", "params.json.path: has more than 100 steps"},

		{HTTPHeader, "{set: {X-A: b}}", ""},
		{HTTPHeader, "{on: request, add: {X-A: b}, remove: [X-B]}", ""},
		{HTTPHeader, "{}", "must change something"},
		{HTTPHeader, "{on: both, remove: [X-B]}", "params.on: must be response or request"},
		{HTTPHeader, "{set: {Content-Length: '1'}}", "params.set.Content-Length: follows from the body"},
		{HTTPHeader, "{remove: [Connection]}", "params.remove[0]: belongs to the connection"},
		{HTTPHeader, "{add: {host: a}}", "params.add.host: says where the request goes"},
		{HTTPHeader, "{set: {':path': a}}", "is not a header name"},
		{HTTPHeader, `{set: {X-A: "a\r\nX-B: c"}}`, "params.set.X-A: must be one line"},
		{HTTPHeader, "{set: {X-A: a, x-a: b}}", "is the same field as"},
		{HTTPHeader, "{set: {X-A: a}, remove: [x-a]}", "params.set.X-A: is also in `remove[0]`"},

		{HTTPRateLimit, "{}", ""},
		{HTTPRateLimit, "{rate: 600/m, burst: 5, scope: client, format: date}", ""},
		{HTTPRateLimit, "{rate: 10}", "params.rate: must be a rate such as 10/s"},
		{HTTPRateLimit, "{rate: 0/s}", "params.rate: must be a rate such as 10/s"},
		{HTTPRateLimit, "{burst: 5}", "params.burst: goes with `rate`"},
		{HTTPRateLimit, "{rate: 1/s, burst: 0}", "params.burst: must be more than 0"},
		{HTTPRateLimit, "{format: words}", "params.format: must be seconds, date or none"},
		{HTTPRateLimit, "{format: none, retryAfter: 2s}", "params.retryAfter: is not told"},
		{HTTPRateLimit, "{retryAfter: 2h}", "params.retryAfter: must be at most 1h"},
		{HTTPRateLimit, "{scope: connection}", "params.scope: must be edge or client"},

		{HTTPReplyLost, "{how: reset}", ""},
		{HTTPReplyLost, "{how: loud}", "params.how: must be close or reset"},

		{HTTPSlowBody, "{rate: 1KB/s, chunk: 1B, firstByte: 1s}", ""},
		{HTTPSlowBody, "{firstByte: 1s}", ""},
		{HTTPSlowBody, "{}", "must slow something"},
		{HTTPSlowBody, "{rate: 1KB/s, over: 1s}", "params.over: says the rate, too"},
		{HTTPSlowBody, "{firstByte: 1s, chunk: 1B}", "params.chunk: goes with"},
		{HTTPSlowBody, "{over: 2h}", "params.over: must be at most 1h"},
		{HTTPSlowBody, "{over: 2s, chunk: 2MiB}", "params.chunk: must be from 1B to 1MiB"},

		{HTTPStatus, "{code: 503, problem: {title: a, detail: b, type: c}}", ""},
		{HTTPStatus, "{code: 503, problem: {}, body: a}", "params.problem: stands in the place of `body`"},
		{HTTPStatus, "{code: 204, problem: {}}", "params.problem: an answer with status 204 has no body"},
		{HTTPStatus, "{code: 503, template: true}", "params.template: goes with `body`"},
		{HTTPStatus, `{code: 503, template: true, body: "{{if eq .Method \"GET\"}}{{.Path}}{{else}}{{.Header \"a\" | json}}{{end}}"}`, ""},
		{HTTPStatus, `{code: 503, template: true, body: "{{.Nothing}}"}`, "params.body: there is no .Nothing"},
		{HTTPStatus, `{code: 503, template: true, body: "{{range 10}}x{{end}}"}`, "params.body: must not use {{range"},
		{HTTPStatus, `{code: 503, template: true, body: "{{printf \"%1000000d\" 1}}"}`, "params.body: must not call printf"},
		{HTTPStatus, `{code: 503, template: true, body: "{{define \"a\"}}{{template \"a\"}}{{end}}"}`, "params.body: must not define templates"},
		{HTTPStatus, `{code: 503, template: true, body: "{{template \"body\"}}"}`, "params.body: must not use {{template"},
		{HTTPStatus, `{code: 503, template: true, body: "{{.Get \"Cookie\"}}"}`, "params.body: there is no .Get"},
		{HTTPStatus, `{code: 503, template: true, body: "{{(.Header \"a\").x}}"}`, "params.body: must not use"},
		{HTTPStatus, `{code: 503, template: true, body: "{{$x := .}}{{$x.Get}}"}`, "params.body: there is no .Get"},
		{HTTPStatus, `{code: 503, template: true, body: "{{"}`, "params.body: is not a template"},
		{HTTPStatus, "{code: 503, headers: {X-A: a, x-a: b}}", "is the same field as"},

		{GRPCStatus, "{code: unavailable}", ""},
		{GRPCStatus, "{code: 14, message: a, metadata: {a: b, c-bin: AAA}}", ""},
		{GRPCStatus, "{}", "params.code: must be given"},
		{GRPCStatus, "{code: 0}", "params.code: must not be OK"},
		{GRPCStatus, "{code: 17}", "params.code: must be a gRPC code"},
		{GRPCStatus, "{code: UNAVAILBLE}", "did you mean `UNAVAILABLE`?"},
		{GRPCStatus, "{code: 14, metadata: {grpc-status: '0'}}", "params.metadata.grpc-status: belongs to gRPC itself"},
		{GRPCStatus, "{code: 14, metadata: {a: ä}}", "params.metadata.a: must be ASCII"},

		{GRPCDelay, "{delay: 1s, jitter: 1s}", ""},
		{GRPCDelay, "{jitter: 1s}", "params.delay: must be given"},
	} {
		p, err := decode(tt.kind, tt.params)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s %s: %v", tt.kind.Name, tt.params, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s %s:\ngot  %v\nwant %s", tt.kind.Name, tt.params, err, tt.want)
		case tt.want == "":
			roundTrip(t, Fault{Kind: tt.kind.Name, Target: Target{Service: "a"}, Params: p})
		}
	}
}

func TestExtentOf(t *testing.T) {
	for _, tt := range []struct {
		extent Extent
		length int64
		want   int64
		ok     bool
	}{
		{"1KiB", 2000, 1024, true}, {"1KiB", 1000, 1000, true}, {"1KiB", -1, 1024, true}, {"0B", 5, 0, true},
		{"50%", 101, 50, true}, {"50%", -1, 0, false}, {"50%", 0, 0, true}, {"", 5, 0, false},
	} {
		if n, ok := tt.extent.Of(tt.length); n != tt.want || ok != tt.ok {
			t.Errorf("%s of %d is %d, %t", tt.extent, tt.length, n, ok)
		}
	}
}

// A template that passes takes a bounded time and never fails in a way that is not
// an error.
func FuzzCompileAnswer(f *testing.F) {
	for _, s := range []string{"", "{{.Method}} {{.Path | html}}", "{{with $x := .Header \"a\"}}{{js $x}}{{end}}", "{{if and .Status (eq .Path \"/\")}}a{{else if .Query}}b{{end}}", "{{/* */}}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		body, err := CompileAnswer(text)
		if err != nil {
			return
		}
		var b strings.Builder
		_ = body.Execute(&b, AnswerData{Method: "GET", Path: `/\"<`, Status: 503, Get: func(string) string { return "x" }})
		if strings.Contains(b.String(), "0x") && !strings.Contains(text, "0x") {
			t.Errorf("%q shows an address: %q", text, b.String())
		}
	})
}

func FuzzSteps(f *testing.F) {
	for _, s := range []string{"a.b[0].c", `["a\"]"][1]`, "[", "a.", "[99999999999]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		steps, err := (&JSONEdit{Path: path}).Steps()
		if err == nil && (len(steps) == 0 || len(steps) > maxSteps) {
			t.Errorf("%q has %d steps", path, len(steps))
		}
	})
}

func TestProblemText(t *testing.T) {
	var doc map[string]any
	if err := json.Unmarshal(ProblemDoc{}.Text(503, "Service Unavailable"), &doc); err != nil || len(doc) != 3 || doc["type"] != "about:blank" || doc["title"] != "Service Unavailable" {
		t.Errorf("%v, %v", doc, err)
	}
}

// A field that passes stays on its line, and is none that frames a message.
func FuzzHeaderFields(f *testing.F) {
	f.Add("X-A", "b")
	f.Add("Content-Length\r\nX", "1")
	f.Add("transfer-encoding", "chunked\n")
	f.Fuzz(func(t *testing.T, name, value string) {
		p := Header{On: Response, Set: map[string]string{name: value}}
		if p.Validate() != nil {
			return
		}
		h := http.Header{}
		h.Set(name, value)
		var b strings.Builder
		if err := h.Write(&b); err != nil || strings.Count(b.String(), "\n") != 1 || !strings.HasPrefix(strings.ToLower(b.String()), strings.ToLower(name)+": ") {
			t.Errorf("%q: %q becomes %q, %v", name, value, b.String(), err)
		}
		for _, bad := range []string{"content-length:", "transfer-encoding:", "connection:", "host:"} {
			if strings.HasPrefix(strings.ToLower(b.String()), bad) {
				t.Errorf("%q passes", b.String())
			}
		}
	})
}
