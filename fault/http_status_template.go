package fault

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/chaosctl/chaosctl/internal/strict"
)

const (
	// maxTemplate bounds the text of a template, in bytes.
	maxTemplate = 64 << 10
	// MaxFilled bounds what a template may become: 64 KiB.
	MaxFilled = 64 << 10
)

// calls are the functions that a template may call: none that takes long, makes
// large texts or reaches outside.
var calls = []string{"and", "or", "not", "eq", "ne", "lt", "le", "gt", "ge", "len", "html", "js", "urlquery", "json"}

// fields are what a template may ask of its data, which is an AnswerData.
var fields = []string{"Method", "Path", "Query", "Host", "Status", "Phrase", "Header"}

// AnswerData is what a template of http.status is filled in from.
type AnswerData struct {
	Method, Path, Query, Host string
	Status                    int
	Phrase                    string
	// Get returns the first value of a header field of the request.
	Get func(name string) string
}

// secrets are fields that no template may repeat.
var secrets = []string{"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"}

// Header is a header field of the request, empty for those that hold secrets.
func (d AnswerData) Header(name string) string {
	if d.Get == nil || slices.Contains(secrets, strings.ToLower(name)) {
		return ""
	}
	return d.Get(name)
}

// String is what {{.}} becomes.
func (d AnswerData) String() string { return d.Method + " " + d.Path }

// CompileAnswer reads a template. It refuses loops, templates within templates and
// all functions but a few, so that to fill one in takes a time that hangs on its
// own length alone.
func CompileAnswer(text string) (*template.Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("must not be longer than %d bytes as a template", maxTemplate)
	}
	t, err := template.New("body").Funcs(escapes).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("is not a template: %s", strict.Clip(strings.TrimPrefix(err.Error(), "template: body:")))
	}
	if t.Tree == nil || t.Root == nil {
		return t, nil
	}
	if len(t.Templates()) > 1 {
		return nil, fmt.Errorf("must not define templates")
	}
	return t, allowed(t.Root)
}

// escapes take the place of text/template's own, of which each can double what it
// is given.
var escapes = template.FuncMap{
	"html":     bounded(template.HTMLEscapeString),
	"js":       bounded(template.JSEscapeString),
	"urlquery": bounded(url.QueryEscape),
	"json": bounded(func(s string) string {
		b, _ := json.Marshal(s) // a text can always be written
		return string(b)
	}),
}

func bounded(escape func(string) string) func(string) (string, error) {
	return func(s string) (string, error) {
		if s = escape(s); len(s) > MaxFilled {
			return "", fmt.Errorf("more than %d bytes", MaxFilled)
		}
		return s, nil
	}
}

// allowed refuses nodes that a template may not have.
func allowed(n parse.Node) error {
	var below []parse.Node
	switch n := n.(type) {
	case *parse.ListNode:
		if n != nil {
			below = n.Nodes
		}
	case *parse.TextNode, *parse.CommentNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.DotNode, *parse.NilNode:
	case *parse.ActionNode:
		below = []parse.Node{n.Pipe}
	case *parse.IfNode:
		below = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.WithNode:
		below = []parse.Node{n.Pipe, n.List, n.ElseList}
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			below = append(below, c)
		}
	case *parse.CommandNode:
		below = n.Args
	case *parse.VariableNode:
		if len(n.Ident) > 1 {
			return known(n.Ident[1:])
		}
	case *parse.FieldNode:
		return known(n.Ident)
	case *parse.IdentifierNode:
		if !slices.Contains(calls, n.Ident) {
			return fmt.Errorf("must not call %s; there are: %s", n.Ident, strings.Join(calls, ", "))
		}
	default:
		return fmt.Errorf("must not use %s", strict.Clip(n.String()))
	}
	for _, b := range below {
		if err := allowed(b); err != nil {
			return err
		}
	}
	return nil
}

func known(path []string) error {
	if len(path) != 1 || !slices.Contains(fields, path[0]) {
		return fmt.Errorf("there is no .%s%s", strict.Clip(strings.Join(path, ".")), strict.Suggest(strings.Join(path, "."), fields))
	}
	return nil
}
