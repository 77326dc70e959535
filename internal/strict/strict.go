// Package strict decodes YAML and JSON documents whole: every mistake of a
// document is found in one go, each with its line, column and path and with
// what would be right, and the destination stays untouched unless all of it is
// good.
//
// It is the one decoder of the product: documents, params of faults and bodies
// of the API go through it. It does no I/O and expands no anchor beyond a fixed
// budget, so that a hostile document costs no more than its own size.
package strict

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

const (
	// MaxBytes is the size of the largest document that is read.
	MaxBytes = 1 << 20
	// MaxNodes bounds the values of one document, aliases counted as often as
	// they are used.
	MaxNodes = 100_000
	// MaxProblems bounds how many mistakes are kept of one document.
	MaxProblems = 50
	// MaxDepth bounds how deep values may nest.
	MaxDepth = 64
)

// Problem is one mistake of a document.
type Problem struct {
	File    string `json:"file,omitempty"`   // as the caller named it
	Line    int    `json:"line,omitempty"`   // from 1; 0 if unknown
	Column  int    `json:"column,omitempty"` // from 1
	Path    string `json:"path,omitempty"`   // spec.steps[0].for
	Message string `json:"message"`          // what is wrong and what would be right
}

func (p Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d: ", p.Line, p.Column)
	} else if p.File != "" {
		b.WriteString(" ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	return b.String() + p.Message
}

// Problems is every mistake of one or more documents, in document order.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// FieldError is a mistake at a path below the value whose Validate returns it.
type FieldError struct {
	Path    string // "delay", "gates[2].of"; empty for the value itself
	Message string
}

func (e *FieldError) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// Fieldf returns a FieldError. Validate methods return several through
// errors.Join.
func Fieldf(path, format string, args ...any) error {
	return &FieldError{Path: path, Message: fmt.Sprintf(format, args...)}
}

// Validator is implemented by types with rules of their own. It is asked only
// when everything below the value was decoded without a mistake.
type Validator interface{ Validate() error }

// Decodable is implemented by types that decode themselves.
type Decodable interface{ DecodeNode(n *Node) }

// Document is one document of a file, parsed but not yet decoded.
type Document struct {
	root *Node
}

// Root is the document's top value.
func (d *Document) Root() *Node { return d.root }

// Parse splits data into its documents. file names the source in messages.
// Empty documents are left out; a syntax error is a Problem with its place.
func Parse(file string, data []byte) ([]*Document, error) {
	if len(data) > MaxBytes {
		return nil, Problems{{File: file, Message: fmt.Sprintf("is %d bytes long; the limit is %d bytes (1 MiB)", len(data), MaxBytes)}}
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var docs []*Document
	for {
		var y yaml.Node
		err := dec.Decode(&y)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, Problems{syntaxProblem(file, err)}
		}
		if y.Kind != yaml.DocumentNode || len(y.Content) == 0 || isNull(y.Content[0]) {
			continue
		}
		st := &state{file: file, budget: MaxNodes}
		docs = append(docs, &Document{root: &Node{y: y.Content[0], st: st}})
	}
}

// Unmarshal decodes the one document of data into dst, a non-nil pointer. On
// an error, which is always Problems, dst is untouched.
func Unmarshal(file string, data []byte, dst any) error {
	docs, err := Parse(file, data)
	if err != nil {
		return err
	}
	switch len(docs) {
	case 0:
		return Problems{{File: file, Message: "is empty"}}
	case 1:
		return docs[0].Decode(dst)
	}
	second := docs[1].root.y
	return Problems{{File: file, Line: second.Line, Column: second.Column, Message: fmt.Sprintf("holds %d documents; one is expected here", len(docs))}}
}

// Decode decodes the document into dst, a non-nil pointer. On an error, which
// is always Problems, dst is untouched.
func (d *Document) Decode(dst any) error {
	v := reflect.ValueOf(dst)
	fresh := reflect.New(v.Type().Elem())
	fresh.Elem().Set(v.Elem())
	d.root.st.problems = nil
	d.root.st.budget = MaxNodes
	d.root.decode(fresh.Elem())
	if ps := d.root.st.problems; len(ps) > 0 {
		sort.SliceStable(ps, func(i, j int) bool {
			return ps[i].Line < ps[j].Line || ps[i].Line == ps[j].Line && ps[i].Column < ps[j].Column
		})
		return ps
	}
	v.Elem().Set(fresh.Elem())
	return nil
}

type state struct {
	file     string
	problems Problems
	budget   int
	spent    bool
}

// Node is a value of a document together with its place.
type Node struct {
	y     *yaml.Node
	path  string
	st    *state
	depth int
	outer *Node
}

// Line is the line of the value, from 1.
func (n *Node) Line() int { return n.y.Line }

// Path is the value's path from the document's root.
func (n *Node) Path() string { return n.path }

// Errorf reports a mistake at this value.
func (n *Node) Errorf(format string, args ...any) {
	if len(n.st.problems) >= MaxProblems {
		return
	}
	p := Problem{File: n.st.file, Line: n.y.Line, Column: n.y.Column, Path: n.path, Message: fmt.Sprintf(format, args...)}
	for _, q := range n.st.problems {
		if q == p {
			return
		}
	}
	n.st.problems = append(n.st.problems, p)
}

// IsMap tells whether the value is a mapping.
func (n *Node) IsMap() bool { return n.resolve().y.Kind == yaml.MappingNode }

// Get returns the value of a key of a mapping, nil if there is none or it is null.
func (n *Node) Get(key string) *Node {
	m := n.resolve()
	if m.y.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.y.Content); i += 2 {
		if m.y.Content[i].Value == key && !isNull(m.y.Content[i+1]) {
			return m.child(m.y.Content[i+1], join(m.path, key))
		}
	}
	return nil
}

// Scalar is the text of a scalar value, "" for anything else.
func (n *Node) Scalar() string {
	r := n.resolve()
	if r.y.Kind != yaml.ScalarNode {
		return ""
	}
	return r.y.Value
}

// Decode decodes the value into dst, a non-nil pointer, and reports mistakes to
// the document. It tells whether there were none.
func (n *Node) Decode(dst any) bool {
	before := len(n.st.problems)
	n.decode(reflect.ValueOf(dst).Elem())
	return len(n.st.problems) == before
}

// Fields decodes a mapping into the struct dst points to, passing over the
// named keys, which the caller decodes itself. It runs no Validate.
func (n *Node) Fields(dst any, except ...string) bool {
	before := len(n.st.problems)
	r := n.resolve()
	if r.expect(yaml.MappingNode, "a mapping") {
		r.structFields(reflect.ValueOf(dst).Elem(), except)
	}
	return len(n.st.problems) == before
}

// Check reports what err, as a Validate returns it, says of this value.
func (n *Node) Check(err error) {
	for _, e := range flatten(err) {
		var fe *FieldError
		if errors.As(e, &fe) {
			at := n.at(fe.Path)
			at.Errorf("%s", fe.Message)
			continue
		}
		n.Errorf("%s", e.Error())
	}
}

func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range many.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}

// at finds the value at a relative path, or the nearest one above it; the path
// reported is always the full one.
func (n *Node) at(rel string) *Node {
	cur := n.resolve()
	for _, part := range splitPath(rel) {
		var next *Node
		if i, err := strconv.Atoi(part); err == nil && cur.y.Kind == yaml.SequenceNode {
			if i >= 0 && i < len(cur.y.Content) {
				next = cur.child(cur.y.Content[i], "")
			}
		} else {
			next = cur.Get(part)
		}
		if next == nil {
			break
		}
		cur = next.resolve()
	}
	at := *cur
	if rel != "" {
		at.path = join(n.path, rel)
	}
	return &at
}

func splitPath(p string) []string {
	p = strings.NewReplacer("[", ".", "]", "").Replace(p)
	if p == "" {
		return nil
	}
	return strings.Split(p, ".")
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	if strings.HasPrefix(key, "[") {
		return path + key
	}
	return path + "." + key
}

func (n *Node) child(y *yaml.Node, path string) *Node {
	return &Node{y: y, path: path, st: n.st, depth: n.depth + 1, outer: n}
}

// resolve follows aliases. A cycle ends at the depth limit.
func (n *Node) resolve() *Node {
	r := n
	for r.y.Kind == yaml.AliasNode && r.y.Alias != nil {
		c := *r
		c.y = r.y.Alias
		r = &c
	}
	return r
}

func (n *Node) expect(kind yaml.Kind, what string) bool {
	if n.y.Kind == kind {
		return true
	}
	n.Errorf("must be %s, not %s", what, describe(n.y))
	return false
}

func describe(y *yaml.Node) string {
	switch y.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch y.ShortTag() {
	case "!!str":
		return fmt.Sprintf("the text %q", clip(y.Value))
	case "!!int", "!!float":
		return "the number " + clip(y.Value)
	case "!!bool":
		return y.Value
	case "!!null":
		return "nothing"
	}
	return clip(y.Value)
}

func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:57]) + "..."
	}
	return s
}

func isNull(y *yaml.Node) bool {
	return y.Kind == yaml.ScalarNode && y.ShortTag() == "!!null"
}

var (
	textType      = reflect.TypeFor[encoding.TextUnmarshaler]()
	decodableType = reflect.TypeFor[Decodable]()
)

func (n *Node) spend() bool {
	n.st.budget--
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
	if isNull(n.y) {
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
		if n.expect(yaml.ScalarNode, "a single value") {
			if err := p.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.y.Value)); err != nil {
				n.Errorf("%s", err)
			}
		}
		return
	default:
		n.decodeKind(v)
	}
	if len(n.st.problems) > before || n.st.spent {
		return
	}
	if val, ok := p.Interface().(Validator); ok {
		n.Check(val.Validate())
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
		v.Set(reflect.ValueOf(n.plain()))
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
		val.decode(item)
		m.SetMapIndex(reflect.ValueOf(key).Convert(v.Type().Key()), item)
	})
	v.Set(m)
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
	s := reflect.MakeSlice(v.Type(), 0, len(n.y.Content))
	for i, c := range n.y.Content {
		item := reflect.New(v.Type().Elem()).Elem()
		child := n.child(c, join(n.path, fmt.Sprintf("[%d]", i)))
		if isNull(c) {
			child.Errorf("is empty")
			continue
		}
		child.decode(item)
		s = reflect.Append(s, item)
	}
	v.Set(s)
}

func (n *Node) decodeScalar(v reflect.Value) {
	want := map[reflect.Kind]string{reflect.String: "text", reflect.Bool: "true or false"}[v.Kind()]
	if want == "" {
		want = "a number"
	}
	if !n.expect(yaml.ScalarNode, want) {
		return
	}
	val, tag := n.y.Value, n.y.ShortTag()
	switch k := v.Kind(); {
	case k == reflect.String:
		if tag != "!!str" && tag != "!!timestamp" {
			n.Errorf("must be text, not %s; quote it", describe(n.y))
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
		if tag != "!!int" || err != nil {
			n.Errorf("must be a whole number%s, not %s", rangeOf(v), describe(n.y))
			return
		}
		v.SetInt(i)
	case v.CanUint():
		i, err := strconv.ParseUint(val, 10, v.Type().Bits())
		if tag != "!!int" || err != nil {
			n.Errorf("must be a whole number from 0, not %s", describe(n.y))
			return
		}
		v.SetUint(i)
	case v.CanFloat():
		f, err := strconv.ParseFloat(val, 64)
		if tag != "!!int" && tag != "!!float" || err != nil || f != f || f-f != 0 {
			n.Errorf("must be a finite number, not %s", describe(n.y))
			return
		}
		v.SetFloat(f)
	default:
		panic("strict: cannot decode into " + v.Type().String())
	}
}

func rangeOf(v reflect.Value) string {
	if v.Type().Bits() < 64 {
		return fmt.Sprintf(" of %d bits", v.Type().Bits())
	}
	return ""
}

// eachKey visits the pairs of a mapping, reporting keys that are no text or
// stand twice.
func (n *Node) eachKey(visit func(key string, at, val *Node)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.y.Content); i += 2 {
		k, c := n.y.Content[i], n.y.Content[i+1]
		at := n.child(k, join(n.path, k.Value))
		if k.Kind != yaml.ScalarNode {
			at.path = n.path
			at.Errorf("a key must be text, not %s", describe(k))
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
		if f, ok := fields[key]; ok {
			val.decode(f)
			return
		}
		for _, e := range except {
			if e == key {
				return
			}
		}
		names := append([]string{}, except...)
		for name := range fields {
			names = append(names, name)
		}
		at.Errorf("is not a field here%s", Suggest(key, names))
	})
}

// fieldsOf maps JSON names to the settable fields of a struct.
func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			for k, fv := range fieldsOf(v.Field(i)) {
				fields[k] = fv
			}
			continue
		}
		if name == "-" || name == "" || f.Tag.Get("strict") == "output" {
			continue
		}
		fields[name] = v.Field(i)
	}
	return fields
}

// plain returns the value as maps, slices, strings, numbers and booleans.
func (n *Node) plain() any {
	n = n.resolve()
	if !n.spend() {
		return nil
	}
	switch n.y.Kind {
	case yaml.MappingNode:
		m := map[string]any{}
		n.eachKey(func(key string, at, val *Node) { m[key] = val.plain() })
		return m
	case yaml.SequenceNode:
		s := make([]any, len(n.y.Content))
		for i, c := range n.y.Content {
			s[i] = n.child(c, join(n.path, fmt.Sprintf("[%d]", i))).plain()
		}
		return s
	}
	var v any
	if err := n.y.Decode(&v); err != nil {
		n.Errorf("%s", err)
	}
	return v
}

func syntaxProblem(file string, err error) Problem {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	p := Problem{File: file, Message: "is not YAML: " + msg}
	if i := strings.Index(msg, "line "); i >= 0 {
		fmt.Sscanf(msg[i:], "line %d", &p.Line)
		p.Column = 1
	}
	return p
}
