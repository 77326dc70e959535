package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

const (
	runsPath = "/v1/runs"
	planPath = "/v1/plan"
	ndjson   = "application/x-ndjson"
)

// route is a line of the table. Its id names the operation in OpenAPI and the
// method of package client.
type route struct {
	method, path, id, summary string
	status                    int
	takes                     reflect.Type // what the JSON body is; nil for none
	gives                     []string     // media types, if it is not JSON
	mount                     func(huma.API, huma.Operation)
}

func (s *server) routes() []route {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	inject, run := reflect.TypeFor[experiment.InjectRequest](), reflect.TypeFor[experiment.RunRequest]()
	return []route{
		{get, healthPath, "health", "Tell that the server is there; needs no token", 200, nil, nil, handle(s.health)},
		{get, "/v1/status", "status", "Everything in force, and the edges", 200, nil, nil, handle(s.status)},
		{get, "/v1/topology", "topology", "The topology that is served", 200, nil, nil, handle(s.topology)},
		{get, "/v1/kinds", "kinds", "The kinds of faults, with their params", 200, nil, nil, handle(s.kinds)},
		{get, "/v1/faults", "faults", "The injections in force", 200, nil, nil, handle(s.faults)},
		{post, "/v1/faults", "inject", "Put faults in force under one id and one lease", 201, inject, nil, handle(s.inject)},
		{get, "/v1/faults/{id}", "fault", "One injection in force", 200, nil, nil, handle(s.fault)},
		{del, "/v1/faults/{id}", "lift", "Take an injection out; answers when it is gone", 200, nil, nil, handle(s.lift)},
		{post, "/v1/halt", "halt", "Abort all runs and lift everything", 200, nil, nil, handle(s.halt)},
		{get, "/v1/connections", "connections", "The live connections of the edges", 200, nil, nil, handle(s.connections)},
		{del, "/v1/connections/{id}", "closeConnection", "End a live connection", 200, nil, nil, handle(s.closeConnection)},
		{post, planPath, "plan", "Say what a run would do, and do nothing", 200, run, nil, handle(s.plan)},
		{get, runsPath, "runs", "The runs that are remembered", 200, nil, nil, handle(s.runs)},
		{post, runsPath, "startRun", "Start a run; without detach, keep it alive", 201, run, nil, handle(s.startRun)},
		{get, "/v1/runs/{id}", "run", "The record of a run, also while it goes on", 200, nil, nil, handle(s.run)},
		{del, "/v1/runs/{id}", "abortRun", "Abort a run", 204, nil, nil, handle(s.abortRun)},
		{post, "/v1/runs/{id}/keepalive", "keepAlive", "Tell that the client of a run is there; 15 s of silence abort it", 204, nil, nil, handle(s.keepAlive)},
		{get, "/v1/runs/{id}/report", "report", "Render a run", 200, nil, formats().media(), handle(s.report)},
		{get, "/v1/runs/{id}/ledger", "ledger", "The exchanges of a run that fit, one JSON object a line", 200, nil, []string{ndjson}, handle(s.ledger)},
		{get, "/v1/events", "events", "Stream what happens, as server-sent events", 200, nil, []string{"text/event-stream"}, handle(s.events)},
		{get, "/metrics", "metrics", "Metrics for Prometheus", 200, nil, []string{"text/plain"}, handle(s.scrape)},
		{get, "/openapi.json", "openAPI", "This description, as JSON", 200, nil, []string{"application/openapi+json"}, handle(s.openAPI)},
		{get, "/openapi.yaml", "openAPIYAML", "This description, as YAML", 200, nil, []string{"application/openapi+yaml"}, handle(s.openAPIYAML)},
	}
}

// handle mounts a handler; its errors become problems.
func handle[I, O any](h func(context.Context, *I) (*O, error)) func(huma.API, huma.Operation) {
	return func(api huma.API, op huma.Operation) {
		huma.Register(api, op, func(ctx context.Context, in *I) (*O, error) {
			out, err := h(ctx, in)
			if err != nil {
				return nil, asProblem(err)
			}
			return out, nil
		})
	}
}

type (
	nothing struct{}
	byID    struct {
		ID string `path:"id" maxLength:"200"`
	}
	reply[T any]   struct{ Body T }
	created[T any] struct {
		Location string `header:"Location" doc:"where it is from now on"`
		Body     T
	}
	raw struct {
		ContentType string `header:"Content-Type" hidden:"true"`
		Policy      string `header:"Content-Security-Policy" hidden:"true"`
		Body        []byte
	}
)

// Health is the answer of GET /v1/health.
type Health struct {
	Status string `json:"status" doc:"ok"`
}

// FaultList is the answer of GET /v1/faults.
type FaultList struct {
	Faults []experiment.Injection `json:"faults"`
}

// RunList is the answer of GET /v1/runs.
type RunList struct {
	Runs []experiment.RunSummary `json:"runs"`
}

// KindList is the answer of GET /v1/kinds.
type KindList struct {
	Kinds []fault.Description `json:"kinds"`
}

func (s *server) health(context.Context, *nothing) (*reply[Health], error) {
	return &reply[Health]{Health{"ok"}}, nil
}

func (s *server) status(ctx context.Context, _ *nothing) (*reply[experiment.Status], error) {
	return &reply[experiment.Status]{s.cfg.Faults.Status(ctx)}, nil
}

func (s *server) topology(context.Context, *nothing) (*reply[*experiment.Topology], error) {
	t := s.cfg.Faults.Topology()
	if t == nil {
		return nil, &experiment.Error{Code: experiment.NotFound, Message: "no topology is served", Hint: "start the server with --topology FILE"}
	}
	return &reply[*experiment.Topology]{t}, nil
}

func (s *server) kinds(context.Context, *nothing) (*reply[KindList], error) {
	var list KindList
	for _, k := range fault.Kinds() {
		list.Kinds = append(list.Kinds, k.Describe())
	}
	return &reply[KindList]{list}, nil
}

func (s *server) faults(ctx context.Context, _ *nothing) (*reply[FaultList], error) {
	return &reply[FaultList]{FaultList{append([]experiment.Injection{}, s.cfg.Faults.Status(ctx).Injections...)}}, nil
}

func (s *server) inject(ctx context.Context, in *struct{ Request request }) (*created[experiment.Injection], error) {
	var req experiment.InjectRequest
	if err := in.Request.decode(&req); err != nil {
		return nil, err
	}
	req.Owner, req.Actor = "api", in.Request.actor(req.Actor, s.cfg.Actor)
	injection, err := s.cfg.Faults.Inject(ctx, req)
	if err != nil {
		return nil, err
	}
	return &created[experiment.Injection]{"/v1/faults/" + injection.ID, injection}, nil
}

func (s *server) fault(ctx context.Context, in *byID) (*reply[experiment.Injection], error) {
	for _, injection := range s.cfg.Faults.Status(ctx).Injections {
		if injection.ID == in.ID {
			return &reply[experiment.Injection]{injection}, nil
		}
	}
	return nil, &experiment.Error{Code: experiment.NotFound, Message: fmt.Sprintf("no injection %q is in force", clip(in.ID)), Hint: "GET /v1/faults lists those that are"}
}

// Whoever asked for it to be taken out may hang up: it is taken out.

func (s *server) lift(ctx context.Context, in *byID) (*reply[experiment.Injection], error) {
	injection, err := s.cfg.Faults.Lift(context.WithoutCancel(ctx), in.ID)
	return &reply[experiment.Injection]{injection}, err
}

// Why is the part of a request that says its reason.
type Why struct {
	Request request
	Reason  string `query:"why" maxLength:"500" doc:"the reason, for the audit log"`
}

func (w *Why) reason(byDefault string) string {
	if w.Reason != "" {
		return w.Reason
	}
	return "asked by " + w.Request.actor("", byDefault)
}

func (s *server) halt(ctx context.Context, in *Why) (*reply[experiment.HaltResult], error) {
	result, err := s.cfg.Faults.Halt(context.WithoutCancel(ctx), in.reason(s.cfg.Actor))
	return &reply[experiment.HaltResult]{result}, err
}

// runInput takes a RunRequest, or an experiment in YAML with the rest as query.
type runInput struct {
	Request           request
	File              string `query:"file" maxLength:"500" doc:"with a YAML body: names the document in messages"`
	AllowProduction   bool   `query:"allowProduction" doc:"with a YAML body: permits to hurt production"`
	AllowIrreversible bool   `query:"allowIrreversible" doc:"with a YAML body: permits what nothing can undo"`
	Detach            bool   `query:"detach" doc:"with a YAML body: go on when the client is silent for 15 s"`
}

func (s *server) runRequest(in *runInput) (experiment.RunRequest, error) {
	req := experiment.RunRequest{File: in.File, AllowProduction: in.AllowProduction, AllowIrreversible: in.AllowIrreversible, Detach: in.Detach}
	err := in.Request.decodeRun(&req)
	req.Actor = in.Request.actor(req.Actor, s.cfg.Actor)
	return req, err
}

func (s *server) plan(ctx context.Context, in *runInput) (*reply[experiment.Plan], error) {
	req, err := s.runRequest(in)
	if err != nil {
		return nil, err
	}
	plan, err := s.cfg.Runs.Plan(ctx, req)
	return &reply[experiment.Plan]{plan}, err
}

func (s *server) runs(context.Context, *nothing) (*reply[RunList], error) {
	return &reply[RunList]{RunList{append([]experiment.RunSummary{}, s.cfg.Runs.Runs()...)}}, nil
}

func (s *server) startRun(ctx context.Context, in *runInput) (*created[experiment.RunSummary], error) {
	req, err := s.runRequest(in)
	if err != nil {
		return nil, err
	}
	run, err := s.cfg.Runs.StartRun(ctx, req)
	return &created[experiment.RunSummary]{runsPath + "/" + run.ID, run}, err
}

func (s *server) run(_ context.Context, in *byID) (*reply[*experiment.Run], error) {
	run, err := s.cfg.Runs.Run(in.ID)
	return &reply[*experiment.Run]{run}, err
}

func (s *server) abortRun(ctx context.Context, in *struct {
	ID string `path:"id" maxLength:"200"`
	Why
}) (*nothing, error) {
	return &nothing{}, s.cfg.Runs.AbortRun(context.WithoutCancel(ctx), in.ID, in.reason(s.cfg.Actor))
}

func (s *server) keepAlive(_ context.Context, in *byID) (*nothing, error) {
	return &nothing{}, s.cfg.Runs.KeepAlive(in.ID)
}

func (s *server) report(_ context.Context, in *struct {
	ID     string `path:"id" maxLength:"200"`
	Format string `query:"format" enum:"html,junit,markdown,json,text" default:"html"`
}) (*raw, error) {
	run, err := s.cfg.Runs.Run(in.ID)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := s.cfg.Render(in.Format, &b, run); err != nil {
		return nil, fmt.Errorf("render run %s as %s: %w", in.ID, in.Format, err)
	}
	f := formats()[in.Format]
	return &raw{f.media, f.policy, b.Bytes()}, nil
}

type reportFormats map[string]struct{ media, policy string }

// formats are what a report can be rendered as. The HTML holds what other
// people's services have answered: it may show its own styles and pictures, and
// neither run scripts nor load, send or embed anything.
func formats() reportFormats {
	return reportFormats{
		"html": {"text/html; charset=utf-8",
			"default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"},
		"junit":    {"application/xml; charset=utf-8", noContent},
		"markdown": {"text/markdown; charset=utf-8", noContent},
		"json":     {"application/json", noContent},
		"text":     {"text/plain; charset=utf-8", noContent},
	}
}

func (f reportFormats) media() []string {
	var all []string
	for _, v := range f {
		media, _, _ := strings.Cut(v.media, ";")
		all = append(all, media)
	}
	return all
}

// index answers what no route does: the list of routes at /, else 404 or 405.
func (s *server) index(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "chaosctl %s\n\n", s.cfg.Version.Chaosctl)
		for _, t := range s.table {
			fmt.Fprintf(w, "%-6s %-24s %s\n", t.method, t.path, t.summary)
		}
		return
	}
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := s.mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) > 0 {
		newProblem(http.StatusMethodNotAllowed, experiment.BadInput, fmt.Sprintf("%s does not take %s", clip(r.URL.Path), clip(r.Method)),
			"it takes "+strings.Join(allowed, ", ")).with("Allow", strings.Join(allowed, ", ")).write(w)
		return
	}
	newProblem(http.StatusNotFound, experiment.NotFound, fmt.Sprintf("there is nothing at %s", clip(r.URL.Path)), "GET / lists what there is").write(w)
}
