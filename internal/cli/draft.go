package cli

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// draft is a fault as flags give it: a JSON object to be, and which flag each
// part came from, so that mistakes name the flag.
type draft struct {
	kind   *fault.Kind
	params map[string]any
	fields map[string]any    // target, match, share, maxActive
	origin map[string]string // path -> flag
}

// set gives a param a value of its JSON type.
func (d *draft) set(param string, v any, flag string) {
	d.params[param] = v
	d.origin["params."+param] = flag
}

// setText gives a param a value typed by a person: the param's type decides
// what it is in JSON. Lists are separated by commas; headers.X-Name=v sets one
// entry of a mapping, json.path=v one field of what has fields.
func (d *draft) setText(param, text, flag string) {
	outer, key, nested := strings.Cut(param, ".")
	t, known := paramType(d.kind, outer)
	if entry, ok := entryType(t, key); known && nested && ok {
		m, _ := d.params[outer].(map[string]any)
		if m == nil {
			m = map[string]any{}
		}
		m[key] = literal(entry, text)
		d.set(outer, m, flag)
		d.origin["params."+param] = flag
		return
	}
	if !known {
		d.set(param, text, flag) // the decoder says that there is no such param
		return
	}
	d.set(param, literal(t, text), flag)
}

// give gives a modifier to the fault. What several flags say of its match is put
// together.
func (d *draft) give(flag, field string, value any) {
	d.origin[field] = "--" + flag
	part, ok := value.(map[string]any)
	if !ok {
		d.fields[field] = value
		return
	}
	d.origin[field+"."+flag] = "--" + flag
	whole := map[string]any{}
	if before, ok := d.fields[field].(map[string]any); ok {
		maps.Copy(whole, before)
	}
	maps.Copy(whole, part)
	d.fields[field] = whole
}

// taken tells which flag has given a param, or the mapping it would be in,
// already.
func (d *draft) taken(param string) (flag string, yes bool) {
	if flag, yes = d.origin["params."+param]; yes {
		return flag, true
	}
	outer, _, nested := strings.Cut(param, ".")
	if _, mapping := d.params[outer].(map[string]any); nested && !mapping {
		flag, yes = d.origin["params."+outer]
	}
	return flag, yes
}

// placesItself tells whether the params say what is hurt, so that a target is not
// needed.
func (d *draft) placesItself() bool {
	_, members := d.params["among"]
	_, named := d.params["names"]
	return members || named && d.kind.Acts == fault.OnNames
}

// entryType is the type of an entry of a mapping, or of a field; false if t has
// neither. Of a field that there is not, the decoder says so.
func entryType(t reflect.Type, name string) (reflect.Type, bool) {
	switch {
	case t == nil:
		return nil, false
	case t.Kind() == reflect.Map:
		return t.Elem(), true
	case t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return nil, false
	}
	if ft, ok := fieldType(t, name); ok {
		return ft, true
	}
	return reflect.TypeFor[any](), true
}

func paramType(k *fault.Kind, name string) (reflect.Type, bool) {
	return fieldType(reflect.TypeOf(k.New()).Elem(), name)
}

func fieldType(t reflect.Type, name string) (reflect.Type, bool) {
	for i := range t.NumField() {
		if n, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ","); n == name {
			ft := t.Field(i).Type
			if ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			return ft, true
		}
	}
	return nil, false
}

func literal(t reflect.Type, text string) any {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return text
	}
	switch t.Kind() {
	case reflect.String:
		return text
	case reflect.Slice:
		list := []any{}
		for _, s := range names([]string{text}) {
			list = append(list, literal(t.Elem(), s))
		}
		return list
	}
	var v any
	if json.Unmarshal([]byte(text), &v) == nil {
		return json.RawMessage(text)
	}
	return text
}

// decode makes the fault, with the decoder that documents go through.
func (d *draft) decode() (fault.Fault, error) {
	object := map[string]any{"kind": d.kind.Name}
	if len(d.params) > 0 {
		object["params"] = d.params
	}
	maps.Copy(object, d.fields)
	b, err := json.Marshal(object)
	if err != nil {
		return fault.Fault{}, fmt.Errorf("encode a fault: %w", err)
	}
	var f fault.Fault
	if err := f.UnmarshalJSON(b); err != nil {
		return fault.Fault{}, d.blame(err)
	}
	return f, nil
}

// blame puts flags in the place of paths.
func (d *draft) blame(err error) error {
	e, ok := experiment.AsError(err)
	if !ok {
		return badInput("", "%s: %s", d.kind.Name, err)
	}
	hint := "see `chaosctl explain " + d.kind.Name + "`"
	var problems experiment.Problems
	for _, p := range e.Problems {
		problems = append(problems, experiment.Problem{Message: d.flagOf(p.Path) + p.Message})
	}
	if len(problems) == 1 {
		return badInput(hint, "%s", problems[0].Message)
	}
	return &experiment.Error{Code: experiment.BadInput, Hint: hint, Problems: problems}
}

// flagOf finds the flag a path came from, the longest that fits; a param that
// was not given is named by its shorthand flag.
func (d *draft) flagOf(path string) string {
	for p := path; p != ""; {
		if flag, ok := d.origin[p]; ok {
			if rest := strings.TrimPrefix(path, p); rest != "" {
				return flag + " " + strings.TrimPrefix(rest, ".") + ": "
			}
			return flag + ": "
		}
		i := strings.LastIndexAny(p, ".[")
		if i < 0 {
			break
		}
		p = p[:i]
	}
	if name, ok := strings.CutPrefix(path, "params."); ok {
		for _, f := range d.kind.Flags {
			if f.Param == name {
				return "--" + f.Name + ": "
			}
		}
		return "--param " + name + ": "
	}
	if path == "" || path == "params" {
		return d.kind.Name + ": "
	}
	if path == "target" || strings.HasPrefix(path, "target.") {
		return strings.Replace(strings.Replace(path, "target.", "--", 1), "target", "--target", 1) + ": "
	}
	return d.kind.Name + ": " + path + ": "
}

// completeParams offers the params of the kind given by --kind.
func completeParams(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	name, _ := cmd.Flags().GetString("kind")
	k, err := fault.Lookup(name)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, p := range k.Describe().Params {
		words = append(words, cobra.CompletionWithDesc(p.Name+"=", p.Doc))
	}
	return words, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
}
