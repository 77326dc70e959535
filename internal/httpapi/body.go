package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/netip"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// request is the part of a request that huma does not decode: the body, which
// our own strict decoder reads, and who sent it.
type request struct {
	body   []byte
	media  string
	remote string
	named  string // whom the request says it comes from
}

// actorHeader is how a client says who asks. It proves nothing: who may ask is
// the token's business.
const actorHeader = "Chaosctl-Actor"

// actorName is a name as it may stand in the audit log; empty if it may not.
func actorName(s string) string {
	if len(s) > 100 || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return ""
	}
	return s
}

// Resolve is called by huma before the handler; takeBody has read the body.
func (q *request) Resolve(c huma.Context) []error {
	q.remote = c.RemoteAddr()
	q.named = actorName(c.Header(actorHeader))
	q.media, _, _ = mime.ParseMediaType(c.Header("Content-Type"))
	if body := c.BodyReader(); body != nil {
		q.body, _ = io.ReadAll(body)
	}
	return nil
}

// actor is who the audit log names: the one the request names, else by default;
// with the address where that is another machine.
func (q *request) actor(named, byDefault string) string {
	if named == "" {
		named = q.named
	}
	if named == "" {
		named = byDefault
	}
	if named == "" {
		named = "api"
	}
	if a, err := netip.ParseAddrPort(q.remote); err == nil && !a.Addr().Unmap().IsLoopback() {
		named += " at " + a.Addr().Unmap().String()
	}
	return named
}

// decode reads the JSON body strictly into dst, all of it or nothing.
func (q *request) decode(dst any) error {
	if len(bytes.TrimSpace(q.body)) == 0 {
		return newProblem(400, experiment.BadInput, "the body is missing", "send a JSON object; GET /openapi.json describes it")
	}
	if at, err := jsonMistake(q.body); err != nil {
		return badBody(strict.Problems{{Line: at.Line, Column: at.Column, Message: "is not JSON: " + err.Error()}})
	}
	if err := strict.Unmarshal("", q.body, dst); err != nil {
		return badBody(err)
	}
	return nil
}

// decodeRun reads a run request. Its documents are taken out before the rest is
// decoded strictly: they have limits of their own, which the engine's parser
// keeps. A body in YAML is the experiment itself.
func (q *request) decodeRun(dst *experiment.RunRequest) error {
	if isYAML(q.media) {
		if len(bytes.TrimSpace(q.body)) == 0 {
			return newProblem(400, experiment.BadInput, "the body is missing", "send an experiment")
		}
		dst.Document = string(q.body)
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(q.body, &members) != nil || members == nil {
		return q.decode(dst) // which says what is wrong
	}
	var req experiment.RunRequest
	for name, to := range map[string]*string{"document": &req.Document, "topology": &req.Topology} {
		if raw, ok := members[name]; ok && json.Unmarshal(raw, to) == nil {
			delete(members, name)
		}
	}
	rest, err := json.Marshal(members)
	if err != nil {
		return badBody(err)
	}
	document, topology := req.Document, req.Topology
	if err := strict.Unmarshal("", rest, &req); err != nil {
		return badBody(withoutLines(err))
	}
	req.Document, req.Topology = document, topology
	if req.Document == "" {
		return badBody(strict.Problems{{Path: "document", Message: "is missing; it is the experiment, as YAML or JSON"}})
	}
	*dst = req
	return nil
}

func badBody(err error) error {
	e, ok := experiment.AsError(err)
	if !ok {
		return err
	}
	return &experiment.Error{Code: experiment.BadInput, Message: "the body is not what it should be", Hint: e.Hint, Problems: e.Problems}
}

// withoutLines drops places in a text that the client has not written.
func withoutLines(err error) error {
	var ps strict.Problems
	if !errors.As(err, &ps) {
		return err
	}
	for i := range ps {
		ps[i].Line, ps[i].Column = 0, 0
	}
	return ps
}

// jsonMistake finds what is not JSON, and where; our decoder would also take
// YAML.
func jsonMistake(b []byte) (strict.Problem, error) {
	if json.Valid(b) {
		return strict.Problem{}, nil
	}
	var v any
	err := json.Unmarshal(b, &v)
	var syntax *json.SyntaxError
	if !errors.As(err, &syntax) {
		return strict.Problem{}, err
	}
	before := b[:max(0, min(int(syntax.Offset)-1, len(b)))]
	line := bytes.Count(before, []byte("\n")) + 1
	return strict.Problem{Line: line, Column: len(before) - bytes.LastIndexByte(before, '\n')}, err
}
