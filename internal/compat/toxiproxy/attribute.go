package toxiproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// attribute is one setting of a type of toxic.
type attribute struct {
	name string
	of   sort
	// least and most bound a number.
	least, most float64
	// unit is said in refusals, for example "milliseconds".
	unit string
	// words are what a word may be.
	words []string
	// ours: the original has none of that name, so answers show it only if it was
	// given.
	ours bool
}

// sort is what an attribute holds.
type sort int

const (
	whole    sort = iota // a whole number
	fraction             // any finite number
	word
	truth
)

// value of an attribute. The zero value is the default of every one.
type value struct {
	number float64 // whole ones are exact: none is beyond 2^53
	word   string
	truth  bool
	given  bool
}

// maxShown is how much of a bad value a refusal repeats, in bytes.
const maxShown = 40

// set reads the attributes that raw names over the values there are; those it
// does not name stay, and so does what it names with null. As in the original,
// names are taken in any case, the last of a name counts, and unknown ones are
// passed over.
func set(list []attribute, old []value, raw json.RawMessage) ([]value, error) {
	values := slices.Clone(old)
	if len(values) == 0 {
		values = make([]value, len(list))
	}
	if len(raw) == 0 || string(raw) == "null" {
		return values, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("attributes must be an object such as {\"latency\": 100}, not %s", clip(string(raw)))
	}
	for dec.More() {
		name, err := dec.Token()
		var v json.RawMessage
		if err == nil {
			err = dec.Decode(&v)
		}
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(list, func(a attribute) bool { s, ok := name.(string); return ok && strings.EqualFold(s, a.name) })
		if i < 0 || string(v) == "null" {
			continue
		}
		if values[i], err = list[i].read(string(v)); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// read reads one value in JSON.
func (a attribute) read(raw string) (value, error) {
	v := value{given: true}
	ok := false
	switch a.of {
	case whole, fraction:
		v.number, ok = number(raw)
		ok = ok && v.number >= a.least && v.number <= a.most && (a.of == fraction || v.number == math.Trunc(v.number))
	case word:
		ok = json.Unmarshal([]byte(raw), &v.word) == nil && slices.Contains(a.words, v.word)
	case truth:
		ok = json.Unmarshal([]byte(raw), &v.truth) == nil
	}
	if !ok {
		return v, a.not(raw)
	}
	return v, nil
}

// number reads a JSON number; false for what is none, or is beyond a float64.
func number(raw string) (float64, bool) {
	if raw == "" || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0, false
	}
	f, err := strconv.ParseFloat(raw, 64)
	if f == 0 {
		f = 0 // not -0, which would be printed
	}
	return f, err == nil && !math.IsInf(f, 0)
}

// not says what the attribute must be.
func (a attribute) not(raw string) error {
	var must string
	switch a.of {
	case whole:
		must = fmt.Sprintf("a whole number%s from %.0f to %.0f", a.unit, a.least, a.most)
	case fraction:
		must = "a number" + a.unit
	case word:
		must = strings.Join(a.words, " or ")
	case truth:
		must = "true or false"
	}
	return fmt.Errorf("attributes.%s must be %s, not %s", a.name, must, clip(raw))
}

func clip(s string) string {
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if len(s) > maxShown {
		return strings.ToValidUTF8(s[:maxShown], "") + "..."
	}
	return s
}

// write appends the attributes as answers show them.
func write(b []byte, list []attribute, values []value) []byte {
	b = append(b, '{')
	first := true
	for i, a := range list {
		if a.ours && !values[i].given {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(append(append(b, '"'), a.name...), `":`...)
		switch a.of {
		case whole:
			b = strconv.AppendInt(b, int64(values[i].number), 10)
		case fraction:
			b = appendFloat(b, values[i].number, 64)
		case word:
			b = appendQuoted(b, values[i].word)
		case truth:
			b = strconv.AppendBool(b, values[i].truth)
		}
	}
	return append(b, '}')
}

// appendFloat writes a number as encoding/json does.
func appendFloat(b []byte, f float64, bits int) []byte {
	var text []byte
	var err error
	if bits == 32 {
		text, err = json.Marshal(float32(f))
	} else {
		text, err = json.Marshal(f)
	}
	if err != nil {
		return append(b, '0') // no number that is read here is infinite
	}
	return append(b, text...)
}

// toxicity reads the share of connections that a toxic is for.
func toxicity(raw json.RawMessage, old float64) (float64, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return old, nil
	}
	f, ok := number(string(raw))
	if !ok || f < 0 || f > 1 {
		return 0, fmt.Errorf("toxicity must be a number from 0 to 1, not %s", clip(string(raw)))
	}
	if f > 0 && float32(f) == 0 {
		return 0, errors.New("toxicity is too close to 0; give 0, or 1e-30 or more")
	}
	return f, nil
}
