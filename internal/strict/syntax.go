package strict

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxSeparators bounds the line breaks, commas and brackets of a document: each
// may stand for a value, and the parser takes some hundred bytes for each.
const maxSeparators = 200_000

var errDepth = fmt.Errorf("nests deeper than %d levels", MaxDepth)

// readable refuses what no document of ours can be, before anything is parsed,
// and returns the text that the parser can read: JSON escapes characters beyond
// the basic plane in a way that YAML does not know.
func readable(file string, data []byte) ([]byte, *Problem) {
	if len(data) > MaxBytes {
		return nil, &Problem{File: file, Message: fmt.Sprintf("is %s long; the limit is 1 MiB", mebibytes(len(data)))}
	}
	if !utf8.Valid(data) {
		i := 0
		for i < len(data) {
			r, size := utf8.DecodeRune(data[i:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			i += size
		}
		p := placeOf(file, data, i)
		p.Message = fmt.Sprintf("is not UTF-8 text: the byte 0x%02x stands here", data[i])
		return nil, &p
	}
	if i := bytes.IndexFunc(data, control); i >= 0 {
		p := placeOf(file, data, i)
		p.Message = fmt.Sprintf("is not text: the control character 0x%02x stands here", data[i])
		return nil, &p
	}
	n := 0
	for _, sep := range []string{"\n", ",", "[", "{"} {
		n += bytes.Count(data, []byte(sep))
	}
	if n > maxSeparators {
		return nil, &Problem{File: file, Message: fmt.Sprintf("holds too many values; the limit is %d", MaxNodes)}
	}
	if bytes.Contains(data, []byte(`\u`)) {
		data = joinSurrogates(data)
	}
	return data, nil
}

func control(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r'
}

func mebibytes(n int) string {
	return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB"
}

// placeOf is the line and column of a byte.
func placeOf(file string, data []byte, i int) Problem {
	before := data[:i]
	line := bytes.Count(before, []byte("\n"))
	start := bytes.LastIndexByte(before, '\n') + 1
	return Problem{File: file, Line: line + 1, Column: utf8.RuneCount(before[start:]) + 1}
}

// hints say what is meant by what the parser says, and what would be right.
// The first that fits is taken.
var hints = []struct {
	context, says, hint string
}{
	{"block scalar", "expected comment", "text that starts with > or | must stand in quotes, for example \"<= 300ms\" or \">= 99.5%\""},
	{"quoted scalar", "unexpected end", "the text that starts with a quote on line %d has no closing quote"},
	{"quoted scalar", "document indicator", "the text that starts with a quote on line %d has no closing quote"},
	{"quoted scalar", "escape", "a backslash escape that does not exist; write \\\\ for a backslash, or use single quotes"},
	{"quoted scalar", "Unicode", "an escape of no character: \\ud800 to \\udfff come in pairs, in JSON only; write the character itself"},
	{"flow sequence", "']'", "the list that starts with [ on line %d lacks a comma or its ]"},
	{"flow mapping", "'}'", "the mapping that starts with { on line %d lacks a comma or its }"},
	{"simple key", "':'", "line %d lacks a colon: expected `key: value`"},
	{"", "tab character", "a tab stands where spaces are expected"},
	{"", "mapping values are not allowed", "a colon stands where none is expected; check the indentation, and put text that holds `: ` in quotes"},
	{"", "block sequence entries are not allowed", "a list cannot start behind a key; put the `-` on a line of its own"},
	{"block mapping", "expected key", "expected `key: value` here; check the indentation and quotes"},
	{"block collection", "'-'", "expected the next `-` of the list here; check the indentation"},
	{"", "expected <document start>", "expected the end of the document here; check the indentation and brackets"},
	{"", "node content", "a value is missing here"},
	{"", "start any token", "text cannot start with this character; put it in quotes"},
}

func syntaxProblem(file string, data []byte, err error) Problem {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		return Problem{File: file, Message: "is not YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	p := Problem{File: file, Line: le.Mark.Line, Column: le.Mark.Column, Message: "is not YAML: " + meaning(le, data)}
	if p.Line == 0 {
		p.Line, p.Column = le.ContextMark.Line, le.ContextMark.Column
	}
	if le.Message == errDepth.Error() {
		p.Message = le.Message
	}
	if ended(data, le.Mark.Line, le.Mark.Column) {
		p.Message += "; the text ends here: is it cut off?"
	}
	return p
}

func meaning(le *yaml.LoadError, data []byte) string {
	if anchor, ok := strings.CutPrefix(le.Message, "unknown anchor '"); ok {
		name, _, _ := strings.Cut(anchor, "'")
		return fmt.Sprintf("the alias *%s has no anchor &%s before it; put text that starts with * in quotes", Clip(name), Clip(name))
	}
	if strings.Contains(le.Message, "start any token") && byteAt(data, le.Mark.Line, le.Mark.Column) == '\t' {
		return "a tab stands where spaces are expected"
	}
	for _, h := range hints {
		if strings.Contains(le.ContextMsg, h.context) && strings.Contains(le.Message, h.says) {
			if strings.Contains(h.hint, "%d") {
				return fmt.Sprintf(h.hint, le.ContextMark.Line)
			}
			return h.hint
		}
	}
	return Clip(le.Message)
}

func lineAt(data []byte, line int) []byte {
	for range line - 1 {
		_, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			return nil
		}
		data = rest
	}
	text, _, _ := bytes.Cut(data, []byte("\n"))
	return text
}

func byteAt(data []byte, line, column int) byte {
	r := []rune(string(lineAt(data, line)))
	if column < 1 || column > len(r) || r[column-1] > 126 {
		return 0
	}
	return byte(r[column-1])
}

// ended tells whether nothing but white space stands at or behind a place.
func ended(data []byte, line, column int) bool {
	if line == 0 {
		return false
	}
	body := bytes.TrimRight(data, " \t\r\n")
	lines := bytes.Count(body, []byte("\n")) + 1
	last := utf8.RuneCount(body[bytes.LastIndexByte(body, '\n')+1:])
	return line > lines || line == lines && column > last
}
