// Package toxiproxy stands in the place of the original's server package when
// the original's own tests run: its names do over HTTP, to a server that is
// another process, what they do in the original by themselves. COMPAT_SERVER is
// that server's command line, as a JSON array; the address is added to it.
package toxiproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"github.com/Shopify/toxiproxy/v2/collectors"
	"github.com/Shopify/toxiproxy/v2/toxics"
)

// ErrProxyAlreadyStarted is what starting a proxy gives that runs.
var ErrProxyAlreadyStarted = errors.New("the proxy runs already")

// ApiServer is a server process.
type ApiServer struct {
	Collection *ProxyCollection
	Metrics    *metricsContainer
}

type metricsContainer struct {
	ProxyMetrics *collectors.ProxyMetricCollectors
}

// NewMetricsContainer is there to be called: a process keeps its metrics.
func NewMetricsContainer(*prometheus.Registry) *metricsContainer { return &metricsContainer{} }

// NewServer makes one that does not run yet.
func NewServer(m *metricsContainer, _ zerolog.Logger) *ApiServer {
	return &ApiServer{Collection: &ProxyCollection{}, Metrics: m}
}

// Listen starts the process and waits for its end.
func (s *ApiServer) Listen(addr string) error {
	s.Collection.api = "http://" + addr
	return start(addr).Wait()
}

func start(addr string) *exec.Cmd {
	var line []string
	if err := json.Unmarshal([]byte(os.Getenv("COMPAT_SERVER")), &line); err != nil {
		panic(err)
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(line[0], append(line[1:], "-host", host, "-port", port)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	for range 500 {
		if resp, err := http.Get("http://" + addr + "/version"); err == nil {
			resp.Body.Close()
			return cmd
		}
		time.Sleep(10 * time.Millisecond)
	}
	panic("the server does not answer")
}

// ask is one call of the API; v takes the answer.
func ask(method, url string, body []byte, v any) error {
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, url, resp.StatusCode, text)
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(text, v)
}

// ProxyCollection is all proxies of a process.
type ProxyCollection struct{ api string }

// Clear deletes them.
func (c *ProxyCollection) Clear() error {
	var all map[string]json.RawMessage
	if err := ask("GET", c.api+"/proxies", nil, &all); err != nil {
		return err
	}
	for name := range all {
		if err := ask("DELETE", c.api+"/proxies/"+name, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// shared is the process behind the proxies that are made without a server that
// listens.
var shared = sync.OnceValue(func() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	addr := l.Addr().String()
	l.Close()
	start(addr)
	return "http://" + addr
})

var made atomic.Int64

// Proxy is a proxy of the shared process.
type Proxy struct {
	Name, Listen, Upstream string
	Enabled                bool
	Toxics                 *ToxicCollection

	url string // once it exists
}

// NewProxy makes one that does not exist on the server before it is started.
func NewProxy(_ *ApiServer, name, listen, upstream string) *Proxy {
	p := &Proxy{Name: fmt.Sprintf("%s-%d", name, made.Add(1)), Listen: listen, Upstream: upstream}
	p.Toxics = &ToxicCollection{p}
	return p
}

// Start makes it, or enables it again.
func (p *Proxy) Start() error {
	if p.Enabled {
		return ErrProxyAlreadyStarted
	}
	if p.url == "" {
		return p.set("POST", shared()+"/proxies", map[string]any{"name": p.Name, "listen": p.Listen, "upstream": p.Upstream})
	}
	return p.set("PATCH", p.url, map[string]any{"listen": p.Listen, "enabled": true})
}

// Stop disables it.
func (p *Proxy) Stop() {
	if p.url == "" {
		return
	}
	if err := p.set("PATCH", p.url, map[string]any{"enabled": false}); err != nil {
		panic(err)
	}
}

// Update changes it.
func (p *Proxy) Update(to *Proxy) error {
	return p.set("PATCH", p.url, map[string]any{"listen": to.Listen, "upstream": to.Upstream, "enabled": to.Enabled})
}

// Differs is not asked of a server: nothing is compared.
func (p *Proxy) Differs(*Proxy) (bool, error) { return false, nil }

func (p *Proxy) set(method, url string, body map[string]any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	var is struct {
		Listen, Upstream string
		Enabled          bool
	}
	if err := ask(method, url, text, &is); err != nil {
		return err
	}
	p.Listen, p.Upstream, p.Enabled, p.url = is.Listen, is.Upstream, is.Enabled, shared()+"/proxies/"+p.Name
	return nil
}

// ToxicCollection is the toxics of a proxy.
type ToxicCollection struct{ p *Proxy }

// AddToxicJson adds one.
func (c *ToxicCollection) AddToxicJson(body io.Reader) (*toxics.ToxicWrapper, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	return nil, ask("POST", c.p.url+"/toxics", text, nil)
}

// UpdateToxicJson changes one.
func (c *ToxicCollection) UpdateToxicJson(name string, body io.Reader) (*toxics.ToxicWrapper, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	return nil, ask("PATCH", c.p.url+"/toxics/"+name, text, nil)
}

// RemoveToxic takes one out.
func (c *ToxicCollection) RemoveToxic(_ context.Context, name string) error {
	return ask("DELETE", c.p.url+"/toxics/"+name, nil, nil)
}

// ResetToxics takes all out.
func (c *ToxicCollection) ResetToxics(ctx context.Context) {
	var all []struct{ Name string }
	if err := ask("GET", c.p.url+"/toxics", nil, &all); err != nil {
		panic(err)
	}
	for _, t := range all {
		if err := c.RemoveToxic(ctx, t.Name); err != nil {
			panic(err)
		}
	}
}
