package relay

import (
	"bytes"
	"io"
	"math"
	"mime"
	"strings"

	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/relay"
)

var _ = serve(fault.HTTPBody,
	func(p *fault.Body) relay.Effect {
		kept := p.ContentLength == fault.LengthKept
		switch {
		case p.Garbage:
			return garbler{}
		case p.Replace != nil:
			return replacer{[]byte(*p.Replace), p.ContentType, kept}
		case p.JSON != nil:
			return newJSONEditor(*p.JSON, kept)
		}
		return truncater{p.Truncate, kept}
	},
	func(p *fault.Body) words {
		text := "bodies of answers on %s "
		switch {
		case p.Garbage:
			text += "are random bytes"
		case p.Replace != nil:
			text += "are replaced by " + fault.Size(len(*p.Replace)).String() + " of yours"
		case p.JSON != nil && p.JSON.Delete:
			text += "lose the JSON field " + literally(p.JSON.Path)
		case p.JSON != nil:
			text += "have another value in the JSON field " + literally(p.JSON.Path)
		default:
			text += "end after " + literally(string(p.Truncate))
		}
		if p.ContentLength == fault.LengthKept {
			text += ", under the old Content-Length"
		}
		return words{touches: text, undoes: "a body that was begun otherwise ends so"}
	})

// literally makes a text that stands for itself in words.
func literally(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// truncater cuts bodies off.
type truncater struct {
	extent fault.Extent
	kept   bool
}

func (t truncater) Rewrite(r *relay.Reply) {
	n, ok := t.extent.Of(r.Length)
	if !ok || !r.HasBody() || r.Length >= 0 && n >= r.Length {
		return
	}
	c := &cutter{from: r.Body, left: n, end: io.EOF, hurt: r.Hurt}
	if r.Length >= 0 {
		if !r.Hurt() {
			return
		}
		c.sure = true
	}
	switch {
	case t.kept:
		c.end = relay.ErrBreak
	case r.Length >= 0:
		r.Length = n
	}
	r.Body = c
}

// cutter ends a body early.
type cutter struct {
	from io.Reader
	left int64
	sure bool  // the cut counts already
	end  error // of what is cut
	hurt func() bool
	over error
}

func (c *cutter) Read(p []byte) (int, error) {
	if c.over != nil {
		return 0, c.over
	}
	if c.left > 0 {
		n, err := c.from.Read(p[:min(int64(len(p)), c.left)])
		c.left -= int64(n)
		c.over = err
		return n, err
	}
	if c.sure {
		c.over = c.end
		return 0, c.over
	}
	n, err := c.from.Read(p) // is there more?
	switch {
	case n == 0:
		c.over = err
		return 0, err
	case c.hurt():
		c.over = c.end
		return 0, c.over
	}
	c.left = math.MaxInt64 // lifted: the rest passes
	return n, err
}

// garbler puts random bytes in the place of others, until the lift.
type garbler struct{}

func (garbler) Rewrite(r *relay.Reply) {
	if r.HasBody() {
		r.Body = &garble{from: r.Body, reply: r}
	}
}

type garble struct {
	from  io.Reader
	reply *relay.Reply
	word  [6]byte // of the bits that a draw has
	used  int
}

func (g *garble) Read(p []byte) (int, error) {
	n, err := g.from.Read(p)
	if n > 0 && g.reply.Hurt() {
		for i := range p[:n] {
			p[i] ^= g.next()
		}
	}
	return n, err
}

// next is a random byte that changes every other.
func (g *garble) next() byte {
	if g.used%len(g.word) == 0 {
		bits := uint64(g.reply.Chance.Float() * (1 << 53))
		for i := range g.word {
			g.word[i] = byte(bits >> (8 * i))
		}
	}
	b := g.word[g.used%len(g.word)]
	g.used++
	return max(b, 1)
}

// replacer gives answers another body.
type replacer struct {
	text []byte
	kind string // Content-Type; empty keeps the callee's
	kept bool
}

func (e replacer) Rewrite(r *relay.Reply) {
	if !r.HasBody() || !r.Hurt() {
		return
	}
	r.Body = bytes.NewReader(e.text)
	if !e.kept {
		r.Length = int64(len(e.text))
	}
	r.Header = r.Header.Clone()
	r.Header.Del("Content-Encoding")
	if e.kind != "" {
		r.Header.Set("Content-Type", e.kind)
	}
}

// jsonEditor changes one value of JSON bodies.
type jsonEditor struct {
	steps []fault.JSONStep
	text  []byte // nil to delete
	kept  bool
}

func newJSONEditor(e fault.JSONEdit, kept bool) jsonEditor {
	steps, _ := e.Steps() // Validate refuses other paths
	return jsonEditor{steps, e.Text(), kept}
}

func (e jsonEditor) Rewrite(r *relay.Reply) {
	if !r.HasBody() || r.Length > int64(fault.MaxBody) || !isJSON(r.Header.Get("Content-Type")) || encoded(r.Header.Get("Content-Encoding")) {
		return
	}
	whole, from := &bytes.Buffer{}, r.Body
	_, err := io.Copy(whole, &untilLift{io.LimitReader(from, int64(fault.MaxBody)+1), r})
	if err != nil || whole.Len() > int(fault.MaxBody) || r.Lifted() {
		r.Body = io.MultiReader(whole, &failing{from, err})
		return
	}
	text, ok := editJSON(whole.Bytes(), e.steps, e.text)
	if !ok || bytes.Equal(text, whole.Bytes()) || !r.Hurt() {
		r.Body = whole
		return
	}
	if r.Body = bytes.NewReader(text); !e.kept && r.Length >= 0 {
		r.Length = int64(len(text))
	}
}

// untilLift reads until the effect is lifted.
type untilLift struct {
	from  io.Reader
	reply *relay.Reply
}

func (u *untilLift) Read(p []byte) (int, error) {
	if u.reply.Lifted() {
		return 0, io.EOF
	}
	return u.from.Read(p)
}

// failing goes on reading, or says how that ended already.
type failing struct {
	from io.Reader
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return f.from.Read(p)
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"))
}

func encoded(contentEncoding string) bool {
	return contentEncoding != "" && !strings.EqualFold(contentEncoding, "identity")
}
