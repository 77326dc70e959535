package toxiproxy

import (
	"bytes"
	"context"
	"fmt"
)

// create makes a proxy with its toxics, or nothing.
func (d *Door) create(ctx context.Context, body []byte) (*proxy, error) {
	in := Proxy{Enabled: true}
	if err := decode(body, &in, aProxy); err != nil {
		return nil, err
	}
	if err := in.complete(0); err != nil {
		return nil, err
	}
	toxics, err := readToxics(in.Toxics)
	if err != nil {
		return nil, err
	}
	return d.add(ctx, entry{&in, toxics})
}

// update changes a proxy. When it is refused or the new address cannot be listened
// on, nothing has changed.
func (d *Door) update(ctx context.Context, name string, body []byte) (*proxy, error) {
	s := d.acquire(name)
	defer d.release(name, s)
	p := d.fresh(ctx, s)
	if p == nil {
		return nil, errProxyNotFound
	}
	in, err := p.changed(body)
	if err != nil {
		return nil, err
	}
	differs, err := p.differs(in)
	if err != nil {
		return nil, err
	}
	if differs {
		err = d.exchange(ctx, s, p, in, p.toxics)
	} else {
		err = d.turn(ctx, s, p, in.Enabled)
	}
	if err != nil {
		return nil, err
	}
	return s.now.Load(), nil
}

// exchange puts a proxy as in says in the place of p, which is shown. If it cannot
// be started, p is as it was; only its connections are cut, if that was not to be
// seen before.
func (d *Door) exchange(ctx context.Context, s *slot, p *proxy, in *Proxy, toxics []*toxic) error {
	if in.Enabled && in.Listen != p.listen {
		if err := p.free(in.Listen); err != nil {
			return err
		}
	}
	next := in.proxy(disarmed(toxics))
	if next.halts = d.cfg.Watch.Halts(); len(p.toxics) > 0 {
		next.halts = p.halts
	}
	off := d.stopped(ctx, p)
	var err error
	if next.enabled {
		err = d.start(ctx, next)
	}
	if err == nil {
		d.show(s, next)
		return nil
	}
	if back := off.with(off.toxics); p.enabled && d.start(ctx, back) == nil {
		off = back
	}
	d.show(s, off)
	return err
}

// disarmed are copies of toxics, for another arming.
func disarmed(list []*toxic) []*toxic {
	off := make([]*toxic, len(list))
	for i, x := range list {
		fresh := *x
		fresh.injection = ""
		off[i] = &fresh
	}
	return off
}

// turn shows a proxy, turned on or off. If it cannot be turned on, it is off.
func (d *Door) turn(ctx context.Context, s *slot, p *proxy, on bool) error {
	var err error
	switch {
	case on && !p.enabled:
		fresh := p.with(p.toxics)
		if err = d.start(ctx, fresh); err == nil {
			p = fresh
		}
	case !on && p.enabled:
		p = d.stopped(ctx, p)
	}
	d.show(s, p)
	return err
}

func (d *Door) remove(ctx context.Context, name string) error {
	s := d.acquire(name)
	defer d.release(name, s)
	p := s.now.Load()
	if p == nil {
		return errProxyNotFound
	}
	d.stopped(ctx, p)
	d.show(s, nil)
	return nil
}

// populate makes or replaces proxies one by one, and stops at the first that
// fails; those done are returned with the error. All of the input is checked
// before anything is done.
func (d *Door) populate(ctx context.Context, body []byte) ([]*proxy, error) {
	var inputs []struct {
		Proxy
		Enabled *bool `json:"enabled"` // null and absent are true
	}
	if err := decode(body, &inputs, aProxy); err != nil {
		return nil, err
	}
	toxics := make([][]*toxic, len(inputs))
	for i := range inputs {
		inputs[i].Proxy.Enabled = inputs[i].Enabled == nil || *inputs[i].Enabled
		if err := inputs[i].complete(i + 1); err != nil {
			return nil, err
		}
	}
	for i := range inputs {
		var err error
		if toxics[i], err = readToxics(inputs[i].Toxics); err != nil {
			r := asRefusal(err)
			return nil, &refusal{fmt.Sprintf("%s at proxy %d", r.message, i+1), r.status}
		}
	}
	batch := make([]entry, 0, len(inputs))
	for i := range inputs {
		for _, x := range toxics[i] {
			x.number = d.armings.Add(1)
		}
		batch = append(batch, entry{&inputs[i].Proxy, toxics[i]})
	}
	return d.putAll(ctx, batch)
}

// put makes a proxy, or replaces one that differs. One that does not is left
// alone; if toxics are given, it has them and no others afterwards.
func (d *Door) put(ctx context.Context, in *Proxy, toxics []*toxic) (*proxy, error) {
	s := d.acquire(in.Name)
	defer d.release(in.Name, s)
	if p := d.fresh(ctx, s); p != nil {
		differs, err := p.differs(in)
		if err != nil {
			return nil, err
		}
		if !differs {
			if len(toxics) == 0 || bytes.Equal(toxicsJSON(nil, toxics), toxicsJSON(nil, p.toxics)) {
				return p, nil
			}
			return d.retoxic(ctx, s, p, toxics)
		}
		if err := d.exchange(ctx, s, p, in, toxics); err != nil {
			return nil, err
		}
		return s.now.Load(), nil
	}
	p := in.proxy(toxics)
	p.halts = d.cfg.Watch.Halts()
	if p.enabled {
		if err := d.start(ctx, p); err != nil {
			return nil, err
		}
	}
	d.show(s, p)
	return p, nil
}

// retoxic gives a proxy other toxics.
func (d *Door) retoxic(ctx context.Context, s *slot, p *proxy, toxics []*toxic) (*proxy, error) {
	old := p.toxics
	p = p.with(nil)
	p.halts = d.cfg.Watch.Halts()
	for _, x := range toxics {
		on := *x
		if p.enabled {
			var err error
			if on.injection, err = d.arm(ctx, p.name, &on); err != nil {
				return nil, errorsWith(err, d.lift(ctx, p.toxics))
			}
		}
		p.toxics = append(p.toxics, &on)
	}
	err := d.lift(ctx, old)
	d.show(s, p)
	return p, err
}

// reset turns every proxy on and takes all toxics out. One that fails does not keep
// the others from it; the error is the first.
func (d *Door) reset(ctx context.Context) error {
	var first error
	for _, name := range d.names() {
		if err := d.resetOne(ctx, name); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (d *Door) resetOne(ctx context.Context, name string) error {
	s := d.acquire(name)
	defer d.release(name, s)
	p := d.fresh(ctx, s)
	if p == nil || p.enabled && len(p.toxics) == 0 {
		return nil
	}
	err := d.lift(ctx, p.toxics)
	return errorsWith(d.turn(ctx, s, p.with(nil), true), err)
}

// errorsWith is the first error, or the second if there is no first: an answer
// has room for one.
func errorsWith(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
