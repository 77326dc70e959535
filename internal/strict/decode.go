package strict

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

var (
	textType      = reflect.TypeFor[encoding.TextUnmarshaler]()
	decodableType = reflect.TypeFor[Decodable]()
)

func elem(dst any) reflect.Value { return reflect.ValueOf(dst).Elem() }

// textPerValue is how many bytes of text count as one more value.
const textPerValue = 64

// spend takes a value, with its text, off the budget; aliases may repeat both.
func (n *Node) spend() bool {
	n.st.budget -= 1 + len(n.resolve().y.Value)/textPerValue
	if n.st.budget < 0 || n.depth > MaxDepth {
		if !n.st.spent {
			n.st.spent = true
			n.Errorf("is nested or repeated by aliases beyond the limits of %d levels and %d values", MaxDepth, MaxNodes)
		}
		return false
	}
	return !n.st.spent
}

func (n *Node) decode(v reflect.Value) {
	if !n.spend() {
		return
	}
	n = n.resolve()
	if !n.usable() || isNull(n.y) {
		return
	}
	if v.Kind() == reflect.Pointer {
		fresh := reflect.New(v.Type().Elem())
		n.decode(fresh.Elem())
		v.Set(fresh)
		return
	}
	before := len(n.st.problems)
	p := v.Addr()
	switch {
	case p.Type().Implements(decodableType):
		p.Interface().(Decodable).DecodeNode(n)
	case p.Type().Implements(textType):
		n.decodeText(p.Interface().(encoding.TextUnmarshaler))
		return
	default:
		n.decodeKind(v)
	}
	if len(n.st.problems) > before || n.st.spent || n.st.cut {
		return
	}
	if val, ok := p.Interface().(Validator); ok {
		n.Check(val.Validate())
	}
}

// usable refuses values that hold themselves and tags of no meaning here.
func (n *Node) usable() bool {
	if n.inside() {
		n.Errorf("refers to itself by an alias; write it out")
		return false
	}
	if n.y.Kind == yaml.ScalarNode && n.y.Style&yaml.TaggedStyle != 0 {
		switch n.y.ShortTag() {
		case "!!str", "!!int", "!!float", "!!bool", "!!null":
		default:
			n.Errorf("the tag %s is not understood; leave it out", Clip(n.y.Tag))
			return false
		}
	}
	return true
}

func (n *Node) decodeText(dst encoding.TextUnmarshaler) {
	if !n.expect(yaml.ScalarNode, "a single value") {
		return
	}
	if err := dst.UnmarshalText([]byte(n.y.Value)); err != nil {
		n.Errorf("%s", err)
	}
}

func (n *Node) decodeKind(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if n.expect(yaml.MappingNode, "a mapping") {
			n.structFields(v, nil)
		}
	case reflect.Map:
		n.decodeMap(v)
	case reflect.Slice:
		n.decodeSlice(v)
	case reflect.Interface:
		if val := n.plain(); val != nil {
			v.Set(reflect.ValueOf(val))
		}
	default:
		n.decodeScalar(v)
	}
}

func (n *Node) decodeMap(v reflect.Value) {
	if !n.expect(yaml.MappingNode, "a mapping") {
		return
	}
	m := reflect.MakeMap(v.Type())
	n.eachKey(func(key string, at, val *Node) {
		item := reflect.New(v.Type().Elem()).Elem()
		if isNull(val.resolve().y) && item.Kind() != reflect.Interface {
			at.Errorf("has no value; write %s for an empty one", emptyOf(item))
		} else {
			val.decode(item)
		}
		m.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), item)
	})
	v.Set(m)
}

func emptyOf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Struct, reflect.Map, reflect.Pointer:
		return "{}"
	case reflect.Slice:
		return "[]"
	}
	return `""`
}

func (n *Node) decodeSlice(v reflect.Value) {
	// One value where a list of texts is expected is a list of one.
	if n.y.Kind == yaml.ScalarNode && v.Type().Elem().Kind() == reflect.String {
		item := reflect.New(v.Type().Elem()).Elem()
		n.decode(item)
		v.Set(reflect.Append(reflect.MakeSlice(v.Type(), 0, 1), item))
		return
	}
	if !n.expect(yaml.SequenceNode, "a list") {
		return
	}
	s := reflect.MakeSlice(v.Type(), 0, min(len(n.y.Content), 64))
	for i, c := range n.y.Content {
		if n.st.spent {
			return
		}
		// An element that is wrong keeps its place, so that paths of rules
		// over the whole list stay right.
		item := reflect.New(v.Type().Elem()).Elem()
		child := n.child(c, join(n.path, fmt.Sprintf("[%d]", i)))
		if isNull(child.resolve().y) {
			child.Errorf("is empty")
		} else {
			child.decode(item)
		}
		s = reflect.Append(s, item)
	}
	v.Set(s)
}

func (n *Node) decodeScalar(v reflect.Value) {
	want := "a number"
	switch v.Kind() {
	case reflect.String:
		want = "text"
	case reflect.Bool:
		want = "true or false"
	}
	if !n.expect(yaml.ScalarNode, want) {
		return
	}
	val, tag := n.y.Value, n.y.ShortTag()
	switch k := v.Kind(); {
	case k == reflect.String:
		if tag == "!!int" || tag == "!!float" || tag == "!!bool" {
			n.Errorf("must be text, not %s; put it in quotes", describe(n.y))
			return
		}
		v.SetString(val)
	case k == reflect.Bool:
		if tag != "!!bool" {
			n.Errorf("must be true or false, not %s", describe(n.y))
			return
		}
		v.SetBool(strings.EqualFold(val, "true"))
	case v.CanInt():
		i, err := strconv.ParseInt(val, 10, v.Type().Bits())
		if n.wholeNumber(err, fmt.Sprint(int64(-1)<<(v.Type().Bits()-1)), fmt.Sprint(int64(math.MaxInt64)>>(64-v.Type().Bits()))) {
			v.SetInt(i)
		}
	case v.CanUint():
		i, err := strconv.ParseUint(val, 10, v.Type().Bits())
		if n.wholeNumber(err, "0", fmt.Sprint(uint64(math.MaxUint64)>>(64-v.Type().Bits()))) {
			v.SetUint(i)
		}
	case v.CanFloat():
		f, err := strconv.ParseFloat(val, 64)
		if tag != "!!int" && tag != "!!float" || err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			n.Errorf("must be a finite number, not %s", describe(n.y))
			return
		}
		v.SetFloat(f)
	default:
		panic("strict: cannot decode into " + v.Type().String())
	}
}

// wholeNumber reports what is wrong with a value that was read as an integer
// with this result.
func (n *Node) wholeNumber(err error, least, most string) bool {
	tag := n.y.ShortTag()
	plain := strings.Trim(n.y.Value, "+-0123456789") == ""
	switch {
	case (tag == "!!int" || tag == "!!float") && plain && (errors.Is(err, strconv.ErrRange) || least == "0" && strings.HasPrefix(n.y.Value, "-")):
		n.Errorf("must be a whole number from %s to %s, not %s", least, most, Clip(n.y.Value))
	case tag == "!!int" && err != nil:
		n.Errorf("must be a whole number in plain digits, not %s", Clip(n.y.Value))
	case tag != "!!int" || err != nil:
		n.Errorf("must be a whole number, not %s", describe(n.y))
	default:
		return true
	}
	return false
}

// eachKey visits the pairs of a mapping, reporting keys that are no text or
// stand twice.
func (n *Node) eachKey(visit func(key string, at, val *Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.y.Content) && !n.st.spent; i += 2 {
		k, c := n.y.Content[i], n.y.Content[i+1]
		at := n.child(k, join(n.path, k.Value))
		switch {
		case k.Kind != yaml.ScalarNode || isNull(k):
			at.path = n.path
			at.Errorf("a key must be text, not %s", describe(k))
			continue
		case k.ShortTag() == "!!merge":
			at.Errorf("merge keys are not supported; write the fields out, or use an alias for the whole value")
			continue
		}
		if line, dup := seen[k.Value]; dup {
			at.Errorf("stands twice; the first is on line %d", line)
			continue
		}
		seen[k.Value] = k.Line
		visit(k.Value, at, n.child(c, join(n.path, k.Value)))
	}
}

func (n *Node) structFields(v reflect.Value, except []string) {
	fields := fieldsOf(v)
	n.eachKey(func(key string, at, val *Node) {
		for _, e := range except {
			if e == key {
				return
			}
		}
		if f, ok := fields[key]; ok {
			before := len(n.st.problems)
			val.decode(f.v)
			if f.positive && f.v.IsZero() && len(n.st.problems) == before && !isNull(val.resolve().y) {
				val.Errorf("must be more than 0; leave it out for the default")
			}
			return
		}
		var names []string
		for name := range fields {
			names = append(names, name)
		}
		at.Errorf("is not a field here%s", Suggest(key, names))
	})
}

// field is a field of a struct that documents may set.
type field struct {
	v        reflect.Value
	positive bool
}

// fieldsOf maps JSON names to the settable fields of a struct.
func fieldsOf(v reflect.Value) map[string]field {
	fields := map[string]field{}
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			for k, inner := range fieldsOf(v.Field(i)) {
				fields[k] = inner
			}
			continue
		}
		if name == "-" || name == "" || f.Tag.Get("strict") == "output" {
			continue
		}
		fields[name] = field{v.Field(i), f.Tag.Get("strict") == "positive"}
	}
	return fields
}

// plain returns the value as maps, slices, strings, numbers and booleans.
func (n *Node) plain() any {
	n = n.resolve()
	if !n.spend() || !n.usable() {
		return nil
	}
	switch n.y.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		n.eachKey(func(key string, _, val *Node) { m[key] = val.plain() })
		return m
	case yaml.SequenceNode:
		s := make([]any, 0, min(len(n.y.Content), 64))
		for i, c := range n.y.Content {
			if n.st.spent {
				break
			}
			s = append(s, n.child(c, join(n.path, fmt.Sprintf("[%d]", i))).plain())
		}
		return s
	}
	var v any
	switch tag := n.y.ShortTag(); tag {
	case "!!int", "!!float", "!!bool":
		if err := n.y.Decode(&v); err != nil {
			n.Errorf("is not understood as %s", strings.TrimPrefix(tag, "!!"))
		}
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			n.Errorf("must be a finite number, not %s", describe(n.y))
		}
	case "!!null":
	default:
		v = n.y.Value
	}
	return v
}
