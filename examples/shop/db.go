package shop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// The protocol of the db-service: one line asks, one line answers.
//
//	GET stock\n   ->   VALUE 42\n
//	GET nonsense\n ->  NONE\n
//	HELLO\n       ->   ERROR what\n   and the end of the connection
const maxLine = 1024

// errNoKey: the database has no such key.
var errNoKey = errors.New("no such key")

func content() map[string]string {
	return map[string]string{
		"items": "espresso machine,grinder,kettle",
		"stock": "42",
	}
}

// dbServer is the db-service.
type dbServer struct {
	l    net.Listener
	data map[string]string
	wg   sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func serveDB(l net.Listener) *dbServer {
	s := &dbServer{l: l, data: content(), conns: map[net.Conn]struct{}{}}
	s.wg.Go(s.accept)
	return s
}

func (s *dbServer) accept() {
	for {
		c, err := s.l.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // one connection that came to nothing
		}
		if s.track(c) {
			s.wg.Go(func() { s.talk(c) })
		}
	}
}

func (s *dbServer) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *dbServer) talk(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
	r := bufio.NewReaderSize(c, maxLine)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		answer, good := s.answer(strings.TrimRight(string(line), "\r\n"))
		if _, err := c.Write([]byte(answer + "\n")); err != nil || !good {
			return
		}
	}
}

func (s *dbServer) answer(line string) (answer string, good bool) {
	key, ok := strings.CutPrefix(line, "GET ")
	if !ok || key == "" {
		return "ERROR say GET and a key", false
	}
	if v, ok := s.data[key]; ok {
		return "VALUE " + v, true
	}
	return "NONE", true
}

// Close ends all connections and waits for their goroutines.
func (s *dbServer) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	err := s.l.Close()
	s.wg.Wait()
	return err
}

// maxIdle is how many connections a pool keeps.
const maxIdle = 32

// pool is a client of the db-service that keeps its connections.
type pool struct {
	to *route

	mu     sync.Mutex
	idle   []*dbConn
	closed bool
}

type dbConn struct {
	net.Conn
	r *bufio.Reader
}

func newPool(to *route) *pool {
	p := &pool{to: to}
	to.onChange(p.drain)
	return p
}

// get asks for one key. A connection that fails takes the idle ones with it:
// whatever killed it has probably killed them.
func (p *pool) get(ctx context.Context, key string) (string, error) {
	c, err := p.take(ctx)
	if err != nil {
		return "", fmt.Errorf("get %s: %w", key, err)
	}
	v, err := c.ask(ctx, key)
	if err != nil && !errors.Is(err, errNoKey) {
		c.Close()
		p.drain()
		return "", fmt.Errorf("get %s: %w", key, err)
	}
	p.give(c)
	return v, err
}

func (c *dbConn) ask(ctx context.Context, key string) (string, error) {
	// The end of ctx wakes whoever reads or writes. A connection it has touched is
	// never used again, also if the answer came at the same moment.
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := fmt.Fprintf(c, "GET %s\n", key); err != nil {
		return "", cause(ctx, err)
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return "", cause(ctx, err)
	}
	if !stop() {
		return "", context.Cause(ctx)
	}
	text := strings.TrimRight(string(line), "\n")
	if v, ok := strings.CutPrefix(text, "VALUE "); ok {
		return v, nil
	}
	if text == "NONE" {
		return "", errNoKey
	}
	return "", fmt.Errorf("db-service answered %q", text)
}

// cause prefers the reason of an end of ctx to the timeout it shows up as.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (p *pool) take(ctx context.Context) (*dbConn, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	c, err := p.to.dial(ctx)
	if err != nil {
		return nil, err
	}
	return &dbConn{c, bufio.NewReaderSize(c, maxLine)}, nil
}

func (p *pool) give(c *dbConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) >= maxIdle {
		c.Close()
		return
	}
	p.idle = append(p.idle, c)
}

func (p *pool) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		c.Close()
	}
	p.idle = nil
}

// Close closes the idle connections; those in use close when they are given
// back.
func (p *pool) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.drain()
	return nil
}
