package cli_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/internal/cli"
)

// What a callee says without being asked is in no log; all else is. Not parallel: the
// log is the process's.
func TestQuiet(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		c.Read(make([]byte, 4096))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nsecret")
		io.Copy(io.Discard, c)
	}()
	var said bytes.Buffer
	before := log.Writer()
	log.SetOutput(cli.Quiet(&said))
	defer log.SetOutput(before)
	gone := make(chan struct{})
	tr := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &watched{Conn: c, gone: gone}, err
	}}
	req, _ := http.NewRequest("GET", "http://"+ln.Addr().String(), nil)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	<-gone // the transport has noticed
	log.Print("all else")
	if got := said.String(); strings.Contains(got, "secret") || !strings.Contains(got, "all else") {
		t.Errorf("the log: %q", got)
	}
}

// watched tells when it is closed.
type watched struct {
	net.Conn
	gone chan struct{}
}

func (w *watched) Close() error {
	select {
	case <-w.gone:
	default:
		close(w.gone)
	}
	return w.Conn.Close()
}
