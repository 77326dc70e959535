package toxiproxy

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// entry is one proxy of many, with its toxics.
type entry struct {
	in     *Proxy
	toxics []*toxic
}

// putAll puts the entries as if one by one, and returns those done before the
// first that failed. What has names of its own is made side by side.
func (d *Door) putAll(ctx context.Context, batch []entry) ([]*proxy, error) {
	done := make([]*proxy, 0, len(batch))
	for len(batch) > 0 {
		n := d.unknown(batch)
		if made, ok := d.sideBySide(ctx, batch[:n]); ok && n > 0 {
			done, batch = append(done, made...), batch[n:]
			continue
		}
		n = max(n, 1)
		for _, e := range batch[:n] {
			p, err := d.put(ctx, e.in, e.toxics)
			if err != nil {
				return done, err
			}
			done = append(done, p)
		}
		batch = batch[n:]
	}
	return done, nil
}

// unknown is how many entries from the first on have names that nothing has.
func (d *Door) unknown(batch []entry) int {
	names := make(map[string]bool, len(batch))
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, e := range batch {
		if _, taken := d.slots[e.in.Name]; taken || names[e.in.Name] {
			return i
		}
		names[e.in.Name] = true
	}
	return len(batch)
}

// sideBySide makes proxies that are not there yet, on all processors. If one fails
// none is left, for the order decides who gets an address that several want.
func (d *Door) sideBySide(ctx context.Context, batch []entry) ([]*proxy, bool) {
	made := make([]*proxy, len(batch))
	var next atomic.Int64
	var failed atomic.Bool
	var work sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(batch)) {
		work.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(batch) && !failed.Load(); i = int(next.Add(1)) - 1 {
				p, err := d.add(ctx, batch[i])
				if err != nil {
					failed.Store(true)
					return
				}
				made[i] = p
			}
		})
	}
	work.Wait()
	if !failed.Load() {
		return made, true
	}
	for i, p := range made {
		if p != nil {
			_ = d.remove(ctx, batch[i].in.Name) // it may be gone already
		}
	}
	return nil, false
}

// add makes a proxy that is not there yet.
func (d *Door) add(ctx context.Context, e entry) (*proxy, error) {
	s := d.acquire(e.in.Name)
	defer d.release(e.in.Name, s)
	if s.now.Load() != nil {
		return nil, errProxyExists
	}
	p := e.in.proxy(e.toxics)
	p.halts = d.cfg.Watch.Halts()
	if p.enabled {
		if err := d.start(ctx, p); err != nil {
			return nil, err
		}
	}
	d.show(s, p)
	return p, nil
}
