package flawed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"
)

// longestWork is the longest that a service takes for its own work.
const longestWork = 20 * time.Millisecond

// System is a case that runs.
type System struct {
	options   Options
	addresses map[string]string
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	muxes     map[string]*http.ServeMux
	work      map[string]*random
	callers   []*caller
	servers   []*http.Server
	tasks     sync.WaitGroup

	closeOnce sync.Once
	closeErr  error
}

// Start opens all listeners of a case, then serves. Requests under way end with
// ctx; Close ends the rest. After an error nothing is left running.
func Start(ctx context.Context, c Case, o Options) (*System, error) {
	if err := o.check(c); err != nil {
		return nil, err
	}
	s := &System{options: o, addresses: map[string]string{}, muxes: map[string]*http.ServeMux{}, work: map[string]*random{}}
	s.ctx, s.cancel = context.WithCancel(ctx)
	listeners := map[string]net.Listener{}
	for _, name := range c.Services {
		at := o.Addresses[name]
		if at == "" {
			at = "127.0.0.1:0"
		}
		var lc net.ListenConfig
		l, err := lc.Listen(ctx, "tcp", at)
		if err != nil {
			s.cancel()
			for _, open := range listeners {
				err = errors.Join(err, open.Close())
			}
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		listeners[name], s.addresses[name] = l, l.Addr().String()
		s.muxes[name], s.work[name] = http.NewServeMux(), s.random(name)
		s.muxes[name].HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
			reply(w, http.StatusOK, map[string]string{"status": "ok"})
		})
	}
	for _, e := range c.Edges {
		s.addresses[e.String()] = s.addresses[e.To]
	}
	maps.Copy(s.addresses, o.Addresses)
	c.build(s)
	for name, l := range listeners {
		s.serve(l, s.muxes[name])
	}
	return s, nil
}

func (s *System) serve(l net.Listener, h http.Handler) {
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	s.servers = append(s.servers, srv)
	s.tasks.Go(func() { _ = srv.Serve(l) }) // ends with Close; an accept that fails shows as a failed call
}

// Addresses maps every service to where it listens, and every edge to what its
// caller dials.
func (s *System) Addresses() map[string]string { return maps.Clone(s.addresses) }

// Close stops everything and returns once every goroutine has ended. It may be
// called more than once.
func (s *System) Close() error {
	s.closeOnce.Do(func() {
		s.cancel()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 2*time.Second)
		defer cancel()
		for _, srv := range s.servers {
			if err := srv.Shutdown(ctx); err != nil {
				s.closeErr = errors.Join(s.closeErr, srv.Close())
			}
		}
		for _, c := range s.callers {
			c.transport.CloseIdleConnections()
		}
		s.tasks.Wait()
	})
	return s.closeErr
}

// task runs beside the services until it ends; ctx ends with Close.
func (s *System) task(run func(ctx context.Context)) {
	s.tasks.Go(func() { run(s.ctx) })
}

// flawed tells whether the system is the weak one.
func (s *System) flawed() bool { return !s.options.Fixed }

// handle serves a route of a service. The handler is called after the service's
// own work.
func (s *System) handle(service, pattern string, h func(w http.ResponseWriter, r *http.Request)) {
	s.muxes[service].HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if pause(r.Context(), s.work[service].upTo(longestWork)) != nil {
			return // nobody waits any more
		}
		h(w, r)
	})
}

// random is what is drawn from the system's seed, from many goroutines.
type random struct {
	mu  sync.Mutex
	src *rand.Rand
}

// random makes a source for one purpose.
func (s *System) random(purpose string) *random {
	h := fnv.New64a()
	h.Write([]byte(purpose))
	return &random{src: rand.New(rand.NewPCG(s.options.Seed, h.Sum64()))}
}

// upTo draws a duration, evenly from 0 to d.
func (r *random) upTo(d time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Duration(r.src.Float64() * float64(d))
}

// key draws an idempotency key.
func (r *random) key() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%016x%016x", r.src.Uint64(), r.src.Uint64())
}

// pause waits for d; its error is that of ctx, which may end it.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Item is what users are shown.
type Item struct {
	Name  string `json:"name"`
	Price int    `json:"price"`
	Stock int    `json:"stock"`
	// Source says where it comes from: live, cache or archive.
	Source string `json:"source"`
}

func tea(source string) Item { return Item{Name: "tea", Price: 7, Stock: 42, Source: source} }

func reply(w http.ResponseWriter, status int, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":"cannot write the answer"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

func refuse(w http.ResponseWriter, status int, why string) {
	reply(w, status, map[string]string{"error": why})
}
