package relay_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/relay"
)

// httpsPlace is an edge that answers callers by TLS and calls its callee by TLS. The
// callee answers with the protocol it is called by, and with the body it is sent.
func httpsPlace(t *testing.T, p experiment.Protocol, protos ...string) (w *world, a *authority, url string, calls *atomic.Int32) {
	w, a = newWorld(t), newAuthority(t)
	calls = &atomic.Int32{}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		rw.Header().Set("X-Proto", r.Proto)
		rw.Header().Set("X-Name", r.TLS.ServerName)
		body, _ := io.ReadAll(r.Body)
		io.WriteString(rw, r.Proto+"\n")
		rw.Write(body)
	}))
	srv.TLS = a.server(t)
	srv.TLS.NextProtos = protos
	srv.EnableHTTP2 = len(protos) == 0
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // the edge asks, and hangs up
	srv.StartTLS()
	t.Cleanup(srv.Close)
	e := w.openSpec(relay.Spec{To: "b", Protocol: p, Upstreams: []string{srv.Listener.Addr().String()}, TLS: &relay.TLS{Certificate: a.show, Upstream: &tls.Config{RootCAs: a.roots}}})
	_, port, _ := strings.Cut(e.Spec().Listen, ":")
	return w, a, "https://localhost:" + port, calls
}

// peer runs a program that is installed, without the environment's proxies.
func peer(t *testing.T, env []string, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(env, "PATH=/usr/local/bin:/usr/bin:/bin", "HOME="+t.TempDir())
	cmd.Stdin = strings.NewReader("")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestHTTPSPeers(t *testing.T) {
	_, a, url, _ := httpsPlace(t, experiment.HTTP)
	for version, flag := range map[string]string{"HTTP/1.1\n": "--http1.1", "HTTP/2.0\n": "--http2"} {
		if out, err := peer(t, nil, "curl", "-sS", flag, "--cacert", a.file, url); err != nil || out != version {
			t.Errorf("curl %s: %q (%v)", flag, out, err)
		}
	}
	if out, err := peer(t, nil, "curl", "-sS", url); err == nil || !strings.Contains(out, "(60)") {
		t.Errorf("curl without the CA: %q (%v)", out, err)
	}
	for _, v := range []string{"1.2", "1.3"} {
		if out, err := peer(t, nil, "curl", "-sS", "--tlsv"+v, "--tls-max", v, "--cacert", a.file, url); err != nil || out != "HTTP/2.0\n" {
			t.Errorf("curl TLS %s: %q (%v)", v, out, err)
		}
	}
	t.Run("python", func(t *testing.T) {
		out, err := peer(t, []string{"REQUESTS_CA_BUNDLE=" + a.file}, "python3", "-c", "import requests,sys; r = requests.post('"+url+"', data='x'*100000); sys.stdout.write(str(len(r.text)) + r.headers['X-Name'])")
		if err != nil || out != "100009localhost" {
			t.Errorf("python requests: %q (%v)", out, err)
		}
	})
	t.Run("openssl", func(t *testing.T) {
		out, err := peer(t, nil, "openssl", "s_client", "-connect", strings.TrimPrefix(url, "https://"), "-servername", "callee.test", "-CAfile", a.file, "-verify_return_error", "-alpn", "h2,http/1.1", "-verify_hostname", "callee.test")
		if err != nil || !strings.Contains(out, "ALPN protocol: h2") || !strings.Contains(out, "Verify return code: 0 (ok)") {
			t.Errorf("openssl: %s (%v)", out, err)
		}
	})
	t.Run("node", func(t *testing.T) {
		out, err := peer(t, []string{"NODE_EXTRA_CA_CERTS=" + a.file}, "node", "-e", "require('https').get('"+url+"', r => r.on('data', d => process.stdout.write(d)))")
		if err != nil || out != "HTTP/1.1\n" {
			t.Errorf("node: %q (%v)", out, err)
		}
	})
}

// A callee that speaks HTTP/1.1 only is called by that, and callers are told so.
func TestHTTPSCalleeWithoutHTTP2(t *testing.T) {
	_, a, url, calls := httpsPlace(t, experiment.HTTP, "http/1.1")
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.roots}, ForceAttemptHTTP2: true}
	defer tr.CloseIdleConnections()
	for range 3 {
		resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get(url)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.ProtoMajor != 1 || string(b) != "HTTP/1.1\n" {
			t.Errorf("%s: %q", resp.Proto, b)
		}
	}
	if n := calls.Load(); n != 3 {
		t.Errorf("the callee saw %d requests", n)
	}
}

// Many at the same time, with HTTP/2 and bodies, on an edge that sees requests and on
// one that finds out.
func TestHTTPSMany(t *testing.T) {
	for _, p := range []experiment.Protocol{experiment.HTTP, experiment.Auto} {
		t.Run(string(p), func(t *testing.T) {
			w, a, url, calls := httpsPlace(t, p)
			body := bytes.Repeat([]byte("0123456789"), 20_000)
			var all sync.WaitGroup
			for i := range 8 {
				all.Go(func() {
					tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.roots}, ForceAttemptHTTP2: i%2 == 0}
					defer tr.CloseIdleConnections()
					for range 10 {
						resp, err := (&http.Client{Transport: tr, Timeout: patience}).Post(url, "text/plain", bytes.NewReader(body))
						if err != nil {
							t.Error(err)
							return
						}
						b, err := io.ReadAll(resp.Body)
						resp.Body.Close()
						if head := resp.Header.Get("X-Proto") + "\n"; err != nil || resp.Proto+"\n" != head || len(b) != len(head)+len(body) {
							t.Errorf("%s, seen as %q: %d bytes (%v)", resp.Proto, head, len(b), err)
						}
					}
				})
			}
			all.Wait()
			if n := calls.Load(); n != 80 {
				t.Errorf("the callee saw %d requests", n)
			}
			until(t, "all are reported", func() bool { return len(w.exchanges()) >= 80 })
		})
	}
}

// A caller that speaks HTTP/2 only, as gRPC does, reaches a callee that speaks it in
// plain; one that speaks both is given HTTP/1.1, which any callee has.
func TestHTTPSToPlainCallee(t *testing.T) {
	w, a := newWorld(t), newAuthority(t)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, r.Proto) }))
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetHTTP1(true)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	e := w.openSpec(relay.Spec{To: "b", Protocol: experiment.HTTP, Upstreams: []string{srv.Listener.Addr().String()}, TLS: &relay.TLS{Certificate: a.show}})
	for _, both := range []bool{true, false} {
		speaks := new(http.Protocols)
		speaks.SetHTTP1(both)
		speaks.SetHTTP2(true)
		tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.roots}, Protocols: speaks}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get("https://" + e.Spec().Listen)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		want := map[bool]string{true: "HTTP/1.1", false: "HTTP/2.0"}[both]
		if err != nil || resp.Proto != want || string(b) != want {
			t.Errorf("both %t: %s, and %q at the callee (%v)", both, resp.Proto, b, err)
		}
	}
}
