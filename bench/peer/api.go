package peer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// API speaks Toxiproxy's HTTP API over one keep-alive connection, which it opens
// when it needs one. It is for one goroutine.
type API struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
}

// NewAPI connects to nothing yet.
func NewAPI(addr string) *API { return &API{addr: addr} }

// Another is an API of the same server over a connection of its own.
func (a *API) Another() *API { return NewAPI(a.addr) }

// Close closes the connection.
func (a *API) Close() {
	if a.conn != nil {
		a.conn.Close()
		a.conn = nil
	}
}

// Call sends one request and returns the answer, within the given time. After
// an error the next call opens a new connection.
func (a *API) Call(ctx context.Context, limit time.Duration, method, path string, body []byte) (status int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	defer func() {
		if err != nil {
			a.Close()
			err = fmt.Errorf("%s %s: %w", method, path, err)
		}
	}()
	if a.conn == nil {
		if a.conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", a.addr); err != nil {
			return 0, nil, err
		}
		a.in = bufio.NewReader(a.conn)
	}
	cut := context.AfterFunc(ctx, func() { _ = a.conn.SetDeadline(time.Unix(1, 0)) })
	defer cut()
	if _, err := fmt.Fprintf(a.conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, a.addr, len(body), body); err != nil {
		return 0, nil, err
	}
	resp, err := http.ReadResponse(a.in, nil)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err == nil && resp.Close {
		a.Close()
	}
	return resp.StatusCode, answer, err
}

// must calls and wants a success.
func (a *API) must(ctx context.Context, method, path string, body any) ([]byte, error) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
	}
	status, answer, err := a.Call(ctx, patience, method, path, text)
	if err == nil && status/100 != 2 {
		err = fmt.Errorf("%s %s: status %d: %s", method, path, status, bytes.TrimSpace(answer))
	}
	return answer, err
}

// Create makes a proxy on a free port and returns where it listens.
func (a *API) Create(ctx context.Context, name, upstream string) (string, error) {
	answer, err := a.must(ctx, http.MethodPost, "/proxies", map[string]any{"name": name, "listen": "127.0.0.1:0", "upstream": upstream})
	if err != nil {
		return "", err
	}
	var made struct{ Listen string }
	if err := json.Unmarshal(answer, &made); err != nil {
		return "", fmt.Errorf("answer to POST /proxies: %w", err)
	}
	return made.Listen, nil
}

// Toxic is a toxic on answers, of every connection.
type Toxic struct {
	Name       string         `json:"name"`
	Type       string         `json:"type"`
	Attributes map[string]int `json:"attributes"`
}

// Add puts a toxic on the proxy.
func (a *API) Add(ctx context.Context, t Toxic) error {
	_, err := a.must(ctx, http.MethodPost, "/proxies/"+ProxyName+"/toxics", t)
	return err
}

// Remove takes it out again.
func (a *API) Remove(ctx context.Context, t Toxic) error {
	_, err := a.must(ctx, http.MethodDelete, "/proxies/"+ProxyName+"/toxics/"+t.Name, nil)
	return err
}
