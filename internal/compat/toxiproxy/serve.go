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

// Limits of the server.
const (
	readTimeout  = 15 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 60 * time.Second
	graceTime    = 5 * time.Second
)

// Serve answers requests on ln until ctx ends; then it lets those under way finish
// and returns. It closes ln in every case. Proxies stay as they are.
func (d *Door) Serve(ctx context.Context, ln net.Listener) error {
	lasting := context.WithoutCancel(ctx)
	srv := &http.Server{
		Handler: d, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog:    slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return lasting },
	}
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
	grace, cancel := context.WithTimeout(lasting, graceTime)
	defer cancel()
	_ = f.Close() // nobody connects any more
	if stopped := errors.Join(f.stop(grace), srv.Shutdown(grace)); stopped != nil {
		err = errors.Join(err, fmt.Errorf("stop the Toxiproxy API: %w", stopped), srv.Close())
	}
	<-served
	return err
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
