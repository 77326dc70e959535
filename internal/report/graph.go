package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
)

// graph is who calls whom, drawn, and as a list for those who do not see the drawing
// or have no room for it.
type graph struct {
	Width, Height string
	Nodes         []graphNode
	Links         []graphLink
	List          []graphItem
	Label         string
	Drawn         bool // small enough to be drawn
	Legend        []graphItem
}

type graphNode struct {
	X, Y, W, H, TX, TY string
	Name, Title        string
	Users              bool
}

type graphLink struct {
	Path, Arrow string
	Class       string
	Hurt        bool
	Bolt        string
	BX, BY      string
	BW, BH      string
	TX, T1, T2  string
	Line1       string
	Line2       string
	Title       string
}

// graphItem is an edge in words.
type graphItem struct {
	Edge, Class, Figures, Word string
	Href                       string
	Hurt                       bool
	Tone                       tone
}

// edgeState is what became of an edge while something was hurt.
type edgeState string

const (
	edgeOK      edgeState = "ok"
	edgeMasked  edgeState = "masked"
	edgeFailed  edgeState = "failed"
	edgeIdle    edgeState = "idle"
	edgeUnknown edgeState = "unknown"
)

// edgeFacts are what the graph shows of an edge.
type edgeFacts struct {
	from, to string
	state    edgeState
	hurt     bool
	figures  string // "24/s, 2.4 tries per call"
	word     string // "31% failed"
	line1    string
	line2    string
	id       string // of its details below; empty without
}

// maxNodes and maxLinks are the largest graph that is drawn.
const (
	maxNodes = 40
	maxLinks = 80
)

// edgesOf gathers all edges of a run, in the order of the topology.
func edgesOf(r *experiment.Run) []edgeFacts {
	behaviour := map[string]*experiment.EdgeBehaviour{}
	ids := map[string]string{}
	for i := range r.Behaviour {
		if b := &r.Behaviour[i]; behaviour[b.Edge] == nil {
			behaviour[b.Edge], ids[b.Edge] = b, fmt.Sprintf("edge-%d", i+1)
		}
	}
	armed := map[string]bool{}
	for _, in := range r.Injections {
		for _, a := range in.Armed {
			armed[a.Where] = true
		}
	}
	var all []edgeFacts
	seen := map[string]bool{}
	add := func(name, from, to string) {
		if seen[name] || from == "" || to == "" {
			return
		}
		seen[name] = true
		f := edgeFacts{from: from, to: to, hurt: armed[name], id: ids[name], state: edgeUnknown, word: noData}
		if b := behaviour[name]; b != nil {
			f.judge(r, b)
		}
		all = append(all, f)
	}
	for _, e := range r.Edges {
		add(e.Name, e.From, e.To)
	}
	for _, b := range r.Behaviour {
		from, to, _ := strings.Cut(b.Edge, " -> ")
		add(b.Edge, from, to)
	}
	return all
}

// worstWindow is the hurt window of an edge in which most of it failed.
func worstWindow(b *experiment.EdgeBehaviour) *experiment.EdgeWindow {
	var worst *experiment.EdgeWindow
	failed := func(w *experiment.EdgeWindow) float64 { return float64(w.Failed) / float64(max(w.Exchanges, 1)) }
	for i := range b.Windows {
		w := &b.Windows[i]
		if w.Stage != experiment.StageHurt {
			continue
		}
		if worst == nil || failed(w) > failed(worst) || worst.Exchanges == 0 && w.Exchanges > 0 {
			worst = w
		}
	}
	return worst
}

// judge fills in what became of an edge. It is masked if it failed, but what its caller
// is asked for did not.
func (f *edgeFacts) judge(r *experiment.Run, b *experiment.EdgeBehaviour) {
	for _, w := range b.Windows {
		f.hurt = f.hurt || w.Hurt > 0
	}
	w := worstWindow(b)
	if w == nil {
		return
	}
	f.line1 = rateWords(w.Rate)
	f.figures = f.line1
	if w.Calls > 0 {
		f.line1 += ", " + tries(w.Attempts)
		f.figures += ", " + perCall(w.Attempts) + " attempts per call"
		if perCall(w.Attempts) == "1" {
			f.figures = f.line1 + " per call"
		}
	}
	share := rough(min(w.Failed, w.Exchanges), w.Exchanges)
	switch {
	case w.Exchanges == 0:
		f.state, f.word, f.line1, f.figures = edgeIdle, "not called", "", ""
	case w.Failed == 0:
		f.state, f.word = edgeOK, "nothing failed"
		if w.Hurt > 0 {
			f.word = rough(min(w.Hurt, w.Exchanges), w.Exchanges) + " hurt, none failed"
		}
	case masked(r, f.from):
		f.state, f.word = edgeMasked, share+" failed, masked"
	default:
		f.state, f.word = edgeFailed, share+" failed"
	}
	f.line2 = f.word
}

// tries are attempts per call, short.
func tries(v float64) string {
	if s := factor(v); s != "1" {
		return s + " tries"
	}
	return "1 try"
}

// masked tells whether nothing of what a service is asked for failed while something
// was hurt, although what it calls did.
func masked(r *experiment.Run, service string) bool {
	asked := false
	for i := range r.Behaviour {
		b := &r.Behaviour[i]
		if _, to, _ := strings.Cut(b.Edge, " -> "); to != service || service == "" {
			continue
		}
		for _, w := range b.Windows {
			if w.Stage == experiment.StageHurt && w.Exchanges > 0 {
				asked = true
				if w.Failed > w.Exchanges/200 { // one in 200 may be a stray
					return false
				}
			}
		}
	}
	return asked
}

func stateTone(s edgeState) tone {
	switch s {
	case edgeOK, edgeMasked:
		return toneGood
	case edgeFailed:
		return toneBad
	}
	return toneNone
}

func graphOf(r *experiment.Run) *graph {
	edges := edgesOf(r)
	if len(edges) == 0 || len(r.Behaviour) == 0 {
		return nil
	}
	g := &graph{}
	var words []string
	for _, f := range edges {
		item := graphItem{Edge: f.from + " → " + f.to, Class: "e-" + string(f.state), Figures: f.figures, Word: f.word, Hurt: f.hurt, Tone: stateTone(f.state)}
		if f.id != "" {
			item.Href = "#" + f.id
		}
		g.List = append(g.List, item)
		said := item.Edge + ": " + f.word
		if f.hurt {
			said += ", hurt by a fault"
		}
		words = append(words, said)
	}
	g.Label = "Who calls whom, while something was hurt. " + strings.Join(words, "; ") + "."
	for _, s := range []edgeState{edgeOK, edgeMasked, edgeFailed, edgeIdle} {
		if slices.ContainsFunc(edges, func(f edgeFacts) bool { return f.state == s }) {
			g.Legend = append(g.Legend, graphItem{Class: "e-" + string(s), Word: map[edgeState]string{edgeOK: "nothing failed", edgeMasked: "failed, but its caller answered well", edgeFailed: "failed, and the failure was passed on", edgeIdle: "not called"}[s]})
		}
	}
	l := layOut(edges)
	if len(l.nodes) <= maxNodes && len(edges) <= maxLinks {
		g.Drawn = true
		l.draw(g, edges)
	}
	return g
}
