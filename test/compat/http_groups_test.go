//go:build linux

package compat

import (
	"fmt"
	"slices"
	"strings"
)

// A proxy to hang things on; nobody listens at its upstream.
const make1 = `POST /proxies {"name":"x","listen":"127.0.0.1:{p9}","upstream":"127.0.0.1:1"}`

// groups are all conversations.
func groups() []group {
	all := []group{
		{name: "empty server", asks: []string{
			"GET /proxies", "GET /version", "POST /reset", "POST /reset {}", "POST /reset nonsense",
			"GET /metrics", "GET /", "GET /nowhere", "GET /proxies/", "GET //proxies", "GET /proxies//", "GET /version/",
			"GET /Proxies", "GET /proxies?x=1", "GET /version?x", "GET /proxies/x", "GET /proxies/x/toxics",
			"GET /proxies/x/toxics/y", "DELETE /proxies/x", "DELETE /proxies/x/toxics/y", "POST /proxies/x {}",
			"POST /proxies/x/toxics {}", "POST /proxies/x/toxics/y {}", "PATCH /proxies/x {}", "PATCH /proxies/x/toxics/y {}",
			"POST /proxies/x nonsense", "POST /proxies/x/toxics nonsense", "POST /proxies/x/toxics/y nonsense",
			"GET /proxies/x/toxics/", "GET /proxies/x/toxics/y/", "GET /proxies/x/upstream/toxics", "GET /./proxies", "GET /a/../proxies",
			"POST //reset", "GET /proxies/.", "GET /proxies/..", "GET /version/../proxies", "DELETE /proxies/x/toxics", "GET /favicon.ico",
		}},
		{name: "methods", asks: methods()},
		{name: "browsers", asks: []string{
			"GET /proxies\nUser-Agent: Mozilla/5.0", "GET /proxies\nUser-Agent: Mozilla/", "GET /proxies\nUser-Agent: mozilla/5.0",
			"GET /proxies\nUser-Agent: Mozilla 5.0", "GET /proxies\nUser-Agent: x Mozilla/5.0", "GET /version\nUser-Agent: Mozilla/5.0",
			"POST /reset\nUser-Agent: Mozilla/5.0", `POST /proxies {"name":"m","upstream":"a:1"}` + "\nUser-Agent: Mozilla/5.0",
			"GET /nowhere\nUser-Agent: Mozilla/5.0", "PUT /proxies\nUser-Agent: Mozilla/5.0", "GET /proxies\nUser-Agent: Wget/2.1",
			"GET /proxies\nUser-Agent: ", "GET //proxies\nUser-Agent: Mozilla/5.0", "GET /proxies",
		}},
		{name: "headers", asks: []string{
			make1,
			"GET /proxies/x\nAccept: text/html", "GET /proxies/x\nAccept-Encoding: gzip", "GET /proxies/x\nIf-None-Match: *", "GET /version\nRange: bytes=0-3",
			`POST /proxies/x {"enabled":true}` + "\nContent-Type: application/x-www-form-urlencoded",
			`POST /proxies/x {"enabled":true}` + "\nContent-Type: text/xml; charset=latin1",
			`POST /proxies/x/toxics {"type":"noop"}` + "\nContent-Type: multipart/form-data",
			`PATCH /proxies/x/toxics/noop_downstream {"toxicity":0.5}` + "\nContent-Type: text/plain",
			"POST /reset\nContent-Type: application/x-www-form-urlencoded", "DELETE /proxies/x\nContent-Type: application/json",
			"GET /proxies {\"body\":\"of a GET\"}", `POST /proxies {"name":"chunked","upstream":"a:1","listen":"127.0.0.1:0"}` + "\nTransfer-Encoding: chunked", "GET /proxies\nExpect: 100-continue",
			"GET /proxies\nHost: localhost", "GET /proxies\nHost: toxiproxy:8474", "GET /proxies\nHost: evil.example", "GET /proxies\nReferer: http://evil.example/", "GET /proxies\nOrigin: http://evil.example", "POST /reset\nOrigin: null",
			"GET /proxies\nX-Toxiproxy-Request-Id: mine", "GET /proxies\nX-HTTP-Method-Override: DELETE",
		}},
		{name: "big bodies", asks: []string{
			`POST /proxies {"x":"` + strings.Repeat("x", 3<<20) + `","name":"big","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`,
			"POST /populate [" + strings.TrimSuffix(strings.Repeat(`{"name":"same","listen":"127.0.0.1:{p1}","upstream":"127.0.0.1:1","enabled":false},`, 2000), ",") + "]",
			"POST /proxies " + strings.Repeat("[", 20000), "GET /proxies",
			`POST /proxies {"name":"` + strings.Repeat("n", 1024) + `","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`,
			`POST /proxies {"name":"` + strings.Repeat("n", 1025) + `","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`,
		}},
		{name: "create: what must be there", asks: []string{
			"POST /proxies", "POST /proxies {}", "POST /proxies null", `POST /proxies {"name":""}`, `POST /proxies {"name":"a"}`,
			`POST /proxies {"name":"a","upstream":""}`, `POST /proxies {"upstream":"127.0.0.1:1"}`, `POST /proxies {"name":null,"upstream":"127.0.0.1:1"}`,
			`POST /proxies {"name":"a","upstream":null}`, `POST /proxies {"name":"a","listen":"127.0.0.1:0"}`, `POST /proxies {"listen":"nonsense"}`,
			`POST /proxies {"name":"a","upstream":"127.0.0.1:1","listen":"127.0.0.1:0"}`,
			`POST /proxies {"name":"a","upstream":"127.0.0.1:1","listen":"127.0.0.1:0"}`,
			`POST /proxies {"name":"A","upstream":"127.0.0.1:1","listen":"127.0.0.1:0"}`, "GET /proxies", "GET /proxies/a", "GET /proxies/A",
			"DELETE /proxies/a", "DELETE /proxies/a", "GET /proxies/a", "GET /proxies",
		}},
		{name: "create: bad bodies", asks: badBodies("POST /proxies ", "GET /proxies")},
		{name: "create: keys and nulls", asks: []string{
			`POST /proxies {"Name":"a1","Listen":"127.0.0.1:0","Upstream":"127.0.0.1:1","Enabled":false}`,
			`POST /proxies {"NAME":"a2","LISTEN":"127.0.0.1:0","uPsTrEaM":"127.0.0.1:1"}`,
			`POST /proxies {"name":"a3","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","enabled":null}`,
			`POST /proxies {"name":"a4","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","enabled":false}`,
			`POST /proxies {"name":"a5","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","color":"red","deep":{"er":[1,2]}}`,
			`POST /proxies {"name":"a6","name":"a7","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`,
			`POST /proxies {"name":"a8","Name":"a9","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`,
			`POST /proxies {"name":"b1","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"} and more`,
			`POST /proxies {"name":"b2","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}{"name":"b3"}`,
			"POST /proxies  \t {\"name\":\"b4\",\"listen\":\"127.0.0.1:0\",\"upstream\":\"127.0.0.1:1\"}",
			`POST /proxies {"name":"b5","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","Logger":null}`,
			`POST /proxies {"name":"b6","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","Logger":{}}`,
			`POST /proxies {"name":"b\u0037","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`,
			`POST /proxies {"name":"b8","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","enabled":true,"created":true,"toxics":null}`,
			`POST /proxies {"name":"b9","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","toxics":[]}`,
			"GET /proxies",
		}},
		{name: "create: addresses", asks: addresses()},
		{name: "create: addresses that are taken", asks: []string{
			`POST /proxies {"name":"a","listen":"127.0.0.1:{p1}","upstream":"127.0.0.1:1"}`,
			`POST /proxies {"name":"b","listen":"127.0.0.1:{p1}","upstream":"127.0.0.1:1"}`, "GET /proxies/b",
			`POST /proxies {"name":"b","listen":"localhost:{p1}","upstream":"127.0.0.1:1"}`,
			`POST /proxies {"name":"b","listen":":{p1}","upstream":"127.0.0.1:1"}`,
			`POST /proxies {"name":"b","listen":"{api}","upstream":"127.0.0.1:1"}`,
			`POST /proxies {"name":"b","listen":"127.0.0.1:{p1}","upstream":"127.0.0.1:1","enabled":false}`,
			`POST /proxies/b {"enabled":true}`, "GET /proxies/b", `POST /reset`, "GET /proxies",
			`POST /proxies/a {"enabled":false}`, `POST /proxies/b {"enabled":true}`, `POST /proxies/a {"enabled":true}`, "GET /proxies",
			"DELETE /proxies/b", `PATCH /proxies/a {"enabled":true}`, "GET /proxies",
		}},
		{name: "names", asks: names()},
		{name: "update", asks: update("POST")},
		{name: "update by PATCH", asks: update("PATCH")},
		{name: "update: bad bodies", asks: append([]string{make1}, badBodies("POST /proxies/x ", "GET /proxies/x")...)},
		{name: "update: addresses", asks: []string{
			make1,
			`POST /proxies/x {"listen":"nonsense"}`, "GET /proxies/x", `POST /proxies/x {"listen":"127.0.0.1:99999"}`, "GET /proxies/x",
			`POST /proxies/x {"listen":"127.0.0.1:-1"}`, `POST /proxies/x {"listen":"[::1"}`, `POST /proxies/x {"listen":"127.0.0.1:nosuchport"}`, "GET /proxies/x",
			`POST /proxies/x {"listen":"127.0.0.1:{p1}"}`, `POST /proxies/x {"listen":"localhost:{p1}"}`, "GET /proxies/x",
			`POST /proxies/x {"listen":"127.0.0.1:{p2}","enabled":true}`, "GET /proxies/x",
			`POST /proxies/x {"listen":""}`, `POST /proxies/x {"listen":null}`, `POST /proxies/x {"listen":":0"}`, `POST /proxies/x {"listen":"[::1]:0"}`,
			`POST /proxies/x {"listen":"localhost:0"}`, `POST /reset`, "GET /proxies/x",
		}},
		{name: "update: addresses that fail", asks: []string{
			make1, `POST /proxies/x {"listen":"192.0.2.1:{p1}"}`, "GET /proxies/x",
			`POST /proxies {"name":"y","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`, `POST /proxies/y {"listen":"{api}","upstream":"127.0.0.1:2"}`, "GET /proxies/y",
			`POST /proxies/y {"listen":"127.0.0.1:{p2}","upstream":"127.0.0.1:3","enabled":true}`, "GET /proxies/y",
			`POST /proxies {"name":"z","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`, `POST /proxies/z {"upstream":""}`,
		}},
		{name: "disabled from birth", asks: []string{
			`POST /proxies {"name":"d","listen":"localhost:{p1}","upstream":"127.0.0.1:1","enabled":false}`, "GET /proxies/d",
			`POST /proxies {"name":"e","listen":"localhost:0","upstream":"127.0.0.1:1","enabled":false}`,
			`POST /proxies {"name":"f","listen":"nonsense","upstream":"127.0.0.1:1","enabled":false}`,
			`POST /proxies {"name":"g","upstream":"127.0.0.1:1","enabled":false}`,
			`POST /proxies {"name":"h","listen":":{p2}","upstream":"127.0.0.1:1","enabled":false}`,
			"GET /proxies", `POST /proxies/d {"enabled":true}`, `POST /proxies/d {"enabled":false}`, "GET /proxies/d",
			`POST /proxies/e {"enabled":true}`, `POST /proxies/e {"enabled":true}`, "GET /proxies/e",
			`POST /proxies/f {"enabled":true}`, "GET /proxies/f", `POST /proxies/f {"listen":"127.0.0.1:0"}`, `POST /proxies/f {"enabled":true}`,
			`POST /proxies/g {"upstream":"127.0.0.1:2"}`, `POST /proxies/g {"enabled":true}`, `POST /proxies/h {"enabled":true}`, "GET /proxies",
			`POST /proxies/d/toxics {"type":"latency"}`, `POST /proxies/d {"enabled":false}`, "GET /proxies/d", "POST /reset", "GET /proxies",
		}},
		{name: "reset", asks: []string{
			make1, `POST /proxies {"name":"y","listen":"127.0.0.1:{p8}","upstream":"127.0.0.1:1"}`,
			`POST /proxies/x/toxics {"type":"latency"}`, `POST /proxies/x/toxics {"type":"timeout","stream":"upstream"}`, `POST /proxies/y/toxics {"type":"reset_peer"}`,
			`POST /proxies/y {"enabled":false}`, "GET /proxies", "POST /reset", "GET /proxies", "POST /reset", "GET /proxies",
			"POST /reset?x=1", "PATCH /reset", "GET /reset", "POST /reset/",
		}},
		{name: "metrics", args: []string{"-proxy-metrics"}, asks: []string{
			"GET /metrics\nUser-Agent: Mozilla/5.0", "GET /metrics/", "GET /proxies",
		}},
	}
	all = append(all, populateGroups()...)
	return append(all, toxicGroups()...)
}

// methods is every method on every route.
func methods() (asks []string) {
	asks = []string{make1, `POST /proxies/x/toxics {"type":"latency","name":"t"}`}
	for _, path := range []string{"/proxies", "/proxies/x", "/proxies/x/toxics", "/proxies/x/toxics/t", "/reset", "/version", "/populate", "/metrics", "/", "/nowhere"} {
		for _, method := range []string{"GET", "PUT", "OPTIONS", "TRACE", "LINK", "get", "CONNECT"} {
			if method == "CONNECT" && path != "/proxies" {
				continue
			}
			asks = append(asks, method+" "+path)
		}
	}
	return append(asks, "PATCH /proxies", "PATCH /proxies {}", "DELETE /proxies", "DELETE /proxies/x/toxics", "PATCH /proxies/x/toxics {}",
		"PATCH /populate []", "GET /populate", "DELETE /populate", "DELETE /reset", "POST /version", "PATCH /version", "DELETE /version",
		"POST /", "PUT /proxies/x {}", "PUT /proxies/x/toxics/t {}", "PUT /populate []", "POST /metrics", "GET /proxies")
}

// badBodies is everything that is no object with the right types, behind a
// method and a path, and a look at what it left.
func badBodies(ask, look string) (asks []string) {
	for _, b := range []string{
		"", " ", "{", "}", "[", "[]", "nonsense", "n", "nul", "null", "true", "1", "1.5", `"text"`, `'x'`, "{}{", "{,}", `{"name"}`, `{"name":}`, `{"name":"a",}`,
		`{"name":"a"`, `{"name":"a" "upstream":"b"}`, `{name:"a"}`, `{"name":1}`, `{"name":true}`, `{"name":{}}`, `{"name":[]}`, `{"name":["a"]}`,
		`{"upstream":1}`, `{"upstream":{}}`, `{"upstream":[]}`, `{"upstream":1.5}`, `{"listen":1}`, `{"listen":8080}`, `{"listen":{}}`, `{"listen":[]}`,
		`{"enabled":"true"}`, `{"enabled":1}`, `{"enabled":0}`, `{"enabled":{}}`, `{"enabled":"yes"}`, `{"ENABLED":"x"}`, `{"Enabled":[]}`,
		`{"name":"a","enabled":1e400}`, `{"name":"a\u00zz"}`, `{"name":"a\q"}`, "{\"name\":\"a\tb\",\"enabled\":3}", `<xml/>`, `name=a&upstream=b`,
		`{"enabled":"x","name":1,"upstream":2}`, "\xef\xbb\xbf{}", `{"x":1e999,"enabled":3}`, `{"x":01}`, `{"x":-}`, `{"x":tru}`, `{"x":"`, `[{"name":"a"}]`,
	} {
		asks = append(asks, ask+b)
	}
	return append(asks, look)
}

// addresses are all forms of what a proxy may listen on, and of its upstream.
func addresses() (asks []string) {
	for i, listen := range []string{
		`"127.0.0.1:0"`, `"localhost:0"`, `":0"`, `""`, `null`, `"[::]:0"`, `"[::1]:0"`, `"0.0.0.0:0"`, `"127.0.0.1:"`, `":"`, `"localhost:"`,
		`"127.0.0.1:{p1}"`, `"localhost:{p2}"`, `":{p3}"`, `"0.0.0.0:{p4}"`, `"[::]:{p5}"`, `"[::1]:{p6}"`, `"127.0.0.2:{p7}"`, `"[::ffff:127.0.0.1]:{p8}"`,
		`"nonsense"`, `"127.0.0.1"`, `"localhost"`, `"::1"`, `"[::1]"`, `"::1:80"`, `"[::1"`, `"127.0.0.1:x"`, `"127.0.0.1:99999"`, `"127.0.0.1:-1"`, `"127.0.0.1:65536"`,
		`" 127.0.0.1:0"`, `"192.0.2.1:{p9}"`, `"256.1.1.1:0"`, `"tcp://127.0.0.1:0"`, `"/tmp/x.sock"`, `"unix:/tmp/x.sock"`, `"127.0.0.1:0/x"`, `"*:0"`, `"a b:0"`,
		`"127.0.0.1:0x50"`, `"127.0.0.1:00000"`, `"127.0.0.1:+0"`,
	} {
		asks = append(asks, fmt.Sprintf(`POST /proxies {"name":"l%d","listen":%s,"upstream":"127.0.0.1:1"}`, i, listen))
	}
	for i, upstream := range []string{"127.0.0.1:1", "localhost:1", "nonsense", "host.invalid:80", "127.0.0.1", ":80", "[::1]:80", "127.0.0.1:99999", "unix:/x", "http://x", " ", "<&>", "é:1", "127.0.0.1:http"} {
		asks = append(asks, fmt.Sprintf(`POST /proxies {"name":"u%d","listen":"127.0.0.1:0","upstream":%q}`, i, upstream))
	}
	return append(asks, "GET /proxies")
}

// names that want care in a path, in JSON or in both.
func names() (asks []string) {
	for _, n := range [][2]string{
		{`a b`, "a%20b"}, {`a/b`, "a%2Fb"}, {`a.b`, "a.b"}, {`é`, "%C3%A9"}, {`<x>&`, "%3Cx%3E&"}, {`%41`, "%2541"}, {`a+b`, "a+b"}, {`a?b`, "a%3Fb"}, {`a#b`, "a%23b"},
		{`..`, ".."}, {`.`, "."}, {` `, "%20"}, {`a\"b`, "a%22b"}, {`a\\b`, "a%5Cb"}, {`a\nb`, "a%0Ab"}, {`toxics`, "toxics"}, {`proxies`, "proxies"}, {`a:b`, "a:b"},
		{`a;b`, "a;b"}, {`a,b`, "a,b"}, {`日本`, "%E6%97%A5%E6%9C%AC"}, {`\u2028`, "%E2%80%A8"}, {`A`, "%41"}, {`a--b`, "a--b"}, {`-`, "-"}, {`a\u0000b`, "a%00b"}, {`\ud800`, "%EF%BF%BD"},
		{strings.Repeat("long", 100), strings.Repeat("long", 100)},
	} {
		asks = append(asks,
			`POST /proxies {"name":"`+n[0]+`","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`,
			"GET /proxies/"+n[1],
			"POST /proxies/"+n[1]+` {"enabled":true}`,
			"POST /proxies/"+n[1]+`/toxics {"type":"latency","name":"`+n[0]+`"}`,
			"GET /proxies/"+n[1]+"/toxics/"+n[1],
			"POST /proxies/"+n[1]+"/toxics/"+n[1]+` {"toxicity":0.5}`,
			"DELETE /proxies/"+n[1]+"/toxics/"+n[1],
		)
	}
	return append(asks, "GET /proxies", "GET /proxies/a%", "GET /proxies/%zz", "GET /proxies/%20", "DELETE /proxies/a%20b", "DELETE /proxies/a%2Fb", "GET /proxies/a+b/toxics", "POST /reset", "GET /proxies")
}

// update is what a changed field does, by either method.
func update(method string) []string {
	u := func(body string) string { return method + " /proxies/x " + body }
	return []string{
		make1, u(`{}`), u(`null`), u(`{"name":"other"}`), "GET /proxies", u(`{"name":""}`), u(`{"upstream":"127.0.0.1:2"}`), "GET /proxies/x",
		u(`{"upstream":null}`), u(`{"Upstream":"127.0.0.1:3"}`), u(`{"enabled":false}`), "GET /proxies/x", u(`{"enabled":false}`),
		u(`{"upstream":"127.0.0.1:4"}`), "GET /proxies/x", u(`{"enabled":null}`), u(`{"enabled":true}`), u(`{"enabled":true}`), "GET /proxies/x",
		u(`{"listen":"127.0.0.1:{p1}"}`), "GET /proxies/x", u(`{"listen":"127.0.0.1:{p1}"}`), u(`{"listen":"localhost:{p1}"}`), u(`{"listen":"127.0.0.1:{p2}","upstream":"127.0.0.1:5","enabled":false}`),
		"GET /proxies/x", u(`{"listen":"localhost:{p1}"}`), "GET /proxies/x", u(`{"enabled":true}`), u(`{"color":"red"}`), u(`{"toxics":null}`), u(`{"toxics":[]}`), u(`{"enabled":true} and more`),
		u(`{"ENABLED":false,"name":null,"listen":null,"upstream":null}`), u(`{"enabled":true,"enabled":false}`), "GET /proxies/x", u(`{"enabled":true}`),
		`POST /proxies/x/toxics {"type":"latency","attributes":{"latency":5}}`, u(`{"enabled":false}`), u(`{"enabled":true}`), u(`{"upstream":"127.0.0.1:6"}`), u(`{"listen":"127.0.0.1:0"}`), "GET /proxies/x",
		u(`{"name":"x","listen":"127.0.0.1:{p1}","upstream":"127.0.0.1:6","enabled":true,"toxics":[]}`), "GET /proxies", "DELETE /proxies/x", u(`{}`),
	}
}

func populateGroups() []group {
	p := func(entries ...string) string { return "POST /populate [" + strings.Join(entries, ",") + "]" }
	a := `{"name":"a","listen":"127.0.0.1:{p1}","upstream":"127.0.0.1:1"}`
	b := `{"name":"b","listen":"127.0.0.1:{p2}","upstream":"127.0.0.1:1"}`
	off := func(e string) string { return strings.TrimSuffix(e, "}") + `,"enabled":false}` }
	toxic := `POST /proxies/a/toxics {"type":"latency","attributes":{"latency":7}}`
	return []group{
		{name: "populate", asks: []string{
			p(), "POST /populate null", p(a), p(a, b), "GET /proxies", p(a, a), p(b, off(a)), "GET /proxies",
			p(`{"name":"c","listen":"127.0.0.1:0","upstream":"127.0.0.1:1"}`), p(`{"name":"d","upstream":"127.0.0.1:1"}`), p(`{"Name":"e","LISTEN":"127.0.0.1:0","Upstream":"127.0.0.1:1","Enabled":null}`),
			p(off(`{"name":"f","listen":"localhost:{p3}","upstream":"127.0.0.1:1"}`)), p(`{"name":"g","listen":"localhost:{p4}","upstream":"127.0.0.1:1","x":1,"toxics":[]}`), "GET /proxies",
			p(a) + " and more", "POST /reset", "GET /proxies",
		}},
		{name: "populate: what is left alone and what is replaced", asks: []string{
			p(a), toxic, p(a), "GET /proxies/a", p(off(a)), "GET /proxies/a",
			p(`{"name":"a","listen":"localhost:{p1}","upstream":"127.0.0.1:1"}`), "GET /proxies/a", p(`{"name":"a","listen":"127.0.0.1:{p1}","upstream":"127.0.0.1:2"}`), "GET /proxies/a",
			toxic, p(`{"name":"a","listen":"127.0.0.1:{p2}","upstream":"127.0.0.1:2"}`), "GET /proxies/a", toxic, p(off(a)), "GET /proxies/a", p(a), "GET /proxies/a",
			p(off(`{"name":"s","listen":"localhost:{p3}","upstream":"127.0.0.1:1"}`)), p(off(`{"name":"s","listen":"localhost:{p3}","upstream":"127.0.0.1:1"}`)), "GET /proxies/s",
			p(`{"name":"w","listen":":{p4}","upstream":"127.0.0.1:1"}`), `POST /proxies/w/toxics {"type":"latency"}`, p(`{"name":"w","listen":"[::]:{p4}","upstream":"127.0.0.1:1"}`), "GET /proxies/w",
			`POST /proxies/a {"enabled":false}`, "GET /proxies/a", p(a), "GET /proxies/a",
			p(`{"name":"z","listen":"localhost:0","upstream":"127.0.0.1:1"}`), p(`{"name":"z","listen":"localhost:0","upstream":"127.0.0.1:1"}`), "GET /proxies",
		}},
		{name: "populate: the same address, spelt otherwise", asks: []string{
			p(off(`{"name":"s","listen":"localhost:{p1}","upstream":"127.0.0.1:1"}`)), `POST /proxies/s/toxics {"type":"latency"}`, p(off(`{"name":"s","listen":"localhost:{p1}","upstream":"127.0.0.1:1"}`)),
			p(`{"name":"w","listen":":{p2}","upstream":"127.0.0.1:1"}`), `POST /proxies/w/toxics {"type":"latency"}`, p(`{"name":"w","listen":":{p2}","upstream":"127.0.0.1:1"}`),
			p(`{"name":"v","listen":":{p3}","upstream":"127.0.0.1:1"}`), `POST /proxies/v/toxics {"type":"latency"}`, p(`{"name":"v","listen":"0.0.0.0:{p3}","upstream":"127.0.0.1:1"}`),
		}},
		{name: "populate: what is missing", asks: []string{
			p(`{}`), p(`null`), p(a, `{}`), "GET /proxies", p(a, `{"name":"b"}`), p(a, `{"upstream":"x:1"}`), p(a, b, `{"name":"","upstream":"x:1"}`), p(`{"name":"q","upstream":null}`),
			"GET /proxies", "POST /populate", "POST /populate {}",
		}},
		{name: "populate: failures", asks: []string{
			p(`{"name":"n","listen":"nonsense","upstream":"127.0.0.1:1"}`), "GET /proxies", p(a, `{"name":"n","listen":"nonsense","upstream":"127.0.0.1:1"}`, b), "GET /proxies",
			p(`{"name":"n","listen":"127.0.0.1:{p1}","upstream":"127.0.0.1:1"}`), "GET /proxies", p(b, `{"name":"n","listen":"{api}","upstream":"127.0.0.1:1"}`), "GET /proxies",
			p(`{"name":"b","listen":"127.0.0.1:{p1}","upstream":"127.0.0.1:1"}`), "GET /proxies", "POST /reset", "GET /proxies",
			p(`{"name":"a","listen":"nonsense","upstream":"127.0.0.1:1"}`), "GET /proxies", p(`{"name":"m","listen":"192.0.2.1:{p3}","upstream":"127.0.0.1:1"}`),
			p(`{"name":"m","listen":"127.0.0.1:99999","upstream":"127.0.0.1:1"}`), "GET /proxies",
		}},
		{name: "populate: bad bodies", asks: slices.Concat(
			badBodies("POST /populate ", "GET /proxies"),
			[]string{p(`1`), p(`"a"`), p(`[]`), p(`{"name":1}`), p(`{"enabled":"x"}`), p(a, `{"upstream":5}`), p(`{"name":"a","upstream":"b:1","enabled":1}`), "POST /populate [" + a, "POST /populate [" + a + ",", "GET /proxies"},
		)},
	}
}
