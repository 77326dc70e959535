package toxiproxy

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// limits of the server: for reading a request, for answering it, between requests,
// and for the requests under way when it ends.
type limits struct{ read, write, idle, grace time.Duration }

var usualLimits = limits{read: 15 * time.Second, write: 30 * time.Second, idle: 60 * time.Second, grace: 5 * time.Second}

// Serve answers requests on ln until ctx ends; then it lets those under way finish
// and returns. It closes ln in every case. Proxies stay as they are.
func (d *Door) Serve(ctx context.Context, ln net.Listener) error {
	lasting := context.WithoutCancel(ctx)
	srv := d.server(lasting)
	f := newFront(experiment.WithActor(lasting, caller), d, ln)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(f) }()
	var err error
	select {
	case broken := <-served:
		err = fmt.Errorf("serve the Toxiproxy API: %w", broken)
		served <- nil
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(lasting, d.limits.grace)
	defer cancel()
	_ = f.Close() // nobody connects any more
	switch stopped := errors.Join(f.stop(grace), srv.Shutdown(grace)); {
	case errors.Is(stopped, context.DeadlineExceeded): // whoever sends half a request does not make the end a failure
		d.log.Warn("requests that did not end were cut")
		err = errors.Join(err, srv.Close())
	case stopped != nil:
		err = errors.Join(err, fmt.Errorf("stop the Toxiproxy API: %w", stopped), srv.Close())
	}
	<-served
	return err
}

// server is what answers all that is not plain.
func (d *Door) server(ctx context.Context) *http.Server {
	return &http.Server{
		Handler: d, ReadTimeout: d.limits.read, WriteTimeout: d.limits.write, IdleTimeout: d.limits.idle,
		ErrorLog:    slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
}

// ids makes request ids: a start that no other process has, and a number.
var ids = struct {
	start  [4]byte
	number atomic.Uint64
}{start: random()}

func random() (b [4]byte) {
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return b
}

const requestIDHeader = "X-Toxiproxy-Request-Id"

var idCoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// requestID is 20 letters and digits that no other request has.
func requestID() string {
	var b [12]byte
	copy(b[:], ids.start[:])
	binary.BigEndian.PutUint64(b[4:], ids.number.Add(1))
	return strings.ToLower(idCoding.EncodeToString(b[:]))
}
