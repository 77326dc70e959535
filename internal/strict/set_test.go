package strict

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSet(t *testing.T) {
	const text = "name: a\nspec:\n  name: b\n  items: [{of: x}, {of: y}]\n  one: &one {of: z}\n  byName: {k: *one}\n  labels: {a.b: c}\n"
	base := func() doc {
		return doc{Name: "a", Spec: &doc{Name: "b", Items: []item{{Of: "x"}, {Of: "y"}}, One: &item{Of: "z"}, ByName: map[string]item{"k": {Of: "z"}}, Labels: map[string]string{"a.b": "c"}}}
	}
	tests := []struct {
		set  string
		want func(d *doc)
	}{
		{"name=b", func(d *doc) { d.Name = "b" }},
		{"spec.name=c", func(d *doc) { d.Spec.Name = "c" }},
		{"items[1].size=7", func(d *doc) { d.Spec.Items[1].Size = 7 }},
		{"spec.items[0]={of: q, size: 2}", func(d *doc) { d.Spec.Items[0] = item{"q", 2} }},
		{"spec.one.of=other", func(d *doc) { d.Spec.One.Of = "other" }},
		{"byName.k.of=other", func(d *doc) { d.Spec.ByName["k"] = item{Of: "other"} }},
		{"spec.spec.spec.wait=2s", func(d *doc) { d.Spec.Spec = &doc{Spec: &doc{Wait: span(2 * time.Second)}} }},
		{"spec.tags=[a, 'b']", func(d *doc) { d.Spec.Tags = []string{"a", "b"} }},
		{"spec.tags=a", func(d *doc) { d.Spec.Tags = []string{"a"} }},
		{"spec.name=>= 99.5%", func(d *doc) { d.Spec.Name = ">= 99.5%" }},
		{"spec.name=< 50%", func(d *doc) { d.Spec.Name = "< 50%" }},
		{"spec.name=* & @ !", func(d *doc) { d.Spec.Name = "* & @ !" }},
		{"spec.name=foo: bar # x", func(d *doc) { d.Spec.Name = "foo: bar # x" }},
		{"spec.name=\"5\"", func(d *doc) { d.Spec.Name = "5" }},
		{"spec.ratio=-1.5", func(d *doc) { d.Spec.Ratio = -1.5 }},
		{"spec.name=a=b", func(d *doc) { d.Spec.Name = "a=b" }},
		{"spec.one=", func(d *doc) { d.Spec.One = nil }},
		{"spec.name=", func(d *doc) { d.Spec.Name = "" }},
	}
	for _, tt := range tests {
		docs, err := Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		path, value, _ := strings.Cut(tt.set, "=")
		if err := docs[0].Set(path, value); err != nil {
			t.Errorf("%s: %v", tt.set, err)
			continue
		}
		got, want := doc{}, base()
		tt.want(&want)
		if err := docs[0].Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v (%v)", tt.set, got.Spec, want.Spec, err)
		}
	}
}

func TestSetRefuses(t *testing.T) {
	const text = "name: a\nspec:\n  items: [{of: x}]\n"
	for set, want := range map[string]string{
		"=1":                                  "--set =1: has no path; write it like spec.steps[0].for=2s",
		"a..b=1":                              `--set a..b=1: "a..b" is not a path; write it like spec.steps[0].for`,
		"a.=1":                                `--set a.=1: "a." is not a path; write it like spec.steps[0].for`,
		"a[x]=1":                              `--set a[x]=1: "a[x]" is not a path; write it like spec.steps[0].for`,
		"a[-1]=1":                             `--set a[-1]=1: "a[-1]" is not a path; write it like spec.steps[0].for`,
		"[0]=1":                               "--set [0]=1: has no path; write it like spec.steps[0].for=2s",
		"items[1].of=1":                       "--set items[1].of=1: there is no spec.items[1]; entries are counted from 0, and spec.items has 1",
		"items.of=1":                          "--set items.of=1: spec.items is a list; say which entry, for example spec.items[0]",
		"name.x=1":                            `--set name.x=1: name is the text "a", not a mapping`,
		"name[0]=1":                           `--set name[0]=1: name is the text "a", not a list`,
		"name=[a":                             "--set name=[a: is not YAML: the list that starts with [ on line 1 lacks a comma or its ]; the text ends here: is it cut off?",
		"name={a: 1} {b}":                     "--set name={a: 1} {b}: is not YAML: expected the end of the document here; check the indentation and brackets",
		"name=\xff":                           "is not UTF-8 text",
		"a" + strings.Repeat(".a", 40) + "=1": "has a path of more than 32 parts",
	} {
		docs, err := Parse("f", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		path, value, _ := strings.Cut(set, "=")
		err = docs[0].Set(path, value)
		var ps Problems
		if !errors.As(err, &ps) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", set, err, want)
		}
	}
	docs, _ := Parse("f", []byte(text))
	for _, set := range []string{"items[0].size=99", "spec.ratio=x", "spec.spec.nam=y"} {
		path, value, _ := strings.Cut(set, "=")
		if err := docs[0].Set(path, value); err != nil {
			t.Fatal(err)
		}
	}
	want := "--set items[0].size=99: spec.items[0].size: must be at most 10, not 99\n" +
		"--set spec.ratio=x: spec.ratio: must be a finite number, not the text \"x\"\n" +
		"--set spec.spec.nam=y: spec.spec.nam: is not a field here; did you mean `name`?"
	if err := docs[0].Decode(&doc{}); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
