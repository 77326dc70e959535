package strict

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// state is what the nodes of one document share.
type state struct {
	file     string
	problems Problems
	cut      bool                  // more problems were found than are kept
	budget   int                   // values that may still be decoded
	spent    bool                  // the budget is used up, and it was said
	given    map[*yaml.Node]string // values that Set has put in, with its expression
}

// Node is a value of a document together with its place.
type Node struct {
	y     *yaml.Node
	path  string
	st    *state
	depth int
	outer *Node
}

// Line is the line of the value, from 1; 0 if it did not come from the file.
func (n *Node) Line() int {
	if n.st.given[n.y] != "" {
		return 0
	}
	return n.y.Line
}

// Path is the value's path from the document's root.
func (n *Node) Path() string { return n.path }

// Errorf reports a mistake at this value.
func (n *Node) Errorf(format string, args ...any) {
	if len(n.st.problems) >= MaxProblems {
		n.st.cut = true
		return
	}
	p := Problem{File: n.st.file, Line: n.y.Line, Column: n.y.Column, Path: n.path, Message: fmt.Sprintf(format, args...)}
	if expr := n.st.given[n.y]; expr != "" {
		p.File, p.Line, p.Column = expr, 0, 0
	}
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
	if i := m.find(key); i >= 0 && !isNull(m.y.Content[i+1]) {
		return m.child(m.y.Content[i+1], join(n.path, key))
	}
	return nil
}

// Key returns the key itself, for messages about the whole entry; nil if there
// is none.
func (n *Node) Key(key string) *Node {
	m := n.resolve()
	if i := m.find(key); i >= 0 {
		return m.child(m.y.Content[i], join(n.path, key))
	}
	return nil
}

// find is the index of a key among the contents of a mapping, -1 if there is
// none.
func (n *Node) find(key string) int {
	if n.y.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(n.y.Content); i += 2 {
		if k := n.y.Content[i]; k.Kind == yaml.ScalarNode && k.Value == key {
			return i
		}
	}
	return -1
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
// the document. It tells whether there were none. What could be decoded is in
// dst either way.
func (n *Node) Decode(dst any) bool {
	before := len(n.st.problems)
	n.decode(elem(dst))
	return len(n.st.problems) == before && !n.st.spent
}

// Fields decodes a mapping into the struct dst points to, passing over the
// named keys, which the caller decodes itself. It runs no Validate.
func (n *Node) Fields(dst any, except ...string) bool {
	before := len(n.st.problems)
	r := n.resolve()
	if r.expect(yaml.MappingNode, "a mapping") {
		r.structFields(elem(dst), except)
	}
	return len(n.st.problems) == before && !n.st.spent
}

// Check reports what err, as a Validate returns it, says of this value.
func (n *Node) Check(err error) {
	for _, e := range flatten(err) {
		if n.st.cut {
			return
		}
		var fe *FieldError
		if errors.As(e, &fe) {
			n.at(fe.Path).Errorf("%s", fe.Message)
			continue
		}
		n.Errorf("%s", e.Error())
	}
}

// CheckRest is Check for rules over a whole that may hold mistakes already: what
// concerns a value at, above or below which one was reported is passed over.
func (n *Node) CheckRest(err error) {
	known := n.st.problems[:len(n.st.problems):len(n.st.problems)]
	for _, e := range flatten(err) {
		if n.st.cut {
			return
		}
		at := n
		var fe *FieldError
		if errors.As(e, &fe) {
			at = n.at(fe.Path).Node
		} else {
			fe = &FieldError{Message: e.Error()}
		}
		if !concerned(known, at.path) {
			at.Errorf("%s", fe.Message)
		}
	}
}

// OK tells whether no mistake was reported at this value or below it.
func (n *Node) OK() bool {
	for _, p := range n.st.problems {
		if below(p.Path, n.path) {
			return false
		}
	}
	return true
}

// At returns the value at a path below this one ("gates[2].of"), nil if there
// is none.
func (n *Node) At(rel string) *Node {
	if at := n.at(rel); at.found {
		return at.Node
	}
	return nil
}

// LineOf is the line of the value at a path below this one, or of the nearest
// one above it; 0 if it did not come from the file.
func (n *Node) LineOf(rel string) int { return n.at(rel).Line() }

func concerned(known Problems, path string) bool {
	for _, p := range known {
		if below(p.Path, path) {
			return true
		}
	}
	return false
}

// below tells whether path is at or below another.
func below(path, above string) bool {
	rest, ok := strings.CutPrefix(path, above)
	return ok && (above == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
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

// place is where a path leads.
type place struct {
	*Node
	found bool // the value is there; else Node is the nearest one above it
}

// at finds the value at a relative path, or the nearest one above it; the path
// reported is always the full one.
func (n *Node) at(rel string) place {
	cur, rest := n.resolve(), rel
	for rest != "" {
		next, left := cur.step(rest)
		if next == nil {
			break
		}
		cur, rest = next.resolve(), left
	}
	at := *cur
	if rel != "" {
		at.path = join(n.path, rel)
	}
	return place{Node: &at, found: rest == ""}
}

// step goes one part of a path down. Keys may hold dots themselves, so the
// longest key that fits is taken.
func (n *Node) step(path string) (next *Node, rest string) {
	if n.y.Kind == yaml.SequenceNode && path[0] == '[' {
		digits, rest, ok := strings.Cut(path[1:], "]")
		i, err := strconv.Atoi(digits)
		if !ok || err != nil || i < 0 || i >= len(n.y.Content) {
			return nil, path
		}
		return n.child(n.y.Content[i], ""), strings.TrimPrefix(rest, ".")
	}
	if n.y.Kind != yaml.MappingNode {
		return nil, path
	}
	best := -1
	for i := 0; i+1 < len(n.y.Content); i += 2 {
		k := n.y.Content[i]
		if k.Kind == yaml.ScalarNode && k.Value != "" && below(path, k.Value) && (best < 0 || len(k.Value) > len(n.y.Content[best].Value)) {
			best = i
		}
	}
	if best < 0 || isNull(n.y.Content[best+1]) {
		return nil, path
	}
	return n.child(n.y.Content[best+1], ""), strings.TrimPrefix(path[len(n.y.Content[best].Value):], ".")
}

func join(path, key string) string {
	if len(key) > 256 {
		key = Clip(key)
	}
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

// resolve follows an alias to its value.
func (n *Node) resolve() *Node {
	if n.y.Kind != yaml.AliasNode || n.y.Alias == nil {
		return n
	}
	c := *n
	c.y = n.y.Alias
	return &c
}

// inside tells whether the value stands within itself, as an alias can make it.
func (n *Node) inside() bool {
	for o := n.outer; o != nil; o = o.outer {
		if o.y == n.y {
			return true
		}
	}
	return false
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
	case yaml.AliasNode:
		return "an alias"
	}
	switch y.ShortTag() {
	case "!!int", "!!float":
		return "the number " + Clip(y.Value)
	case "!!bool":
		return y.Value
	case "!!null":
		return "nothing"
	}
	return fmt.Sprintf("the text %q", Clip(y.Value))
}

// Clip shortens a text to 60 characters.
func Clip(s string) string {
	n, cut := 0, 0
	for i := range s {
		switch n++; n {
		case 58:
			cut = i
		case 61:
			return s[:cut] + "..."
		}
	}
	return s
}

func isNull(y *yaml.Node) bool {
	return y.Kind == yaml.ScalarNode && y.ShortTag() == "!!null"
}
