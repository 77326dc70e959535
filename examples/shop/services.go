package shop

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// httpServer is one HTTP service.
type httpServer struct {
	srv *http.Server
	wg  sync.WaitGroup
	err error // why it stopped serving; read after wg
}

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) *httpServer {
	s := &httpServer{srv: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}}
	s.wg.Go(func() {
		if err := s.srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.err = err
		}
	})
	return s
}

// Close waits up to a second for handlers, whose context has ended, and then
// closes what is still open.
func (s *httpServer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.srv.Shutdown(ctx)
	if err != nil {
		err = s.srv.Close()
	}
	s.wg.Wait()
	return errors.Join(err, s.err)
}

// user is who buys.
type user struct {
	Name string `json:"name"`
}

// authHandler is the auth-service: everybody is Ada.
func authHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /verify", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusOK, user{Name: "ada"})
	})
	mux.HandleFunc("GET /healthz", healthy)
	return mux
}

// catalogHandler is the catalog-service: it asks the database once and has no
// defence of its own.
func catalogHandler(books *pool, o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /items", func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if !o.NoTimeout {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, o.timeout())
			defer cancel()
		}
		items, err := books.get(ctx, "items")
		if err != nil {
			refuse(w, err)
			return
		}
		reply(w, http.StatusOK, strings.Split(items, ","))
	})
	mux.HandleFunc("GET /healthz", healthy)
	return mux
}

func healthy(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]string{"status": "ok"})
}

func refuse(w http.ResponseWriter, err error) {
	reply(w, http.StatusServiceUnavailable, map[string]string{"error": err.Error()})
}

func reply(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"cannot write the answer"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
