package toxiproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Populate makes the proxies of a config file, which is what /populate takes, and
// returns how many there are. The error says where the file is wrong.
func (d *Door) Populate(ctx context.Context, file string, data []byte) (int, error) {
	done, err := d.populate(ctx, data)
	if err == nil {
		return len(done), nil
	}
	var raw []json.RawMessage
	if line := lineOf(data, json.Unmarshal(data, &raw)); line > 0 {
		return 0, fmt.Errorf("%s:%d: %w", file, line, err)
	}
	var inputs []Proxy
	if line := lineOf(data, json.Unmarshal(data, &inputs)); line > 0 {
		return 0, fmt.Errorf("%s:%d: %w", file, line, err)
	}
	if r := asRefusal(err); r.status >= 500 && len(done) < len(inputs) {
		return len(done), fmt.Errorf("%s: proxy %q: %w", file, clip(inputs[len(done)].Name), r)
	}
	return len(done), fmt.Errorf("%s: %w", file, err)
}

// lineOf is the line of a mistake in JSON, 0 if it is not known.
func lineOf(data []byte, err error) int {
	var offset int64
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &kind):
		offset = kind.Offset
	default:
		return 0
	}
	return 1 + bytes.Count(data[:min(max(int(offset)-1, 0), len(data))], []byte{'\n'})
}
