package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

var update = flag.Bool("update", false, "write generated files instead of comparing them")

// TestDocumentIsCommitted keeps docs/openapi.json equal to the code; `go generate`
// writes it.
func TestDocumentIsCommitted(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "openapi.json")
	want := Document()
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(got), "\n"), strings.Split(string(want), "\n")); diff != "" {
		t.Errorf("docs/openapi.json is not what the code says; run `go generate ./internal/httpapi` (-file +code):\n%s", diff)
	}
}

func load(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(Document())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentIsValid(t *testing.T) {
	doc := load(t)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %s", doc.OpenAPI)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Error(err)
	}
	bad := bytes.Replace(Document(), []byte(`"operationId": "halt"`), []byte(`"operationId": "status"`), 1)
	if doc, err := openapi3.NewLoader().LoadFromData(bad); err == nil && doc.Validate(context.Background()) == nil {
		t.Error("the validation lets pass that two operations have one id")
	}
	if bytes.Contains(Document(), []byte("ErrorModel")) {
		t.Error("the document names huma's errors, which nobody gets")
	}
}

func TestEveryRouteIsDescribed(t *testing.T) {
	doc := load(t)
	for _, r := range newServer(Config{}).table {
		item := doc.Paths.Find(r.path)
		if item == nil || item.GetOperation(r.method) == nil {
			t.Errorf("%s %s is not described", r.method, r.path)
			continue
		}
		op := item.GetOperation(r.method)
		if op.OperationID != r.id || op.Summary != r.summary {
			t.Errorf("%s %s is described as %s", r.method, r.path, op.OperationID)
		}
		if op.Responses.Status(r.status) == nil || op.Responses.Default() == nil || op.Responses.Default().Value.Content["application/problem+json"] == nil {
			t.Errorf("%s: its answers are not described", r.id)
		}
		if (op.RequestBody != nil) != (r.takes != nil) {
			t.Errorf("%s: its body is not described", r.id)
		}
	}
}

// The schema and the decoder agree on every kind's example and on what is wrong.
func TestSchemaOfFaults(t *testing.T) {
	schema := load(t).Components.Schemas["InjectRequest"].Value
	check := func(f any) error {
		b, err := json.Marshal(map[string]any{"faults": []any{f}})
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := json.Unmarshal(b, &v); err != nil {
			t.Fatal(err)
		}
		return schema.VisitJSON(v)
	}
	for _, k := range fault.Kinds() {
		f := exampleOf(t, k)
		if err := check(f); err != nil {
			t.Errorf("%s: the schema refuses the example: %v", k.Name, err)
		}
		f.At = &fault.Placed{Relay: &fault.RelayEdge{From: "a", To: "b"}}
		if err := check(f); err != nil {
			t.Errorf("%s: the schema refuses what the server answers: %v", k.Name, err)
		}
		if err := check(map[string]any{"kind": k.Name, "params": map[string]any{"nonsense": 1}}); err == nil {
			t.Errorf("%s: the schema lets an unknown param pass", k.Name)
		}
		for _, p := range k.Describe().Params {
			if p.Required && check(map[string]any{"kind": k.Name, "target": map[string]any{"service": "a"}}) == nil {
				t.Errorf("%s: the schema does not demand %s", k.Name, p.Name)
			}
		}
	}
	if check(map[string]any{"kind": "net.nonsense"}) == nil {
		t.Error("the schema lets an unknown kind pass")
	}
}

func exampleOf(t *testing.T, k *fault.Kind) *fault.Fault {
	t.Helper()
	var f fault.Fault
	if err := strict.Unmarshal(k.Name, []byte(k.Example), &f); err != nil {
		t.Fatal(err)
	}
	return &f
}

// What the server answers fits the schemas it publishes.
func TestAnswersFitTheirSchemas(t *testing.T) {
	s := start(t, nil)
	doc := load(t)
	send(t, s.addr, "POST", "/v1/faults", goodFault, asJSON())
	send(t, s.addr, "POST", "/v1/runs", `{"document":"x"}`, asJSON())
	for _, r := range newServer(Config{}).table {
		if r.method != "GET" || r.gives != nil {
			continue
		}
		path := strings.ReplaceAll(r.path, "{id}", "f-1")
		if strings.HasPrefix(r.path, runsPath) {
			path = strings.ReplaceAll(r.path, "{id}", "r-2")
		}
		resp := send(t, s.addr, r.method, path, "", nil)
		var v any
		if err := json.Unmarshal([]byte(text(t, resp)), &v); err != nil || resp.StatusCode != r.status {
			t.Errorf("%s: %s %v", r.id, resp.Status, err)
			continue
		}
		content := doc.Paths.Find(r.path).GetOperation(r.method).Responses.Status(r.status).Value.Content["application/json"]
		if err := content.Schema.Value.VisitJSON(v); err != nil {
			t.Errorf("%s: the answer does not fit its schema: %v", r.id, err)
		}
	}
	var refusal any
	if err := json.Unmarshal([]byte(text(t, send(t, s.addr, "POST", "/v1/faults", `{"x":1}`, asJSON()))), &refusal); err != nil {
		t.Fatal(err)
	}
	if err := doc.Components.Schemas["Refusal"].Value.VisitJSON(refusal); err != nil {
		t.Errorf("a refusal does not fit its schema: %v", err)
	}
}

func TestDocumentIsServed(t *testing.T) {
	s := start(t, nil)
	var all sync.WaitGroup
	for range 4 { // at the same time: it is made once
		all.Go(func() {
			if got := text(t, send(t, s.addr, "GET", "/openapi.json", "", nil)); got != string(Document()) {
				t.Error("another document is served")
			}
		})
	}
	all.Wait()
	resp := send(t, s.addr, "GET", "/openapi.yaml", "", nil)
	got := text(t, resp)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(got))
	if err != nil || doc.Paths.Len() != load(t).Paths.Len() || resp.Header.Get("Content-Type") != "application/openapi+yaml" {
		t.Errorf("the YAML is another document: %v", err)
	}
	for _, far := range []string{"unpkg", "jsdelivr", "cdn", "<script"} {
		if strings.Contains(got, far) {
			t.Errorf("the document names %s", far)
		}
	}
}
