package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// api is the api-service, the one that users see.
type api struct {
	clients []*http.Client
	stocks  *pool

	auth    *dependency[user]
	catalog *dependency[[]string]
	stock   *dependency[int]
}

// Checkout is the answer of GET /checkout.
type Checkout struct {
	User  string   `json:"user"`
	Items []string `json:"items"`
	Stock int      `json:"stock"`
	// Source is the worst of Sources.
	Source Source `json:"source"`
	// Sources says for each dependency where its part comes from.
	Sources map[string]Source `json:"sources"`
}

// Listing is the answer of GET /catalog.
type Listing struct {
	Items  []string `json:"items"`
	Source Source   `json:"source"`
}

func newAPI(routes map[string]*route, o Options) *api {
	a := &api{stocks: newPool(routes[APIToDB])}
	a.auth = &dependency[user]{
		name: Auth, ask: getJSON[user](a.client(routes[APIToAuth]), Auth, "/verify"),
		empty: user{Name: "guest"}, fallback: !o.NoFallback, options: o, breaker: newBreaker(o),
	}
	a.catalog = &dependency[[]string]{
		name: Catalog, ask: getJSON[[]string](a.client(routes[APIToCatalog]), Catalog, "/items"),
		empty: []string{}, fallback: !o.NoFallback, options: o, breaker: newBreaker(o),
	}
	a.stock = &dependency[int]{
		name: DB, ask: a.readStock,
		fallback: !o.NoFallback && !o.NoStockFallback, options: o, breaker: newBreaker(o),
	}
	return a
}

// client makes an HTTP client that dials the route, whatever the URL says, so
// that the Host header names the service.
func (a *api) client(to *route) *http.Client {
	t := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return to.dial(ctx) },
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     30 * time.Second,
		DisableCompression:  true,
	}
	to.onChange(t.CloseIdleConnections)
	c := &http.Client{Transport: t}
	a.clients = append(a.clients, c)
	return c
}

// Close closes the connections to the dependencies.
func (a *api) Close() error {
	for _, c := range a.clients {
		c.CloseIdleConnections()
	}
	return a.stocks.Close()
}

func (a *api) readStock(ctx context.Context) (int, error) {
	text, err := a.stocks.get(ctx, "stock")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /checkout", a.checkout)
	mux.HandleFunc("GET /catalog", a.list)
	mux.HandleFunc("GET /healthz", healthy)
	return mux
}

// checkout asks all three dependencies at the same time.
func (a *api) checkout(w http.ResponseWriter, r *http.Request) {
	ctx := traced(r)
	var (
		wg    sync.WaitGroup
		who   user
		c     = Checkout{Source: Live}
		from  [3]Source
		fails [3]error
	)
	wg.Go(func() { who, from[0], fails[0] = a.auth.get(ctx) })
	wg.Go(func() { c.Items, from[1], fails[1] = a.catalog.get(ctx) })
	wg.Go(func() { c.Stock, from[2], fails[2] = a.stock.get(ctx) })
	wg.Wait()
	for _, err := range fails {
		if err != nil {
			refuse(w, err)
			return
		}
	}
	c.User = who.Name
	c.Sources = map[string]Source{Auth: from[0], Catalog: from[1], DB: from[2]}
	for _, s := range from {
		c.Source = worse(c.Source, s)
	}
	reply(w, http.StatusOK, c)
}

func (a *api) list(w http.ResponseWriter, r *http.Request) {
	items, source, err := a.catalog.get(traced(r))
	if err != nil {
		refuse(w, err)
		return
	}
	reply(w, http.StatusOK, Listing{Items: items, Source: source})
}

type traceKey struct{}

// traceHeaders are passed on as they came (W3C Trace Context).
func traceHeaders() [2]string { return [2]string{"Traceparent", "Tracestate"} }

// traced is the request's context with its trace headers.
func traced(r *http.Request) context.Context {
	h := http.Header{}
	for _, name := range traceHeaders() {
		if v := r.Header.Values(name); len(v) > 0 {
			h[name] = v
		}
	}
	return context.WithValue(r.Context(), traceKey{}, h)
}

// getJSON asks one path of one service for a T.
func getJSON[T any](c *http.Client, service, path string) func(context.Context) (T, error) {
	return func(ctx context.Context) (v T, err error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+service+path, nil)
		if err != nil {
			return v, err
		}
		if h, ok := ctx.Value(traceKey{}).(http.Header); ok {
			req.Header = h.Clone()
		}
		resp, err := c.Do(req)
		if err != nil {
			return v, err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return v, err
		}
		if resp.StatusCode != http.StatusOK {
			return v, fmt.Errorf("get %s: status %d", path, resp.StatusCode)
		}
		if err := json.Unmarshal(body, &v); err != nil {
			return v, fmt.Errorf("get %s: %w", path, err)
		}
		return v, nil
	}
}
