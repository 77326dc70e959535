package dns

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// freshTime is how often the system's file is looked at.
const freshTime = 5 * time.Second

// system are the upstreams that the system names. Its file may change at any time.
type system struct {
	file   string
	itself func(address string) bool
	dialer *net.Dialer

	mu     sync.Mutex
	read   time.Time
	text   []byte
	list   []*ranked
	closed bool
}

// upstreams returns those of the file, without the resolver itself. A file that
// cannot be read any more, or names nobody, leaves what there was.
func (s *system) upstreams() ([]*ranked, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.list) > 0 && time.Since(s.read) < freshTime {
		return s.list, nil
	}
	s.read = time.Now()
	list, err := s.load()
	if err != nil && len(s.list) == 0 {
		return nil, err
	}
	if list != nil {
		for _, r := range s.list {
			r.upstream.close() // what is under way there goes on
		}
		s.list = list
	}
	return s.list, nil
}

// load reads the file; nil if it says what it said before.
func (s *system) load() ([]*ranked, error) {
	text, err := os.ReadFile(s.file)
	if err != nil {
		return nil, fmt.Errorf("find the system's resolvers: %w; give the resolver `upstreams`", err)
	}
	if len(s.list) > 0 && bytes.Equal(text, s.text) {
		return nil, nil
	}
	c, err := dns.ClientConfigFromReader(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w; give the resolver `upstreams`", s.file, err)
	}
	var list []*ranked
	own := false
	for i, host := range c.Servers {
		address := net.JoinHostPort(host, c.Port)
		if s.itself(address) {
			own = true
		}
		if s.itself(address) || slices.Contains(c.Servers[:i], host) {
			continue
		}
		list = append(list, &ranked{name: address, upstream: newPlain(s.dialer, address)})
	}
	switch {
	case len(list) > 0:
		s.text = text
		return list, nil
	case own:
		return nil, fmt.Errorf("%s names nobody but this resolver, which would ask itself for ever; give the resolver `upstreams`", s.file)
	}
	return nil, fmt.Errorf("%s names no resolver; give the resolver `upstreams`", s.file)
}

// close returns those there are; there will be no others.
func (s *system) close() []*ranked {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return s.list
}
