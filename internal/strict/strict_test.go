package strict

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// doc is a document with all that the decoder knows.
type doc struct {
	Name   string            `json:"name"`
	On     bool              `json:"on,omitempty"`
	Small  int8              `json:"small,omitempty"`
	Count  uint64            `json:"count,omitempty"`
	Ratio  float64           `json:"ratio,omitempty"`
	Wait   span              `json:"wait,omitempty" strict:"positive"`
	Tags   []string          `json:"tags,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Items  []item            `json:"items,omitempty"`
	ByName map[string]item   `json:"byName,omitempty"`
	One    *item             `json:"one,omitempty"`
	Any    any               `json:"any,omitempty"`
	Out    string            `json:"out,omitempty" strict:"output"`
	Spec   *doc              `json:"spec,omitempty"`
}

type item struct {
	Of   string `json:"of"`
	Size int    `json:"size,omitempty"`
}

func (i *item) Validate() error {
	var errs []error
	if i.Of == "" {
		errs = append(errs, Fieldf("of", "is missing"))
	}
	if i.Size > 10 {
		errs = append(errs, Fieldf("size", "must be at most 10, not %d", i.Size))
	}
	return errors.Join(errs...)
}

type span time.Duration

func (s *span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = span(d)
	if err != nil {
		return fmt.Errorf("is no duration: %q", b)
	}
	return nil
}

func TestUnmarshalGood(t *testing.T) {
	tests := map[string]doc{
		"name: a":              {Name: "a"},
		`{"name": "a"}`:        {Name: "a"},
		"\ufeffname: a":        {Name: "a"},
		"---\nname: a\n...\n":  {Name: "a"},
		"---\n---\nname: a\n":  {Name: "a"},
		"name: \"1\"\non: yes": {},
		"{\n\t\"name\": \"tabs\",\n\t\"tags\": [\n\t\t\"x\"\n\t]\n}":                        {Name: "tabs", Tags: []string{"x"}},
		"name: a\non: true\nsmall: -128\ncount: 18446744073709551615\nratio: 1e3\nwait: 2s": {Name: "a", On: true, Small: -128, Count: 1<<64 - 1, Ratio: 1000, Wait: span(2 * time.Second)},
		"tags: x\nname: ":                           {Tags: []string{"x"}},
		"tags: [a, b]\nlabels: {a.b/c: d}":          {Tags: []string{"a", "b"}, Labels: map[string]string{"a.b/c": "d"}},
		"items: [{of: x}]\none: {of: y, size: 10}":  {Items: []item{{Of: "x"}}, One: &item{"y", 10}},
		"byName: {a: &a {of: x}, b: *a}":            {ByName: map[string]item{"a": {Of: "x"}, "b": {Of: "x"}}},
		"any: {a: [1, 2.5, true, null, x, 1_0]}":    {Any: map[string]any{"a": []any{1, 2.5, true, nil, "x", 10}}},
		"any: null":                                 {},
		"name: 2001-01-01":                          {Name: "2001-01-01"},
		"name: <<":                                  {Name: "<<"},
		"'name': 'it''s'":                           {Name: "it's"},
		"name: !!str 5":                             {Name: "5"},
		"name: |\n  two\n  lines\n":                 {Name: "two\nlines\n"},
		"name: a # comment\n# another\n\nspec: {}":  {Name: "a", Spec: &doc{}},
		"labels: {\"a b\": \"\"}\nspec: {name: in}": {Labels: map[string]string{"a b": ""}, Spec: &doc{Name: "in"}},
	}
	for in, want := range tests {
		got := doc{}
		err := Unmarshal("f", []byte(in), &got)
		if in == "name: \"1\"\non: yes" {
			if err == nil || err.Error() != `f:2:5: on: must be true or false, not the text "yes"` {
				t.Errorf("%q: %v", in, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v (%v)", in, got, want, err)
		}
	}
}

func TestUnmarshalBad(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", "f: is empty"},
		{"# nothing\n", "f: is empty"},
		{"~", "f: is empty"},
		{"name: a\n---\nname: b\n", "f:3:1: holds 2 documents; one is expected here"},
		{"- a", "f:1:1: must be a mapping, not a list"},
		{"hello", `f:1:1: must be a mapping, not the text "hello"`},
		{"nam: a", "f:1:1: nam: is not a field here; did you mean `name`?"},
		{"out: a", "f:1:1: out: is not a field here; there are: any, byName, count, items, labels, name, on, one, ratio, small, spec, tags, wait"},
		{"zzzzzz: a\none: {zz: 1}", "f:1:1: zzzzzz: is not a field here; there are: any, byName, count, items, labels, name, on, one, ratio, small, spec, tags, wait\nf:2:7: one.zz: is not a field here; there are: of, size"},
		{"name: 5", "f:1:7: name: must be text, not the number 5; put it in quotes"},
		{"name: true", "f:1:7: name: must be text, not true; put it in quotes"},
		{"name: [a]", "f:1:7: name: must be text, not a list"},
		{"on: 1", "f:1:5: on: must be true or false, not the number 1"},
		{"small: 128", "f:1:8: small: must be a whole number from -128 to 127, not 128"},
		{"small: 99999999999999999999999", "f:1:8: small: must be a whole number from -128 to 127, not 99999999999999999999999"},
		{"small: 1.5", "f:1:8: small: must be a whole number, not the number 1.5"},
		{"small: 0x1F", "f:1:8: small: must be a whole number in plain digits, not 0x1F"},
		{"small: x", `f:1:8: small: must be a whole number, not the text "x"`},
		{"count: -1", "f:1:8: count: must be a whole number from 0 to 18446744073709551615, not -1"},
		{"ratio: .nan", "f:1:8: ratio: must be a finite number, not the number .nan"},
		{"ratio: -.inf", "f:1:8: ratio: must be a finite number, not the number -.inf"},
		{"ratio: 1e999", "f:1:8: ratio: must be a finite number, not the text \"1e999\""},
		{"any: [.inf]", "f:1:7: any[0]: must be a finite number, not the number .inf"},
		{"wait: soon", `f:1:7: wait: is no duration: "soon"`},
		{"wait: 0s", "f:1:7: wait: must be more than 0; leave it out for the default"},
		{"wait: [1s]", "f:1:7: wait: must be a single value, not a list"},
		{"tags: {a: b}", "f:1:7: tags: must be a list, not a mapping"},
		{"tags: [a, , b]", "f:1:11: is not YAML: a value is missing here"},
		{"tags: [a, ~]", "f:1:11: tags[1]: is empty"},
		{"labels: [a]", "f:1:9: labels: must be a mapping, not a list"},
		{"labels: {a: }", "f:1:10: labels.a: has no value; write \"\" for an empty one"},
		{"byName: {a: }", "f:1:10: byName.a: has no value; write {} for an empty one"},
		{"items: [{}, {of: x, size: 11}]", "f:1:9: items[0].of: is missing\nf:1:27: items[1].size: must be at most 10, not 11"},
		{"one: {of: x, size: a}", `f:1:20: one.size: must be a whole number, not the text "a"`},
		{"name: a\nname: b", "f:2:1: name: stands twice; the first is on line 1"},
		{"labels: {a: b, a: c}", "f:1:16: labels.a: stands twice; the first is on line 1"},
		{"? {a: b}\n: c", "f:1:3: a key must be text, not a mapping"},
		{"any: {~: 1}", "f:1:7: any: a key must be text, not nothing"},
		{"one: &a {of: x}\nspec: {<<: *a}", "f:2:8: spec.<<: merge keys are not supported; write the fields out, or use an alias for the whole value"},
		{"any: &a [*a]", "f:1:6: any[0]: refers to itself by an alias; write it out"},
		{"spec: &a {spec: *a}", "f:1:7: spec.spec: refers to itself by an alias; write it out"},
		{"any: &a {b: {c: *a}}", "f:1:6: any.b.c: refers to itself by an alias; write it out"},
		{"name: *x", "f:1:7: is not YAML: the alias *x has no anchor &x before it; put text that starts with * in quotes"},
		{"name: !foo a", "f:1:7: name: the tag !foo is not understood; leave it out"},
		{"name: !!binary aGk=", "f:1:7: name: the tag !!binary is not understood; leave it out"},
		{"a:\n\tb: 1", "f:2:1: is not YAML: a tab stands where spaces are expected"},
		{"a:\n  b: 1\n\tc: 2", "f:3:1: is not YAML: a tab stands where spaces are expected"},
		{"name: a: b", "f:1:8: is not YAML: a colon stands where none is expected; check the indentation, and put text that holds `: ` in quotes"},
		{"name: >= 5", "f:1:8: is not YAML: text that starts with > or | must stand in quotes, for example \"<= 300ms\" or \">= 99.5%\""},
		{"name: @x", "f:1:7: is not YAML: text cannot start with this character; put it in quotes"},
		{"name: - a", "f:1:7: is not YAML: a list cannot start behind a key; put the `-` on a line of its own"},
		{"name: a\nitems", "f:3:1: is not YAML: line 2 lacks a colon: expected `key: value`; the text ends here: is it cut off?"},
		{"tags: [a,\n", "f:2:1: is not YAML: a value is missing here; the text ends here: is it cut off?"},
		{"tags: [a, b\n", "f:2:1: is not YAML: the list that starts with [ on line 1 lacks a comma or its ]; the text ends here: is it cut off?"},
		{"one: {of: x\nname: y\n", "f:2:5: is not YAML: the mapping that starts with { on line 1 lacks a comma or its }"},
		{"name: a\ntags: [\"b\n", "f:3:1: is not YAML: the text that starts with a quote on line 2 has no closing quote; the text ends here: is it cut off?"},
		{`{"name": "a", "tags": ["b"`, "f:2:1: is not YAML: the list that starts with [ on line 1 lacks a comma or its ]; the text ends here: is it cut off?"},
		{"name: a\n tags: b", "f:2:6: is not YAML: a colon stands where none is expected; check the indentation, and put text that holds `: ` in quotes"},
		{"name: \"\\q\"", "f:1:8: is not YAML: a backslash escape that does not exist; write \\\\ for a backslash, or use single quotes"},
		{"name: \xff", "f:1:7: is not UTF-8 text: the byte 0xff stands here"},
		{"a\xc3\xa4: \xc3", "f:1:5: is not UTF-8 text: the byte 0xc3 stands here"},
		{"\xff\xfen\x00:\x00", "f:1:1: is not UTF-8 text: the byte 0xff stands here"},
		{"x: 1\nname: \x00", "f:2:7: is not text: the control character 0x00 stands here"},
	}
	for _, tt := range tests {
		got := doc{Name: "untouched"}
		err := Unmarshal("f", []byte(tt.in), &got)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%q:\n got %v\nwant %s", tt.in, err, tt.want)
		}
		var ps Problems
		if !errors.As(err, &ps) {
			t.Errorf("%q: the error is a %T", tt.in, err)
		}
		if !reflect.DeepEqual(got, doc{Name: "untouched"}) {
			t.Errorf("%q: the destination was touched: %+v", tt.in, got)
		}
	}
}

// TestHostileDocuments: each ends soon, in an error, at the cost of its size.
func TestHostileDocuments(t *testing.T) {
	laughs := "any:\n  - &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := 1; i < 10; i++ {
		laughs += fmt.Sprintf("  - &a%d [%s]\n", i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	var indent strings.Builder
	for i := range 1400 {
		indent.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	tests := map[string]struct{ in, want string }{
		"50 MiB":          {strings.Repeat("name: a long document\n", 50<<20/22), "limit is 1 MiB"},
		"billion laughs":  {laughs, "repeated by aliases beyond the limits of 64 levels and 100000 values"},
		"laughs in lists": {strings.ReplaceAll(laughs, "any:", "items:"), "must be a mapping, not a list"},
		"brackets":        {"any: " + strings.Repeat("[", 100_000), "nests deeper than 64 levels"},
		"closed brackets": {"any: " + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000), "nests deeper than 64 levels"},
		"braces":          {"any: " + strings.Repeat("{a: ", 9_000), "nests deeper than 64 levels"},
		"dashes":          {strings.Repeat("- ", 400_000), "nests deeper than 64 levels"},
		"question marks":  {strings.Repeat("? ", 400_000), "nests deeper than 64 levels"},
		"indentation":     {indent.String(), "nests deeper than 64 levels"},
		"commas":          {"any: [" + strings.Repeat("1,", 500_000) + "]", "holds too many values"},
		"many values":     {"any: [" + strings.Repeat("1,", 150_000) + "]", "limits of 64 levels and 100000 values"},
		"anchors":         {strings.Repeat("- &a b\n", 140_000), "must be a mapping, not a list"},
		"comments":        {strings.Repeat("# x\n", 100_000), "is empty"},
		"many mistakes": {"byName:\n" + func() string {
			var b strings.Builder
			for i := range 30_000 {
				fmt.Fprintf(&b, "  k%d: {x: 1}\n", i)
			}
			return b.String()
		}(), "has more mistakes; these are the first 100"},
		"a long key":       {strings.Repeat("a", 500_000) + ": b", "..."},
		"a long text":      {"on: " + strings.Repeat("b", 500_000), "..."},
		"many documents":   {strings.Repeat("---\na: 1\n", 90_000), "f:33:1: holds more than 16 documents"},
		"documents, empty": {strings.Repeat("---\n", 190_000), "is empty"},
		"long text, again": {"on: &a " + strings.Repeat("b", 500_000) + "\nbyName:\n" + strings.Repeat("  ? x\n  : *a\n", 1) + "items: [" + strings.Repeat("*a,", 100_000) + "]", "limits of 64 levels and 100000 values"},
		"unknown aliases":  {strings.Repeat("- *a\n", 100_000), "has no anchor"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			err := Unmarshal("f", []byte(tt.in), &doc{})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %.300v, want %s", err, tt.want)
			}
			if err != nil && len(err.Error()) > 20_000 {
				t.Errorf("the error is %d bytes long", len(err.Error()))
			}
			if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 400 {
				t.Errorf("took %d MiB", mib)
			}
			if took > 20*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

func TestSuggest(t *testing.T) {
	for word, want := range map[string]string{
		"latncy": "; did you mean `latency`?", "latecny": "; did you mean `latency`?", "LATENCY": "; did you mean `latency`?",
		"lat": "; did you mean `latency`?", "xyz": "; there are: jitter, latency", "": "; there are: jitter, latency",
	} {
		if got := Suggest(word, []string{"latency", "jitter", "latency"}); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
	if got, want := Suggest("edge", []string{"edge\n\x1b"}), "; did you mean `edge\\n\\x1b`?"; got != want {
		t.Errorf("hostile: got %q, want %q", got, want)
	}
	if got := Suggest("a", nil); got != "" {
		t.Errorf("no candidates: %q", got)
	}
}

func TestCheckFindsPlaces(t *testing.T) {
	docs, err := Parse("f", []byte("a:\n  b.c: [x, {d: 1}]\n  e: 2\nf: &f {g: 1}\nh: *f\n"))
	if err != nil {
		t.Fatal(err)
	}
	root := docs[0].Root()
	root.Check(errors.Join(
		Fieldf("a.b.c[1].d", "one"), Fieldf("a.b.c[7]", "two"), Fieldf("a.zz.y", "three"), Fieldf("h.g", "four"), Fieldf("", "five"), errors.New("six"),
	))
	want := "f:1:1: five\nf:1:1: six\nf:2:3: a.zz.y: three\nf:2:8: a.b.c[7]: two\nf:2:16: a.b.c[1].d: one\nf:4:11: h.g: four"
	if got := docs[0].Problems().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	root.CheckRest(errors.Join(Fieldf("a.b.c", "passed over"), Fieldf("a.e", "kept")))
	if got := docs[0].Problems().Error(); strings.Contains(got, "passed over") || !strings.Contains(got, "f:3:6: a.e: kept") {
		t.Errorf("CheckRest: %s", got)
	}
	if root.At("a.e").OK() || root.At("nothing") != nil || !root.At("f.g").OK() || root.LineOf("a.b.c[1].d") != 2 {
		t.Error("At, OK or LineOf are wrong")
	}
}
