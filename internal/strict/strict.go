// Package strict decodes YAML and JSON documents whole: every mistake of a
// document is found in one go, each with its line, column and path and with
// what would be right, and the destination stays untouched unless all of it is
// good.
//
// It is the one decoder of the product: documents, params of faults and bodies
// of the API go through it. It does no I/O and expands no anchor beyond a fixed
// budget, so that a hostile document costs no more than its own size.
//
// Types may take part: one that implements Validator is asked for its own rules
// once all below it is good, one that implements Decodable decodes itself, and
// encoding.TextUnmarshaler reads single values. Two struct tags matter:
// `strict:"output"` marks a field that documents may not set, and
// `strict:"positive"` one that, where it is given, must be more than zero.
package strict

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

const (
	// MaxBytes is the size of the largest document that is read.
	MaxBytes = 1 << 20
	// MaxNodes bounds the values of one document, aliases counted as often as
	// they are used.
	MaxNodes = 100_000
	// MaxProblems bounds how many mistakes are kept of one document.
	MaxProblems = 100
	// MaxDepth bounds how deep values may nest.
	MaxDepth = 64
	// MaxDocuments bounds the documents of one file.
	MaxDocuments = 16
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

// sorted returns the problems in the order of the document, with a last word if
// more were found than are kept.
func (ps Problems) sorted(file string, cut bool) Problems {
	sort.SliceStable(ps, func(i, j int) bool {
		return ps[i].Line < ps[j].Line || ps[i].Line == ps[j].Line && ps[i].Column < ps[j].Column
	})
	if cut {
		ps = append(ps, Problem{File: file, Message: fmt.Sprintf("has more mistakes; these are the first %d", MaxProblems)})
	}
	return ps
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

// Problems is every mistake reported so far, in document order; nil if there is
// none.
func (d *Document) Problems() Problems {
	st := d.root.st
	if len(st.problems) == 0 {
		return nil
	}
	return append(Problems{}, st.problems...).sorted(st.file, st.cut)
}

// Parse splits data into its documents. file names the source in messages.
// Empty documents are left out; a syntax error is a Problem with its place.
func Parse(file string, data []byte) ([]*Document, error) {
	data, bad := readable(file, data)
	if bad != nil {
		return nil, Problems{*bad}
	}
	loader, err := newLoader(string(data))
	if err != nil {
		return nil, Problems{syntaxProblem(file, data, err)}
	}
	var docs []*Document
	for {
		var y yaml.Node
		err := loader.Load(&y)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, Problems{syntaxProblem(file, data, err)}
		}
		if y.Kind != yaml.DocumentNode || len(y.Content) == 0 || isNull(y.Content[0]) {
			continue
		}
		if len(docs) == MaxDocuments {
			return nil, Problems{{File: file, Line: y.Line, Column: y.Column, Message: fmt.Sprintf("holds more than %d documents", MaxDocuments)}}
		}
		st := &state{file: file, budget: MaxNodes}
		docs = append(docs, &Document{root: &Node{y: y.Content[0], st: st}})
	}
}

func newLoader(text string) (*yaml.Loader, error) {
	return yaml.NewLoader(strings.NewReader(text), yaml.WithPlugin(loaderlimits.New(
		loaderlimits.DepthFunc(func(depth int, _ *loaderlimits.DepthContext) error {
			if depth > MaxDepth {
				return errDepth
			}
			return nil
		}))))
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
	st := d.root.st
	st.problems, st.budget, st.spent, st.cut = nil, MaxNodes, false, false
	d.root.decode(fresh.Elem())
	if ps := d.Problems(); ps != nil {
		return ps
	}
	v.Elem().Set(fresh.Elem())
	return nil
}
