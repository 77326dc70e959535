package engine

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/probe"
	"github.com/chaosctl/chaosctl/internal/relay"
	"github.com/chaosctl/chaosctl/internal/traffic"
)

// check asks every service that has a health path, once, before anything else.
func (r *run) check() error {
	for name, s := range r.loaded.Topology.Spec.Services {
		if s.Health == "" {
			continue
		}
		for _, in := range s.All() {
			if err := healthy(r.ctx, in.Address, s.Health, r.engine.calleeTLS(name)); err != nil {
				return fmt.Errorf("%s is not healthy: %w", name, err)
			}
		}
	}
	return nil
}

// healthy asks a health path; it must answer below 400 within 2 s.
func healthy(ctx context.Context, address, path string, secure *tls.Config) error {
	url := "http://" + address + path
	if secure != nil {
		url = "https://" + address + path
	}
	s := probe.Take(ctx, experiment.Probe{
		HTTP: &experiment.HTTPProbe{URL: url}, Timeout: fault.Duration(experiment.DefaultProbeTime),
	}, probe.Env{TLS: secure})
	if s.OK {
		return nil
	}
	return fmt.Errorf("GET %s: %s", url, s.Detail)
}

// calleeTLS is how a service is called; nil is plain.
func (e *Engine) calleeTLS(service string) *tls.Config {
	if e.cfg.CalleeTLS == nil {
		return nil
	}
	return e.cfg.CalleeTLS(service)
}

// usersTLS is how the users' edge to a service is called; nil is plain.
func (e *Engine) usersTLS(service string) *tls.Config {
	edge, ok := (&experiment.Topology{Spec: *e.spec}).Edge(fault.EdgeName(experiment.Users, service))
	if !ok || edge.TLS == nil || e.cfg.UsersTLS == nil {
		return nil
	}
	return e.cfg.UsersTLS(edge)
}

// startTraffic opens the users edges, the recorder, the probes and the flows.
func (r *run) startTraffic() error {
	if err := r.openUsers(); err != nil {
		return err
	}
	r.rec = traffic.NewRecorder(r.spec.Traffic)
	r.beginLedger()
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	r.endFlows = cancel
	for _, f := range r.spec.Traffic {
		g, err := traffic.New(traffic.Config{Flow: f, Address: r.addressOf(f.Service), Seed: r.record.Seed, Env: r.engine.cfg.Env, TLS: r.engine.usersTLS(f.Service), Observe: r.ledger.take, Edge: fault.EdgeName(experiment.Users, f.Service)}, r.rec)
		if err != nil {
			return &experiment.Error{Code: experiment.BadInput, Message: fmt.Sprintf("flow %s: %v", f.Name, err)}
		}
		r.gens = append(r.gens, g)
	}
	r.probes = probe.NewRunner(r.spec.Probes, probe.Env{Commands: r.engine.cfg.AllowCommands, Lookup: r.engine.cfg.Env})
	r.probes.Start(ctx)
	for _, g := range r.gens {
		r.flows.Go(func() { _ = g.Run(ctx) })
	}
	return nil
}

// openUsers opens a relay on every edge users -> service that flows take and
// the topology does not give a port of its own.
func (r *run) openUsers() error {
	top := &r.loaded.Topology.Spec
	for _, f := range r.spec.Traffic {
		name := fault.EdgeName(experiment.Users, f.Service)
		if _, ok := r.listenOf(name); ok {
			continue
		}
		s := top.Services[f.Service]
		host := "127.0.0.1"
		err := r.engine.cfg.Relays.Open(r.ctx, relay.Spec{
			From: experiment.Users, To: f.Service, Protocol: experiment.HTTP,
			Listen: net.JoinHostPort(host, "0"), Upstreams: addresses(s),
			TLS: upstreamTLS(r.engine.calleeTLS(f.Service)),
		})
		if err != nil {
			return fmt.Errorf("open the edge %s: %w", name, err)
		}
		r.users = append(r.users, name)
	}
	return nil
}

// upstreamTLS is a relay that takes its callers in plain.
func upstreamTLS(c *tls.Config) *relay.TLS {
	if c == nil {
		return nil
	}
	return &relay.TLS{Upstream: c}
}

func addresses(s experiment.Service) []string {
	var all []string
	for _, in := range s.All() {
		all = append(all, in.Address)
	}
	return all
}

func (r *run) listenOf(edge string) (string, bool) {
	for _, e := range r.engine.cfg.Relays.Status() {
		if e.Name == edge && e.Listen != "" {
			return e.Listen, true
		}
	}
	return "", false
}

// addressOf is where traffic to a service goes: through its users edge.
func (r *run) addressOf(service string) string {
	if a, ok := r.listenOf(fault.EdgeName(experiment.Users, service)); ok {
		return a
	}
	return addresses(r.loaded.Topology.Spec.Services[service])[0]
}

// endTraffic stops what measures; every goroutine of it has ended on return.
func (r *run) endTraffic() {
	if r.probes != nil && r.recovery >= 0 && r.ctx.Err() == nil {
		r.probes.TakeNow(r.ctx, experiment.AtEnd)
	}
	r.enter(experiment.StageJudge, "", 0)
	if r.endFlows != nil {
		r.endFlows()
	}
	if r.ctx.Err() != nil { // told to stop: nobody waits for answers any more
		for _, g := range r.gens {
			g.Abort()
		}
	}
	r.flows.Wait()
	if r.probes != nil {
		r.probes.Stop()
	}
	r.mu.Lock()
	r.record.Edges = r.engine.cfg.Relays.Status()
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), revertTimeout)
	defer cancel()
	for _, name := range r.users {
		if err := r.engine.cfg.Relays.CloseEdge(ctx, name); err != nil {
			r.note(fmt.Sprintf("closing the edge %s: %v", name, err))
		}
	}
	r.endLedger()
}

func (r *run) note(s string) {
	r.mu.Lock()
	r.record.Notes = append(r.record.Notes, s)
	r.mu.Unlock()
}

// judgeStages fills in what was measured and judges the stages that have not
// been judged yet.
func (r *run) judgeStages() error {
	if r.rec == nil || r.probes == nil {
		return nil
	}
	for _, w := range r.hurt {
		r.gateResults(w)
	}
	if r.recovery >= 0 {
		r.judgeRecovery()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.probes.Results() {
		p.What, p.Why = redact(p.What, r.spec), redact(p.Why, r.spec)
		r.record.Probes = append(r.record.Probes, p)
	}
	for _, f := range r.spec.Traffic {
		r.record.Flows = append(r.record.Flows, r.flowResult(f))
	}
	return nil
}

func (r *run) flowResult(f experiment.Flow) experiment.FlowResult {
	result := experiment.FlowResult{
		Name: f.Name, Request: redact(fmt.Sprintf("%s %s %s", methodOf(f.HTTP), f.Service, f.HTTP.Path), r.spec), Rate: f.Rate.String(),
		Series: r.rec.Series(f.Name), Windows: []experiment.FlowWindow{},
	}
	for i := range r.rec.Windows() {
		w := r.rec.FlowWindow(i, f.Name)
		result.Overruns += w.Overruns
		if w.Stage == experiment.StageSteady || w.Stage == experiment.StageHurt || w.Stage == experiment.StageRecovery {
			result.Windows = append(result.Windows, w)
		}
	}
	return result
}

// judgeRecovery measures the time to recover, and judges the recovery's gates
// from that instant on: what was still broken before it is what the time
// counts.
func (r *run) judgeRecovery() {
	w := r.rec.Window(r.recovery)
	gates := r.recoveryGates()
	rr := &experiment.RecoveryResult{Lift: r.lifted, Within: r.spec.Recovery.Within, Hold: r.spec.Recovery.Hold}
	from := w.Start
	took, result, why := probe.Recovery(gates, r.rec, w.Start, w.End, rr.Hold.Std())
	d := fault.Duration(took.Round(time.Millisecond))
	rr.Result = result
	switch {
	case len(gates) == 0:
		rr.Result, rr.Why = experiment.Pass, "no gate is judged in recovery"
	case result == experiment.Unknown:
		rr.Why = "the time to recover is unknown: " + why
	case result == experiment.Fail:
		rr.Why = fmt.Sprintf("not recovered %s after the lift: %s", w.End.Sub(w.Start).Round(100*time.Millisecond), why)
	case d > rr.Within:
		rr.Took, from = &d, w.Start.Add(took)
		rr.Result, rr.Why = experiment.Fail, fmt.Sprintf("recovery took %s after the lift, not within %s", d, rr.Within)
	default:
		rr.Took, from = &d, w.Start.Add(took)
		rr.Why = fmt.Sprintf("recovery took %s after the lift, within %s", d, rr.Within)
	}
	if r.sick != nil {
		rr.Result, rr.Why = experiment.Fail, "at the end of the recovery "+r.sick.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range gates {
		r.record.Gates = append(r.record.Gates, probe.Judge(g, w, r.rec.Sliding(g.Of, from, w.End))...)
	}
	r.record.Recovery = rr
}
