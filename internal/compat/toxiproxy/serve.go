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
	srv := &http.Server{
		Handler: d, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog:    slog.NewLogLogger(d.log.Handler(), slog.LevelWarn),
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return errors.Join(fmt.Errorf("serve the Toxiproxy API: %w", err), srv.Close())
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTime)
	defer cancel()
	err := srv.Shutdown(grace)
	if err != nil {
		err = errors.Join(fmt.Errorf("stop the Toxiproxy API: %w", err), srv.Close())
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

var idCoding = base32.HexEncoding.WithPadding(base32.NoPadding)

// requestID is 20 letters and digits that no other request has.
func requestID() string {
	var b [12]byte
	copy(b[:], ids.start[:])
	binary.BigEndian.PutUint64(b[4:], ids.number.Add(1))
	return strings.ToLower(idCoding.EncodeToString(b[:]))
}
