package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestInjectFindLift(t *testing.T) {
	s := start(t, nil)
	resp := send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON())
	var in experiment.Injection
	if err := json.Unmarshal([]byte(text(t, resp)), &in); err != nil || resp.StatusCode != 201 {
		t.Fatal(resp.Status, err)
	}
	if resp.Header.Get("Location") != "/v1/faults/"+in.ID {
		t.Errorf("Location is %q", resp.Header.Get("Location"))
	}
	if d := in.Armed[0].Fault.Params.(*fault.Latency).Delay.String(); d != "500ms" || in.Owner != "api" || in.Actor != "api" {
		t.Errorf("what came back is not what was asked: %+v", in)
	}
	if got := text(t, send(t, s.addr, "GET", resp.Header.Get("Location"), "", nil)); !strings.Contains(got, `"id":"`+in.ID) {
		t.Errorf("it is not where Location says: %s", got)
	}
	if resp := send(t, s.addr, "DELETE", "/v1/faults/"+in.ID, "", nil); resp.StatusCode != 200 || !strings.Contains(text(t, resp), `"state":"lifted"`) {
		t.Errorf("lift: %s", resp.Status)
	}
	refused(t, send(t, s.addr, "GET", "/v1/faults/"+in.ID, "", nil), 404, experiment.NotFound)
	refused(t, send(t, s.addr, "DELETE", "/v1/faults/"+in.ID, "", nil), 404, experiment.NotFound)
	if got := text(t, send(t, s.addr, "GET", "/v1/faults", "", nil)); got != `{"faults":[]}`+"\n" {
		t.Errorf("an empty list is a list: %s", got)
	}
}

func TestBadBodies(t *testing.T) {
	s := start(t, nil)
	for name, c := range map[string]struct{ body, path, word string }{
		"nothing":       {"  ", "", ""},
		"not JSON":      {`{"faults": [}`, "", "not JSON"},
		"YAML":          {"faults: []", "", "not JSON"},
		"unknown field": {`{"fault":[]}`, "fault", "did you mean"},
		"unknown kind":  {`{"faults":[{"kind":"net.latencie"}]}`, "faults[0].kind", "net.latency"},
		"unknown param": {`{"faults":[{"kind":"net.latency","target":{"service":"a"},"params":{"dellay":"1s"}}]}`, "faults[0].params.dellay", "delay"},
		"bad param":     {`{"faults":[{"kind":"net.latency","target":{"service":"a"},"params":{"delay":"-1s"}}]}`, "faults[0].params.delay", "negative"},
		"bare number":   {`{"faults":[{"kind":"net.latency","target":{"service":"a"},"params":{"delay":500}}]}`, "faults[0].params.delay", "500ms"},
		"no target":     {`{"faults":[{"kind":"net.reset"}]}`, "faults[0].target", ""},
		"placement":     {`{"faults":[{"kind":"proc.pause","target":{"service":"a"},"at":{"process":{"pid":1}}}]}`, "faults[0].at", "not a field"},
		"owner":         {`{"faults":[],"owner":"cli"}`, "owner", "not a field"},
		"twice":         {`{"faults":[],"faults":[]}`, "faults", "twice"},
		"list":          {`[]`, "", "mapping"},
		"bad lease":     {`{"faults":[],"for":"forever"}`, "for", "duration"},
		"deep":          {strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := refused(t, send(t, s.addr, "POST", "/v1/faults", c.body, asJSON()), 400, experiment.BadInput)
			found := c.path == "" && c.word == ""
			for _, x := range p.Problems {
				found = found || x.Path == c.path && strings.Contains(x.Message, c.word)
			}
			if !found {
				t.Errorf("no problem at %q with %q: %+v", c.path, c.word, p)
			}
		})
	}
	p := refused(t, send(t, s.addr, "POST", "/v1/faults", `{"faults":[{"kind":"net.reset","share":7,"x":1},{"kind":"no.such"}]}`, asJSON()), 400, experiment.BadInput)
	if len(p.Problems) < 3 {
		t.Errorf("every mistake at once: %+v", p.Problems)
	}
	if len(s.requests) != 0 {
		t.Error("the engine was asked all the same")
	}
	body := `{"faults":[{"kind":"http.status","target":{"service":"auth"},"params":{"code":503,"body":"\ud83d\ude00 \u00e4 ` + "\t" + `"}}]}`
	if resp := send(t, s.addr, "POST", "/v1/faults", strings.ReplaceAll(body, "\t", `\t`), asJSON()); resp.StatusCode != 201 {
		t.Errorf("all of JSON is read: %s", text(t, resp))
	} else if got := *s.requests[0].Faults[0].Params.(*fault.Status).Body; got != "😀 ä \t" {
		t.Errorf("and as it is meant: %q", got)
	}
}

func TestRunBodies(t *testing.T) {
	s := start(t, nil)
	ask := func(path, body string, h http.Header) *http.Response { return send(t, s.addr, "POST", path, body, h) }
	last := func() experiment.RunRequest { s.mu.Lock(); defer s.mu.Unlock(); return s.asked[len(s.asked)-1] }

	doc := "kind: Experiment\nname: 😀\t\"quoted\"\n"
	b, _ := json.Marshal(experiment.RunRequest{File: "x.yaml", Document: doc, Topology: "t", Set: []string{"a=b"}, Detach: true, AllowProduction: true, Actor: "me"})
	if resp := ask(runsPath, string(b), asJSON()); resp.StatusCode != 201 || !strings.HasPrefix(resp.Header.Get("Location"), "/v1/runs/r-") {
		t.Fatalf("%s %q", resp.Status, resp.Header.Get("Location"))
	}
	if got := last(); got.Document != doc || got.Topology != "t" || !got.Detach || !got.AllowProduction || got.Actor != "me" || got.Set[0] != "a=b" || got.File != "x.yaml" {
		t.Errorf("not as it was sent: %+v", got)
	}
	if resp := ask(runsPath+"?detach=true&allowProduction=true&file=y.yaml", doc, with("Content-Type", "application/yaml")); resp.StatusCode != 201 {
		t.Fatal(text(t, resp))
	}
	if got := last(); got.Document != doc || !got.Detach || !got.AllowProduction || got.AllowIrreversible || got.File != "y.yaml" || got.Actor != "api" {
		t.Errorf("YAML with the rest as query: %+v", got)
	}
	n := len(s.asked)
	for body, path := range map[string]string{
		`{"document":""}`: "document", `{}`: "document", `{"document":5}`: "document", `{"document":"x","owner":"y"}`: "owner",
		`{"document":"x","detach":"maybe"}`: "detach", `null`: "", `[]`: "", ``: "", `{"document":"x"`: "",
	} {
		p := refused(t, ask(planPath, body, asJSON()), 400, experiment.BadInput)
		if path != "" && (len(p.Problems) != 1 || p.Problems[0].Path != path || p.Problems[0].Line != 0) {
			t.Errorf("%s: %+v", body, p.Problems)
		}
	}
	refused(t, ask(planPath, "  ", with("Content-Type", "text/yaml")), 400, experiment.BadInput)
	refused(t, ask(planPath+"?detach=maybe", "x", with("Content-Type", "text/yaml")), 422, experiment.BadInput)
	if len(s.asked) != n {
		t.Error("the engine was asked all the same")
	}
	p := refused(t, ask(planPath, `{"document":"bad","file":"f.yaml"}`, asJSON()), 400, experiment.BadInput)
	if len(p.Problems) != 1 || p.Problems[0] != (experiment.Problem{File: "f.yaml", Line: 3, Column: 5, Path: "spec.steps", Message: "is missing"}) {
		t.Errorf("the problems of a document arrive whole: %+v", p)
	}
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	s := start(t, nil)
	for code, status := range map[experiment.Code]int{
		experiment.BadInput: 400, experiment.NotFound: 404, experiment.Guarded: 403, experiment.Conflict: 409,
		experiment.Unsupported: 422, experiment.CannotUndo: 500, experiment.Unavailable: 503, experiment.Unauthorised: 401,
	} {
		s.mu.Lock()
		s.fail = fmt.Errorf("inject: %w", &experiment.Error{Code: code, Message: "m", Hint: "h", Problems: experiment.Problems{{Path: "p", Message: "q"}}})
		s.mu.Unlock()
		p := refused(t, send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON()), status, code)
		if p.Detail != "m" || p.Hint != "h" || len(p.Problems) != 1 {
			t.Errorf("%s: %+v", code, p)
		}
	}
	s.mu.Lock()
	s.fail = errors.New("disk on fire")
	s.mu.Unlock()
	refused(t, send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON()), 500, internalError)
}

func TestHaltAndAbortSayWhy(t *testing.T) {
	s := start(t, nil)
	send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON())
	if got := text(t, send(t, s.addr, "POST", "/v1/halt?why=smoke%20seen", "", nil)); !strings.Contains(got, `"lifted":["f-1"]`) {
		t.Errorf("halt: %s", got)
	}
	send(t, s.addr, "POST", "/v1/halt", "", nil)
	send(t, s.addr, "POST", "/v1/runs", `{"document":"x"}`, asJSON())
	if resp := send(t, s.addr, "DELETE", "/v1/runs/r-2?why=enough", "", nil); resp.StatusCode != 204 {
		t.Errorf("abort: %s", resp.Status)
	}
	refused(t, send(t, s.addr, "DELETE", "/v1/runs/r-99", "", nil), 404, experiment.NotFound)
	if got := strings.Join(s.reasons, "|"); got != "smoke seen|asked by api|enough" {
		t.Errorf("reasons: %s", got)
	}
	refused(t, send(t, s.addr, "POST", "/v1/halt?why="+strings.Repeat("x", 501), "", nil), 422, experiment.BadInput)
}

func TestReports(t *testing.T) {
	s := start(t, nil)
	send(t, s.addr, "POST", "/v1/runs", `{"document":"x"}`, asJSON())
	for format, f := range formats() {
		resp := send(t, s.addr, "GET", "/v1/runs/r-1/report?format="+format, "", nil)
		if got := text(t, resp); resp.StatusCode != 200 || got != "<"+format+" of r-1>" || resp.Header.Get("Content-Type") != f.media {
			t.Errorf("%s: %s %s %q", format, resp.Status, resp.Header.Get("Content-Type"), got)
		}
		policy := resp.Header.Values("Content-Security-Policy")
		if len(policy) != 1 || !strings.Contains(policy[0], "default-src 'none'") || strings.Contains(policy[0], "script-src") {
			t.Errorf("%s: the policy lets scripts run: %q", format, policy)
		}
		if format == "html" && !strings.Contains(policy[0], "sandbox") {
			t.Errorf("the HTML is not in a sandbox: %q", policy)
		}
	}
	if got := text(t, send(t, s.addr, "GET", "/v1/runs/r-1/report", "", nil)); got != "<html of r-1>" {
		t.Errorf("without a format: %q", got)
	}
	p := refused(t, send(t, s.addr, "GET", "/v1/runs/r-1/report?format=pdf", "", nil), 422, experiment.BadInput)
	if len(p.Problems) != 1 || p.Problems[0].Path != "query.format" {
		t.Errorf("problems: %+v", p)
	}
	refused(t, send(t, s.addr, "GET", "/v1/runs/r-9/report", "", nil), 404, experiment.NotFound)
}

func TestIndexAndWhatIsNotThere(t *testing.T) {
	s := start(t, nil)
	got := text(t, send(t, s.addr, "GET", "/", "", nil))
	for _, r := range newServer(Config{}).table {
		if !strings.Contains(got, r.path+" ") {
			t.Errorf("the index leaves out %s", r.path)
		}
	}
	refused(t, send(t, s.addr, "GET", "/v2/status", "", nil), 404, experiment.NotFound)
	refused(t, send(t, s.addr, "GET", "/docs", "", nil), 404, experiment.NotFound)
	resp := send(t, s.addr, "PUT", "/v1/faults", goodFault, asJSON())
	refused(t, resp, 405, experiment.BadInput)
	if resp.Header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("Allow: %q", resp.Header.Get("Allow"))
	}
	refused(t, send(t, s.addr, "POST", "/", "", nil), 404, experiment.NotFound)
	if resp := send(t, s.addr, "HEAD", "/v1/events", "", nil); resp.StatusCode != 200 {
		t.Errorf("HEAD of the events must end: %s", resp.Status)
	}
}

func TestKindsAreTheCatalogue(t *testing.T) {
	s := start(t, nil)
	var list KindList
	if err := json.Unmarshal([]byte(text(t, send(t, s.addr, "GET", "/v1/kinds", "", nil))), &list); err != nil {
		t.Fatal(err)
	}
	kinds := fault.Kinds()
	if len(list.Kinds) != len(kinds) {
		t.Fatalf("%d kinds, the catalogue has %d", len(list.Kinds), len(kinds))
	}
	for i, k := range list.Kinds {
		if k.Name != kinds[i].Name || k.Doc == "" || k.Example == "" || len(k.Grounds) == 0 {
			t.Errorf("incomplete: %+v", k)
		}
		for _, f := range k.Flags {
			if f.Name == "" || f.Usage == "" {
				t.Errorf("%s: incomplete flag %+v", k.Name, f)
			}
		}
	}
}

// A panic is a 500 in our shape and a line in the log; the server goes on.
func TestPanic(t *testing.T) {
	s := start(t, func(c *Config) {
		c.Token = token
		c.Render = func(string, io.Writer, *experiment.Run) error { panic("broken template") }
	})
	auth := func(pairs ...string) http.Header { return asJSON(append(pairs, "Authorization", "Bearer "+token)...) }
	send(t, s.addr, "POST", "/v1/runs", `{"document":"secret-document"}`, auth())
	refused(t, send(t, s.addr, "GET", "/v1/runs/r-1/report?format=html", "", auth("Cookie", "secret-cookie")), 500, internalError)
	if resp := send(t, s.addr, "GET", "/v1/health", "", nil); resp.StatusCode != 200 {
		t.Error("the server is gone")
	}
	log := s.log.String()
	if !strings.Contains(log, "broken template") {
		t.Errorf("the log does not say it: %s", log)
	}
	for _, secret := range []string{token, "secret-document", "secret-cookie"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}
