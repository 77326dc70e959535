package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// connected is what Relays offer beside their edges: the connections that are
// open on them.
type connected interface {
	Connections(edge string) []experiment.Connection
	CloseConnection(id uint64, reset bool) bool
}

// Connections lists the live connections of an edge, or of all edges if it is
// empty, in the order in which they came. An edge that is not served is NotFound.
func (e *Engine) Connections(_ context.Context, edge string) ([]experiment.Connection, error) {
	if edge != "" {
		var err error
		if edge, err = e.edgeNamed(edge); err != nil {
			return nil, err
		}
	}
	return e.connections(edge), nil
}

// CloseConnection ends a live connection, by a FIN or a reset, and returns what
// was known of it. An id that is not open is NotFound.
func (e *Engine) CloseConnection(ctx context.Context, id uint64, reset bool) (experiment.Connection, error) {
	open := e.connections("")
	i := slices.IndexFunc(open, func(c experiment.Connection) bool { return c.ID == id })
	if relays, ok := e.cfg.Relays.(connected); i < 0 || !ok || !relays.CloseConnection(id, reset) {
		return experiment.Connection{}, &experiment.Error{
			Code: experiment.NotFound, Message: fmt.Sprintf("no connection %d is open", id),
			Hint: "`chaosctl connections` lists those that are",
		}
	}
	how := "closed"
	if reset {
		how = "reset"
	}
	c := open[i]
	e.audit.write("close-connection", strconv.FormatUint(id, 10), experiment.ActorOf(ctx), how+" "+c.Client+" on "+c.Edge, nil)
	return c, nil
}

func (e *Engine) connections(edge string) []experiment.Connection {
	relays, ok := e.cfg.Relays.(connected)
	if !ok {
		return []experiment.Connection{}
	}
	all := append([]experiment.Connection{}, relays.Connections(edge)...)
	for i := range all {
		all[i].Faults = injectionsOf(all[i].Faults)
	}
	return all
}

// injectionsOf turns the ids of changes into those of their injections, each
// once, in order.
func injectionsOf(changes []string) []string {
	var ids []string
	for _, id := range changes {
		if dot := strings.LastIndexByte(id, '.'); dot > 0 {
			id = id[:dot]
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// edgeNamed is the name of an edge that is served, as it is written there.
func (e *Engine) edgeNamed(said string) (string, error) {
	var names []string
	for _, s := range e.cfg.Relays.Status() {
		names = append(names, s.Name)
	}
	spaced := "" // the name if spaces do not matter
	if from, to, ok := fault.SplitEdge(said); ok {
		spaced = fault.EdgeName(from, to)
	}
	for _, name := range []string{said, spaced} {
		if slices.Contains(names, name) {
			return name, nil
		}
	}
	hint := "no edge has a relay"
	if len(names) > 0 {
		hint = "the edges are: " + strings.Join(names[:min(len(names), 20)], ", ")
	}
	return "", &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("there is no edge %q with a relay", said), Hint: hint}
}
