//go:build linux

package compat

import (
	"fmt"
	"slices"
)

// kinds are the types of toxics and their attributes.
var kinds = []struct {
	name  string
	attrs []string
}{
	{"latency", []string{"latency", "jitter"}},
	{"bandwidth", []string{"rate"}},
	{"slow_close", []string{"delay"}},
	{"timeout", []string{"timeout"}},
	{"reset_peer", []string{"timeout"}},
	{"slicer", []string{"average_size", "size_variation", "delay"}},
	{"limit_data", []string{"bytes"}},
	{"noop", nil},
}

func toxicGroups() []group {
	add := func(body string) string { return "POST /proxies/x/toxics " + body }
	all := []group{
		{name: "toxics: defaults", asks: defaults()},
		{name: "toxics: streams and names", asks: []string{
			make1,
			add(`{"type":"latency","stream":"upstream"}`), add(`{"type":"latency","stream":"downstream"}`), add(`{"type":"latency","stream":"UpStream"}`), add(`{"type":"latency","stream":"DOWNSTREAM"}`),
			add(`{"type":"latency","stream":""}`), add(`{"type":"latency","stream":"sideways"}`), add(`{"type":"latency","stream":null,"name":"n1"}`), add(`{"type":"latency","stream":1}`),
			add(`{"type":"latency","stream":" upstream"}`), add(`{"type":"nonsense","stream":"sideways"}`), add(`{"type":"latency"}`), add(`{"type":"latency","stream":"upstream"}`), add(`{"type":"noop","name":"n1","stream":"upstream"}`),
			add(`{"type":"latency","name":"n1"}`), add(`{"type":"latency","name":"N1"}`), add(`{"type":"latency","name":""}`), add(`{"type":"latency","name":null}`), add(`{"type":"latency","name":1}`),
			add(`{"type":"timeout","name":"a b"}`), "GET /proxies/x/toxics/a%20b", "GET /proxies/x/toxics", "GET /proxies/x", "GET /proxies",
			"GET /proxies/x/toxics/latency_upstream", "GET /proxies/x/toxics/latency_UpStream", "GET /proxies/x/toxics/LATENCY_upstream", "GET /proxies/x/toxics/none",
			"DELETE /proxies/x/toxics/n1", "DELETE /proxies/x/toxics/n1", "GET /proxies/x/toxics/n1", `PATCH /proxies/x/toxics/n1 {}`, "GET /proxies/x/toxics",
			"POST /reset", "GET /proxies/x/toxics",
		}},
		{name: "toxics: types", asks: []string{
			make1,
			add(`{}`), add(`null`), add(`{"type":""}`), add(`{"type":null}`), add(`{"type":"nonsense"}`), add(`{"type":"Latency"}`), add(`{"type":"LATENCY"}`), add(`{"type":"down"}`), add(`{"type":"latency "}`), add(`{"type":1}`),
			add(`{"type":"nonsense","attributes":1}`), add(`{"name":"a"}`), add(`{"type":"nonsense","name":"a"}`), add(`{"Type":"noop","Name":"cased","STREAM":"upstream","Toxicity":0.25,"ATTRIBUTES":{}}`),
			add(`{"type":"noop","type":"latency","name":"twice"}`), add(`{"type":"noop","name":"extra","color":1}`), add(`{"type":"noop","name":"trail"} and more`), "GET /proxies/x/toxics",
		}},
		{name: "toxics: toxicity", asks: toxicity()},
		{name: "toxics: bad bodies", asks: append([]string{make1}, badBodies("POST /proxies/x/toxics ", "GET /proxies/x/toxics")...)},
		{name: "toxics: bad bodies of updates", asks: slices.Concat(
			[]string{make1, add(`{"type":"latency","name":"t","attributes":{"latency":3}}`)},
			badBodies("POST /proxies/x/toxics/t ", "GET /proxies/x/toxics/t"),
		)},
		{name: "toxics: whole numbers written otherwise", asks: whole()},
		{name: "toxics: what the original dies of", asks: deadly()},
		{name: "toxics: half an update", asks: halves()},
		{name: "more than the original can", asks: beyond()},
		{name: "toxics: updates", asks: updates("POST")},
		{name: "toxics: updates by PATCH", asks: updates("PATCH")},
		{name: "toxics: order", asks: []string{
			make1,
			add(`{"type":"latency","name":"d1"}`), add(`{"type":"latency","name":"u1","stream":"upstream"}`), add(`{"type":"noop","name":"d2"}`), add(`{"type":"noop","name":"u2","stream":"upstream"}`), add(`{"type":"limit_data","name":"a0"}`),
			"GET /proxies/x/toxics", "DELETE /proxies/x/toxics/d1", "GET /proxies/x/toxics", add(`{"type":"latency","name":"d1"}`), "GET /proxies/x/toxics", `POST /proxies/x/toxics/d2 {"toxicity":0.5}`, "GET /proxies/x/toxics", "GET /proxies",
			"DELETE /proxies/x", "GET /proxies/x/toxics", make1, "GET /proxies/x/toxics",
		}},
		{name: "toxics: big numbers", asks: []string{
			make1,
			add(`{"type":"latency","name":"a","attributes":{"latency":1000,"jitter":10}}`), add(`{"type":"bandwidth","name":"b","attributes":{"rate":1000000}}`), add(`{"type":"limit_data","name":"c","attributes":{"bytes":1099511627776}}`),
			add(`{"type":"slicer","name":"e","attributes":{"average_size":64,"size_variation":32,"delay":10}}`), add(`{"type":"timeout","name":"f","attributes":{"timeout":3600000}}`),
			"GET /proxies/x/toxics", "GET /proxies",
			add(`{"type":"timeout","name":"g","attributes":{"timeout":86400000}}`), add(`{"type":"latency","name":"h","attributes":{"latency":3600001}}`), add(`{"type":"limit_data","name":"i","attributes":{"bytes":9007199254740993}}`),
			add(`{"type":"limit_data","name":"j","attributes":{"bytes":9223372036854775807}}`),
		}},
	}
	for _, k := range kinds {
		if len(k.attrs) > 0 {
			all = append(all, group{name: "toxics: attributes of " + k.name, asks: attributes(k.name, k.attrs)})
		}
	}
	return all
}

// defaults is each type with nothing said, seen from all places.
func defaults() []string {
	asks := []string{make1}
	for _, k := range kinds {
		if k.name == "slicer" { // with nothing said it kills the original: see deadly
			continue
		}
		for _, stream := range []string{"downstream", "upstream"} {
			asks = append(asks, fmt.Sprintf(`POST /proxies/x/toxics {"type":%q,"stream":%q}`, k.name, stream))
		}
		asks = append(asks,
			fmt.Sprintf(`POST /proxies/x/toxics {"type":%q,"name":"empty %s","attributes":{}}`, k.name, k.name),
			fmt.Sprintf(`POST /proxies/x/toxics {"type":%q,"name":"null %s","attributes":null}`, k.name, k.name),
			fmt.Sprintf(`GET /proxies/x/toxics/%s_upstream`, k.name),
			fmt.Sprintf(`POST /proxies/x/toxics/%s_upstream {}`, k.name),
		)
	}
	return append(asks, "GET /proxies/x/toxics", "GET /proxies/x", "GET /proxies", "POST /reset", "GET /proxies")
}

func toxicity() []string {
	asks := []string{make1}
	for i, v := range []string{"0", "1", "0.5", "0.2", "0.1", "0.30000000000000004", "1e-7", "0.00001", "1.0", "1e0", "null", "0.999999999", "3.4e-39", "0.33333334", "0.123456789",
		`"0.5"`, "true", "{}", "[]", "1e39", "NaN", "1e400", "", "0x1"} {
		asks = append(asks,
			fmt.Sprintf(`POST /proxies/x/toxics {"type":"noop","name":"t%d","toxicity":%s}`, i, v),
			fmt.Sprintf(`POST /proxies/x/toxics/t0 {"toxicity":%s}`, v),
			"GET /proxies/x/toxics/t0")
	}
	return append(asks, "GET /proxies/x/toxics")
}

// attributes is each attribute with values that are good, and values that are
// not, when a toxic is made and when it is changed.
func attributes(kind string, attrs []string) []string {
	asks := []string{make1}
	n := 0
	for _, a := range attrs {
		for _, v := range []string{
			"0", "1", "100", "null", "1.5", `"100"`, `""`, "true", "{}", "[]", "[1]", "9223372036854775808", "1e30", "NaN", "01", "", "-0",
		} {
			n++
			with := ""
			if kind == "slicer" {
				with = `"average_size":1000,`
				if a == "average_size" {
					with = ""
					if v == "0" || v == "null" || v == "-0" {
						continue // see deadly
					}
				}
			}
			asks = append(asks,
				fmt.Sprintf(`POST /proxies/x/toxics {"type":%q,"name":"t%d","attributes":{%s%q:%s}}`, kind, n, with, a, v),
				fmt.Sprintf(`GET /proxies/x/toxics/t%d`, n))
		}
	}
	asks = append(asks, fmt.Sprintf(`POST /proxies/x/toxics {"type":%q,"name":"u","attributes":{%q:50}}`, kind, attrs[0]))
	for _, v := range []string{"60", "1", "1.5", `"100"`, "true", "{}", "[]", "9223372036854775808", "NaN"} {
		asks = append(asks,
			fmt.Sprintf(`PATCH /proxies/x/toxics/u {"attributes":{%q:%s}}`, attrs[0], v),
			`GET /proxies/x/toxics/u`)
	}
	for _, body := range []string{`[]`, `1`, `"x"`, `true`, `[1]`} {
		n++
		asks = append(asks, fmt.Sprintf(`POST /proxies/x/toxics {"type":%q,"name":"t%d","attributes":%s}`, kind, n, body),
			fmt.Sprintf(`POST /proxies/x/toxics/u {"attributes":%s}`, body))
	}
	return append(asks,
		fmt.Sprintf(`POST /proxies/x/toxics {"type":%q,"name":"unknown","attributes":{%q:3,"color":"red","deep":{"a":[1,2]}}}`, kind, attrs[0]),
		fmt.Sprintf(`POST /proxies/x/toxics {"type":%q,"name":"upper","attributes":{%q:7}}`, kind, upper(attrs[0])),
		`GET /proxies/x/toxics`)
}

// whole is whole numbers in other spellings.
func whole() []string {
	asks := []string{make1}
	for _, k := range kinds {
		for i, a := range k.attrs {
			with := ""
			if k.name == "slicer" && a != "average_size" {
				with = `"average_size":1000,`
			}
			for j, v := range []string{"100.0", "1e3", "0.1e4"} {
				asks = append(asks, fmt.Sprintf(`POST /proxies/x/toxics {"type":%q,"name":"%s%d%d","attributes":{%s%q:%s}}`, k.name, k.name, i, j, with, a, v))
			}
		}
	}
	return append(asks, `POST /proxies/x/toxics {"type":"latency","name":"u","attributes":{"latency":1}}`, `PATCH /proxies/x/toxics/u {"attributes":{"latency":1e3}}`)
}

// deadly is what the original takes, and dies of as soon as data comes. None
// comes here; TestLive sends some.
func deadly() []string {
	asks := []string{make1}
	for i, t := range []string{
		`"type":"slicer"`, `"type":"slicer","attributes":null`, `"type":"slicer","attributes":{}`, `"type":"slicer","attributes":{"average_size":0}`, `"type":"slicer","attributes":{"average_size":null}`,
		`"type":"slicer","attributes":{"average_size":-0}`, `"type":"slicer","attributes":{"average_size":-5}`, `"type":"slicer","attributes":{"average_size":10,"size_variation":11}`,
		`"type":"slicer","attributes":{"average_size":10,"size_variation":-1}`, `"type":"slicer","attributes":{"delay":5}`, `"type":"slicer","attributes":{"average_size":10,"delay":-1}`,
		`"type":"bandwidth","attributes":{"rate":-1}`, `"type":"latency","attributes":{"jitter":4611686018427387904}`, `"type":"latency","attributes":{"latency":-1}`, `"type":"latency","attributes":{"jitter":-1}`,
		`"type":"latency","attributes":{"latency":9223372036854775807}`, `"type":"timeout","attributes":{"timeout":-1}`, `"type":"timeout","attributes":{"timeout":9223372036854775807}`,
		`"type":"slow_close","attributes":{"delay":-1}`, `"type":"reset_peer","attributes":{"timeout":-1}`, `"type":"limit_data","attributes":{"bytes":-1}`,
		`"type":"noop","toxicity":2`, `"type":"noop","toxicity":-1`, `"type":"noop","toxicity":1.0001`,
	} {
		asks = append(asks, fmt.Sprintf(`POST /proxies/x/toxics {"name":"d%d",%s}`, i, t))
	}
	return append(asks,
		`POST /proxies/x/toxics {"type":"slicer","name":"s","attributes":{"average_size":64,"size_variation":32}}`,
		`POST /proxies/x/toxics/s {"attributes":{"average_size":0}}`, `POST /proxies/x/toxics/s {"attributes":{"average_size":64}}`,
		`POST /proxies/x/toxics/s {"attributes":{"size_variation":65}}`, `POST /proxies/x/toxics/s {"attributes":{"average_size":64,"size_variation":64}}`,
		`POST /proxies/x/toxics/s {"attributes":{"average_size":63}}`, `POST /proxies/x/toxics/s {"attributes":{"average_size":64}}`,
		`POST /proxies/x/toxics/s {"toxicity":5}`, `POST /proxies/x/toxics/s {"toxicity":1}`)
}

// halves is an update that is good in the beginning and bad in the end.
func halves() []string {
	return []string{
		make1, `POST /proxies/x/toxics {"type":"latency","name":"t","attributes":{"latency":10,"jitter":5}}`,
		`POST /proxies/x/toxics/t {"attributes":{"latency":99,"jitter":"x"}}`, "GET /proxies/x/toxics/t",
	}
}

// beyond is what only we can do, and the original refuses or does not hear.
func beyond() []string {
	return []string{
		`POST /proxies {"name":"x","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","toxics":[{"type":"latency","attributes":{"latency":5}}]}`,
		`POST /populate [{"name":"y","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","toxics":[{"type":"timeout","stream":"upstream"}]}]`,
		`POST /proxies/x/toxics {"type":"latency","stream":"both","name":"b"}`,
		`POST /proxies/x/toxics {"type":"packet_loss","name":"l","attributes":{"loss_rate":0.5}}`,
	}
}

func upper(s string) string {
	b := []byte(s)
	for i := range b {
		if i%2 == 0 && b[i] >= 'a' && b[i] <= 'z' {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}

// updates is what a change of a toxic keeps and what it sets.
func updates(method string) []string {
	u := func(body string) string { return method + " /proxies/x/toxics/t " + body }
	return []string{
		make1, `POST /proxies/x/toxics {"type":"latency","name":"t","toxicity":0.75,"attributes":{"latency":10,"jitter":5}}`,
		u(`{}`), u(`null`), u(`{"attributes":{}}`), u(`{"attributes":null}`), u(`{"attributes":{"latency":20}}`), u(`{"attributes":{"jitter":6}}`), u(`{"toxicity":0.5}`), u(`{"toxicity":null}`),
		u(`{"toxicity":0}`), u(`{"toxicity":1,"attributes":{"latency":0,"jitter":0}}`), "GET /proxies/x/toxics/t",
		u(`{"name":"other"}`), u(`{"type":"timeout"}`), u(`{"stream":"upstream"}`), u(`{"stream":"sideways"}`), u(`{"type":"nonsense","name":"","stream":""}`), "GET /proxies/x/toxics",
		u(`{"Attributes":{"LATENCY":30}}`), u(`{"TOXICITY":0.125}`), u(`{"color":1,"attributes":{"color":2}}`), u(`{"toxicity":0.5} and more`), u(`{"attributes":{"latency":null,"jitter":null}}`),
		u(`{"attributes":{"latency":1,"latency":2}}`), "GET /proxies/x/toxics/t", method + ` /proxies/x/toxics/none {"toxicity":1}`, method + ` /proxies/none/toxics/t {"toxicity":1}`,
		"DELETE /proxies/x/toxics/t", u(`{}`), "GET /proxies/x/toxics",
	}
}
