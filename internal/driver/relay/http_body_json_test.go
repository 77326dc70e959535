package relay

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/chaosctl/chaosctl/fault"
)

func TestEditJSON(t *testing.T) {
	const doc = ` { "a" : [ 1, {"b": "x\"]}" } , [] ] , "c.d":null,"e":{ }, "a b":-1.5e3 } `
	for _, tt := range []struct{ path, value, want string }{
		{"a[0]", `"one"`, ` { "a" : [ "one", {"b": "x\"]}" } , [] ] , "c.d":null,"e":{ }, "a b":-1.5e3 } `},
		{"a[1].b", `2`, ` { "a" : [ 1, {"b": 2 } , [] ] , "c.d":null,"e":{ }, "a b":-1.5e3 } `},
		{`["c.d"]`, `{}`, ` { "a" : [ 1, {"b": "x\"]}" } , [] ] , "c.d":{},"e":{ }, "a b":-1.5e3 } `},
		{`a b`, `0`, ` { "a" : [ 1, {"b": "x\"]}" } , [] ] , "c.d":null,"e":{ }, "a b":0 } `},
		{"e", `[]`, ` { "a" : [ 1, {"b": "x\"]}" } , [] ] , "c.d":null,"e":[], "a b":-1.5e3 } `},
		{"a", "", ` {"c.d":null,"e":{ }, "a b":-1.5e3 } `},
		{`["c.d"]`, "", ` { "a" : [ 1, {"b": "x\"]}" } , [] ] ,"e":{ }, "a b":-1.5e3 } `},
		{"a b", "", ` { "a" : [ 1, {"b": "x\"]}" } , [] ] , "c.d":null,"e":{ } } `},
		{"a[0]", "", ` { "a" : [{"b": "x\"]}" } , [] ] , "c.d":null,"e":{ }, "a b":-1.5e3 } `},
		{"a[2]", "", ` { "a" : [ 1, {"b": "x\"]}" }  ] , "c.d":null,"e":{ }, "a b":-1.5e3 } `},
		{"a[1].b", "", ` { "a" : [ 1, { } , [] ] , "c.d":null,"e":{ }, "a b":-1.5e3 } `},
		{"a[3]", "1", ""}, {"a.b", "1", ""}, {"e.x", "1", ""}, {"e[0]", "1", ""}, {"x", "1", ""}, {"a[2][0]", "1", ""}, {"a[0].x", "1", ""},
	} {
		e := fault.JSONEdit{Path: tt.path}
		steps, err := e.Steps()
		if err != nil {
			t.Fatal(err)
		}
		var text []byte
		if tt.value != "" {
			text = []byte(tt.value)
		}
		got, ok := editJSON([]byte(doc), steps, text)
		if string(got) != tt.want || ok != (tt.want != "") {
			t.Errorf("%s = %s:\ngot  %s\nwant %s", tt.path, tt.value, got, tt.want)
		}
	}
	key := []fault.JSONStep{{Key: "a", Index: -1}}
	for in, want := range map[string]string{
		`{"a":1,"a":2}`: `{"a":1,"a":9}`, `{"\u0061":1}`: `{"\u0061":9}`, `{"b":{"a":1},"a":[]}`: `{"b":{"a":1},"a":9}`,
		`{"a":1`: "", `[1]`: "", `1`: "", ``: "", `{"a":1} x`: "", `"a"`: "",
	} {
		if got, _ := editJSON([]byte(in), key, []byte("9")); string(got) != want {
			t.Errorf("%s becomes %s, not %s", in, got, want)
		}
	}
}

// What was edited is JSON, and says what encoding/json says of the same edit.
func FuzzEditJSON(f *testing.F) {
	f.Add([]byte(`{"a": [1, {"b": 2}], "c": "x"}`), "a[1].b", false)
	f.Add([]byte(` [ [ ] , "\\\"" , {"":{}} ] `), `[2][""]`, true)
	f.Add([]byte(`{"a":1,"a":[2,3]}`), "a[0]", true)
	f.Add([]byte(`{"a":-0.5e+7 , "b":null}`), "b", false)
	f.Fuzz(func(t *testing.T, doc []byte, path string, gone bool) {
		e := fault.JSONEdit{Path: path, Value: "new", Delete: gone}
		if gone {
			e.Value = nil
		}
		if e.Validate() != nil {
			return
		}
		steps, _ := e.Steps()
		got, ok := editJSON(doc, steps, e.Text())
		var before, after any
		if err := json.Unmarshal(doc, &before); err != nil {
			if ok {
				t.Errorf("%q is no JSON and was edited", doc)
			}
			return
		}
		want, there := edited(before, steps, e)
		if there != ok {
			t.Fatalf("%s at %s: edited %t, and should be %t", doc, path, ok, there)
		}
		if !ok {
			return
		}
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%s became %s: %v", doc, got, err)
		}
		if gone && !reflect.DeepEqual(after, want) { // a member that stood twice comes to light
			if _, still := edited(after, steps, fault.JSONEdit{Value: 1.}); !still {
				t.Errorf("%s without %s became %s", doc, path, got)
			}
			return
		}
		if !reflect.DeepEqual(after, want) {
			t.Errorf("%s at %s became %s", doc, path, got)
		}
	})
}

// edited does the same to what was read.
func edited(v any, steps []fault.JSONStep, e fault.JSONEdit) (any, bool) {
	if len(steps) == 0 {
		return e.Value, true
	}
	s, last := steps[0], len(steps) == 1
	switch v := v.(type) {
	case map[string]any:
		inner, ok := v[s.Key]
		if !ok || s.Index >= 0 {
			return nil, false
		}
		if last && e.Delete {
			delete(v, s.Key)
			return v, true
		}
		inner, ok = edited(inner, steps[1:], e)
		v[s.Key] = inner
		return v, ok
	case []any:
		if s.Index < 0 || s.Index >= len(v) {
			return nil, false
		}
		if last && e.Delete {
			return append(v[:s.Index:s.Index], v[s.Index+1:]...), true
		}
		inner, ok := edited(v[s.Index], steps[1:], e)
		v[s.Index] = inner
		return v, ok
	}
	return nil, false
}
