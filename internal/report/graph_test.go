package report

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

func num(t *testing.T, s string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestGraphIsReadable: services do not cover each other, labels do not cover services or
// each other, and all of it lies within the drawing.
func TestGraphIsReadable(t *testing.T) {
	for name, r := range judgedVariants() {
		g := graphOf(r)
		if name == "judged-huge" {
			continue // figures of 20 digits cover what they like
		}
		w, h := num(t, g.Width), num(t, g.Height)
		var all []box
		labels := 0
		for _, n := range g.Nodes {
			all = append(all, box{num(t, n.X), num(t, n.Y), num(t, n.W), num(t, n.H)})
		}
		for _, l := range g.Links {
			all = append(all, box{num(t, l.BX), num(t, l.BY), num(t, l.BW), num(t, l.BH)})
			if l.Line1 == "" {
				labels++
			}
		}
		if labels > 0 {
			t.Errorf("%s: %d edges without a label", name, labels)
		}
		covered := 0.0
		for i, b := range all {
			if b.x < 0 || b.y < 0 || b.x+b.w > w || b.y+b.h > h {
				t.Errorf("%s: %+v leaves the drawing of %v by %v", name, b, w, h)
			}
			for _, o := range all[:i] {
				covered += b.over(o)
			}
		}
		if most := 40.0 * float64(len(g.Links)); covered > most || len(g.Links) < 10 && covered > 0 {
			t.Errorf("%s: things cover each other by %v", name, covered)
		}
	}
}

func TestGraphColumns(t *testing.T) {
	e := func(names ...string) (all []edgeFacts) {
		for i := 0; i < len(names); i += 2 {
			all = append(all, edgeFacts{from: names[i], to: names[i+1], state: edgeOK, word: "x"})
		}
		return all
	}
	columns := func(l *layout) string {
		var all []string
		for _, c := range l.columns {
			var names []string
			for _, s := range c {
				if s.name != "" {
					names = append(names, s.name)
				}
			}
			all = append(all, strings.Join(names, " "))
		}
		return strings.Join(all, " | ")
	}
	for want, edges := range map[string][]edgeFacts{
		"users | a | b":          e("a", "b", "users", "a"),
		"users | a | b | c":      e("users", "a", "a", "b", "b", "c", "a", "c"),
		"users | a | b ":         e("users", "a", "a", "b", "b", "a"),
		"users x | a":            e("users", "a", "x", "a"),
		"a":                      e("a", "a"),
		"a | b | c":              e("a", "b", "b", "c", "c", "a"),
		"users | front | x y z ": e("users", "front", "front", "x", "front", "y", "front", "z"),
	} {
		if got := columns(layOut(edges)); got != strings.TrimSpace(want) {
			t.Errorf("columns %q, want %q", got, want)
		}
		g := &graph{}
		l := layOut(edges)
		l.draw(g, edges)
		if len(g.Links) != len(edges) {
			t.Errorf("%q: %d edges drawn", want, len(g.Links))
		}
	}
}

// TestGraphIsLeftOutIfTooLarge: then the list tells.
func TestGraphIsLeftOutIfTooLarge(t *testing.T) {
	r := judgedBroken()
	for i := range 100 {
		b := r.Behaviour[0]
		b.Edge = "api-service -> s" + strconv.Itoa(i)
		r.Behaviour = append(r.Behaviour, b)
	}
	g := graphOf(r)
	if g.Drawn || len(g.List) != 103 {
		t.Errorf("drawn %v, %d in the list", g.Drawn, len(g.List))
	}
	if err := wellFormed(render(t, HTML, r)); err != nil {
		t.Error(err)
	}
}

func TestEdgeStates(t *testing.T) {
	state := func(r *experiment.Run, edge string) edgeFacts {
		for _, f := range edgesOf(r) {
			if f.from+" -> "+f.to == edge {
				return f
			}
		}
		t.Fatalf("no edge %s", edge)
		return edgeFacts{}
	}
	if f := state(judgedBroken(), "api-service -> auth-service"); f.state != edgeFailed || !f.hurt || f.word != "71% failed" || f.line1 != "120/s, 2.4 tries" {
		t.Errorf("failed: %+v", f)
	}
	if f := state(judgedWell(), "api-service -> auth-service"); f.state != edgeMasked || f.word != "62% failed, masked" {
		t.Errorf("masked: %+v", f)
	}
	if f := state(judgedWell(), "users -> api-service"); f.state != edgeOK || f.hurt {
		t.Errorf("ok: %+v", f)
	}
	slowed := judgedWell()
	slowed.Behaviour[1].Windows = edgeWindows(slowed, 50, [3]float64{1, 0, 0}, [3]float64{1, 0, .5})
	if f := state(slowed, "api-service -> auth-service"); f.state != edgeOK || f.word != "50% hurt, none failed" {
		t.Errorf("hurt, but well: %+v", f)
	}
	if f := state(judgedBroken(), "api-service -> db-service"); f.state != edgeIdle {
		t.Errorf("not called: %+v", f)
	}
	r := judgedBroken()
	r.Behaviour = r.Behaviour[:1]
	if f := state(r, "api-service -> auth-service"); f.state != edgeUnknown || !f.hurt || f.word != noData {
		t.Errorf("not seen: %+v", f)
	}
	if graphOf(passing()) != nil {
		t.Error("a run that nobody judged has a graph")
	}
}
