package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// What a document spells out is in no record; references stay.
func TestSecretsAreNotStored(t *testing.T) {
	t.Parallel()
	f := newFront(t, 0)
	doc := document(`{name: availability, of: visit, success: ">= 1%"}`, "http.status", "{code: 503}", "  recovery: {within: 1s, hold: 500ms}\n  probes: [{name: p, http: {url: \"http://bob:hunter2@127.0.0.1:1/\"}, mode: end}]")
	doc = strings.Replace(doc, "path: /}", `path: "/?access_token=tok123", headers: {Authorization: Bearer plain-abc, Cookie: "sid=plain-def", X-Plain: visible}}`, 1)
	doc = strings.Replace(doc, "params: {code: 503}}", "params: {code: 503}, match: {header: {Authorization: \"Bearer plain-*\"}}}", 1)
	r := f.play(t, doc)
	b, err := os.ReadFile(filepath.Join(f.cfg.StateDir, "runs", r.ID+".json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"plain-", "hunter2", "tok123"} {
		if strings.Contains(string(b), secret) {
			t.Errorf("%q is in the record", secret)
		}
	}
	for _, kept := range []string{"visible", masked} {
		if !strings.Contains(string(b), kept) {
			t.Errorf("%q is not in the record", kept)
		}
	}
}

func TestRedactDocument(t *testing.T) {
	t.Parallel()
	spec := func(v string) *experiment.Spec {
		return &experiment.Spec{Traffic: []experiment.Flow{{HTTP: &experiment.Request{Headers: map[string]string{"authorization": v}}}}}
	}
	for _, tc := range []struct{ doc, value, want string }{
		{`headers: {authorization: "abc"}`, "abc", `headers: {authorization: "(secret)"}`},
		{`headers: {authorization: "${env:TOKEN}"}`, "${env:TOKEN}", `headers: {authorization: "${env:TOKEN}"}`},
		{`headers: {authorization: "a\x62c"}`, "abc", "(withheld"},
	} {
		if got := redactDocument(tc.doc, spec(tc.value)); !strings.HasPrefix(got, tc.want) {
			t.Errorf("%s: %s", tc.doc, got)
		}
	}
}

// Keys of client certificates are masked however they are written down.
func TestRedactKeys(t *testing.T) {
	key := "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n"
	s := &experiment.Spec{Topology: &experiment.TopologySpec{Services: map[string]experiment.Service{
		"pay": {TLS: &experiment.ServiceTLS{Certificate: "x", Key: key}},
	}}}
	for name, document := range map[string]string{
		"block":  "tls:\n  certificate: x\n  key: |\n    -----BEGIN EC PRIVATE KEY-----\n    c2VjcmV0\n    -----END EC PRIVATE KEY-----\nafter: all\n",
		"quoted": `{"key": "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n", "after": "all"}`,
	} {
		got := redactDocument(document, s)
		if strings.Contains(got, "c2VjcmV0") || !strings.Contains(got, "(secret)") || !strings.Contains(got, "all") {
			t.Errorf("%s: %s", name, got)
		}
	}
	hidden := `{"key": "\u002d----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----"}`
	if got := redactDocument(hidden, s); strings.Contains(got, "c2VjcmV0") {
		t.Errorf("spelled with escapes: %s", got)
	}
}
