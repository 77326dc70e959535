package experiment_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
	"golang.org/x/tools/txtar"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

func compile(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	text, err := experiment.Schema(kind)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("s.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("s.json")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s
}

// values are the documents of a file as JSON has them.
func values(t *testing.T, data []byte) []any {
	t.Helper()
	var all []any
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var v any
		if dec.Decode(&v) != nil {
			return all
		}
		text, err := json.Marshal(v)
		if err != nil {
			return all
		}
		v, err = jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
}

func TestSchemasTakeGoodDocuments(t *testing.T) {
	schemas := map[string]*jsonschema.Schema{"Topology": compile(t, "topology"), "Experiment": compile(t, "experiment")}
	files, _ := filepath.Glob("testdata/good/*")
	n := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, ".json") {
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			if err := schemas["Experiment"].Validate(v); err != nil {
				t.Errorf("%s: %v", f, err)
			}
			continue
		}
		for _, v := range values(t, data) {
			n++
			if err := schemas[v.(map[string]any)["kind"].(string)].Validate(v); err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
	if n < 4 {
		t.Fatalf("only %d documents were checked", n)
	}
	for _, k := range fault.Kinds() {
		wrapped := "{apiVersion: chaosctl.dev/v1alpha1, kind: Experiment, metadata: {name: x}, spec: {steps: [{for: 1s, faults: [{" +
			flow(t, k.Example) + "}]}]}}"
		for _, v := range values(t, []byte(wrapped)) {
			if err := schemas["Experiment"].Validate(v); err != nil {
				t.Errorf("example of %s: %v", k.Name, err)
			}
		}
	}
}

// flow turns the lines of an example into the inside of a flow mapping.
func flow(t *testing.T, example string) string {
	t.Helper()
	return strings.Join(strings.Split(strings.TrimSpace(example), "\n"), ", ")
}

func TestSchemasRefuseBadDocuments(t *testing.T) {
	for file, kind := range map[string]string{
		"topology-services": "topology", "topology-edges": "topology", "topology-empty": "topology", "topology-is-experiment": "topology",
		"experiment-everything": "experiment", "experiment-frame": "experiment", "experiment-is-topology": "experiment", "experiment-scalar": "experiment",
		"expect": "experiment",
	} {
		ar, err := txtar.ParseFile("testdata/bad/" + file + ".txtar")
		if err != nil {
			t.Fatal(err)
		}
		docs := values(t, ar.Files[0].Data)
		if len(docs) == 0 {
			t.Fatalf("%s: no document", file)
		}
		if err := compile(t, kind).Validate(docs[0]); err == nil {
			t.Errorf("%s: the schema takes it", file)
		}
	}
	if _, err := experiment.Schema("topologie"); err == nil || !strings.Contains(err.Error(), "did you mean `topology`?") {
		t.Errorf("unknown schema: %v", err)
	}
}

// TestSchemaRefusesEachMistake changes one thing at a time in a good fault.
func TestSchemaRefusesEachMistake(t *testing.T) {
	s := compile(t, "experiment")
	check := func(faultText string) error {
		return s.Validate(values(t, []byte("{apiVersion: chaosctl.dev/v1alpha1, kind: Experiment, metadata: {name: x}, spec: {steps: [{for: 1s, faults: ["+faultText+"]}]}}"))[0])
	}
	if err := check("{kind: net.latency, target: {service: a}, params: {delay: 1s}}"); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"{kind: net.latncy, target: {service: a}, params: {delay: 1s}}",
		"{target: {service: a}, params: {delay: 1s}}",
		"{kind: net.latency, target: {service: a}}",
		"{kind: net.latency, target: {service: a}, params: {}}",
		"{kind: net.latency, target: {service: a}, params: {delay: 0}}",
		"{kind: net.drop, target: {service: a}, params: {rate: 2}}",
		"{kind: net.timeout, target: {service: a}, params: {after: 30}}",
		"{kind: net.timeout, target: {service: a}, match: {client: []}}",
		"{kind: net.timeout, target: {service: a, from: []}}",
		"{kind: net.latency, target: {service: a}, params: {dealy: 1s}}",
		"{kind: net.latency, target: {service: a}, params: {delay: 500}}",
		"{kind: net.latency, target: {service: a}, params: {delay: -1s}}",
		"{kind: net.latency, target: {service: a}, params: {delay: 1s, direction: up}}",
		"{kind: net.latency, target: {servce: a}, params: {delay: 1s}}",
		"{kind: net.latency, target: {service: a}, params: {delay: 1s}, share: 0}",
		"{kind: net.latency, target: {service: a}, params: {delay: 1s}, share: 2}",
		"{kind: net.latency, target: {service: a}, params: {delay: 1s}, at: {}}",
		"{kind: net.refuse, target: {service: a}, share: 0.5}",
		"{kind: net.refuse, target: {service: a}, match: {path: /}}",
		"{kind: net.bandwidth, target: {service: a}, params: {rate: fast}}",
		"{kind: net.partition, params: {shape: ring, among: [a, b]}}",
		"{kind: net.latency, params: {delay: 1s}}",
		"{kind: grpc.status, target: {service: a}, params: {code: NOPE}}",
		"{kind: grpc.status, target: {service: a}, params: {code: OK}}",
		"{kind: grpc.status, target: {service: a}, params: {code: 17}}",
		"{kind: dns.fail, target: {service: a}, params: {rcode: nodomain}}",
	} {
		if check(bad) == nil {
			t.Errorf("the schema takes %s", bad)
		}
	}
}

// TestSchemaTakesWhatIsTaken: what may be left out or be 0 for Load, may for the
// schema.
func TestSchemaTakesWhatIsTaken(t *testing.T) {
	s := compile(t, "experiment")
	topology, err := experiment.ParseTopology("t.yaml", []byte("{apiVersion: chaosctl.dev/v1alpha1, kind: Topology, metadata: {name: x}, spec: {services: {a: {address: '127.0.0.1:1'}, b: {address: '127.0.0.1:2'}, web: {address: '127.0.0.1:3', protocol: http}}, edges: [{from: b, to: a, listen: '127.0.0.1:0'}, {from: b, to: web, listen: '127.0.0.1:0'}], resolver: {listen: '127.0.0.1:0'}}}"))
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{
		"{kind: net.drop, target: {service: a}}",
		"{kind: net.drop, target: {service: a}, params: {}}",
		"{kind: net.drop, target: {service: a}, params: {correlation: 25%}}",
		"{kind: net.timeout, target: {service: a}, params: {after: 0}}",
		"{kind: net.timeout, target: {service: a}, params: {after: '0'}}",
		"{kind: net.latency, target: {service: a}, params: {delay: 1s, jitter: 0}}",
		"{kind: net.reset, target: {service: a}, match: {client: [127.0.0.1]}}",
		"{kind: net.reset, target: {service: a}, match: {client: 127.0.0.1}}",
		"{kind: grpc.status, target: {service: web}, params: {code: 14}}",
		"{kind: grpc.status, target: {service: web}, params: {code: unavailable}}",
		"{kind: grpc.status, target: {service: web}, params: {code: UNAVAILABLE}}",
		"{kind: dns.fail, params: {names: [a.test], rcode: nxdomain}}",
		"{kind: dns.fail, params: {names: a.test, rcode: NXDOMAIN}}",
		"{kind: net.partition, params: {shape: halves, among: [a, b]}}",
	} {
		doc := []byte("{apiVersion: chaosctl.dev/v1alpha1, kind: Experiment, metadata: {name: x}, spec: {steps: [{for: 1s, faults: [" + good + "]}]}}")
		if _, err := experiment.Load(experiment.Input{File: "e.yaml", Data: doc, Server: topology}); err != nil {
			t.Fatalf("%s: %v", good, err)
		}
		if err := s.Validate(values(t, doc)[0]); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

// TestSchemasHoldEveryField compares the schemas with the types.
func TestSchemasHoldEveryField(t *testing.T) {
	for kind, root := range map[string]reflect.Type{"topology": reflect.TypeFor[experiment.Topology](), "experiment": reflect.TypeFor[experiment.Experiment]()} {
		text, err := experiment.Schema(kind)
		if err != nil {
			t.Fatal(err)
		}
		var s struct {
			Defs map[string]struct {
				Properties           map[string]map[string]any `json:"properties"`
				AdditionalProperties any                       `json:"additionalProperties"`
			} `json:"$defs"`
		}
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatal(err)
		}
		seen := map[reflect.Type]bool{}
		var walk func(at reflect.Type, def string)
		walk = func(at reflect.Type, def string) {
			for at.Kind() == reflect.Pointer || at.Kind() == reflect.Slice || at.Kind() == reflect.Map {
				at = at.Elem()
			}
			if at.Kind() != reflect.Struct || seen[at] || reflect.PointerTo(at).Implements(reflect.TypeFor[interface{ UnmarshalText([]byte) error }]()) {
				return
			}
			seen[at] = true
			if def == "" {
				def = at.Name()
			}
			d, ok := s.Defs[def]
			if !ok {
				t.Errorf("%s: no definition of %s", kind, def)
				return
			}
			if d.AdditionalProperties != false {
				t.Errorf("%s: %s takes other fields", kind, def)
			}
			for i := range at.NumField() {
				f := at.Field(i)
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				if f.Tag.Get("strict") == "output" {
					continue
				}
				p, ok := d.Properties[name]
				if !ok {
					t.Errorf("%s: %s lacks %s", kind, def, name)
				}
				if p["description"] == nil || p["description"] != f.Tag.Get("doc") {
					t.Errorf("%s: %s.%s has no description", kind, def, name)
				}
				walk(f.Type, "")
			}
		}
		walk(root, "")
		if kind == "experiment" {
			for _, k := range fault.Kinds() {
				walk(reflect.TypeOf(k.New()), k.Name)
			}
		}
	}
}
