// Package shape says what a JSON body looks like, without its values: the names and
// the types of its fields. [Of] reads a body, [Set] learns from many and tells how
// another one differs.
//
// A shape is a short text: {id:number,items:[{name:string,price?:number}],note:null|string}.
// Fields are sorted. A list has the union of its elements; a field that only some of
// them have is marked by a question mark. Fields whose names look like data (numbers,
// ids, addresses), and all of an object with more than 48, are one: *. What lies too
// deep is {..} or [..]. No value is ever part of a shape.
package shape

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limit is how long a shape is at most. One that would be longer is cut in its depth;
// where that is not enough, the names are replaced by a hash.
const Limit = 512

// Invalid stands for a body that is no JSON although its type says so.
const Invalid = "invalid"

const (
	deepest    = 6      // levels that are written out
	nesting    = 10_000 // levels that are read, as encoding/json does
	plainNames = 48     // fields of one object that have names of their own
	longName   = 40     // bytes of a name
)

// kinds is a set of JSON types.
type kinds uint8

const (
	null kinds = 1 << iota
	boolean
	number
	text
	object
	list
)

// node is the union of some values.
type node struct {
	kinds   kinds
	objects int // of the values
	fields  map[string]*field
	rest    *node // values of fields whose names are data
	elem    *node // of lists
	wide    bool  // rest is all of its fields, as they were too many
	blind   bool  // what is inside was not looked at
}

// field is a field of an object.
type field struct {
	node
	seen  int  // objects that have it
	last  int  // the latest of those, by number
	maybe bool // it is known that some have it not
}

// optional tells whether some objects do without it.
func (f *field) optional(of *node) bool { return f.maybe || f.seen < of.objects }

// Of is the shape of a JSON text. ok is false if it is none: a mistake, something behind
// its end, or no UTF-8. Of each field of an object at the top that is neither object
// nor list, field is told name and value as they are written; it may be nil.
func Of(body []byte, field func(name, value []byte)) (shape string, ok bool) {
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(body) {
		return "", false
	}
	var root node
	s := scanner{b: body, top: field}
	s.space()
	if !s.value(&root, 1) {
		return "", false
	}
	s.space()
	if s.i != len(body) {
		return "", false
	}
	return root.String(), true
}

// String is the canonical text.
func (n *node) String() string {
	for depth := deepest; depth > 0; depth-- {
		var b strings.Builder
		if n.write(&b, depth) {
			return b.String()
		}
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(n.fields)) {
		b.WriteString(strconv.Quote(name))
	}
	sum := sha256.Sum256([]byte(b.String()))
	return "{#" + hex.EncodeToString(sum[:8]) + "}"
}

// write fails when the text becomes too long.
func (n *node) write(b *strings.Builder, depth int) bool {
	bar := ""
	for _, k := range []struct {
		is   kinds
		word string
	}{{null, "null"}, {boolean, "bool"}, {number, "number"}, {text, "string"}, {object, ""}, {list, ""}} {
		if n.kinds&k.is == 0 {
			continue
		}
		b.WriteString(bar)
		b.WriteString(k.word)
		bar = "|"
		switch {
		case k.is == object && !n.writeObject(b, depth), k.is == list && !n.writeList(b, depth):
			return false
		}
		if b.Len() > Limit {
			return false
		}
	}
	return true
}

func (n *node) writeList(b *strings.Builder, depth int) bool {
	switch {
	case n.elem == nil && n.blind || n.elem != nil && depth == 0:
		b.WriteString("[..]")
		return true
	case n.elem == nil:
		b.WriteString("[]")
		return true
	}
	b.WriteByte('[')
	ok := n.elem.write(b, depth-1)
	b.WriteByte(']')
	return ok
}

func (n *node) writeObject(b *strings.Builder, depth int) bool {
	empty := len(n.fields) == 0 && n.rest == nil
	if n.blind && empty || depth == 0 && !empty {
		b.WriteString("{..}")
		return true
	}
	b.WriteByte('{')
	comma := ""
	if n.rest != nil {
		b.WriteString("*:")
		if !n.rest.write(b, depth-1) {
			return false
		}
		comma = ","
	}
	for _, name := range slices.Sorted(maps.Keys(n.fields)) {
		f := n.fields[name]
		b.WriteString(comma)
		comma = ","
		if plain(name) {
			b.WriteString(name)
		} else {
			b.WriteString(strconv.Quote(name))
		}
		if f.optional(n) {
			b.WriteByte('?')
		}
		b.WriteByte(':')
		if !f.write(b, depth-1) || b.Len() > Limit {
			return false
		}
	}
	b.WriteByte('}')
	return true
}

// plain tells whether a name can stand without quotes.
func plain(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$") == ""
}

// isData tells whether the name of a field looks like data: so long, or so full of
// digits, that it is no word of a schema, or of characters that such words have not.
func isData(name string) bool {
	if name == "" || len(name) > longName || name[0] >= '0' && name[0] <= '9' {
		return true
	}
	digits, run := 0, 0
	for _, r := range name {
		switch {
		case r >= '0' && r <= '9':
			digits++
			if run++; run >= 4 {
				return true
			}
			continue
		case strings.ContainsRune(" @/:,;=+%&?#*<>(){}[]\"'\\", r) || !unicode.IsPrint(r):
			return true
		}
		run = 0
	}
	return digits >= 5
}

// into is where the value of a field of the latest object goes.
func (n *node) into(name []byte) *node {
	if f := n.fields[string(name)]; f != nil {
		if f.last != n.objects {
			f.seen, f.last = f.seen+1, n.objects
		}
		return &f.node
	}
	if len(n.fields) >= plainNames {
		n.generalise()
	}
	if n.wide || isData(string(name)) {
		if n.rest == nil {
			n.rest = &node{}
		}
		return n.rest
	}
	if n.fields == nil {
		n.fields = map[string]*field{}
	}
	f := &field{seen: 1, last: n.objects}
	n.fields[string(name)] = f
	return &f.node
}

// generalise makes all fields one.
func (n *node) generalise() {
	if n.rest == nil {
		n.rest = &node{}
	}
	for _, f := range n.fields {
		n.rest.merge(&f.node, 1)
	}
	n.fields, n.wide = nil, true
}

// scanner reads JSON.
type scanner struct {
	b   []byte
	i   int
	top func(name, value []byte)
}

func (s *scanner) space() {
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\t' || s.b[s.i] == '\r') {
		s.i++
	}
}

// take goes past c if that is next.
func (s *scanner) take(c byte) bool {
	if s.i < len(s.b) && s.b[s.i] == c {
		s.i++
		return true
	}
	return false
}

// value adds the value that is next to n; nil: nobody wants to know.
func (s *scanner) value(n *node, depth int) bool {
	if s.i == len(s.b) || depth > nesting {
		return false
	}
	if n == nil {
		n = &node{}
	}
	switch c := s.b[s.i]; c {
	case '{':
		n.kinds |= object
		return s.object(n, depth)
	case '[':
		n.kinds |= list
		return s.list(n, depth)
	case '"':
		n.kinds |= text
		return s.text()
	case 't':
		n.kinds |= boolean
		return s.word("true")
	case 'f':
		n.kinds |= boolean
		return s.word("false")
	case 'n':
		n.kinds |= null
		return s.word("null")
	}
	n.kinds |= number
	return s.number()
}

func (s *scanner) word(w string) bool {
	if !bytes.HasPrefix(s.b[s.i:], []byte(w)) {
		return false
	}
	s.i += len(w)
	return true
}

func (s *scanner) digits() bool {
	from := s.i
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		s.i++
	}
	return s.i > from
}

func (s *scanner) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('-') {
			s.take('+')
		}
		return s.digits()
	}
	return true
}

func (s *scanner) text() bool {
	for s.i++; s.i < len(s.b); s.i++ {
		switch c := s.b[s.i]; {
		case c == '"':
			s.i++
			return true
		case c < ' ':
			return false
		case c == '\\':
			if s.i++; s.i == len(s.b) {
				return false
			}
			if s.b[s.i] != 'u' {
				if strings.IndexByte(`"\/bfnrt`, s.b[s.i]) < 0 {
					return false
				}
				continue
			}
			if s.i+4 >= len(s.b) || len(bytes.Trim(s.b[s.i+1:s.i+5], "0123456789abcdefABCDEF")) > 0 {
				return false
			}
			s.i += 4
		}
	}
	return false
}

func (s *scanner) list(n *node, depth int) bool {
	s.i++
	s.space()
	if s.take(']') {
		return true
	}
	if n.elem == nil && depth <= deepest {
		n.elem = &node{}
	}
	n.blind = n.blind || n.elem == nil
	for {
		s.space()
		if !s.value(n.elem, depth+1) {
			return false
		}
		s.space()
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *scanner) object(n *node, depth int) bool {
	s.i++
	n.objects++
	s.space()
	if s.take('}') {
		return true
	}
	n.blind = n.blind || depth > deepest
	for {
		s.space()
		from := s.i
		if s.i == len(s.b) || s.b[s.i] != '"' || !s.text() {
			return false
		}
		name := s.b[from+1 : s.i-1]
		if bytes.IndexByte(name, '\\') >= 0 {
			var plain string
			if json.Unmarshal(s.b[from:s.i], &plain) != nil {
				return false
			}
			name = []byte(plain)
		}
		s.space()
		if !s.take(':') {
			return false
		}
		s.space()
		var into *node
		if depth <= deepest {
			into = n.into(name)
		}
		from = s.i
		if !s.value(into, depth+1) {
			return false
		}
		if depth == 1 && s.top != nil && s.b[from] != '{' && s.b[from] != '[' {
			s.top(name, s.b[from:s.i])
		}
		s.space()
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}
