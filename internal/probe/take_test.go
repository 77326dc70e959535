package probe

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// command is what this binary does as a command under test.
func command(argv []string) {
	switch argv[0] {
	case "command:ok":
	case "command:fail":
		fmt.Println(strings.Repeat("too much output ", 1000))
		os.Exit(3)
	case "command:env":
		fmt.Println(strings.Join(os.Environ(), " "))
		os.Exit(1)
	case "command:hang": // with a child that outlives a kill of the parent alone
		child := exec.Command(os.Args[0], "command:sleep")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		if err := child.Start(); err != nil {
			os.Exit(9)
		}
		os.WriteFile(argv[1], []byte(strconv.Itoa(child.Process.Pid)), 0o600)
		child.Wait()
	case "command:sleep":
		time.Sleep(time.Minute)
	}
	os.Exit(0)
}

// phases takes a probe before, during and after something is broken.
func phases(t *testing.T, p experiment.Probe, env Env, hurt, heal func(), want string) {
	t.Helper()
	if s := Take(t.Context(), p, env); !s.OK || s.Detail != "" || s.Took <= 0 {
		t.Errorf("%s before: %+v", What(p), s)
	}
	hurt()
	if s := Take(t.Context(), p, env); s.OK || !strings.Contains(s.Detail, want) {
		t.Errorf("%s during: %+v, want %q", What(p), s, want)
	}
	heal()
	if s := Take(t.Context(), p, env); !s.OK {
		t.Errorf("%s after: %+v", What(p), s)
	}
}

func TestHTTP(t *testing.T) {
	var mode atomic.Value
	mode.Store("ok")
	secret := "s3cret"
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.Header.Get("X-Key") != secret || string(body) != "k="+secret || r.Method != "POST" || r.Host != "shop":
			w.WriteHeader(418)
		case mode.Load() == "ok":
			io.WriteString(w, strings.Repeat(".", 1000)+"healthy")
		case mode.Load() == "late":
			io.WriteString(w, strings.Repeat(".", maxBody)+"healthy")
		case mode.Load() == "redirect":
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		case mode.Load() == "error":
			w.WriteHeader(503)
		case mode.Load() == "hang":
			<-hang
		}
	}))
	defer srv.Close()
	defer close(hang)
	env := Env{Lookup: func(n string) (string, bool) { return secret, n == "KEY" }}
	p := experiment.Probe{Timeout: fault.Duration(sec), HTTP: &experiment.HTTPProbe{URL: srv.URL, Method: "POST", Status: 200,
		Headers: map[string]string{"X-Key": "${env:KEY}", "Host": "shop"}, Body: "k=${env:KEY}", Contains: "healthy"}}
	heal := func() { mode.Store("ok") }
	for m, want := range map[string]string{
		"redirect": "status 302, not 200", "error": "status 503, not 200", "late": "not in the first 64 KiB", "hang": "timed out after 1s",
	} {
		phases(t, p, env, func() { mode.Store(m) }, heal, want)
	}
	anyStatus := p
	anyStatus.HTTP = &experiment.HTTPProbe{URL: srv.URL}
	if s := Take(t.Context(), anyStatus, env); s.OK || s.Detail != "status 418, not below 400" {
		t.Errorf("%+v", s)
	}
	s, known := take(t.Context(), p, Env{})
	if s.OK || known || !strings.Contains(s.Detail, "KEY is not set") {
		t.Errorf("without its variable: %+v %t", s, known)
	}
	p.HTTP.URL = "http://u:hidden@127.0.0.1:1/"
	if s := Take(t.Context(), p, env); s.OK || strings.Contains(s.Detail+What(p), "hidden") || strings.Contains(s.Detail, secret) {
		t.Errorf("%+v %s", s, What(p))
	}
}

func TestTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	defer func() { ln.Close() }()
	phases(t, experiment.Probe{TCP: &experiment.TCPProbe{Address: addr}}, Env{}, func() { ln.Close() }, func() {
		if ln, err = net.Listen("tcp", addr); err != nil {
			t.Fatal(err)
		}
	}, "refused")
}

func TestGRPC(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv, h := grpc.NewServer(), health.NewServer()
	grpc_health_v1.RegisterHealthServer(srv, h)
	done := make(chan error)
	go func() { done <- srv.Serve(ln) }()
	h.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_SERVING)
	p := experiment.Probe{GRPC: &experiment.GRPCProbe{Address: ln.Addr().String(), Service: "shop"}}
	phases(t, p, Env{}, func() { h.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_NOT_SERVING) },
		func() { h.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_SERVING) }, "NOT_SERVING, not SERVING")
	if s := Take(t.Context(), experiment.Probe{GRPC: &experiment.GRPCProbe{Address: ln.Addr().String()}}, Env{}); !s.OK {
		t.Errorf("the whole server: %+v", s)
	}
	p.GRPC.Service = "stranger"
	if s := Take(t.Context(), p, Env{}); s.OK || !strings.Contains(s.Detail, `does not know the service "stranger"`) {
		t.Errorf("%+v", s)
	}
	srv.Stop()
	<-done
	if s := Take(t.Context(), p, Env{}); s.OK || !strings.Contains(s.Detail, "Unavailable") {
		t.Errorf("a stopped server: %+v", s)
	}
}

func TestCommand(t *testing.T) {
	t.Setenv("CHAOSCTL_TEST_SECRET", "s3cret")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	env := Env{Commands: true, Lookup: func(n string) (string, bool) { return "/" + n, n == "PATH" || n == "SECRET" }}
	of := func(argv ...string) experiment.Probe {
		return experiment.Probe{Timeout: fault.Duration(10 * sec), Command: &experiment.CommandProbe{Argv: append([]string{self}, argv...)}}
	}
	if s := Take(t.Context(), of("command:ok"), env); !s.OK {
		t.Errorf("%+v", s)
	}
	if s := Take(t.Context(), of("command:fail"), env); s.OK || !strings.HasPrefix(s.Detail, "exit status 3: too much") || len(s.Detail) > 4<<10+100 {
		t.Errorf("%d bytes: %.80s", len(s.Detail), s.Detail)
	}
	if s := Take(t.Context(), of("command:env"), env); !strings.Contains(s.Detail, "PATH=/PATH") || strings.Contains(s.Detail, "SECRET") {
		t.Errorf("its environment: %s", s.Detail)
	}
	for name, c := range map[string]struct {
		p   experiment.Probe
		env Env
	}{"not allowed here": {of("command:ok"), Env{}}, "start the command": {experiment.Probe{Command: &experiment.CommandProbe{Argv: []string{"/no/such/program"}}}, env}} {
		if s, known := take(t.Context(), c.p, c.env); s.OK || known || !strings.Contains(s.Detail, name) {
			t.Errorf("%s: %+v %t", name, s, known)
		}
	}
}

func TestPrometheus(t *testing.T) {
	answer := ""
	code := 200
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		if r.FormValue("query") != "up" {
			answer = `{"status":"error","errorType":"bad_data","error":"wrong query"}`
		}
		io.WriteString(w, answer)
	}))
	p := experiment.Probe{Prometheus: &experiment.PrometheusProbe{URL: srv.URL, Query: "up", Value: experiment.NumberRule{Op: "<", Bound: 0.01}}}
	vector := func(values ...string) string {
		var s []string
		for i, v := range values {
			s = append(s, fmt.Sprintf(`{"metric":{"i":"%d"},"value":[1700000000,"%s"]}`, i, v))
		}
		return `{"status":"success","data":{"resultType":"vector","result":[` + strings.Join(s, ",") + `]}}`
	}
	phases(t, func() experiment.Probe { answer = vector("0.001"); return p }(), Env{},
		func() { answer = vector("0.25") }, func() { answer = vector("0.002") }, "0.25, not < 0.01")
	for text, want := range map[string]string{
		`{"status":"success","data":{"resultType":"scalar","result":[1700000000,"0.005"]}}`: "",
		vector():         "no measurement: the query yields nothing",
		vector("0", "0"): "the query yields 2 samples",
		vector("NaN"):    "NaN",
		`{"status":"success","data":{"resultType":"matrix","result":[]}}`:               "a matrix",
		`{"status":"success","data":{"resultType":"string","result":[1700000000,"x"]}}`: "value type",
		`nonsense`: "ask prometheus",
	} {
		answer = text
		s, known := take(t.Context(), p, Env{})
		if s.OK != (want == "") || known != (want == "") || !strings.Contains(s.Detail, want) {
			t.Errorf("%s: %+v %t", text, s, known)
		}
	}
	code, answer = 422, `{"status":"error","errorType":"bad_data","error":"parse error"}`
	if s, known := take(t.Context(), p, Env{}); s.OK || known || !strings.Contains(s.Detail, "parse error") {
		t.Errorf("%+v", s)
	}
	srv.Close()
	if s, known := take(t.Context(), p, Env{}); s.OK || known {
		t.Errorf("a prometheus that is down says nothing: %+v", s)
	}
}

func TestNothing(t *testing.T) {
	if s, known := take(context.Background(), experiment.Probe{}, Env{}); s.OK || known {
		t.Errorf("%+v", s)
	}
}
