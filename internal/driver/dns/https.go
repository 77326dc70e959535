package dns

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// message is the media type of DNS over HTTPS (RFC 8484).
const message = "application/dns-message"

// https asks an upstream by DNS over HTTPS.
type https struct {
	client *http.Client
	url    string
}

func newHTTPS(d *net.Dialer, c *tls.Config, url string) *https {
	return &https{url: url, client: &http.Client{
		Transport: &http.Transport{
			DialContext: d.DialContext, TLSClientConfig: c, ForceAttemptHTTP2: true,
			MaxIdleConnsPerHost: maxIdle, IdleConnTimeout: idleTime, TLSHandshakeTimeout: 5 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (h *https) close() { h.client.CloseIdleConnections() }

func (h *https) exchange(ctx context.Context, q *query) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(q.raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", message)
	req.Header.Set("Accept", message)
	req.Header["User-Agent"] = nil
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("answers with HTTP status %d", resp.StatusCode)
	case resp.Header.Get("Content-Type") != message:
		return nil, fmt.Errorf("answers with %q, not %s", resp.Header.Get("Content-Type"), message)
	case len(a) > maxMessage || !q.answers(a):
		return nil, errors.New("answers another query")
	}
	return q.fit(a), nil
}
