package httpapi

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	challenge  = `Bearer realm="chaosctl"`
	healthPath = "/v1/health"
	// noContent lets a browser that shows an answer do nothing with it.
	noContent = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

// ServeHTTP lets through what the guards admit.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", noContent)
	h.Set("Cache-Control", "no-store")
	defer s.recovered(w, r)
	for _, guard := range []func(*http.Request) *problem{s.checkHost, s.checkSite, s.checkToken, s.checkMedia} {
		if p := guard(r); p != nil {
			p.write(w)
			return
		}
	}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Now().Add(answerTimeout)) // a recorder has none
	if p := s.takeBody(w, r); p != nil {
		p.write(w)
		return
	}
	who := &request{remote: r.RemoteAddr, named: actorName(r.Header.Get(actorHeader))}
	s.mux.ServeHTTP(w, r.WithContext(experiment.WithActor(r.Context(), who.actor("", s.cfg.Actor))))
}

// recovered answers a panic with 500 and logs where it was.
func (s *server) recovered(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler || r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
	s.log.Error("panic while answering a request", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
	newProblem(http.StatusInternalServerError, internalError, "the server failed inside; its log says where", "").write(w)
}

// checkHost refuses names that are not ours: with a name of his own that
// resolves to our address, a stranger's page would count as same-origin.
func (s *server) checkHost(r *http.Request) *problem {
	if s.ourHost(r) {
		return nil
	}
	hint := "call it by its address"
	if local := localAddr(r); local.IsValid() {
		hint = "call it as " + local.String()
	}
	return newProblem(http.StatusMisdirectedRequest, experiment.Guarded, fmt.Sprintf("this server is not known as %q", clip(r.Host)), hint)
}

func (s *server) ourHost(r *http.Request) bool {
	name, port := splitHost(r)
	for _, allowed := range s.cfg.Hosts {
		if h, p, err := net.SplitHostPort(allowed); err == nil && strings.EqualFold(h, name) && p == port {
			return true
		}
		if strings.EqualFold(strings.Trim(allowed, "[]"), name) {
			return true
		}
	}
	local := localAddr(r)
	if !local.IsValid() || port != strconv.Itoa(int(local.Port())) {
		return false
	}
	switch strings.ToLower(name) {
	case "localhost", "127.0.0.1", "::1":
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.Unmap() == local.Addr()
}

func splitHost(r *http.Request) (name, port string) {
	name, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		name, port = strings.Trim(r.Host, "[]"), "80"
		if r.TLS != nil {
			port = "443"
		}
	}
	return name, port
}

// localAddr is the address that the client dialled, without a zone.
func localAddr(r *http.Request) netip.AddrPort {
	a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

// checkSite refuses what a page of another site made a browser send.
func (s *server) checkSite(r *http.Request) *problem {
	refused := newProblem(http.StatusForbidden, experiment.Guarded, "requests from pages of other sites are refused", "")
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		if err != nil || u.Scheme != scheme || !strings.EqualFold(u.Host, r.Host) {
			return refused
		}
	}
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return refused
		}
	}
	return nil
}

// checkToken demands the token, or loopback on both ends where there is none.
func (s *server) checkToken(r *http.Request) *problem {
	if r.URL.Path == healthPath && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		return nil
	}
	if s.cfg.Token == "" {
		remote, err := netip.ParseAddrPort(r.RemoteAddr)
		if err == nil && remote.Addr().Unmap().IsLoopback() && localAddr(r).Addr().IsLoopback() {
			return nil
		}
		return newProblem(http.StatusUnauthorized, experiment.Unauthorised,
			"this server has no token, so it answers only over loopback", "start it with --token-file FILE").with("WWW-Authenticate", challenge)
	}
	values := r.Header.Values("Authorization")
	scheme, given, _ := strings.Cut(strings.Join(values, ","), " ")
	want, got := sha256.Sum256([]byte(s.cfg.Token)), sha256.Sum256([]byte(given))
	if len(values) == 1 && strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
		return nil
	}
	message := "the token is not the server's"
	if len(values) == 0 {
		message = "this server demands a token"
	}
	return newProblem(http.StatusUnauthorized, experiment.Unauthorised, message,
		"give --token-file FILE or CHAOSCTL_TOKEN_FILE; over HTTP, `Authorization: Bearer TOKEN`").with("WWW-Authenticate", challenge)
}

// checkMedia demands that bodies say they are JSON (or YAML, where a document
// is taken), which no form of another site can.
func (s *server) checkMedia(r *http.Request) *problem {
	if !changes(r) || r.ContentLength == 0 {
		return nil
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := params["charset"]
	switch {
	case err == nil && (charset == "" || strings.EqualFold(charset, "utf-8")) &&
		(media == "application/json" || takesDocument(r) && isYAML(media)):
		return nil
	case takesDocument(r):
		return newProblem(http.StatusUnsupportedMediaType, experiment.BadInput, "the body must be application/json or application/yaml, in UTF-8", "set the Content-Type header")
	}
	return newProblem(http.StatusUnsupportedMediaType, experiment.BadInput, "the body must be application/json, in UTF-8", "set the Content-Type header to application/json")
}

func changes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodOptions
}

// takesDocument tells whether the body may be an experiment itself.
func takesDocument(r *http.Request) bool { return r.URL.Path == runsPath || r.URL.Path == planPath }

func isYAML(media string) bool {
	return media == "application/yaml" || media == "application/x-yaml" || media == "text/yaml"
}

// takeBody reads the whole body within its limits of size and time, and hands
// it on in memory. net/http drops the deadline once the body is read.
func (s *server) takeBody(w http.ResponseWriter, r *http.Request) *problem {
	if !changes(r) || r.ContentLength == 0 {
		r.Body = http.NoBody
		return nil
	}
	limit := int64(maxBody)
	if takesDocument(r) {
		limit = maxDocuments
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(s.bodyTime)) // a recorder has none
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, experiment.BadInput, fmt.Sprintf("the body is larger than %d bytes", limit), "")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return newProblem(http.StatusRequestTimeout, experiment.BadInput, fmt.Sprintf("the body did not arrive within %s", s.bodyTime), "").with("Connection", "close")
	case err != nil:
		return newProblem(http.StatusBadRequest, experiment.BadInput, "the body could not be read: "+err.Error(), "").with("Connection", "close")
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	r.ContentLength = int64(len(b))
	return nil
}

func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:77]) + "..."
	}
	return s
}
