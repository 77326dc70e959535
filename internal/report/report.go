// Package report renders what a run left behind for whoever reads it: a person
// with a browser (HTML), a CI server (JUnit), a pull request (Markdown), a
// program (JSON) and a terminal (Text). PlanText and StatusText are the
// terminal's views of a plan and of what is in force.
//
// Everything here is a pure function of its argument: no clock, no file, no
// network. Text from the record is data in every format: it is escaped, and
// control characters never reach a terminal or an XML file. What was not
// measured is shown as "no data", never as a pass.
package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/chaosctl/chaosctl/experiment"
)

// kindRun is the kind of a run record.
const kindRun = "Run"

var errNoRun = errors.New("report: there is no run to render")

// JSON writes the record itself, indented, as ReadJSON reads it back.
func JSON(w io.Writer, r *experiment.Run) error {
	if r == nil {
		return errNoRun
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("write run record: %w", err)
	}
	return nil
}

// ReadJSON reads a record that JSON wrote. Anything else is refused, with the
// line where that is known: another kind or version, an unknown field, a fault
// that no catalogue has, and bytes after the record.
func ReadJSON(data []byte) (*experiment.Run, error) {
	var head struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, fmt.Errorf("read run record: %w", located(data, err))
	}
	if head.Kind != kindRun || head.APIVersion != experiment.APIVersion {
		return nil, fmt.Errorf("read run record: it says kind %q of %q, a run record says %q of %q",
			clip(head.Kind, 60), clip(head.APIVersion, 60), kindRun, experiment.APIVersion)
	}
	var r experiment.Run
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("read run record: %w", located(data, err))
	}
	for i, in := range r.Injections {
		for j, a := range in.Armed {
			if a.Fault.Kind == "" {
				return nil, fmt.Errorf("read run record: injections[%d].faults[%d] holds no fault", i, j)
			}
		}
	}
	return &r, nil
}

// located adds the line to what encoding/json says, where it says an offset.
func located(data []byte, err error) error {
	var offset int64
	var syntax *json.SyntaxError
	var typed *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		offset = syntax.Offset
	case errors.As(err, &typed):
		offset = typed.Offset
	default:
		return err
	}
	offset = min(max(offset, 0), int64(len(data)))
	return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:offset], []byte("\n")), err)
}

// Style colours parts of a text for a terminal. Each function wraps its
// argument, which holds no control character, in whatever makes it stand out,
// and must not change its width. A nil function leaves the text as it is, so
// the zero value is plain.
type Style struct {
	// Good is for what held, Bad for what did not, Warn for what is unknown.
	Good, Bad, Warn func(string) string
	// Dim is for what matters less, Bold for headings and names.
	Dim, Bold func(string) string
}

func paint(f func(string) string, s string) string {
	if f == nil || s == "" {
		return s
	}
	return f(s)
}

// tone paints in the colour of a tone.
func (s Style) tone(t tone, text string) string {
	switch t {
	case toneGood:
		return paint(s.Good, text)
	case toneBad:
		return paint(s.Bad, text)
	case toneWarn, toneStop:
		return paint(s.Warn, text)
	}
	return text
}
