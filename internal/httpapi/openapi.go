package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

//go:generate go test -run TestDocumentIsCommitted -update .

const schemas = "#/components/schemas/"

func (s *server) openAPI(context.Context, *nothing) (*raw, error) {
	return &raw{"application/openapi+json", noContent, s.document}, nil
}

func (s *server) openAPIYAML(context.Context, *nothing) (*raw, error) {
	return &raw{"application/openapi+yaml", noContent, s.yaml}, nil
}

// Document is the OpenAPI 3.1 description of the API, as JSON. It hangs on the
// code alone and is committed as docs/openapi.json.
func Document() []byte { return newServer(Config{}).document }

// mount registers the table and writes down the OpenAPI document.
func (s *server) mount() {
	registry := huma.NewMapRegistry(schemas, nameSchema)
	registry.RegisterTypeAlias(reflect.TypeFor[fault.Fault](), reflect.TypeFor[faultSchema]())
	registry.RegisterTypeAlias(reflect.TypeFor[fault.Share](), reflect.TypeFor[shareSchema]())
	registry.RegisterTypeAlias(reflect.TypeFor[fault.Chance](), reflect.TypeFor[chanceSchema]())
	registry.RegisterTypeAlias(reflect.TypeFor[fault.Duration](), reflect.TypeFor[durationSchema]())
	registry.RegisterTypeAlias(reflect.TypeFor[fault.Attempts](), reflect.TypeFor[attemptsSchema]())
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "chaosctl", Version: "v1",
				Description: "Chaos testing for APIs: put faults in force, take them out, run experiments. Errors are application/problem+json throughout.",
				License:     &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Servers: []*huma.Server{{URL: "http://127.0.0.1:8475", Description: "chaosctl serve, as it starts by default"}},
			Components: &huma.Components{Schemas: registry, SecuritySchemes: map[string]*huma.SecurityScheme{
				"token": {Type: "http", Scheme: "bearer", Description: "the token of --token-file; needed unless the server is on loopback without one"},
			}},
			Security: []map[string][]string{{}, {"token": {}}},
		},
		// "json" is what huma makes of application/problem+json.
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
		Transformers:  []huma.Transformer{reshape},
	}
	config.AllowAdditionalPropertiesByDefault = true // answers may grow
	api := humago.New(s.mux, config)
	describeFaults(registry)
	registry.Schema(reflect.TypeFor[experiment.Event](), true, "")
	registry.Schema(reflect.TypeFor[experiment.LedgerLine](), true, "")
	refusal := &huma.Response{Description: "refused, with what would help", Content: map[string]*huma.MediaType{
		"application/problem+json": {Schema: registry.Schema(reflect.TypeFor[problem](), true, "")},
	}}
	for _, r := range s.table {
		r.mount(api, r.operation(refusal))
		if r.takes != nil {
			operationAt(api.OpenAPI(), r).RequestBody = bodyOf(registry, r)
		}
	}
	for _, t := range []reflect.Type{
		reflect.TypeFor[experiment.InjectRequest](), reflect.TypeFor[experiment.RunRequest](), reflect.TypeFor[fault.Target](), reflect.TypeFor[fault.Match](),
		reflect.TypeFor[fault.GRPC](), reflect.TypeFor[fault.Pulse](), reflect.TypeFor[fault.After](), reflect.TypeFor[fault.JSONEdit](), reflect.TypeFor[fault.ProblemDoc](),
	} {
		registry.Map()[nameSchema(t, "")].AdditionalProperties = false // requests are decoded strictly
	}
	// huma's own errors are turned into ours before they are written.
	delete(registry.Map(), "ErrorModel")
	delete(registry.Map(), "ErrorDetail")
	s.mux.HandleFunc("/", s.index)
	s.document, s.yaml = written(api.OpenAPI())
}

func written(doc *huma.OpenAPI) (asJSON, asYAML []byte) {
	asJSON, err := json.MarshalIndent(doc, "", "  ")
	if err == nil {
		asYAML, err = doc.YAML()
	}
	if err != nil {
		panic(fmt.Sprintf("httpapi: the description of the API cannot be written: %v", err)) // a mistake in the table; every test meets it
	}
	return append(asJSON, '\n'), asYAML
}

func (r route) operation(refusal *huma.Response) huma.Operation {
	tag := strings.Split(strings.TrimPrefix(r.path, "/v1"), "/")[1]
	op := huma.Operation{
		Method: r.method, Path: r.path, OperationID: r.id, Summary: r.summary, DefaultStatus: r.status,
		Tags: []string{tag}, Responses: map[string]*huma.Response{"default": refusal},
	}
	if r.path == healthPath {
		op.Security = []map[string][]string{{}}
	}
	if r.gives != nil {
		content := map[string]*huma.MediaType{}
		for _, media := range r.gives {
			content[media] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
			if r.id == "events" {
				content[media].Schema.Description = "the data of each event is an Event of the components, as JSON; its id is the sequence number"
			}
			if r.id == "ledger" {
				content[media].Schema.Description = "each line is a LedgerLine of the components, as JSON; a last line with the member error says that there are more, which could not be read"
			}
		}
		op.Responses["200"] = &huma.Response{Description: http.StatusText(200), Content: content}
	}
	return op
}

func operationAt(doc *huma.OpenAPI, r route) *huma.Operation {
	item := doc.Paths[r.path]
	if r.method == http.MethodPost {
		return item.Post
	}
	return item.Get
}

func bodyOf(registry huma.Registry, r route) *huma.RequestBody {
	content := map[string]*huma.MediaType{"application/json": {Schema: registry.Schema(r.takes, true, "")}}
	if r.takes == reflect.TypeFor[experiment.RunRequest]() {
		content["application/yaml"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Description: "the experiment itself, with its topology inline or the server's"}}
	}
	return &huma.RequestBody{Required: true, Content: content}
}

// nameSchema names schemas after types; params after their kind, since packages
// fault and experiment share some names.
func nameSchema(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[problem]():
		return "Refusal"
	case reflect.TypeFor[strict.Problem]():
		return "Problem"
	case reflect.TypeFor[fault.Description]():
		return "Kind"
	case reflect.TypeFor[fault.Resolver]():
		return "PlacedResolver"
	}
	for _, k := range fault.Kinds() {
		if reflect.TypeOf(k.New()).Elem() == t {
			return pascal(k.Name) + "Params"
		}
	}
	return huma.DefaultSchemaNamer(t, hint)
}

// pascal makes NetSlowClose of net.slow-close.
func pascal(kind string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(kind, func(r rune) bool { return r == '.' || r == '-' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// The schemas of types that are written otherwise than they are built.
type (
	faultSchema    struct{}
	shareSchema    struct{}
	chanceSchema   struct{}
	durationSchema struct{}
	attemptsSchema struct{}
)

// Schema implements huma.SchemaProvider.
func (faultSchema) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Ref: schemas + "Fault"} }

// Schema implements huma.SchemaProvider.
func (durationSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Examples: []any{"150ms", "2s", "1m30s"}}
}

// Schema implements huma.SchemaProvider.
func (attemptsSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "the tries of each call that are hurt", Examples: []any{"1-2", "3-", "2,4-5"}}
}

// Schema implements huma.SchemaProvider.
func (shareSchema) Schema(huma.Registry) *huma.Schema {
	zero, one := 0., 1.
	return &huma.Schema{Description: "a share above 0 and up to 1, or a percentage", OneOf: []*huma.Schema{
		{Type: huma.TypeNumber, ExclusiveMinimum: &zero, Maximum: &one}, {Type: huma.TypeString, Examples: []any{"20%"}},
	}}
}

// Schema implements huma.SchemaProvider.
func (chanceSchema) Schema(huma.Registry) *huma.Schema {
	zero, one := 0., 1.
	return &huma.Schema{Description: "a chance from 0 to 1, or a percentage", OneOf: []*huma.Schema{
		{Type: huma.TypeNumber, Minimum: &zero, Maximum: &one}, {Type: huma.TypeString, Examples: []any{"5%"}},
	}}
}

// describeFaults writes a schema for the faults of every kind, and Fault, which
// is one of them.
func describeFaults(registry huma.Registry) {
	all := &huma.Schema{Description: "a fault of one of the kinds", Discriminator: &huma.Discriminator{PropertyName: "kind", Mapping: map[string]string{}}}
	for _, k := range fault.Kinds() {
		name := pascal(k.Name) + "Fault"
		registry.Map()[name] = describeFault(registry, k)
		all.OneOf = append(all.OneOf, &huma.Schema{Ref: schemas + name})
		all.Discriminator.Mapping[k.Name] = schemas + name
	}
	registry.Map()["Fault"] = all
}

func describeFault(registry huma.Registry, k *fault.Kind) *huma.Schema {
	of := func(t reflect.Type) *huma.Schema { return registry.Schema(t, true, "") }
	least := 1.
	s := &huma.Schema{
		Type: huma.TypeObject, Description: k.Doc, AdditionalProperties: false, Required: []string{"kind"},
		Properties: map[string]*huma.Schema{
			"name":   {Type: huma.TypeString, Description: "tells faults of a run apart; the kind by default"},
			"kind":   {Type: huma.TypeString, Enum: []any{k.Name}},
			"target": of(reflect.TypeFor[fault.Target]()),
			"params": of(reflect.TypeOf(k.New()).Elem()),
			"at":     {AllOf: []*huma.Schema{of(reflect.TypeFor[fault.Placed]())}, ReadOnly: true, Description: "where the engine has placed it"},
		},
	}
	switch match := of(reflect.TypeFor[fault.Match]()); {
	case k.MatchesRequests():
		s.Properties["match"] = match
	case k.MatchesClients():
		s.Properties["match"] = &huma.Schema{AllOf: []*huma.Schema{match}, Description: "takes `client` alone"}
	}
	for _, m := range fault.Modifiers() {
		switch {
		case m.Name == "match" || !m.Takes(k):
		case m.Type().Kind() == reflect.Int:
			s.Properties[m.Name] = &huma.Schema{Type: huma.TypeInteger, Minimum: &least, Description: m.Doc}
		case m.Type().Kind() == reflect.Pointer:
			s.Properties[m.Name] = &huma.Schema{AllOf: []*huma.Schema{of(m.Type().Elem())}, Description: m.Doc}
		default:
			s.Properties[m.Name] = of(m.Type())
		}
	}
	describeParams(registry.Map()[nameSchema(reflect.TypeOf(k.New()), "")], k, s)
	return s
}

// describeParams adds the defaults; what has one need not be given.
func describeParams(params *huma.Schema, k *fault.Kind, of *huma.Schema) {
	var required []string
	for _, p := range k.Describe().Params {
		if p.Required {
			required = append(required, p.Name)
		}
		if p.Default != "" && params.Properties[p.Name].Type == huma.TypeString {
			params.Properties[p.Name].Default = p.Default
		}
	}
	params.Required, params.AdditionalProperties = required, false
	if len(required) > 0 {
		of.Required = append(of.Required, "params")
	}
}
