package experiment_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const named = `
apiVersion: chaosctl.dev/v1alpha1
kind: Topology
metadata: {name: named}
spec:
  services:
    api: {address: "127.0.0.1:2", protocol: http}
    auth: {address: "127.0.0.1:3", protocol: http, names: [auth.example.com, auth]}
    login: {names: ["*.login.example.com"]}
  edges:
    - {from: api, to: auth, listen: "127.0.0.1:11"}
  resolver: {listen: "127.0.0.1:5353", upstreams: ["192.0.2.1", "tls://dns.example.com"]}
`

func TestFaultsOnNames(t *testing.T) {
	top, err := experiment.ParseTopology("named", []byte(named))
	if err != nil {
		t.Fatal(err)
	}
	without := top.Spec
	without.Resolver = nil
	for text, want := range map[string]struct {
		service, names string // what it is placed on
		code           experiment.Code
		says           string
	}{
		`{kind: dns.fail, target: {service: auth}}`:                                 {service: "auth", names: "auth.example.com auth"},
		`{kind: dns.delay, target: {service: login}, params: {delay: 1s}}`:          {service: "login", names: "*.login.example.com"},
		`{kind: dns.fail, params: {names: ["*.example.org"]}}`:                      {names: "*.example.org"},
		`{kind: dns.timeout, target: {service: api}, params: {names: [api.local]}}`: {service: "api", names: "api.local"},
		`{kind: dns.timeout, target: {service: api}}`:                               {code: experiment.Unsupported, says: "names"},
		`{kind: dns.timeout, target: {service: atuh}}`:                              {code: experiment.NotFound, says: "auth"},
		`{kind: dns.timeout, target: {edge: api -> auth}}`:                          {code: experiment.BadInput, says: "{service: NAME} alone"},
		`{kind: dns.timeout, target: {service: auth, from: [api]}}`:                 {code: experiment.BadInput, says: "which caller asks"},
	} {
		f := decoded(t, text)
		got, err := experiment.ResolveTargets(&top.Spec, nil, f, 1)
		if want.code != "" {
			var e *experiment.Error
			if !errors.As(err, &e) || e.Code != want.code || !strings.Contains(e.Message+e.Hint, want.says) {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err != nil || len(got) != 1 || got[0].At.Resolver.Service+": "+strings.Join(got[0].At.Resolver.Names, " ") != want.service+": "+want.names {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if _, err := experiment.ResolveTargets(&without, nil, f, 1); err == nil || !strings.Contains(err.(*experiment.Error).Hint, "resolver: {listen:") {
			t.Errorf("%s without a resolver: %v", text, err)
		}
	}
}

func TestNamed(t *testing.T) {
	top, err := experiment.ParseTopology("named", []byte(named))
	if err != nil {
		t.Fatal(err)
	}
	for names, want := range map[string]string{
		"AUTH.example.com.": "auth", "*.example.com": "auth login", "a.login.example.com": "login", "other": "", "*": "auth login", "login.example.com": "",
	} {
		if got := top.Spec.Named([]string{names}); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s are the names of %v, not %s", names, got, want)
		}
	}
}

func TestParseUpstream(t *testing.T) {
	for text, want := range map[string]experiment.Upstream{
		"192.0.2.1":                         {Transport: experiment.PlainDNS, Address: "192.0.2.1:53", Host: "192.0.2.1"},
		"2001:db8::1":                       {Transport: experiment.PlainDNS, Address: "[2001:db8::1]:53", Host: "2001:db8::1"},
		"dns.example.com:5353":              {Transport: experiment.PlainDNS, Address: "dns.example.com:5353", Host: "dns.example.com"},
		"tls://192.0.2.1":                   {Transport: experiment.DoT, Address: "192.0.2.1:853", Host: "192.0.2.1"},
		"tls://[2001:db8::1]:8853":          {Transport: experiment.DoT, Address: "[2001:db8::1]:8853", Host: "2001:db8::1"},
		"https://dns.example.com/dns-query": {Transport: experiment.DoH, Address: "dns.example.com:443", Host: "dns.example.com", URL: "https://dns.example.com/dns-query"},
	} {
		if got, err := experiment.ParseUpstream(text); err != nil || got != want {
			t.Errorf("%s is %+v, %v", text, got, err)
		}
	}
}

// A zero target is for params that name something.
func TestFaultsOnNamesNeedSome(t *testing.T) {
	f := fault.Fault{Kind: "dns.fail", Params: fault.DNSFail.New()}
	if err := f.Validate(); err == nil || !strings.Contains(err.Error(), "names") {
		t.Errorf("%v", err)
	}
	f.Target.Service, f.Match = "auth", &fault.Match{Client: []string{"127.0.0.1"}}
	if err := f.Validate(); err == nil || !strings.Contains(err.Error(), "params.names") {
		t.Errorf("%v", err)
	}
}

// FuzzUpstream: what is read as an upstream has an address that can be called.
func FuzzUpstream(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "::1", "dns.example.com:53", "tls://dns.example.com", "https://[::1]:8443/dns-query?x", "https://%"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := experiment.ParseUpstream(text)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(u.Address)
		if err != nil || host == "" || port == "" || host != u.Host || (u.URL != "") != (u.Transport == experiment.DoH) {
			t.Errorf("%q is %+v: %v", text, u, err)
		}
	})
}
