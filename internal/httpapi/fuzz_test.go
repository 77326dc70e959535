package httpapi

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// local makes a request that comes over loopback, without a socket.
func local(ctx context.Context, method, path, media, body string) *http.Request {
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8475})
	r := httptest.NewRequestWithContext(ctx, method, "http://127.0.0.1:8475"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:40000"
	r.Header.Set("Content-Type", media)
	return r
}

func FuzzInjectBody(f *testing.F) {
	f.Add(goodFault)
	f.Add(`{"faults":[{"kind":"http.status","target":{"edge":"a -> b"},"params":{"code":503,"body":"\ud83d\ude00"},"share":"20%","match":{"path":"/x*"}}],"for":"1s","seed":7}`)
	f.Add(`{"faults":[{"kind":"net.partition","params":{"shape":"halves","among":["a","b"]}}]}`)
	f.Add(`{"faults":[{"kind":`)
	f.Add("\xff\x00")
	f.Add(`{"faults":[{"at":{"relay":{}}}]}`)
	for _, k := range fault.Kinds() {
		var x fault.Fault
		if err := strict.Unmarshal("", []byte(k.Example), &x); err != nil {
			f.Fatal(err)
		}
		b, err := json.Marshal(experiment.InjectRequest{Faults: []fault.Fault{x}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b))
	}
	engine := newFake()
	h := New(Config{Faults: engine, Runs: engine, Events: engine})
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, local(t.Context(), "POST", "/v1/faults", "application/json", body))
		engine.mu.Lock()
		engine.live, engine.history, engine.requests = nil, nil, nil
		engine.mu.Unlock()
		switch w.Code {
		case 201:
			var in experiment.Injection
			if err := json.Unmarshal(w.Body.Bytes(), &in); err != nil || len(in.Armed) == 0 {
				t.Fatalf("what was accepted cannot be read back: %v\n%s", err, w.Body)
			}
		case 400, 413, 422:
			var p problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Code != experiment.BadInput || p.Status != w.Code {
				t.Fatalf("not a refusal: %v\n%s", err, w.Body)
			}
		default:
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
	})
}

func FuzzRunBody(f *testing.F) {
	f.Add(`{"document":"kind: Experiment","topology":"x","set":["a=b"],"detach":true}`, false)
	f.Add(`{"document":5}`, false)
	f.Add("kind: Experiment", true)
	f.Add(`{"document":"\ud83d","x":"\u0000"}`, false)
	engine := newFake()
	h := New(Config{Faults: engine, Runs: engine, Events: engine})
	f.Fuzz(func(t *testing.T, body string, yaml bool) {
		media := "application/json"
		if yaml {
			media = "application/yaml"
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, local(t.Context(), "POST", planPath, media, body))
		engine.mu.Lock()
		asked := engine.asked
		engine.asked = nil
		engine.mu.Unlock()
		switch {
		case w.Code == 200 && len(asked) == 1 && asked[0].Document != "":
		case w.Code == 400 && (len(asked) == 0 || asked[0].Document == "bad"):
		default:
			t.Fatalf("%d, asked %+v: %s", w.Code, asked, w.Body)
		}
	})
}
