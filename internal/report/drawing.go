package report

import (
	"fmt"
	"math"
	"unicode/utf8"
)

// Sizes of the graph, in units of about a pixel.
const (
	nodeHeight = 38.0
	rowHeight  = 72.0
	margin     = 12.0
	labelChar  = 6.9 // width of a character of a label
	boldChar   = 7.4
	boltWidth  = 15.0
)

// point is a place in the graph.
type point struct{ x, y float64 }

// box is a rectangle that text stands in.
type box struct{ x, y, w, h float64 }

// over is the area that two boxes share.
func (b box) over(o box) float64 {
	w := min(b.x+b.w, o.x+o.w) - max(b.x, o.x)
	h := min(b.y+b.h, o.y+o.h) - max(b.y, o.y)
	return max(w, 0) * max(h, 0)
}

// draw turns a layout into shapes.
func (l *layout) draw(g *graph, edges []edgeFacts) {
	l.node, l.gap = 138, 190
	if len(l.columns) > 4 { // a long way has to fit, too
		l.node, l.gap = 112, 158
	}
	rows := 1
	for _, c := range l.columns {
		rows = max(rows, len(c))
	}
	backs := 0
	for _, b := range l.back {
		if b {
			backs++
		}
	}
	width := 2*margin + float64(len(l.columns))*l.node + float64(max(len(l.columns)-1, 0))*l.gap
	body := float64(rows) * rowHeight
	height := 2*margin + body + float64(min(backs, 6))*16
	g.Width, g.Height = coord(width), coord(height)
	var taken []box
	at := func(s *slotNode) point {
		return point{margin + float64(s.column)*(l.node+l.gap), margin + body/2 + s.order*rowHeight}
	}
	for _, c := range l.columns {
		for _, s := range c {
			if s.name == "" {
				continue
			}
			p := at(s)
			taken = append(taken, box{p.x, p.y - nodeHeight/2, l.node, nodeHeight})
			g.Nodes = append(g.Nodes, graphNode{X: coord(p.x), Y: coord(p.y - nodeHeight/2), W: coord(l.node), H: coord(nodeHeight), TX: coord(p.x + l.node/2), TY: coord(p.y + 4.5),
				Name: clip(clean(s.name), int(l.node/8)), Title: s.name, Users: s.column == 0})
		}
	}
	out, in := map[string]int{}, map[string]int{}
	ways := make([]way, len(edges))
	backs = 0
	for i, e := range edges {
		out[e.from]++
		in[e.to]++
		ways[i] = l.way(i, at, margin+body+float64(min(backs, 6))*16)
		if l.back[i] {
			backs++
		}
	}
	for i := range edges {
		lean := 0.0 // labels stand where fewer lines meet
		if o, n := out[edges[i].from], in[edges[i].to]; o != n {
			lean = math.Copysign(.09, float64(o-n))
		}
		g.Links = append(g.Links, ways[i].link(&edges[i], ways[i].label(&edges[i], i, ways, lean, &taken)))
	}
}

// label finds the place of an edge's label where it covers least: other labels, nodes,
// and the lines of other edges.
func (w way) label(f *edgeFacts, self int, ways []way, lean float64, taken *[]box) box {
	line1, line2 := f.lines()
	width := max(float64(utf8.RuneCountInString(line1))*labelChar, float64(utf8.RuneCountInString(line2))*boldChar) + 12
	if f.hurt {
		width += boltWidth
	}
	height := 19.0
	if line2 != "" {
		height = 33
	}
	best, least := box{}, -1.0
	for _, s := range w.along {
		if s.t < .2 || s.t > .8 {
			continue
		}
		b := box{s.x - width/2, s.y - height/2, width, height}
		cost := 40 * math.Abs(s.t-.5-lean)
		for _, o := range *taken {
			cost += b.over(o)
		}
		for i := range ways {
			if i == self {
				continue
			}
			for _, p := range ways[i].along {
				if p.x > b.x && p.x < b.x+b.w && p.y > b.y && p.y < b.y+b.h {
					cost += 12
				}
			}
		}
		if least < 0 || cost < least {
			best, least = b, cost
		}
	}
	*taken = append(*taken, best)
	return best
}

// lines are what a label says.
func (f *edgeFacts) lines() (string, string) {
	if f.line1 == "" {
		return f.word, ""
	}
	return f.line1, f.line2
}

// way is the line of an edge: Bézier curves, and points along it where a label could
// stand.
type way struct {
	path  string
	end   point
	up    bool
	along []spot
}

// spot is a point of a line, t of the way along its curve.
type spot struct {
	point
	t float64
}

func (l *layout) way(i int, at func(*slotNode) point, floor float64) way {
	route := l.routes[i]
	var w way
	if l.back[i] { // below everything, and up again
		from, to := at(route[0]), at(route[1])
		a, b := point{from.x + l.node*.66, from.y + nodeHeight/2}, point{to.x + l.node*.34, to.y + nodeHeight/2 + 3}
		if len(route) == 2 && route[0] == route[1] {
			a.x, b.x = from.x+l.node*.75, from.x+l.node*.25
		}
		w.path = fmt.Sprintf("M%s %sC%s %s %s %s %s %s", coord(a.x), coord(a.y), coord(a.x), coord(floor+20), coord(b.x), coord(floor+20), coord(b.x), coord(b.y))
		w.end, w.up = b, true
		w.along = curve(a, point{a.x, floor + 20}, point{b.x, floor + 20}, b)
		return w
	}
	p := at(route[0])
	p.x += l.node
	w.path = fmt.Sprintf("M%s %s", coord(p.x), coord(p.y))
	for k, s := range route[1:] {
		q := at(s)
		last := k == len(route)-2
		if last {
			q.x -= 3
		}
		c1, c2 := point{p.x + l.gap*.45, p.y}, point{q.x - l.gap*.45, q.y}
		w.path += fmt.Sprintf("C%s %s %s %s %s %s", coord(c1.x), coord(c1.y), coord(c2.x), coord(c2.y), coord(q.x), coord(q.y))
		w.along = append(w.along, curve(p, c1, c2, q)...)
		p = q
		if !last { // straight on through the column
			p.x += l.node
			w.path += "H" + coord(p.x)
		}
	}
	w.end = p
	return w
}

// curve is points along a cubic Bézier curve.
func curve(a, b, c, d point) []spot {
	const steps = 24
	all := make([]spot, 0, steps+1)
	for i := range steps + 1 {
		t := float64(i) / steps
		u := 1 - t
		f := func(a, b, c, d float64) float64 { return u*u*u*a + 3*u*u*t*b + 3*u*t*t*c + t*t*t*d }
		all = append(all, spot{point{f(a.x, b.x, c.x, d.x), f(a.y, b.y, c.y, d.y)}, t})
	}
	return all
}

// link draws an edge with its label in its box.
func (w way) link(f *edgeFacts, b box) graphLink {
	k := graphLink{Path: w.path, Class: "e-" + string(f.state), Hurt: f.hurt, Title: f.from + " → " + f.to + ": " + f.word}
	k.Line1, k.Line2 = f.lines()
	if f.figures != "" {
		k.Title += ", " + f.figures
	}
	if f.hurt {
		k.Title += ", hurt by a fault"
	}
	e := w.end
	if w.up {
		k.Arrow = fmt.Sprintf("M%s %sl-4.5 8h9z", coord(e.x), coord(e.y-2))
	} else {
		k.Arrow = fmt.Sprintf("M%s %sl-8 -4.5v9z", coord(e.x+2), coord(e.y))
	}
	k.BX, k.BY, k.BW, k.BH = coord(b.x), coord(b.y), coord(b.w), coord(b.h)
	text := b.x + 6
	if f.hurt {
		text += boltWidth
		k.Bolt = fmt.Sprintf("M%s %sl-5 8h4l-2 7 7 -9h-4l3 -6z", coord(b.x+10), coord(b.y+b.h/2-7.5))
	}
	k.TX, k.T1, k.T2 = coord(text), coord(b.y+13.5), coord(b.y+27)
	return k
}
