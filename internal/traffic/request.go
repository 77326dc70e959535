package traffic

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// template is a flow's request with its variables filled in.
type template struct {
	proto   *http.Request // to be copied
	header  http.Header
	body    string
	success []int
	seed    uint64
	flow    string
}

func newTemplate(cfg Config) (*template, error) {
	r := cfg.Flow.HTTP
	if r == nil {
		return nil, errors.New("has no http request")
	}
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	if !strings.HasPrefix(r.Path, "/") {
		return nil, fmt.Errorf("the path must start with /, not %q", r.Path)
	}
	scheme := "http"
	if cfg.TLS != nil {
		scheme = "https"
	}
	u, err := url.Parse(scheme + "://" + cfg.Address + r.Path)
	if err != nil {
		return nil, fmt.Errorf("read its path: %w", err)
	}
	proto, err := http.NewRequest(method, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("make its request: %w", err)
	}
	t := &template{proto: proto, success: cfg.Flow.Status, seed: cfg.Seed, flow: cfg.Flow.Name}
	if t.header, err = Headers(r.Headers, cfg.Env); err != nil {
		return nil, err
	}
	if host := t.header.Get("Host"); host != "" {
		proto.Host = host
		t.header.Del("Host")
	}
	if t.header.Get("User-Agent") == "" {
		t.header.Set("User-Agent", "chaosctl")
	}
	t.header.Del("Traceparent")
	// net/http repeats requests with this key by itself. Written in small
	// letters it goes out just the same, but is not seen by that rule.
	for _, k := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := t.header[k]; ok {
			delete(t.header, k)
			t.header[strings.ToLower(k)] = v
		}
	}
	if t.body, err = Expand(r.Body, cfg.Env); err != nil {
		return nil, fmt.Errorf("fill in its body: %w", err)
	}
	return t, nil
}

func (t *template) succeeds(status int) bool {
	if len(t.success) > 0 {
		return slices.Contains(t.success, status)
	}
	return status < 400
}

// build makes request i.
func (t *template) build(ctx context.Context, i uint64) *http.Request {
	req := t.proto.WithContext(ctx)
	req.Header = make(http.Header, len(t.header)+1)
	for k, v := range t.header {
		req.Header[k] = v
	}
	req.Header["Traceparent"] = []string{Traceparent(t.seed, t.flow, i)}
	switch {
	case t.body != "":
		// Without GetBody, so that net/http repeats nothing.
		req.Body = io.NopCloser(strings.NewReader(t.body))
		req.ContentLength = int64(len(t.body))
	case replayed(req.Method):
		// net/http sends these a second time when a used connection is reset,
		// which would hide the very fault that is looked for, unless they have a
		// body. An empty one leaves no trace in the request.
		req.Body = io.NopCloser(strings.NewReader(""))
	}
	return req
}

func replayed(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

// Traceparent is the W3C trace context of request i of a flow, sampled. It hangs
// on nothing but its arguments, so that a run can be replayed.
func Traceparent(seed uint64, flow string, i uint64) string {
	raw := traceContext(seed, flow, i)
	b := make([]byte, 0, 55)
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, raw[:16])
	b = append(b, '-')
	b = hex.AppendEncode(b, raw[16:])
	return string(append(b, "-01"...))
}

// traceContext is the trace id of request i, and behind it that of its span.
func traceContext(seed uint64, flow string, i uint64) (raw [24]byte) {
	key := strconv.FormatUint(i, 10)
	for k, part := range []string{"trace-high", "trace-low", "span"} {
		// No id may be all zeros.
		h := max(1, fault.Hash(seed, flow, key, part))
		for b := range 8 {
			raw[8*k+b] = byte(h >> (56 - 8*b))
		}
	}
	return raw
}

// Expand replaces each ${env:NAME} in a text (see experiment.ExpandEnv) by what
// env has for NAME. What env does not have is an error that names it; no value is
// ever part of an error.
func Expand(text string, env func(string) (string, bool)) (string, error) {
	var errs []error
	out, err := experiment.ExpandEnv(text, func(name string) string {
		if env != nil {
			if value, ok := env(name); ok {
				return value
			}
		}
		errs = append(errs, fmt.Errorf("the environment variable %s is not set", name))
		return ""
	})
	if err = errors.Join(append(errs, err)...); err != nil {
		return "", err
	}
	return out, nil
}

// Headers expands header fields and checks them. Errors name the field, never
// its value.
func Headers(fields map[string]string, env func(string) (string, bool)) (http.Header, error) {
	h := http.Header{}
	var errs []error
	for name, value := range fields {
		v, err := Expand(value, env)
		if err == nil {
			err = fault.CheckHeader(name, v)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("header %s: %w", name, err))
			continue
		}
		h.Set(name, v)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return h, errors.Join(errs...)
}
