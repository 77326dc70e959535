package toxiproxy

import (
	"context"
	"encoding/json"
	"slices"
)

// addToxic puts a toxic in force on a proxy, also on connections that are open.
func (d *Door) addToxic(ctx context.Context, name string, body []byte) (*toxic, error) {
	return d.changeToxics(ctx, name, func(p *proxy) (list []*toxic, shown *toxic, err error) {
		var in ToxicWrapper
		if err := decode(body, &in, aToxic); err != nil {
			return nil, nil, err
		}
		x, err := newToxic(&in, func(name string) bool { return find(p.toxics, name) >= 0 })
		if err != nil {
			return nil, nil, err
		}
		if err := tooMany(p.toxics); err != nil {
			return nil, nil, err
		}
		if p.enabled {
			if x.injection, err = d.arm(ctx, p.name, x); err != nil {
				return nil, nil, err
			}
		}
		return append(slices.Clone(p.toxics), x), x, nil
	})
}

// updateToxic changes a toxic's attributes and toxicity, without a gap between
// the old and the new.
func (d *Door) updateToxic(ctx context.Context, name, toxicName string, body []byte) (*toxic, error) {
	return d.changeToxics(ctx, name, func(p *proxy) (list []*toxic, shown *toxic, err error) {
		i := find(p.toxics, toxicName)
		if i < 0 {
			return nil, nil, errToxicNotFound
		}
		var in struct { // all else is passed over, whatever it is
			Attributes json.RawMessage `json:"attributes"`
			Toxicity   json.RawMessage `json:"toxicity"`
		}
		if err := decode(body, &in, aToxicUpdate); err != nil {
			return nil, nil, err
		}
		x, err := p.toxics[i].updated(in.Attributes, in.Toxicity)
		if err != nil {
			return nil, nil, err
		}
		list = slices.Clone(p.toxics)
		list[i] = x
		switch {
		case !p.enabled:
		case x.injection == "" && x.toxicity > 0:
			// It acts behind all that is in force, until the proxy is started anew.
			x.injection, err = d.arm(ctx, p.name, x)
		case x.injection != "" && x.toxicity == 0:
			err = d.lift(ctx, p.toxics[i:i+1])
			x.injection = ""
		case x.injection != "":
			err = d.cfg.Faults.Replace(ctx, x.injection, x.fault(p.name), d.seed(p.name, x))
		}
		return list, x, err
	})
}

func (d *Door) removeToxic(ctx context.Context, name, toxicName string) error {
	_, err := d.changeToxics(ctx, name, func(p *proxy) (list []*toxic, shown *toxic, err error) {
		i := find(p.toxics, toxicName)
		if i < 0 {
			return nil, nil, errToxicNotFound
		}
		if err := d.lift(ctx, p.toxics[i:i+1]); err != nil {
			return nil, nil, err
		}
		return slices.Delete(slices.Clone(p.toxics), i, i+1), nil, nil
	})
	return err
}

// changeToxics gives a proxy the toxics that change returns; with an error it has
// those that it had.
func (d *Door) changeToxics(ctx context.Context, name string, change func(*proxy) ([]*toxic, *toxic, error)) (*toxic, error) {
	s := d.acquire(name)
	defer d.release(name, s)
	p := d.fresh(ctx, s)
	if p == nil {
		return nil, errProxyNotFound
	}
	halts := d.cfg.Watch.Halts()
	if len(p.toxics) > 0 {
		halts = p.halts
	}
	list, x, err := change(p)
	if err != nil {
		return nil, err
	}
	p = p.with(list)
	p.halts = halts
	d.show(s, p)
	return x, nil
}

// getToxic is a toxic as it is now.
func (d *Door) getToxic(ctx context.Context, name, toxicName string) (*toxic, error) {
	p, err := d.get(ctx, name)
	if err != nil {
		return nil, err
	}
	if i := find(p.toxics, toxicName); i >= 0 {
		return p.toxics[i], nil
	}
	return nil, errToxicNotFound
}
