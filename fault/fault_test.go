package fault

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// TestCatalogue: each kind is complete, so that help, schemas and docs are.
func TestCatalogue(t *testing.T) {
	if len(Kinds()) < 20 {
		t.Fatalf("only %d kinds", len(Kinds()))
	}
	for _, k := range Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			if k.Doc == "" || !strings.HasSuffix(k.Doc, ".") || k.Family()+"." != k.Name[:len(k.Family())+1] {
				t.Errorf("doc %q, family %q", k.Doc, k.Family())
			}
			if k.Acts != OnEdges && k.Acts != OnProcesses && k.Acts != OnNames || len(k.Grounds) == 0 {
				t.Errorf("acts on %q, grounds %v", k.Acts, k.Grounds)
			}
			if a, b := k.New(), k.New(); a == b && reflect.TypeOf(a).Elem().Size() > 0 {
				t.Error("New returns the same params twice")
			}
			params := reflect.TypeOf(k.New()).Elem()
			names, switches := map[string]bool{}, map[string]bool{}
			for i := range params.NumField() {
				f := params.Field(i)
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				names[name], switches[name] = true, f.Type.Kind() == reflect.Bool
				if f.Tag.Get("doc") == "" || name == "" {
					t.Errorf("the param %s has no doc or name", f.Name)
				}
			}
			for _, fl := range k.Flags {
				if fl.Param != "" && !names[fl.Param] {
					t.Errorf("the flag --%s stands for a param %q that is not there", fl.Name, fl.Param)
				}
				if fl.Usage == "" || fl.Param != "" && fl.Value == "" && !switches[fl.Param] {
					t.Errorf("the flag --%s has no usage or value", fl.Name)
				}
			}
			var f Fault
			if err := strict.Unmarshal("example", []byte(k.Example), &f); err != nil {
				t.Fatalf("the example does not decode: %v", err)
			}
			if f.Info() != k || f.Validate() != nil || f.Params.Validate() != nil {
				t.Errorf("the example is of %s, or not valid: %v", f.Kind, f.Validate())
			}
			roundTrip(t, f)
			f.At = &Placed{Relay: &RelayEdge{From: "a", To: "b"}}
			roundTrip(t, f)
			f.At = &Placed{Process: &Process{Service: "a", Instance: "one", PID: 812, Start: 4711}}
			roundTrip(t, f)
		})
	}
	flags, examples := map[string]string{}, map[string]string{}
	for _, k := range Kinds() {
		if other, twice := examples[k.Example]; twice {
			t.Errorf("%s and %s have one example", k.Name, other)
		}
		examples[k.Example] = k.Name
		for _, fl := range k.Flags {
			if other, twice := flags[fl.Name]; twice {
				t.Errorf("--%s belongs to %s and %s", fl.Name, other, k.Name)
			}
			flags[fl.Name] = k.Name
		}
	}
}

func roundTrip(t *testing.T, f Fault) {
	t.Helper()
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var back Fault
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if diff := cmp.Diff(f, back); diff != "" {
		t.Errorf("%s does not survive: %s", text, diff)
	}
}

func TestDefineRefuses(t *testing.T) {
	good := Kind{Acts: OnEdges, Grounds: []string{"relay"}}
	for name, define := range map[string]func(){
		"twice":      func() { define("net.reset", "x", Reset{}, "", good) },
		"no family":  func() { define("reset", "x", Reset{}, "", good) },
		"no doc":     func() { define("net.x", "", Reset{}, "", good) },
		"no acts":    func() { define("net.x", "x", Reset{}, "", Kind{Grounds: []string{"relay"}}) },
		"no grounds": func() { define("net.x", "x", Reset{}, "", Kind{Acts: OnEdges}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			define()
		}()
	}
}

func TestFaultBad(t *testing.T) {
	tests := []struct{ in, want string }{
		{"{}", "`kind` is missing; `chaosctl kinds` lists them"},
		{"[]", "must be a mapping, not a list"},
		{"{kind: net.latncy, target: {service: a}}", "kind: there is no kind \"net.latncy\"; did you mean `net.latency`?"},
		{"{kind: latency, target: {service: a}}", "did you mean `net.latency`?"},
		{"{kind: net.latency, target: {service: a}, params: {dealy: 1s}}", "params.dealy: is not a field here; did you mean `delay`?"},
		{"{kind: net.latency, target: {service: a}}", "params.delay: must be given"},
		{"{kind: net.latency, target: {service: a}, params: {delay: 2h}}", "params.delay: must be given, more than 0 and at most 1h"},
		{"{kind: net.latency, target: {service: a}, params: {delay: -1s}}", "params.delay: must not be negative"},
		{"{kind: net.latency, target: {service: a}, params: {delay: 1s, jitter: 2h}}", "params.jitter: must be at most 1h, not 2h0m0s"},
		{"{kind: net.latency, target: {service: a}, params: {delay: 1s, jitter: 1s, distribution: gauss}}", "params.distribution: must be uniform, normal, lognormal or pareto, not \"gauss\""},
		{"{kind: net.latency, target: {service: a}, params: {delay: 1s, distribution: normal}}", "params.distribution: needs `jitter`"},
		{"{kind: net.latency, target: {service: a}, params: {jitter: 1s, distribution: lognormal}}", "params.distribution: lognormal varies a delay by a factor"},
		{"{kind: net.latency, target: {service: a}, params: {delay: 1s, direction: up}}", `params.direction: must be request, response or both, not "up"`},
		{"{kind: net.latency, target: {service: a}, params: [1]}", "params: must be a mapping, not a list"},
		{"{kind: net.latency, params: {delay: 1s}}", "target: is missing"},
		{"{kind: net.latency, target: {}, params: {delay: 1s}}", "target: names nothing; give `service`, `edge`, or `from` and `to`"},
		{"{kind: net.latency, target: {service: a, edge: a -> b}, params: {delay: 1s}}", "target: `edge` stands alone"},
		{"{kind: net.latency, target: {edge: a}, params: {delay: 1s}}", "target.edge: must be `caller -> callee`, not \"a\""},
		{"{kind: net.latency, target: {from: a}, params: {delay: 1s}}", "target: `from` and `to` go together"},
		{"{kind: net.latency, target: {from: a, to: b}, params: {delay: 1s}}", "target.to: is for kinds that cut between two sides"},
		{"{kind: net.latency, target: {service: a, to: b}, params: {delay: 1s}}", "target.to: goes with `from`, not with `service`"},
		{"{kind: net.partition, target: {from: [a, b], to: [b]}}", "target.to: `b` stands on both sides"},
		{"{kind: net.partition, target: {from: a, to: ['']}}", "target.to[0]: is empty"},
		{"{kind: net.partition, target: {from: a, to: b}, params: {shape: one, among: [a, b]}}", "target: is given by `params.among` already"},
		{"{kind: net.partition, target: {from: a, to: b}, share: 0.5}", "share: does not go with net.partition"},
		{"{kind: net.partition, target: {from: a, to: b}, maxActive: 5}", "maxActive: does not go with net.partition"},
		{"{kind: net.kill, target: {service: a}, match: {path: /}}", "match: does not go with net.kill, which acts on whole connections; only `client` does"},
		{"{kind: net.kill, target: {service: a}, params: {every: 10ms}}", "params.every: must be 100ms or more, not 10ms"},
		{"{kind: net.kill, target: {service: a}, params: {how: softly}}", `params.how: must be reset or close, not "softly"`},
		{"{kind: proc.pause, target: {service: a}, match: {path: /}}", "which acts on whole processes"},
		{"{kind: net.reset, target: {service: a}, maxActive: 0}", "maxActive: must be more than 0"},
		{"{kind: net.reset, target: {service: a}, maxActive: -1}", "maxActive: must be 1 or more, not -1"},
		{"{kind: net.reset, target: {service: a}, share: 0}", "share: must be a share above 0 and up to 1"},
		{"{kind: net.reset, target: {service: a}, params: {after: 1000h}}", "params.after: must be at most 720h"},
		{"{kind: net.reset, target: {service: a}, at: {relay: {from: a, to: b}}}", "at: is not a field here"},
		{"{kind: net.bandwidth, target: {service: a}}", "params.rate: must be given, for example 64KiB/s"},
		{"{kind: net.bandwidth, target: {service: a}, params: {rate: 5}}", "params.rate: must be a rate from 1B/s to 1TB/s"},
		{"{kind: net.bandwidth, target: {service: a}, params: {rate: 1MB/s, scope: host}}", `params.scope: must be connection or edge, not "host"`},
		{"{kind: net.reset, target: {service: a}, params: {on: never}}", `params.on: must be now or data, not "never"`},
		{"{kind: net.reset, target: {service: a}, params: {direction: both}}", "params.direction: goes with `on: data`"},
		{"{kind: net.slow-close, target: {service: a}}", "params.delay: must be given, more than 0 and at most 1h, for example 5s"},
		{"{kind: net.slow-close, target: {service: a}, params: {delay: 2h}}", "params.delay: must be given, more than 0 and at most 1h"},
		{"{kind: net.timeout, target: {service: a}, params: {after: 1000h}}", "params.after: must be at most 720h (30 days), not 1000h"},
		{"{kind: net.timeout, target: {service: a}, params: {direction: up}}", "params.direction: must be request, response or both"},
		{"{kind: net.slice, target: {service: a}}", "params.size: must be given, from 1B to 1GiB, for example 64B"},
		{"{kind: net.slice, target: {service: a}, params: {size: 2GiB}}", "params.size: must be given, from 1B to 1GiB"},
		{"{kind: net.slice, target: {service: a}, params: {size: 10B, variation: 11B}}", "params.variation: must be from 0B to the size (10B), not 11B"},
		{"{kind: net.slice, target: {service: a}, params: {size: 10B, delay: 2h}}", "params.delay: must be at most 1h"},
		{"{kind: net.limit, target: {service: a}}", "params: must limit something: give `bytes`, for example 10KiB, or `after`"},
		{"{kind: net.limit, target: {service: a}, params: {bytes: 9000TiB}}", "params.bytes: must be from 0B to 8192TiB, not 9216000GiB"},
		{"{kind: net.limit, target: {service: a}, params: {bytes: -1B}}", "params.bytes: must be a size such as 64KiB"},
		{"{kind: net.limit, target: {service: a}, params: {after: 1000h}}", "params.after: must be at most 720h"},
		{"{kind: net.drop, target: {service: a}, params: {rate: 1.5}}", "params.rate: must be from 0 to 1, such as 0.05 or 5%"},
		{"{kind: net.drop, target: {service: a}, params: {rate: .nan}}", "params.rate: must be from 0 to 1"},
		{"{kind: net.drop, target: {service: a}, params: {correlation: 101%}}", "params.correlation: must be from 0 to 1"},
		{"{kind: net.slow-accept, target: {service: a}}", "params.delay: must be given"},
		{"{kind: net.slow-accept, target: {service: a}, params: {delay: 1s, jitter: 2s}}", "params.jitter: must not be more than the delay (1s), as 2s is"},
		{"{kind: net.slow-accept, target: {service: a}, params: {delay: 1s}, match: {path: /}}", "match: does not go with net.slow-accept, which acts on whole connections; only `client` does"},
		{"{kind: net.slice, target: {service: a}, params: {size: 1B}, match: {method: GET}}", "match: does not go with net.slice, which acts on bytes and sees no requests; only `client` does"},
		{"{kind: net.connect-timeout, target: {service: a}, share: 0.5}", "share: does not go with net.connect-timeout"},
		{"{kind: net.connect-timeout, target: {service: a}, match: {client: 127.0.0.1}}", "match: does not go with net.connect-timeout, which acts before a caller is known"},
		{"{kind: net.refuse, target: {service: a}, match: {client: 127.0.0.1}}", "match: does not go with net.refuse, which acts before a caller is known"},
		{"{kind: net.reset, target: {service: a}, match: {client: [10.0.0.0/8, localhost]}}", "match.client[1]: must be an IP address or a network such as 10.0.0.0/8 or 2001:db8::/32, not \"localhost\""},
		{"{kind: net.reset, target: {service: a, from: []}}", "target.from: is empty; name a service, or leave it out"},
		{"{kind: net.reset, target: {service: a}, match: {client: []}}", "match.client: is empty; give an address, or leave it out to hurt every caller"},
		{"{kind: http.status, target: {service: a}, match: {path: /, client: ''}, params: {code: 500}}", "match.client[0]: must be an IP address"},
		{"{kind: http.status, target: {service: a}, params: {code: 999}}", "params.code: must be given, from 200 to 599"},
		{"{kind: http.status, target: {service: a}, params: {code: 204, body: x}}", "params.body: an answer with status 204 has no body"},
		{"{kind: http.status, target: {service: a}, params: {code: 500, headers: {Content-Length: '1'}}}", "params.headers.Content-Length: follows from the body"},
		{"{kind: http.status, target: {service: a}, params: {code: 500, headers: {Upgrade: x}}}", "params.headers.Upgrade: belongs to the connection and is set by chaosctl"},
		{"{kind: http.status, target: {service: a}, params: {code: 205, body: x}}", "params.body: an answer with status 205 has no body"},
		{"{kind: http.status, target: {service: a}, params: {code: 500, headers: {a: \"b\\r\\nc\"}}}", "params.headers.a: must be one line"},
		{"{kind: http.delay, target: {service: a}, params: {delay: 1s, jitter: 2s}}", "params.jitter: must not be more than the delay"},
		{"{kind: http.abort, target: {service: a}, params: {how: x}}", `params.how: must be close or reset, not "x"`},
		{"{kind: http.abort, target: {service: a}, match: {method: get, path: x, header: {a: '['}, query: {q: '['}}}", "match.method[0]: must be a method in capitals"},
	}
	for _, tt := range tests {
		var f Fault
		err := strict.Unmarshal("", []byte(tt.in), &f)
		var ps strict.Problems
		if !errors.As(err, &ps) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s:\n got %v\nwant %s", tt.in, err, tt.want)
		}
		if !cmp.Equal(f, Fault{}) {
			t.Errorf("%s: the destination was touched: %+v", tt.in, f)
		}
	}
}

func TestDefaultsStay(t *testing.T) {
	var f Fault
	if err := strict.Unmarshal("", []byte("{kind: net.latency, target: {service: a, from: b}, params: {delay: 1s}}"), &f); err != nil {
		t.Fatal(err)
	}
	want := Fault{Kind: "net.latency", Target: Target{Service: "a", From: []string{"b"}}, Params: &Latency{Delay: Duration(1e9), Distribution: Uniform, Direction: Response}}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Error(diff)
	}
	if f.Title() != "net.latency" || f.Target.String() != "b -> a" || f.Info() != NetLatency {
		t.Errorf("%s, %s", f.Title(), f.Target)
	}
	NetLatency.New().(*Latency).Delay = 5
	if NetLatency.New().(*Latency).Delay != 0 {
		t.Error("the defaults can be edited")
	}
}

func TestReceiptAdd(t *testing.T) {
	sum := Receipt{}.Add(Receipt{Exchange, 3, 2, 1}).Add(Receipt{Exchange, 1, 1, 0})
	if sum != (Receipt{Exchange, 4, 3, 1}) {
		t.Errorf("%+v", sum)
	}
	if sum = sum.Add(Receipt{}).Add(Receipt{Connection, 1, 1, 0}); sum.Unit != Units {
		t.Errorf("%+v", sum)
	}
}

// Every kind that acts on connections takes a match of callers alone, but those
// that act before there is one.
func TestMatchOfClients(t *testing.T) {
	for _, k := range Kinds() {
		f := Fault{Kind: k.Name, Target: Target{Service: "a"}, Params: k.New(), Match: &Match{Client: []string{"10.0.0.0/8"}}}
		takes := k.Acts == OnEdges && k != NetRefuse && k != NetConnectTimeout
		if err := f.Validate(); (err == nil) != takes || k.MatchesClients() != takes {
			t.Errorf("%s: %v", k.Name, err)
		}
		f.Match.Path = "/x"
		if err := f.Validate(); (err == nil) != k.MatchesRequests() {
			t.Errorf("%s with a path: %v", k.Name, err)
		}
	}
}

func TestParseClient(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1": "127.0.0.1/32", "10.0.0.0/8": "10.0.0.0/8", "::1": "::1/128", "2001:db8::/32": "2001:db8::/32",
		"::ffff:10.0.0.1": "10.0.0.1/32", "::ffff:10.0.0.0/104": "10.0.0.0/8", "0.0.0.0/0": "0.0.0.0/0", "::/0": "::/0",
	} {
		if p, err := ParseClient(in); err != nil || p.String() != want {
			t.Errorf("%s: %s %v, want %s", in, p, err, want)
		}
	}
	for in, want := range map[string]string{
		"": "must be an IP address", "localhost": "must be an IP address", "fe80::1%eth0": "must be an IP address", "10.0.0.0/33": "must be an IP address",
		"10.0.0": "must be an IP address", "/8": "must be an IP address", "10.0.0.1:80": "must be an IP address",
		"10.1.2.3/8": "write 10.0.0.0/8, or the address alone", "2001:db8::1/32": "write 2001:db8::/32",
	} {
		if _, err := ParseClient(in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
	if err := (&Match{Client: make([]string, 101)}).Validate(); err == nil || !strings.Contains(err.Error(), "more than 100") {
		t.Error(err)
	}
}

// What a program puts in without decoding is checked as well.
func TestParamsRefuseWhatDoesNotDecode(t *testing.T) {
	below := Size(-1)
	for _, p := range []Params{
		&Latency{Delay: -1}, &Latency{Delay: 1, Jitter: -1}, &Bandwidth{Rate: -1, Scope: PerEdge}, &Bandwidth{Rate: MaxRate + 1, Scope: PerEdge}, &Bandwidth{Rate: 1},
		&Reset{After: -1, On: ResetNow}, &Reset{}, &SlowClose{Delay: -1}, &Timeout{After: -1}, &Slice{Size: 1, Variation: -1}, &Slice{Size: -1}, &Slice{Size: 1, Delay: -1},
		&Limit{Bytes: &below}, &Limit{After: -1}, &Drop{Rate: Chance(math.NaN())}, &Drop{Correlation: Chance(math.Inf(1))}, &Drop{Rate: -0.1},
		&SlowAccept{Delay: -1}, &SlowAccept{Delay: 1, Jitter: -1},
	} {
		if p.Validate() == nil {
			t.Errorf("%T %+v passes", p, p)
		}
	}
}

// FuzzFault: what decodes is valid and survives JSON; nothing panics.
func FuzzFault(f *testing.F) {
	for _, k := range Kinds() {
		f.Add([]byte(k.Example))
	}
	f.Add([]byte("{kind: net.partition, params: {shape: majority-ring, among: [a, b, c]}}"))
	f.Add([]byte("{kind: net.latency, target: {edge: a->b}, params: {delay: 1s}, share: 20%, maxActive: 3, match: {path: '~x', header: {a: b}}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Fault
		err := strict.Unmarshal("f", data, &v)
		var ps strict.Problems
		if err != nil {
			if !errors.As(err, &ps) {
				t.Fatalf("the error is a %T", err)
			}
			return
		}
		if err := errors.Join(v.Validate(), v.Params.Validate()); err != nil {
			t.Fatalf("decoded, but not valid: %v", err)
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		var back Fault
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		again, err := json.Marshal(back)
		if err != nil || string(again) != string(text) {
			t.Fatalf("%s does not survive: %s (%v)", text, again, err)
		}
		if s, ok := v.Params.(Shaped); ok {
			s.Cuts(1)
		}
	})
}
