package relay

import (
	"bytes"
	"encoding/json"

	"github.com/chaosctl/chaosctl/fault"
)

// editJSON puts text in the place of the value at a path, or takes it out if text is
// nil; every other byte stays. false says that doc is not JSON, or has no such value.
// Of members that stand twice the last is meant, as most readers have it.
func editJSON(doc []byte, steps []fault.JSONStep, text []byte) ([]byte, bool) {
	if !json.Valid(doc) {
		return nil, false
	}
	s := scanner{doc: doc}
	at := part{value: s.skipSpace(0)}
	for _, step := range steps {
		var ok bool
		if at, ok = s.find(at.value, step); !ok {
			return nil, false
		}
	}
	from, to := at.value, s.skip(at.value)
	if text == nil {
		from, to = at.begin, at.end
	}
	return bytes.Join([][]byte{doc[:from], doc[to:]}, text), true
}

// part is a member or an element in a document: where its value begins, and from
// where to where it has to go, with its comma, to be gone.
type part struct{ value, begin, end int }

// scanner walks over a document that is known to be JSON.
type scanner struct{ doc []byte }

// skipSpace is the first place from i on that is no white space.
func (s *scanner) skipSpace(i int) int {
	for i < len(s.doc) && (s.doc[i] == ' ' || s.doc[i] == '\t' || s.doc[i] == '\n' || s.doc[i] == '\r') {
		i++
	}
	return i
}

// skip is the place behind the value that begins at i.
func (s *scanner) skip(i int) int {
	switch s.doc[i] {
	case '"':
		for i++; s.doc[i] != '"'; i++ {
			if s.doc[i] == '\\' {
				i++
			}
		}
		return i + 1
	case '{', '[':
		for depth := 0; ; i++ {
			switch s.doc[i] {
			case '"':
				i = s.skip(i) - 1
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
		}
	}
	for i < len(s.doc) && !bytes.ContainsRune([]byte(",]} \t\r\n"), rune(s.doc[i])) {
		i++
	}
	return i
}

// find goes one step into the object or list that begins at i.
func (s *scanner) find(i int, step fault.JSONStep) (found part, ok bool) {
	opens := byte('[')
	if step.Index < 0 {
		opens = '{'
	}
	if s.doc[i] != opens {
		return found, false
	}
	begin := i + 1 // of what goes with the part: its comma stands before it, but for the first
	for n := 0; ; n++ {
		at := s.skipSpace(begin)
		if n == 0 && (s.doc[at] == '}' || s.doc[at] == ']') {
			return found, false
		}
		if n > 0 { // at a comma
			at = s.skipSpace(at + 1)
		}
		matches := step.Index == n
		if step.Index < 0 {
			end := s.skip(at)
			var key string
			matches = json.Unmarshal(s.doc[at:end], &key) == nil && key == step.Key
			at = s.skipSpace(s.skipSpace(end) + 1) // behind the colon
		}
		end := s.skip(at)
		after := s.skipSpace(end)
		if matches {
			found, ok = part{at, begin, end}, true
			if n == 0 && s.doc[after] == ',' {
				found.end = s.skipSpace(after + 1) // no comma stands before the first
			}
			if step.Index >= 0 {
				return found, true
			}
		}
		if s.doc[after] != ',' {
			return found, ok
		}
		begin = after
	}
}
