package traffic

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/shape"
)

const (
	// shapeLimit is the largest body that is looked at for its shape.
	shapeLimit = 256 << 10
	// bodyKept is how much room for bodies a worker keeps from one request to the next.
	bodyKept = 64 << 10
	// knownBodies is how many bodies are known by their hash.
	knownBodies = 1024
	// longestType is how much of a media type is kept.
	longestType = 80
)

// bodySecret keys the hashes of bodies of this process.
var bodySecret = []byte(rand.Text())

// watch is what it takes to tell of each request once it is over.
type watch struct {
	tell  func(*experiment.Exchange)
	blank experiment.Exchange // what all have in common
	marks *experiment.Degraded

	mu    sync.Mutex
	known map[experiment.Digest]look
	words map[string]string // those in use, so that equal ones are one
}

// look is what a body looks like: its shape if it is JSON, and which field at its top
// says that it is degraded.
type look struct {
	json         bool
	shape, field string
}

func newWatch(cfg Config, t *template) *watch {
	if cfg.Observe == nil {
		return nil
	}
	return &watch{
		tell: cfg.Observe, marks: cfg.Flow.Degraded, known: map[experiment.Digest]look{}, words: map[string]string{},
		blank: experiment.Exchange{
			Edge: cfg.Edge, Flow: cfg.Flow.Name, Method: t.proto.Method, Path: t.proto.URL.Path,
			Query: experiment.RedactQuery(t.proto.URL.RawQuery), BytesIn: uint64(len(t.body)),
		},
	}
}

// observe tells of request i, if somebody wants to know. sent is zero if it was not.
func (g *Generator) observe(i uint64, o Outcome, sent, end time.Time, a answered) {
	if g.watch == nil {
		return
	}
	x := g.watch.blank
	x.Start, x.Sent, x.FirstByte, x.End = g.start(i), sent, a.first, end
	x.Class, x.OK, x.Status = o.Class, o.OK, a.status
	trace := traceContext(g.request.seed, g.request.flow, i)
	copy(x.TraceID[:], trace[:])
	x.Answer = a.answer
	if a.answer != nil {
		x.BytesOut = a.answer.Size
	}
	switch o.Class {
	case Timeout:
		x.Cut, x.EndedBy = true, experiment.EndedByCaller
	case Overrun, DNS, Other:
		x.Cut = true
	case Refused, Reset, Closed, Truncated:
		x.Cut, x.EndedBy = true, experiment.EndedByCallee
	default:
		x.EndedBy = experiment.EndedByCallee
	}
	g.watch.tell(&x)
}

// reader takes in one body after another.
type reader struct {
	hash hash.Hash
	body []byte
	size uint64
}

func (r *reader) begin() {
	if r.hash == nil {
		r.hash = hmac.New(sha256.New, bodySecret)
	}
	r.hash.Reset()
	if cap(r.body) > bodyKept {
		r.body = nil
	}
	r.body, r.size = r.body[:0], 0
}

func (r *reader) take(b []byte) {
	r.hash.Write(b)
	r.size += uint64(len(b))
	if r.size <= shapeLimit {
		r.body = append(r.body, b...)
	}
}

// answer says what was read; whole tells whether that is all of it.
func (w *watch) answer(r *reader, resp *http.Response, whole bool) *experiment.Answer {
	a := &experiment.Answer{Size: r.size}
	copy(a.Hash[:], r.hash.Sum(nil))
	media, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	by := degradedBy(resp.Header, w.marks)
	plain := resp.Header.Get("Content-Encoding")
	read := whole && r.size <= shapeLimit && (plain == "" || plain == "identity")
	isJSON := media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json")
	empty := r.size == 0 && (resp.StatusCode == http.StatusNoContent || resp.StatusCode == http.StatusNotModified || w.blank.Method == http.MethodHead)

	w.mu.Lock()
	defer w.mu.Unlock()
	if read && !empty && (isJSON || couldBe(r.body)) {
		l := w.look(a.Hash, r.body)
		switch {
		case l.json:
			a.Shape = l.shape
			if by == "" {
				by = l.field
			}
		case isJSON:
			a.Shape = shape.Invalid
		}
	}
	a.Type, a.Degraded = w.word(media[:min(len(media), longestType)]), w.word(by)
	return a
}

// couldBe spares most bodies that are no JSON the attempt to read them as such.
func couldBe(body []byte) bool {
	body = bytes.TrimLeft(body, " \t\r\n")
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

// look reads a body, unless it is known. w.mu must be held.
func (w *watch) look(sum experiment.Digest, body []byte) look {
	if l, ok := w.known[sum]; ok {
		return l
	}
	var l look
	l.shape, l.json = shape.Of(body, func(name, value []byte) {
		if by := degradedField(name, value, w.marks); by != "" {
			l.field = by
		}
	})
	if l.shape = w.word(l.shape); !l.json {
		l.field = ""
	}
	if len(w.known) >= knownBodies {
		clear(w.known)
	}
	w.known[sum] = l
	return l
}

// word is an equal text that is there already. w.mu must be held.
func (w *watch) word(s string) string {
	if s == "" {
		return ""
	}
	if known, ok := w.words[s]; ok {
		return known
	}
	if len(w.words) >= knownBodies {
		clear(w.words)
	}
	s = strings.Clone(s)
	w.words[s] = s
	return s
}

// degradedBy is the header by which an answer says that it is less than usual; empty
// if none does. docs/judge.md lists them.
func degradedBy(h http.Header, marks *experiment.Degraded) string {
	if marks != nil && marks.Header != "" {
		name, want := marks.HeaderIs()
		for _, v := range h[name] {
			if want == "" || strings.EqualFold(strings.TrimSpace(v), want) {
				return "header " + marks.Header
			}
		}
	}
	for _, v := range h["Warning"] {
		for _, code := range []string{"110", "111", "112"} {
			if strings.HasPrefix(strings.TrimSpace(v), code) {
				return "header Warning " + code
			}
		}
	}
	for _, name := range []string{"X-Degraded", "X-Fallback"} {
		switch v := strings.ToLower(strings.TrimSpace(h.Get(name))); v {
		case "", "0", "no", "off", "false", "none":
		default:
			return "header " + name
		}
	}
	for _, name := range []string{"X-Cache", "X-Cache-Status", "Cf-Cache-Status"} {
		if v := h.Get(name); v != "" && strings.Contains(strings.ToLower(v), "stale") {
			return "header " + name + " stale"
		}
	}
	if age := h.Get("Age"); age != "" && outlived(age, h.Get("Cache-Control")) {
		return "header Age beyond max-age"
	}
	return ""
}

// outlived tells whether an answer is older than it says it is good for.
func outlived(age, control string) bool {
	old, err := strconv.Atoi(strings.TrimSpace(age))
	if err != nil {
		return false
	}
	most, known := 0, false
	for part := range strings.SplitSeq(strings.ToLower(control), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if name != "max-age" && name != "s-maxage" {
			continue
		}
		if n, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil {
			most, known = max(most, n), true
		}
	}
	return known && old > most
}

// degradedField is the same of a field at the top of a JSON body.
func degradedField(name, value []byte, marks *experiment.Degraded) string {
	if string(value) == "true" {
		switch n := string(name); n {
		case "degraded", "stale", "fallback":
			return "field " + n
		}
	}
	if marks != nil && marks.Field != "" {
		if n, want := marks.FieldIs(); n == string(name) && want == strings.Trim(string(value), `"`) {
			return "field " + marks.Field
		}
	}
	return ""
}
