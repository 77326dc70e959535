package experiment

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/invopop/jsonschema"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// Schema returns the JSON Schema (draft 2020-12) of a document, "topology" or
// "experiment", so that editors complete and check it. It says all that a schema
// can; rules between values are Load's.
func Schema(kind string) ([]byte, error) {
	roots := map[string]any{"topology": Topology{}, "experiment": Experiment{}}
	root, ok := roots[strings.ToLower(kind)]
	if !ok {
		return nil, &Error{Code: BadInput, Message: fmt.Sprintf("there is no schema %q%s", strict.Clip(kind), strict.Suggest(kind, []string{"topology", "experiment"}))}
	}
	t := reflect.TypeOf(root)
	s := reflector().ReflectFromType(t)
	finish(s, t)
	s.ID = jsonschema.ID("https://chaosctl.dev/schema/v1alpha1/" + strings.ToLower(t.Name()) + ".json")
	s.Title = "chaosctl " + t.Name()
	def := s.Definitions[t.Name()]
	fixed(def, "apiVersion", APIVersion)
	fixed(def, "kind", t.Name())
	if t.Name() == KindExperiment {
		s.Definitions["Fault"] = faultSchema(s.Definitions)
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write schema %s: %w", kind, err)
	}
	return append(text, '\n'), nil
}

func reflector() *jsonschema.Reflector {
	return &jsonschema.Reflector{Anonymous: true, Mapper: textSchema, LookupComment: describe}
}

// describe is the description of a field: its doc tag.
func describe(t reflect.Type, field string) string {
	if t.Kind() != reflect.Struct || field == "" {
		return ""
	}
	f, _ := t.FieldByName(field)
	return f.Tag.Get("doc")
}

func fixed(s *jsonschema.Schema, property, value string) {
	if p, ok := s.Properties.Get(property); ok {
		p.Const = value
	}
}

const (
	numberPattern   = `[0-9]+(\.[0-9]+)?`
	durationPattern = `(` + numberPattern + `(ns|us|µs|ms|s|m|h))+`
)

// textSchema is the schema of the types that are written as text, and of the
// fault, which is made by hand; nil for all others.
func textSchema(t reflect.Type) *jsonschema.Schema {
	text := func(pattern string, examples ...any) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Pattern: "^" + pattern + "$", Examples: examples}
	}
	switch t {
	case reflect.TypeFor[fault.Duration]():
		return text(durationPattern, "150ms", "2s", "1m30s")
	case reflect.TypeFor[fault.Rate]():
		return text(numberPattern+` *([kKmMgGtT]i?)?[bB]/s$|^`+numberPattern+` *[kKmMgG]?bit/s`, "64KiB/s", "1MB/s", "8mbit/s")
	case reflect.TypeFor[fault.Size]():
		return text(numberPattern+` *([kKmMgGtT]i?)?[bB]`, "64KiB", "10MB")
	case reflect.TypeFor[fault.Attempts]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "1"},
			text(`[0-9]+(-[0-9]*)?( *, *[0-9]+(-[0-9]*)?)*`),
		}, Examples: []any{"1-2", "3-", "2,4-5"}}
	case reflect.TypeFor[fault.Share]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "number", ExclusiveMinimum: "0", Maximum: "1"},
			text(numberPattern + `%?`),
		}, Examples: []any{0.2, "20%"}}
	case reflect.TypeFor[fault.Chance]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "number", Minimum: "0", Maximum: "1"},
			text(numberPattern + `%?`),
		}, Examples: []any{0.05, "5%"}}
	case reflect.TypeFor[fault.Code]():
		var words []any
		for _, w := range fault.Code("").Values() {
			words = append(words, w)
		}
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Enum: words},
			{Type: "string", Pattern: anyCase(words)},
			{Type: "integer", Minimum: "1", Maximum: json.Number(strconv.Itoa(len(words)))},
		}}
	case reflect.TypeFor[OutcomeWord]():
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: "integer", Minimum: "100", Maximum: "599"},
			text(`([1-5][0-9][0-9]|4xx|5xx|reset|timeout)`),
		}, Examples: []any{404, "4xx", "timeout"}}
	case reflect.TypeFor[ShareRule]():
		return text(`(<=|>=|<|>) *`+numberPattern+` *%?`, ">= 99.5%", "< 50%")
	case reflect.TypeFor[TimeRule]():
		return text(`(<=|>=|<|>) *`+durationPattern, "<= 300ms")
	case reflect.TypeFor[NumberRule]():
		return text(`(<=|>=|==|!=|<|>) *[-+]?`+numberPattern+`([eE][-+]?[0-9]+)?`, "< 0.01")
	case reflect.TypeFor[PerTime]():
		return text(numberPattern+`/[smh]`, "50/s", "600/m")
	case reflect.TypeFor[fault.Fault]():
		return &jsonschema.Schema{Ref: "#/$defs/Fault"}
	}
	return nil
}

// finish walks the types below t and adds to their schemas what tags say: the
// words of an enum, one text where a list of texts is expected.
func finish(s *jsonschema.Schema, t reflect.Type) {
	seen := map[reflect.Type]bool{}
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			walk(t.Elem())
			return
		case reflect.Struct:
		default:
			return
		}
		def := s.Definitions[t.Name()]
		if seen[t] || def == nil || textSchema(t) != nil {
			return
		}
		seen[t] = true
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if p, ok := def.Properties.Get(name); ok {
				def.Properties.Set(name, tagged(p, f))
			}
			walk(f.Type)
		}
	}
	walk(t)
}

// tagged is a property's schema with what the field's type and tags say. Only the
// length of time 0 needs no unit.
func tagged(p *jsonschema.Schema, f reflect.StructField) *jsonschema.Schema {
	var words []any
	if enum := f.Tag.Get("enum"); enum != "" {
		for w := range strings.SplitSeq(enum, ",") {
			words = append(words, w)
		}
	}
	switch {
	case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.String:
		p.Items.Enum = words
		one, list := *p.Items, *p
		list.Description = ""
		return &jsonschema.Schema{Description: p.Description, AnyOf: []*jsonschema.Schema{&one, &list}}
	case words != nil && readsAnyCase(f.Type, words):
		p.AnyOf = []*jsonschema.Schema{{Enum: words}, {Pattern: anyCase(words)}}
	case words != nil:
		p.Enum = words
	case f.Type == reflect.TypeFor[fault.Duration]() && strings.Contains(f.Tag.Get("json"), ",omitempty") && f.Tag.Get("strict") == "":
		text := *p
		text.Description = ""
		return &jsonschema.Schema{Description: p.Description, AnyOf: []*jsonschema.Schema{&text, {Enum: []any{0, "0"}}}}
	case f.Type.Kind() == reflect.Uint64 || f.Type.Kind() == reflect.Pointer && f.Type.Elem().Kind() == reflect.Uint64:
		p.Minimum = "0"
	case f.Tag.Get("strict") == "positive" && p.Type == "integer":
		p.Minimum = "1"
	}
	return p
}

// readsAnyCase tells whether a type takes its words in small letters, too.
func readsAnyCase(t reflect.Type, words []any) bool {
	v, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	small := strings.ToLower(fmt.Sprint(words[0]))
	return ok && small != words[0] && v.UnmarshalText([]byte(small)) == nil
}

// anyCase is a pattern for words in any case.
func anyCase(words []any) string {
	var all []string
	for _, w := range words {
		var b strings.Builder
		for _, r := range fmt.Sprint(w) {
			if unicode.IsLetter(r) {
				fmt.Fprintf(&b, "[%c%c]", unicode.ToUpper(r), unicode.ToLower(r))
			} else {
				b.WriteRune(r)
			}
		}
		all = append(all, b.String())
	}
	return "^(" + strings.Join(all, "|") + ")$"
}

// faultSchema is the schema of a fault: what all kinds share, and for each kind
// its own params.
func faultSchema(defs jsonschema.Definitions) *jsonschema.Schema {
	t := reflect.TypeFor[fault.Fault]()
	r := reflector()
	r.Mapper = func(at reflect.Type) *jsonschema.Schema {
		if at == t {
			return nil
		}
		return textSchema(at)
	}
	whole := r.ReflectFromType(t)
	def := whole.Definitions["Fault"]
	for _, part := range []reflect.Type{
		reflect.TypeFor[fault.Target](), reflect.TypeFor[fault.Match](), reflect.TypeFor[fault.GRPC](), reflect.TypeFor[fault.Pulse](), reflect.TypeFor[fault.After](),
	} {
		defs[part.Name()] = whole.Definitions[part.Name()]
		finish(&jsonschema.Schema{Definitions: whole.Definitions}, part)
	}
	for name, list := range map[string]string{"Match": "client", "Target": "from"} {
		if p, ok := defs[name].Properties.Get(list); ok { // an empty one is refused: it would widen what is hurt
			p.AnyOf[1].MinItems = new(uint64(1))
		}
	}
	def.Properties.Delete("at")
	if active, ok := def.Properties.Get("maxActive"); ok {
		active.Minimum = "1"
	}
	kind, _ := def.Properties.Get("kind")
	params, _ := def.Properties.Get("params")
	params.Type = "object"
	var docs []string
	for _, k := range fault.Kinds() {
		kind.Enum = append(kind.Enum, k.Name)
		docs = append(docs, k.Doc)
		def.AllOf = append(def.AllOf, kindSchema(defs, k))
	}
	kind.Extras = map[string]any{"enumDescriptions": docs}
	return def
}

// kindSchema says which params a kind has, and which modifiers it does not take.
func kindSchema(defs jsonschema.Definitions, k *fault.Kind) *jsonschema.Schema {
	t := reflect.TypeOf(k.New()).Elem()
	r := reflector()
	r.Namer = func(at reflect.Type) string {
		if at == t {
			return k.Name
		}
		return at.Name()
	}
	s := r.ReflectFromType(t)
	def := s.Definitions[k.Name]
	own := jsonschema.Definitions{t.Name(): def}
	for name, nested := range s.Definitions {
		if name != k.Name {
			own[name], defs[name] = nested, nested
		}
	}
	finish(&jsonschema.Schema{Definitions: own}, t)
	def.Description = k.Doc
	def.Required = nil
	for _, p := range k.Describe().Params {
		if p.Required {
			def.Required = append(def.Required, p.Name)
		}
	}
	defs[k.Name] = def

	is, then := jsonschema.NewProperties(), jsonschema.NewProperties()
	is.Set("kind", &jsonschema.Schema{Const: k.Name})
	then.Set("params", &jsonschema.Schema{Ref: "#/$defs/" + k.Name})
	for _, m := range fault.Modifiers() {
		if !m.Takes(k) {
			then.Set(m.Name, jsonschema.FalseSchema)
		}
	}
	if k.MatchesClients() && !k.MatchesRequests() {
		never := jsonschema.NewProperties()
		for _, field := range []string{"method", "path", "header", "query", "grpc"} {
			never.Set(field, jsonschema.FalseSchema)
		}
		then.Set("match", &jsonschema.Schema{Properties: never})
	}
	rule := &jsonschema.Schema{If: &jsonschema.Schema{Properties: is, Required: []string{"kind"}}, Then: &jsonschema.Schema{Properties: then}}
	if len(def.Required) > 0 {
		rule.Then.Required = []string{"params"}
	}
	_, shaped := k.New().(fault.Shaped)
	if _, named := k.New().(fault.Named); !shaped && !named { // else params may say where
		rule.Then.Required = append(rule.Then.Required, "target")
	}
	return rule
}
