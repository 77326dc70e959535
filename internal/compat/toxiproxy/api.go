package toxiproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// APIVersion is the version of Toxiproxy whose API this is, as /version tells it:
// clients choose by it what they send.
const APIVersion = "2.12.0"

// maxBody is the most that a request may carry.
const maxBody = 16 << 20

// answer is what a request gets. Without a body it is empty.
type answer struct {
	status int
	kind   string // Content-Type
	body   []byte
	ours   bool // says whose answer it is
}

const (
	jsonType  = "application/json"
	plainType = "text/plain; charset=utf-8"
)

func ok(status int, body []byte) answer { return answer{status: status, kind: jsonType, body: body} }

var noContent = answer{status: http.StatusNoContent}

// target is what the path of a request names.
type target struct{ proxy, toxic string }

// handler answers a request; body is read already.
type handler func(ctx context.Context, to target, body []byte) (answer, error)

// named is a handler with the name that the log tells.
type named struct {
	name string
	handler
}

// routes is the table of all routes, by path and method; {} stands for a name.
func (d *Door) routes() map[string]map[string]named {
	proxy, toxic := named{"ProxyUpdate", d.postUpdate}, named{"ToxicUpdate", d.postToxicUpdate}
	return map[string]map[string]named{
		"/proxies":              {"GET": {"ProxyIndex", d.list}, "POST": {"ProxyCreate", d.postProxy}},
		"/proxies/{}":           {"GET": {"ProxyShow", d.getProxy}, "POST": proxy, "PATCH": proxy, "DELETE": {"ProxyDelete", d.deleteProxy}},
		"/proxies/{}/toxics":    {"GET": {"ToxicIndex", d.listToxics}, "POST": {"ToxicCreate", d.postToxic}},
		"/proxies/{}/toxics/{}": {"GET": {"ToxicShow", d.showToxic}, "POST": toxic, "PATCH": toxic, "DELETE": {"ToxicDelete", d.deleteToxic}},
		"/populate":             {"POST": {"Populate", d.postPopulate}},
		"/reset":                {"POST": {"ResetState", d.postReset}},
		"/version":              {"GET": {"Version", d.getVersion}},
	}
}

// route finds what answers a path and a method. found tells whether there is
// anything at the path.
func (d *Door) route(method, path string) (n named, to target, found bool) {
	pattern := path
	if rest, below := strings.CutPrefix(path, "/proxies/"); below {
		parts := strings.SplitN(rest, "/", 4)
		switch {
		case len(parts) == 1 && parts[0] != "":
			pattern, to = "/proxies/{}", target{parts[0], ""}
		case len(parts) == 2 && parts[1] == "toxics":
			pattern, to = "/proxies/{}/toxics", target{parts[0], ""}
		case len(parts) == 3 && parts[1] == "toxics" && parts[2] != "":
			pattern, to = "/proxies/{}/toxics/{}", target{parts[0], parts[2]}
		default:
			return named{}, target{}, false
		}
	}
	methods, found := d.table[pattern]
	return methods[method], to, found
}

// ServeHTTP implements http.Handler.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if clean := cleaned(r.URL.Path); clean != r.URL.Path {
		u := *r.URL
		u.Path = clean
		w.Header().Set("Location", u.String())
		w.WriteHeader(http.StatusMovedPermanently)
		return
	}
	n, to, found := d.route(r.Method, r.URL.Path)
	switch {
	case r.URL.Path == "/metrics" && d.metrics != nil:
		d.scrape(w, r)
		return
	case !found:
		http.NotFound(w, r)
		return
	case n.handler == nil:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	began := time.Now()
	w.Header().Set(requestIDHeader, requestID())
	a := d.answer(w, r, n.name, n.handler, to)
	d.write(w, a)
	if d.log.Enabled(r.Context(), slog.LevelDebug) {
		d.log.DebugContext(r.Context(), "request", "method", r.Method, "url", r.URL.String(), "client", r.RemoteAddr,
			"user_agent", r.UserAgent(), "handler", n.name, "status", a.status, "size", len(a.body),
			"duration", float64(time.Since(began).Microseconds())/1000)
	}
}

// fromPage refuses what comes from a web page.
func fromPage(r *http.Request) (refused answer, yes bool) {
	switch {
	case strings.HasPrefix(r.UserAgent(), "Mozilla/"):
		return answer{status: http.StatusForbidden, kind: plainType, body: []byte("User agent not allowed\n")}, true
	case r.Header.Get("Origin") != "":
		return failed(&refusal{"requests from web pages (with an Origin) are not allowed", http.StatusForbidden}), true
	}
	return answer{}, false
}

// barred refuses what comes from a web page, and what one may have had sent here
// under a name of its own.
func (d *Door) barred(r *http.Request) (refused answer, yes bool) {
	if a, yes := fromPage(r); yes {
		return a, true
	}
	if d.foreign(r.Host) {
		return failed(&refusal{"requests for this host are not allowed while the API listens on loopback; use localhost or an address", http.StatusForbidden}), true
	}
	return answer{}, false
}

// foreign tells whether a request is for a name that somebody else may have given
// to this machine's loopback address: one of the public DNS, where only names below
// localhost, internal and test are nobody's.
func (d *Door) foreign(host string) bool {
	if d.cfg.OnlyHost == "" {
		return false
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == host || last == "localhost" || last == "internal" || last == "test" || host == strings.ToLower(d.cfg.OnlyHost) {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err != nil
}

// scrape answers /metrics, by any method.
func (d *Door) scrape(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(requestIDHeader, requestID())
	if a, yes := d.barred(r); yes {
		d.write(w, a)
		return
	}
	d.metrics.handler.ServeHTTP(w, r)
}

// answer reads the body and calls the handler.
func (d *Door) answer(w http.ResponseWriter, r *http.Request, name string, h handler, to target) answer {
	if a, yes := d.barred(r); yes {
		return a
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return failed(&refusal{fmt.Sprintf("bad request body: it must be at most %d bytes long", maxBody), http.StatusRequestEntityTooLarge})
		}
		return failed(asRefusal(badBody(err)))
	}
	// What was asked for is done whole, also when the client hangs up.
	return d.run(experiment.WithActor(context.WithoutCancel(r.Context()), caller), name, h, to, body)
}

// run calls a handler.
func (d *Door) run(ctx context.Context, name string, h handler, to target, body []byte) answer {
	a, err := h(ctx, to, body)
	if err != nil {
		ref := asRefusal(err)
		if ref.status >= http.StatusInternalServerError {
			d.log.WarnContext(ctx, "request failed", "handler", name, "proxy", to.proxy, "toxic", to.toxic, "error", err.Error())
		}
		return failed(ref)
	}
	return a
}

// failed answers as the original does: JSON that calls itself plain text.
func failed(r *refusal) answer {
	return answer{status: r.status, kind: plainType, body: append(r.body(), '\n')}
}

func (d *Door) write(w http.ResponseWriter, a answer) {
	if a.kind != "" {
		w.Header().Set("Content-Type", a.kind)
	}
	if a.kind == plainType {
		w.Header().Set("X-Content-Type-Options", "nosniff")
	}
	if a.ours {
		w.Header().Set("X-Chaosctl-Version", d.cfg.Version)
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // whoever asked may be gone
}

// cleaned is a path without doubled slashes and dot segments.
func cleaned(p string) string {
	if p == "" {
		return "/"
	}
	if p[0] != '/' {
		p = "/" + p
	}
	c := path.Clean(p)
	if p[len(p)-1] == '/' && c != "/" {
		c += "/"
	}
	return c
}

func (d *Door) list(ctx context.Context, _ target, _ []byte) (answer, error) {
	b := []byte{'{'}
	for i, p := range d.all(ctx) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendQuoted(b, p.name), ':')
		b = append(b, p.json...)
	}
	return ok(http.StatusOK, append(b, '}')), nil
}

func (d *Door) getProxy(ctx context.Context, to target, _ []byte) (answer, error) {
	p, err := d.get(ctx, to.proxy)
	return proxyAnswer(http.StatusOK, p, err)
}

func proxyAnswer(status int, p *proxy, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return ok(status, p.json), nil
}

func (d *Door) postProxy(ctx context.Context, _ target, body []byte) (answer, error) {
	p, err := d.create(ctx, body)
	return proxyAnswer(http.StatusCreated, p, err)
}

func (d *Door) postUpdate(ctx context.Context, to target, body []byte) (answer, error) {
	p, err := d.update(ctx, to.proxy, body)
	return proxyAnswer(http.StatusOK, p, err)
}

func (d *Door) deleteProxy(ctx context.Context, to target, _ []byte) (answer, error) {
	return noContent, d.remove(ctx, to.proxy)
}

// postPopulate answers a failure in the same object as what was done before it.
func (d *Door) postPopulate(ctx context.Context, _ target, body []byte) (answer, error) {
	done, err := d.populate(ctx, body)
	b, status := []byte{'{'}, http.StatusCreated
	if err != nil {
		r := asRefusal(err)
		d.log.WarnContext(ctx, "populate failed", "error", r.message)
		whole := r.body()
		b, status = append(whole[:len(whole)-1], ','), r.status
	}
	b = append(b, `"proxies":`...)
	if len(done) == 0 {
		b = append(b, "null"...)
	} else {
		for i, p := range done {
			b = append(append(b, "[,"[min(i, 1)]), p.json...)
		}
		b = append(b, ']')
	}
	return ok(status, append(b, '}')), nil
}

func (d *Door) postReset(ctx context.Context, _ target, _ []byte) (answer, error) {
	return noContent, d.reset(ctx)
}

func (d *Door) listToxics(ctx context.Context, to target, _ []byte) (answer, error) {
	p, err := d.get(ctx, to.proxy)
	if err != nil {
		return answer{}, err
	}
	return ok(http.StatusOK, toxicsJSON(nil, p.toxics)), nil
}

func toxicAnswer(x *toxic, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return ok(http.StatusOK, x.json), nil
}

func (d *Door) postToxic(ctx context.Context, to target, body []byte) (answer, error) {
	return toxicAnswer(d.addToxic(ctx, to.proxy, body))
}

func (d *Door) showToxic(ctx context.Context, to target, _ []byte) (answer, error) {
	return toxicAnswer(d.getToxic(ctx, to.proxy, to.toxic))
}

func (d *Door) postToxicUpdate(ctx context.Context, to target, body []byte) (answer, error) {
	return toxicAnswer(d.updateToxic(ctx, to.proxy, to.toxic, body))
}

func (d *Door) deleteToxic(ctx context.Context, to target, _ []byte) (answer, error) {
	return noContent, d.removeToxic(ctx, to.proxy, to.toxic)
}

func (d *Door) getVersion(context.Context, target, []byte) (answer, error) {
	return answer{http.StatusOK, "application/json;charset=utf-8", []byte(`{"version": "` + APIVersion + `"}` + "\n"), true}, nil
}
