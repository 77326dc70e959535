package fault

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// JSONEdit changes one value of a JSON document.
type JSONEdit struct {
	// Path of the value: keys after dots, places of a list in brackets, and in
	// brackets and quotes keys with other characters: a.b[0]["c.d"].
	Path string `json:"path" doc:"where the value is, for example user.roles[0] or [\"a key\"].x"`
	// Value that takes its place: anything that JSON has, but null.
	Value any `json:"value,omitempty" doc:"what takes its place"`
	// Null puts null in its place; written `value: null` or `null: true`.
	Null bool `json:"null,omitempty" doc:"put null in its place"`
	// Delete takes it out, with its key.
	Delete bool `json:"delete,omitempty" doc:"take it out, with its key"`
}

// DecodeNode decodes strictly; `value: null` is a value.
func (e *JSONEdit) DecodeNode(n *strict.Node) {
	n.Fields(e)
	if n.Key("value") != nil && n.Get("value") == nil {
		e.Null = true
	}
}

// Validate checks the path and that there is one change.
func (e *JSONEdit) Validate() error {
	var errs []error
	if _, err := e.Steps(); err != nil {
		errs = append(errs, strict.Fieldf("path", "%s", err))
	}
	changes := 0
	for _, given := range []bool{e.Value != nil, e.Null, e.Delete} {
		if given {
			changes++
		}
	}
	if changes != 1 {
		errs = append(errs, strict.Fieldf("", "must have exactly one of `value` and `delete: true`"))
	}
	if text, err := json.Marshal(e.Value); err != nil || len(text) > int(MaxBody) {
		errs = append(errs, strict.Fieldf("value", "cannot be written as JSON of at most %s", MaxBody))
	}
	return errors.Join(errs...)
}

// Text is the new value as JSON, nil to delete.
func (e *JSONEdit) Text() []byte {
	if e.Delete {
		return nil
	}
	text, err := json.Marshal(e.Value)
	if err != nil {
		return []byte("null") // Validate refuses such values
	}
	return text
}

// JSONStep is one step of a path: into a member by its key, or into an element by
// its place.
type JSONStep struct {
	Key   string
	Index int // -1 for a key
}

// maxSteps bounds a path.
const maxSteps = 100

// Steps reads the path.
func (e *JSONEdit) Steps() ([]JSONStep, error) {
	rest := e.Path
	if rest == "" {
		return nil, errors.New("is missing; for example user.roles[0]")
	}
	bad := fmt.Errorf("must be keys and places such as user.roles[0] or [\"a key\"].x, not %q", strict.Clip(e.Path))
	var steps []JSONStep
	for first := true; rest != ""; first = false {
		if len(steps) == maxSteps {
			return nil, fmt.Errorf("has more than %d steps", maxSteps)
		}
		if rest[0] == '[' {
			step, after, ok := bracket(rest)
			if !ok {
				return nil, bad
			}
			steps, rest = append(steps, step), after
			continue
		}
		if !first {
			if rest[0] != '.' {
				return nil, bad
			}
			rest = rest[1:]
		}
		end := strings.IndexAny(rest, ".[]")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			return nil, bad
		}
		steps, rest = append(steps, JSONStep{rest[:end], -1}), rest[end:]
	}
	return steps, nil
}

// bracket reads [0] or ["key"] at the beginning of s.
func bracket(s string) (step JSONStep, rest string, ok bool) {
	if strings.HasPrefix(s, `["`) {
		quoted, err := strconv.QuotedPrefix(s[1:])
		if err != nil || !strings.HasPrefix(s[1+len(quoted):], "]") {
			return step, "", false
		}
		key, err := strconv.Unquote(quoted)
		return JSONStep{key, -1}, s[len(quoted)+2:], err == nil
	}
	digits, rest, ok := strings.Cut(s[1:], "]")
	i, err := strconv.ParseUint(digits, 10, 31)
	return JSONStep{"", int(i)}, rest, ok && err == nil
}
