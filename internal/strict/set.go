package strict

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxParts bounds how many parts the path of Set may have.
const maxParts = MaxDepth / 2

// Set puts a value at a path of the document before it is decoded, as `--set
// spec.steps[0].for=2s` does. Mappings on the way are made where they are
// missing; places of a list must exist. A path that starts with no key of the
// document starts below `spec`. The value is read as YAML where it is a single
// value or in brackets, else as text; an empty one takes the field out. Later
// mistakes of the value name the expression instead of a line.
func (d *Document) Set(path, value string) error {
	expr := "--set " + Clip(path+"="+value)
	fail := func(format string, args ...any) error {
		return Problems{{File: expr, Message: fmt.Sprintf(format, args...)}}
	}
	parts, err := splitPath(path)
	if err != nil {
		return fail("%s", err)
	}
	node, err := settable(value)
	if err != nil {
		return fail("%s", err)
	}
	st := d.root.st
	if st.given == nil {
		st.given = map[*yaml.Node]string{}
	}
	mark(st.given, node, expr)
	root := d.root.resolve()
	if !topLevel(root, parts[0]) {
		parts = append([]string{"spec"}, parts...)
	}
	fresh, err := put(st.given, root.y, parts, node, expr, "")
	if err != nil {
		return fail("%s", err)
	}
	d.root = &Node{y: fresh, st: st}
	return nil
}

// topLevel tells whether a path that starts with this part starts at the root.
func topLevel(root *Node, part string) bool {
	if slices.Contains([]string{"apiVersion", "kind", "metadata", "spec"}, part) || root.find(part) >= 0 {
		return true
	}
	return root.find("spec") < 0
}

// put returns a copy of the containers along the path with the value put in;
// what aliases elsewhere refer to stays as it is.
func put(given map[*yaml.Node]string, at *yaml.Node, parts []string, value *yaml.Node, expr, done string) (*yaml.Node, error) {
	if len(parts) == 0 {
		return value, nil
	}
	if at.Kind == yaml.AliasNode && at.Alias != nil {
		at = at.Alias
	}
	part := parts[0]
	path := join(done, part)
	c := *at
	c.Anchor, c.Content = "", slices.Clone(at.Content)
	if from := given[at]; from != "" {
		given[&c] = from
	}
	if text, ok := strings.CutPrefix(part, "["); ok {
		i, err := strconv.Atoi(strings.TrimSuffix(text, "]"))
		switch {
		case at.Kind != yaml.SequenceNode:
			return nil, fmt.Errorf("%s is %s, not a list", named(done), describe(at))
		case err != nil || i < 0 || i >= len(c.Content):
			return nil, fmt.Errorf("there is no %s; entries are counted from 0, and %s has %d", path, named(done), len(c.Content))
		}
		c.Content[i], err = put(given, c.Content[i], parts[1:], value, expr, path)
		return &c, err
	}
	switch {
	case isNull(at):
		c = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: at.Line, Column: at.Column}
		mark(given, &c, expr)
	case at.Kind == yaml.SequenceNode:
		return nil, fmt.Errorf("%s is a list; say which entry, for example %s", named(done), join(done, "[0]"))
	case at.Kind != yaml.MappingNode:
		return nil, fmt.Errorf("%s is %s, not a mapping", named(done), describe(at))
	}
	i := (&Node{y: &c}).find(part)
	if i < 0 {
		key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: part, Line: c.Line, Column: c.Column}
		empty := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		mark(given, key, expr)
		mark(given, empty, expr)
		c.Content = append(c.Content, key, empty)
		i = len(c.Content) - 2
	}
	var err error
	c.Content[i+1], err = put(given, c.Content[i+1], parts[1:], value, expr, path)
	return &c, err
}

func named(path string) string {
	if path == "" {
		return "the document"
	}
	return path
}

// splitPath takes "steps[0].for" apart into "steps", "[0]", "for".
func splitPath(path string) ([]string, error) {
	var parts []string
	rest := path
	for rest != "" {
		end := strings.IndexAny(rest[1:], ".[") + 1
		if end == 0 {
			end = len(rest)
		}
		part := rest[:end]
		rest = rest[end:]
		if dot, ok := strings.CutPrefix(rest, "."); ok {
			if rest = dot; dot == "" {
				rest = "."
			}
		}
		_, err := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(part, "["), "]"), 10, 31)
		index := strings.HasPrefix(part, "[") && strings.HasSuffix(part, "]") && err == nil
		if !index && (strings.ContainsAny(part, "[]. \t\n") || part == "") {
			return nil, fmt.Errorf("%q is not a path; write it like spec.steps[0].for", Clip(path))
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 || strings.HasPrefix(parts[0], "[") {
		return nil, errors.New("has no path; write it like spec.steps[0].for=2s")
	}
	if len(parts) > maxParts {
		return nil, fmt.Errorf("has a path of more than %d parts", maxParts)
	}
	return parts, nil
}

// settable reads the value of an expression. Anything that starts like YAML but
// means text on a command line (">= 99%", "*", "@x") is text.
func settable(value string) (*yaml.Node, error) {
	data, bad := readable("", []byte(value))
	if bad != nil {
		return nil, errors.New(bad.Message)
	}
	text := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.DoubleQuotedStyle, Value: value}
	trimmed := strings.TrimSpace(string(data))
	switch {
	case trimmed == "":
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, nil
	case strings.ContainsAny(trimmed[:1], ">|*&!%@`#-?:") && !isNumber(trimmed):
		return text, nil
	}
	yamlish := strings.ContainsAny(trimmed[:1], "[{\"'")
	loader, err := newLoader(trimmed)
	if err != nil {
		return nil, errors.New(syntaxProblem("", data, err).Message)
	}
	var y, more yaml.Node
	err = loader.Load(&y)
	if err == nil {
		if end := loader.Load(&more); !errors.Is(end, io.EOF) {
			err = errors.New("holds more than one value")
		}
	}
	switch {
	case err != nil && yamlish:
		return nil, errors.New(syntaxProblem("", data, err).Message)
	case err != nil || y.Kind != yaml.DocumentNode || len(y.Content) == 0:
		return text, nil
	case y.Content[0].Kind != yaml.ScalarNode && !yamlish:
		return text, nil
	}
	return y.Content[0], nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil
}

// mark notes the origin of a value and of all below it.
func mark(given map[*yaml.Node]string, y *yaml.Node, expr string) {
	if given[y] != "" {
		return
	}
	given[y] = expr
	for _, c := range y.Content {
		mark(given, c, expr)
	}
}
