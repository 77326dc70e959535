// Package client speaks to a chaosctl server: it puts faults in force, takes
// them out, runs experiments and follows what happens.
//
//	c, err := client.New("127.0.0.1:8475", client.WithToken(token))
//	injection, err := c.Inject(ctx, experiment.InjectRequest{Faults: ...})
//	_, err = c.Lift(ctx, injection.ID)
//
// Every error of a method is an *experiment.Error as the server said it, or
// context.Canceled; a server that cannot be reached is an *experiment.Error with
// code Unavailable. The
// client follows no redirect and uses no proxy, so its token goes to the server
// it was made for and nowhere else. It is safe for concurrent use.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const (
	requestTimeout = 2 * time.Minute // where the context has no deadline
	dialTimeout    = 5 * time.Second
	maxAnswer      = 64 << 20
	maxRefusal     = 1 << 20
)

// Client speaks to one server.
type Client struct {
	base  string // scheme://host:port
	token string
	actor string
	http  *http.Client
	own   *http.Transport // nil if the caller brought one
}

// Option changes a Client as it is made.
type Option func(*Client)

// WithToken sends a bearer token with every request.
func WithToken(token string) Option { return func(c *Client) { c.token = token } }

// WithActor says who asks, for the server's audit log.
func WithActor(name string) Option {
	return func(c *Client) {
		c.actor = strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' { // what a header cannot carry
				return '?'
			}
			return r
		}, name)
	}
}

// WithHTTPClient uses the transport and timeout of h; its redirect policy is
// not used, since no redirect is followed.
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) {
		mine := *h
		c.http, c.own = &mine, nil
	}
}

// New makes a client of the server at host:port, or at an http or https URL
// without a path. Nothing is sent yet.
func New(server string, opts ...Option) (*Client, error) {
	base, err := baseURL(server)
	if err != nil {
		return nil, err
	}
	own := &http.Transport{
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		IdleConnTimeout:        time.Minute,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
	}
	c := &Client{base: base, http: &http.Client{Transport: own}, own: own}
	for _, o := range opts {
		o(c)
	}
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, r := range c.token {
		if r <= ' ' || r > '~' {
			return nil, &experiment.Error{Code: experiment.BadInput, Message: "the token holds characters that a header cannot carry"}
		}
	}
	return c, nil
}

// Close drops idle connections. The client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func baseURL(server string) (string, error) {
	bad := func(why string) error {
		return &experiment.Error{
			Code: experiment.BadInput, Message: fmt.Sprintf("the server %q %s", server, why), Hint: "for example --server 127.0.0.1:8475",
		}
	}
	text := server
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		return "", bad("is not host:port or a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return "", bad("must be http or https")
	case u.User != nil:
		return "", &experiment.Error{Code: experiment.BadInput, Message: "the server's URL holds a user or password", Hint: "give a token with --token-file"}
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return "", bad("must not have a path, query or fragment")
	case u.Port() == "" && u.Scheme == "http":
		return "", bad("has no port")
	}
	return u.Scheme + "://" + u.Host, nil
}

// Health asks whether the server is there; it needs no token.
func (c *Client) Health(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/v1/health", nil, nil)
}

// Status returns everything in force.
func (c *Client) Status(ctx context.Context) (experiment.Status, error) {
	return ask[experiment.Status](ctx, c, http.MethodGet, "/v1/status", nil)
}

// Topology returns the topology that is served.
func (c *Client) Topology(ctx context.Context) (*experiment.Topology, error) {
	t, err := ask[experiment.Topology](ctx, c, http.MethodGet, "/v1/topology", nil)
	return &t, err
}

// Kinds returns the server's catalogue of faults.
func (c *Client) Kinds(ctx context.Context) ([]fault.Description, error) {
	l, err := ask[struct {
		Kinds []fault.Description `json:"kinds"`
	}](ctx, c, http.MethodGet, "/v1/kinds", nil)
	return l.Kinds, err
}

// Faults returns the injections in force.
func (c *Client) Faults(ctx context.Context) ([]experiment.Injection, error) {
	l, err := ask[struct {
		Faults []experiment.Injection `json:"faults"`
	}](ctx, c, http.MethodGet, "/v1/faults", nil)
	return l.Faults, err
}

// Inject puts faults in force and returns once they are.
func (c *Client) Inject(ctx context.Context, r experiment.InjectRequest) (experiment.Injection, error) {
	return ask[experiment.Injection](ctx, c, http.MethodPost, "/v1/faults", r)
}

// Fault returns one injection that is in force.
func (c *Client) Fault(ctx context.Context, id string) (experiment.Injection, error) {
	return ask[experiment.Injection](ctx, c, http.MethodGet, "/v1/faults/"+url.PathEscape(id), nil)
}

// Lift takes an injection out and returns once it is gone.
func (c *Client) Lift(ctx context.Context, id string) (experiment.Injection, error) {
	return ask[experiment.Injection](ctx, c, http.MethodDelete, "/v1/faults/"+url.PathEscape(id), nil)
}

// Halt aborts all runs and lifts everything, whoever owns it. why is for the
// audit log and may be empty.
func (c *Client) Halt(ctx context.Context, why string) (experiment.HaltResult, error) {
	return ask[experiment.HaltResult](ctx, c, http.MethodPost, "/v1/halt"+because(why), nil)
}

// Plan says what a run would do; the server does nothing.
func (c *Client) Plan(ctx context.Context, r experiment.RunRequest) (experiment.Plan, error) {
	return ask[experiment.Plan](ctx, c, http.MethodPost, "/v1/plan", r)
}

// Runs lists the runs that the server remembers.
func (c *Client) Runs(ctx context.Context) ([]experiment.RunSummary, error) {
	l, err := ask[struct {
		Runs []experiment.RunSummary `json:"runs"`
	}](ctx, c, http.MethodGet, "/v1/runs", nil)
	return l.Runs, err
}

// StartRun starts a run and returns. Unless it is detached, call WaitRun at
// once: the server aborts a run whose client is silent for 15 s.
func (c *Client) StartRun(ctx context.Context, r experiment.RunRequest) (experiment.RunSummary, error) {
	return ask[experiment.RunSummary](ctx, c, http.MethodPost, "/v1/runs", r)
}

// Run returns the record of a run, also while it goes on.
func (c *Client) Run(ctx context.Context, id string) (*experiment.Run, error) {
	r, err := ask[experiment.Run](ctx, c, http.MethodGet, "/v1/runs/"+url.PathEscape(id), nil)
	if err != nil {
		return nil, err
	}
	return &r, nil
}

// AbortRun aborts a run. why is for the audit log and may be empty.
func (c *Client) AbortRun(ctx context.Context, id, why string) error {
	return c.do(ctx, http.MethodDelete, "/v1/runs/"+url.PathEscape(id)+because(why), nil, nil)
}

// KeepAlive tells the server that the client of a run is still there.
func (c *Client) KeepAlive(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodPost, "/v1/runs/"+url.PathEscape(id)+"/keepalive", nil, nil)
}

// Report renders a run as html, junit, markdown, json or text.
func (c *Client) Report(ctx context.Context, id, format string) ([]byte, error) {
	return ask[[]byte](ctx, c, http.MethodGet, "/v1/runs/"+url.PathEscape(id)+"/report?format="+url.QueryEscape(format), nil)
}

// Metrics returns the server's metrics in Prometheus' text format.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	return ask[[]byte](ctx, c, http.MethodGet, "/metrics", nil)
}

// OpenAPI returns the server's description of its API, as JSON.
func (c *Client) OpenAPI(ctx context.Context) ([]byte, error) {
	return ask[[]byte](ctx, c, http.MethodGet, "/openapi.json", nil)
}

// OpenAPIYAML returns the same description as YAML.
func (c *Client) OpenAPIYAML(ctx context.Context) ([]byte, error) {
	return ask[[]byte](ctx, c, http.MethodGet, "/openapi.yaml", nil)
}

func because(why string) string {
	if why == "" {
		return ""
	}
	if r := []rune(why); len(r) > 500 {
		why = string(r[:500])
	}
	return "?why=" + url.QueryEscape(why)
}

func ask[T any](ctx context.Context, c *Client, method, path string, body any) (T, error) {
	var answer T
	err := c.do(ctx, method, path, body, &answer)
	if err != nil {
		var none T
		return none, err
	}
	return answer, nil
}

// do sends a request and reads the answer into dst: JSON, or as it is if dst is
// a *[]byte, or not at all if it is nil.
func (c *Client) do(ctx context.Context, method, path string, body, dst any) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, requestTimeout)
		defer cancel()
	}
	req, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := refusalOf(resp); err != nil {
		return err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return c.unreachable(ctx, err)
	case len(b) > maxAnswer:
		return &experiment.Error{Code: experiment.Unavailable, Message: fmt.Sprintf("the answer of the server is larger than %d bytes", maxAnswer)}
	}
	switch dst := dst.(type) {
	case nil:
		return nil
	case *[]byte:
		*dst = b
		return nil
	}
	if err := json.Unmarshal(b, dst); err != nil {
		return &experiment.Error{
			Code: experiment.Unavailable, Message: fmt.Sprintf("the answer of %s cannot be read: %v", c.base, err),
			Hint: "is it a chaosctl server of this version?",
		}
	}
	return nil
}

func (c *Client) request(ctx context.Context, method, path string, body any) (*http.Request, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("write the request: %w", err)
		}
		content = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	req.Header.Set("User-Agent", "chaosctl")
	if c.actor != "" {
		req.Header.Set("Chaosctl-Actor", c.actor)
	}
	return req, nil
}

// unreachable says that there is no answer; a cancelled context stays what it is.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("ask %s: %w", c.base, err)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // without the method and URL, which the message has
	}
	e := &experiment.Error{
		Code: experiment.Unavailable, Message: fmt.Sprintf("no answer from %s: %v", c.base, err),
		Hint: "start one with `chaosctl serve --topology FILE`, or give --server",
	}
	if errors.Is(err, context.DeadlineExceeded) {
		e.Hint = ""
	}
	return e
}

// refusalOf makes an *experiment.Error of an answer that is not a success.
func refusalOf(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	b, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what came of it has to do
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	var p struct {
		Detail   string              `json:"detail"`
		Code     experiment.Code     `json:"code"`
		Hint     string              `json:"hint"`
		Problems experiment.Problems `json:"problems"`
	}
	if media == "application/problem+json" && json.Unmarshal(b, &p) == nil && p.Code != "" {
		return &experiment.Error{Code: p.Code, Message: p.Detail, Hint: p.Hint, Problems: p.Problems}
	}
	return &experiment.Error{
		Code: experiment.Unavailable, Message: fmt.Sprintf("%s answered %s, which chaosctl does not", resp.Request.URL.Host, resp.Status),
		Hint: "is another program listening there? give --server",
	}
}
