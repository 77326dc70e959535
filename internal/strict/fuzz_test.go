package strict

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// FuzzUnmarshal: whatever comes in, the decoder ends, fails with Problems alone
// and then leaves the destination as it was; what it takes as JSON, it reads as
// encoding/json does.
func FuzzUnmarshal(f *testing.F) {
	for _, s := range []string{
		"name: a\nitems: [{of: x, size: 3}]\nbyName: {k: &a {of: y}, l: *a}\n", "any: &a [*a]", "{\"name\":\"\\ud83d\\ude00\"}", "a: 1\n---\nb: 2\n",
		"? {a: b}\n: c", "<<: {a: 1}", "name: !!binary aGk=", "name: |\n x\n", "wait: 0s", "labels: {a: }", "tags: [~]", "%YAML 1.1\n---\nname: x", "\t", "\xff", "ratio: .nan",
	} {
		f.Add([]byte(s), "spec.items[0].of=x")
	}
	f.Fuzz(func(t *testing.T, data []byte, set string) {
		got := doc{Name: "untouched"}
		err := Unmarshal("f", data, &got)
		var ps Problems
		switch {
		case err != nil && (!errors.As(err, &ps) || len(ps) == 0 || ps.Error() == ""):
			t.Fatalf("the error is %T %q", err, err)
		case err != nil && !reflect.DeepEqual(got, doc{Name: "untouched"}):
			t.Fatalf("the destination was touched: %+v", got)
		case err == nil && json.Valid(data):
			sameAsJSON(t, data, got)
		}
		docs, err := Parse("f", data)
		if err != nil {
			return
		}
		for _, d := range docs {
			path, value, _ := strings.Cut(set, "=")
			if err := d.Set(path, value); err != nil && !errors.As(err, &ps) {
				t.Fatalf("Set: the error is %T", err)
			}
			if err := d.Decode(&doc{}); err != nil && !errors.As(err, &ps) {
				t.Fatalf("Decode: the error is %T", err)
			}
		}
	})
}

// sameAsJSON compares the texts that encoding/json finds, where it can decode at
// all: it takes durations as numbers, ours as text.
func sameAsJSON(t *testing.T, data []byte, got doc) {
	var want struct {
		Name  *string `json:"name"`
		Count uint64  `json:"count"`
	}
	if json.Unmarshal(data, &want) != nil || want.Name == nil {
		return
	}
	if got.Name != *want.Name || got.Count != want.Count {
		t.Fatalf("%q: got %q %d, encoding/json has %q %d", data, got.Name, got.Count, *want.Name, want.Count)
	}
}
