package shape

import (
	"fmt"
	"strconv"
	"strings"
)

// merge adds the values of another node, as n of them.
func (n *node) merge(o *node, times int) {
	n.kinds |= o.kinds
	n.blind = n.blind || o.blind
	if o.kinds&object != 0 {
		before := n.objects
		n.objects += times
		for name, f := range o.fields {
			if len(n.fields) >= plainNames && n.fields[name] == nil {
				n.generalise()
			}
			if n.wide {
				n.mergeRest(&f.node, times)
				continue
			}
			if n.fields == nil {
				n.fields = map[string]*field{}
			}
			mine := n.fields[name]
			if mine == nil {
				mine = &field{maybe: before > 0}
				n.fields[name] = mine
			}
			mine.seen += times
			mine.maybe = mine.maybe || f.optional(o)
			mine.merge(&f.node, times)
		}
		if o.wide && !n.wide {
			n.generalise()
		}
		if o.rest != nil {
			n.mergeRest(o.rest, times)
		}
	}
	if o.elem != nil {
		if n.elem == nil {
			n.elem = &node{}
		}
		n.elem.merge(o.elem, times)
	}
}

func (n *node) mergeRest(o *node, times int) {
	if n.rest == nil {
		n.rest = &node{}
	}
	n.rest.merge(o, times)
}

// parser reads shapes.
type parser struct {
	s     string
	depth int
}

// parse reads a shape back; false if it is none.
func parse(s string) (*node, bool) {
	n, p := &node{}, parser{s: s}
	return n, p.union(n) && p.s == ""
}

func (p *parser) take(word string) bool {
	rest, ok := strings.CutPrefix(p.s, word)
	if ok {
		p.s = rest
	}
	return ok
}

func (p *parser) union(n *node) bool {
	if p.depth++; p.depth > 2*deepest {
		return false
	}
	defer func() { p.depth-- }()
	for {
		switch {
		case p.take("null"):
			n.kinds |= null
		case p.take("bool"):
			n.kinds |= boolean
		case p.take("number"):
			n.kinds |= number
		case p.take("string"):
			n.kinds |= text
		case p.take("{"):
			if !p.object(n) {
				return false
			}
		case p.take("["):
			if !p.list(n) {
				return false
			}
		default:
			return false
		}
		if !p.take("|") {
			return true
		}
	}
}

func (p *parser) list(n *node) bool {
	n.kinds |= list
	switch {
	case p.take("]"):
		return true
	case p.take("..]"):
		n.blind = true
		return true
	}
	if n.elem == nil {
		n.elem = &node{}
	}
	return p.union(n.elem) && p.take("]")
}

func (p *parser) object(n *node) bool {
	n.kinds |= object
	n.objects = 1
	if p.take("..}") {
		n.blind = true
		return true
	}
	if p.take("#") {
		n.blind = true
		_, rest, ok := strings.Cut(p.s, "}")
		p.s = rest
		return ok
	}
	if p.take("}") {
		return true
	}
	for {
		if p.take("*:") {
			n.rest = &node{}
			if !p.union(n.rest) {
				return false
			}
		} else if !p.field(n) {
			return false
		}
		if p.take("}") {
			return true
		}
		if !p.take(",") {
			return false
		}
	}
}

func (p *parser) field(n *node) bool {
	var name string
	if strings.HasPrefix(p.s, `"`) {
		quoted, err := strconv.QuotedPrefix(p.s)
		if err != nil {
			return false
		}
		p.s = p.s[len(quoted):]
		if name, err = strconv.Unquote(quoted); err != nil {
			return false
		}
	} else {
		end := strings.IndexAny(p.s, "?:")
		if end < 0 {
			return false
		}
		name, p.s = p.s[:end], p.s[end:]
	}
	f := &field{seen: 1, maybe: p.take("?")}
	if n.fields == nil {
		n.fields = map[string]*field{}
	}
	n.fields[name] = f
	return p.take(":") && p.union(&f.node)
}

// Set is what some bodies look like together. The zero value has none.
type Set struct {
	root           node
	seen           int
	invalid, plain int
}

// Add learns a shape that was seen so often; empty is that of a body which is no JSON.
func (s *Set) Add(shape string, times int) {
	s.seen += times
	switch shape {
	case "":
		s.plain += times
		return
	case Invalid:
		s.invalid += times
		return
	}
	if n, ok := parse(shape); ok {
		s.root.merge(n, times)
	}
}

// Difference is how a body differs from what was learned.
type Difference int

// The differences. Less: fields that all had are missing or null, and at the top half
// of them or more are there. Lacking: fewer than that. Changed: something has another
// type. Broken: it should be JSON, and is none. More, or what was seen from some
// bodies, is no difference.
const (
	Same Difference = iota
	Less
	Lacking
	Changed
	Broken
)

// Compare tells how a shape differs from what was learned, and where, in a few words.
// With nothing learned nothing differs.
func (s *Set) Compare(shape string) (d Difference, where string) {
	switch {
	case s.seen == 0:
		return Same, ""
	case shape == Invalid && s.invalid == 0:
		return Broken, "no valid JSON"
	case shape == "" && s.plain == 0 && s.invalid == 0:
		return Broken, "no JSON"
	case shape == Invalid, shape == "", s.plain+s.invalid == s.seen:
		return Same, ""
	}
	n, ok := parse(shape)
	if !ok {
		return Same, ""
	}
	d, where = compare(&s.root, n, "")
	if d == Less && s.root.kinds == object && n.kinds == object {
		required, there := 0, 0
		for name, f := range s.root.fields {
			if f.optional(&s.root) || f.kinds&null != 0 {
				continue
			}
			required++
			if has := n.fields[name]; has != nil && has.kinds&null == 0 {
				there++
			}
		}
		if 2*there < required {
			d = Lacking
		}
	}
	return d, where
}

// compare looks for the worst difference of a value from those that were learned.
func compare(known, n *node, path string) (worst Difference, where string) {
	note := func(d Difference, at string) {
		if d > worst {
			worst, where = d, at
		}
	}
	if known.kinds&^null == 0 { // never anything but null, or nothing at all
		return Same, ""
	}
	if more := n.kinds &^ known.kinds; more&^null != 0 {
		return Changed, strings.TrimSpace(path+" is "+more.String()) + ", not " + known.kinds.String()
	} else if more != 0 {
		note(Less, strings.TrimSpace(path+" is null"))
	}
	if n.kinds&object != 0 && known.kinds&object != 0 && !n.blind && !known.blind {
		for name, f := range known.fields {
			at := strings.TrimPrefix(path+"."+name, ".")
			has := n.fields[name]
			switch {
			case has != nil:
				d, w := compare(&f.node, &has.node, at)
				note(d, w)
			case n.wide || n.rest != nil && len(n.fields) == 0:
			case !f.optional(known) && f.kinds&null == 0:
				note(Less, at+" is missing")
			}
			if has != nil && has.maybe && !f.optional(known) {
				note(Less, at+" is missing")
			}
		}
		if n.rest != nil && known.rest != nil {
			d, w := compare(known.rest, n.rest, path+".*")
			note(d, w)
		}
	}
	if n.elem != nil && known.elem != nil && !n.blind && !known.blind {
		d, w := compare(known.elem, n.elem, path+"[]")
		note(d, w)
	}
	return worst, where
}

// String is the types in words.
func (k kinds) String() string {
	var all []string
	for i, w := range []string{"null", "bool", "number", "string", "object", "list"} {
		if k&(1<<i) != 0 {
			all = append(all, w)
		}
	}
	return strings.Join(all, " or ")
}

// String is a difference in words.
func (d Difference) String() string {
	if d < Same || d > Broken {
		return fmt.Sprintf("difference %d", int(d))
	}
	return [...]string{"same", "less", "lacking", "changed", "broken"}[d]
}
