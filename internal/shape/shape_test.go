package shape

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestOf(t *testing.T) {
	for _, tc := range []struct{ body, want string }{
		{`{"b":1,"a":"x"}`, `{a:string,b:number}`},
		{` {"b": -1.5e+3, "a": null, "c": [true, false]} `, `{a:null,b:number,c:[bool]}`},
		{`[]`, `[]`},
		{`{}`, `{}`},
		{`"x"`, `string`},
		{"\xef\xbb\xbf{}", `{}`},
		{`[{"a":1},{"a":2,"b":"x"},{"a":null}]`, `[{a:null|number,b?:string}]`},
		{`{"a":[1,"x",[2],{"y":1}]}`, `{a:[number|string|{y:number}|[number]]}`},
		{`{"42":{"n":1},"43":{"n":2,"m":1}}`, `{*:{m?:number,n:number}}`},
		{`{"a@b.example":1,"c@d.example":"x","total":2}`, `{*:number|string,total:number}`},
		{`{"odd-name":1,"a.b":2,"\u0061":3}`, `{a:number,"a.b":number,odd-name:number}`},
		{`{"a":{"b":{"c":{"d":{"e":{"f":{"g":1}}}}}}}`, `{a:{b:{c:{d:{e:{f:{..}}}}}}}`},
		{`{"a":1,"a":"x"}`, `{a:number|string}`},
	} {
		got, ok := Of([]byte(tc.body), nil)
		if !ok || got != tc.want {
			t.Errorf("%s: %q (%v), want %q", tc.body, got, ok, tc.want)
		}
	}
	for _, bad := range []string{``, `{`, `{"a":}`, `{"a":1,}`, `[1 2]`, `{} {}`, `{"a":1}x`, `01`, `"\x"`, "\"\x01\"", "\"\xff\"", `nul`, `<html>`, `{"a":1`, `"\u12g4"`} {
		if got, ok := Of([]byte(bad), nil); ok {
			t.Errorf("%q is taken for %s", bad, got)
		}
	}
}

// A shape never shows a value, is never too long, and wide objects become maps.
func TestBounds(t *testing.T) {
	var b strings.Builder
	b.WriteByte('{')
	for i := range 200 {
		fmt.Fprintf(&b, "%q:{\"price\":1},", "name"+strings.Repeat(string(rune('a'+i%26)), 1+i/26))
	}
	b.WriteString(`"last":{"price":2,"old":"SECRET"}}`)
	got, ok := Of([]byte(b.String()), nil)
	if want := `{*:{old?:string,price:number}}`; !ok || got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	b.Reset()
	b.WriteByte('{')
	for i := range 32 {
		fmt.Fprintf(&b, "%q:{\"a\":{\"b\":1}},", strings.Repeat("x", 5)+strings.Repeat(string(rune('a'+i%26)), 2+i/26))
	}
	b.WriteString(`"z":1}`)
	got, ok = Of([]byte(b.String()), nil)
	if !ok || len(got) > Limit || !strings.Contains(got, "{..}") {
		t.Errorf("%d characters: %s", len(got), got)
	}
	long := strings.ReplaceAll(b.String(), "xxxxx", strings.Repeat("x", 30))
	got, ok = Of([]byte(long), nil)
	if !ok || !strings.HasPrefix(got, "{#") || len(got) > 40 {
		t.Errorf("not hashed: %s", got)
	}
	if deep, ok := Of([]byte(strings.Repeat("[", 9000)+strings.Repeat("]", 9000)), nil); !ok || deep != "[[[[[[[..]]]]]]]" {
		t.Errorf("deep: %v %s", ok, deep)
	}
}

func TestTop(t *testing.T) {
	var got []string
	_, _ = Of([]byte(`{"degraded":true,"n":{"stale":true},"source":"cache","l":[1]}`), func(name, value []byte) {
		got = append(got, string(name)+"="+string(value))
	})
	if strings.Join(got, " ") != `degraded=true source="cache"` {
		t.Errorf("got %q", got)
	}
}

func TestCompare(t *testing.T) {
	for _, tc := range []struct {
		name   string
		steady []string
		body   string
		want   Difference
		where  string
	}{
		{"same", []string{`{"a":1}`}, `{"a":2}`, Same, ""},
		{"more", []string{`{"a":1}`}, `{"a":2,"b":1}`, Same, ""},
		{"optional field", []string{`{"a":1}`, `{"a":1,"b":"x"}`}, `{"a":2}`, Same, ""},
		{"optional field of another type", []string{`{"a":1}`, `{"a":1,"b":"x"}`}, `{"a":2,"b":3}`, Changed, "b is number, not string"},
		{"field came to be null sometimes", []string{`{"a":1,"b":null}`, `{"a":1,"b":"x"}`}, `{"a":2,"b":null}`, Same, ""},
		{"nullable field is missing", []string{`{"a":1,"b":null}`, `{"a":1,"b":"x"}`}, `{"a":2}`, Same, ""},
		{"always null is now there", []string{`{"a":1,"b":null}`}, `{"a":2,"b":"x"}`, Same, ""},
		{"optional null", []string{`{"a":1}`, `{"a":1,"b":"x"}`}, `{"a":1,"b":null}`, Less, "b is null"},
		{"missing", []string{`{"a":1,"b":2}`}, `{"a":2}`, Less, "b is missing"},
		{"null", []string{`{"a":1,"b":2}`}, `{"a":2,"b":null}`, Less, "b is null"},
		{"an error in a 200", []string{`{"a":1,"b":2,"c":3}`}, `{"error":"x"}`, Lacking, ""},
		{"type", []string{`{"a":1}`}, `{"a":"x"}`, Changed, "a is string, not number"},
		{"object to list", []string{`{"a":1}`}, `[1]`, Changed, "is list, not object"},
		{"empty list", []string{`{"a":[{"x":1}]}`}, `{"a":[]}`, Same, ""},
		{"list was empty", []string{`{"a":[]}`}, `{"a":[{"x":1}]}`, Same, ""},
		{"in a list", []string{`[{"x":1},{"x":2}]`}, `[{"x":1},{}]`, Less, "[].x is missing"},
		{"map with other keys", []string{`{"u":{"17":1}}`}, `{"u":{"18":2,"19":3}}`, Same, ""},
		{"map with other values", []string{`{"u":{"17":1}}`}, `{"u":{"18":"x"}}`, Changed, "u.* is string, not number"},
		{"map of words, varying", []string{`{"ann":1}`, `{"bob":1}`}, `{"eve":1}`, Same, ""},
		{"no JSON", []string{`{"a":1}`}, `{"a":`, Broken, "no valid JSON"},
		{"it was no JSON before", []string{`{`, `{"a":1}`}, `{"a":`, Same, ""},
	} {
		var s Set
		for _, b := range tc.steady {
			s.Add(of(b), 10)
		}
		d, where := s.Compare(of(tc.body))
		if d != tc.want || tc.where != "" && where != tc.where {
			t.Errorf("%s: %v (%s), want %v (%s)", tc.name, d, where, tc.want, tc.where)
		}
	}
}

func of(body string) string {
	if s, ok := Of([]byte(body), nil); ok {
		return s
	}
	return Invalid
}

// Whatever a body was learned from, it does not differ from itself, in any order.
func TestLearnedIsSame(t *testing.T) {
	for seed := range uint64(200) {
		dice := rand.New(rand.NewPCG(seed, 1))
		var shapes []string
		var s Set
		for range 1 + dice.IntN(6) {
			shapes = append(shapes, of(random(dice, 4)))
			s.Add(shapes[len(shapes)-1], 1+dice.IntN(3))
		}
		for _, sh := range shapes {
			if d, where := s.Compare(sh); d != Same {
				t.Fatalf("seed %d: %s differs from %q: %v, %s", seed, sh, shapes, d, where)
			}
		}
	}
}

func random(dice *rand.Rand, depth int) string {
	switch k := dice.IntN(7); {
	case k < 2 && depth > 0:
		var parts []string
		for _, name := range []string{"a", "b", "c", "17", "x y"} {
			if dice.IntN(2) == 0 {
				parts = append(parts, fmt.Sprintf("%q:%s", name, random(dice, depth-1)))
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	case k == 2 && depth > 0:
		var parts []string
		for range dice.IntN(4) {
			parts = append(parts, random(dice, depth-1))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	return []string{"1", `"x"`, "true", "null"}[dice.IntN(4)]
}

func FuzzShape(f *testing.F) {
	for _, s := range []string{`{"a":[1,null,{"b":"x"}]}`, `[`, `{"1":{"2":{"3":[[[[[[1]]]]]]}}}`, "\"\\u00e4\"", `-0.1e5`, `{"a":1}{`, `{"":1,"a?":2,"*":3,"{":4}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := Of(body, nil)
		plain := bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
		if want := utf8.Valid(plain) && json.Valid(plain); ok != want {
			t.Fatalf("JSON: %v, encoding/json says %v", ok, want)
		}
		if !ok {
			return
		}
		if len(got) > Limit {
			t.Fatalf("%d characters", len(got))
		}
		n, ok := parse(got)
		if !ok {
			t.Fatalf("%q cannot be read back", got)
		}
		if again := n.String(); again != got && !strings.HasPrefix(got, "{#") {
			t.Fatalf("%q is read back as %q", got, again)
		}
		var s Set
		s.Add(got, 3)
		if d, where := s.Compare(got); d != Same {
			t.Fatalf("%q differs from itself: %v, %s", got, d, where)
		}
	})
}

func BenchmarkOf(b *testing.B) {
	body := []byte(`{"order":{"id":81723,"items":[{"sku":"a-1","name":"lamp","price":19.5},{"sku":"b-2","name":"desk","price":129}],"total":148.5},"user":{"name":"ann","address":null},"at":"2026-01-01T10:00:00Z","ok":true}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		Of(body, nil)
	}
}
