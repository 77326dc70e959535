package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	promapi "github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
	"github.com/chaosctl/chaosctl/internal/traffic"
)

// Env is what probes may use of the world.
type Env struct {
	// Commands permits command probes (DESIGN 7: in a serverless run, or under
	// --allow-commands). Without it they are unknown, with that reason.
	Commands bool
	// Lookup finds environment variables: those that ${env:NAME} in headers and
	// bodies refers to, and the few that commands are given. nil knows none.
	Lookup func(name string) (string, bool)
	// TLS is how http probes call https addresses; nil verifies with the system's
	// certificates.
	TLS *tls.Config
}

// maxBody is how much of an answer is searched for HTTPProbe.Contains.
const maxBody = 64 << 10

// Take makes one measurement. It returns within the probe's timeout (2 s by
// default), a command's last moments excepted. Detail says why one that is not
// OK is not; it never holds header values or a URL's password.
func Take(ctx context.Context, p experiment.Probe, env Env) experiment.ProbeSample {
	s, _ := take(ctx, p, env)
	return s
}

// unknown is an error that means that there was no measurement.
type unknown struct{ error }

// take also tells whether the measurement could be made.
func take(ctx context.Context, p experiment.Probe, env Env) (s experiment.ProbeSample, known bool) {
	limit := p.Timeout.Std()
	if limit <= 0 {
		limit = experiment.DefaultProbeTime
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := measure(ctx, p, env)
	s = experiment.ProbeSample{Time: start, OK: err == nil, Took: fault.Duration(time.Since(start))}
	var u unknown
	known = !errors.As(err, &u)
	switch {
	case err == nil:
	case ctx.Err() != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		s.Detail = "timed out after " + limit.String()
	default:
		s.Detail = clip(err.Error(), 4<<10)
	}
	if !known {
		s.Detail = "no measurement: " + s.Detail
	}
	return s, known
}

func measure(ctx context.Context, p experiment.Probe, env Env) error {
	switch {
	case p.HTTP != nil:
		return takeHTTP(ctx, p.HTTP, env)
	case p.TCP != nil:
		return takeTCP(ctx, p.TCP)
	case p.GRPC != nil:
		return takeGRPC(ctx, p.GRPC)
	case p.Command != nil:
		return takeCommand(ctx, p.Command, env)
	case p.Prometheus != nil:
		return takePrometheus(ctx, p.Prometheus)
	}
	return unknown{errors.New("the probe measures nothing")}
}

// What is a probe in words: "http GET http://127.0.0.1:8080/healthz".
func What(p experiment.Probe) string {
	switch {
	case p.HTTP != nil:
		return "http " + methodOf(p.HTTP) + " " + redact(p.HTTP.URL)
	case p.TCP != nil:
		return "tcp " + p.TCP.Address
	case p.GRPC != nil && p.GRPC.Service != "":
		return "grpc health of " + p.GRPC.Service + " at " + p.GRPC.Address
	case p.GRPC != nil:
		return "grpc health at " + p.GRPC.Address
	case p.Command != nil && len(p.Command.Argv) > 0:
		return "command " + p.Command.Argv[0]
	case p.Prometheus != nil:
		return "prometheus " + p.Prometheus.Query + " " + p.Prometheus.Value.String()
	}
	return "nothing"
}

func methodOf(p *experiment.HTTPProbe) string {
	if p.Method == "" {
		return http.MethodGet
	}
	return p.Method
}

func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	return u.Redacted()
}

// transport makes a connection of its own for one measurement.
func transport() *http.Transport {
	return &http.Transport{Proxy: nil, DisableKeepAlives: true, DisableCompression: true, DialContext: (&net.Dialer{}).DialContext}
}

func takeHTTP(ctx context.Context, p *experiment.HTTPProbe, env Env) error {
	header, err := traffic.Headers(p.Headers, env.Lookup)
	if err != nil {
		return unknown{err}
	}
	body, err := traffic.Expand(p.Body, env.Lookup)
	if err != nil {
		return unknown{fmt.Errorf("fill in the body: %w", err)}
	}
	req, err := http.NewRequestWithContext(ctx, methodOf(p), p.URL, strings.NewReader(body))
	if err != nil {
		return unknown{errors.New("the URL or the method cannot be read")}
	}
	if req.URL.User != nil && header.Get("Authorization") == "" {
		password, _ := req.URL.User.Password()
		req.SetBasicAuth(req.URL.User.Username(), password)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	if host := header.Get("Host"); host != "" {
		req.Host = host
	}
	t := transport()
	t.TLSClientConfig = env.TLS
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(req) // of a transport: no redirects
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch {
	case p.Status != 0 && resp.StatusCode != p.Status:
		return fmt.Errorf("status %d, not %d", resp.StatusCode, p.Status)
	case p.Status == 0 && resp.StatusCode >= 400:
		return fmt.Errorf("status %d, not below 400", resp.StatusCode)
	case p.Contains == "":
		return nil
	}
	got, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch {
	case strings.Contains(string(got), p.Contains):
		return nil
	case err != nil:
		return fmt.Errorf("read the body: %w", err)
	}
	return fmt.Errorf("%q is not in the first 64 KiB of the body", clip(p.Contains, 60))
}

func takeTCP(ctx context.Context, p *experiment.TCPProbe) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Address)
	if err != nil {
		return err
	}
	return c.Close()
}

func takeGRPC(ctx context.Context, p *experiment.GRPCProbe) (err error) {
	conn, err := grpc.NewClient("passthrough:///"+p.Address, grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return unknown{fmt.Errorf("make a client: %w", err)}
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: p.Service})
	switch {
	case status.Code(err) == codes.NotFound:
		return fmt.Errorf("the server does not know the service %q", p.Service)
	case status.Code(err) == codes.Unimplemented:
		return errors.New("the server has no health service")
	case err != nil:
		return fmt.Errorf("%s: %s", status.Code(err), status.Convert(err).Message())
	case resp.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING:
		return fmt.Errorf("%s, not SERVING", resp.GetStatus())
	}
	return nil
}

func takePrometheus(ctx context.Context, p *experiment.PrometheusProbe) error {
	t := transport()
	defer t.CloseIdleConnections()
	c, err := promapi.NewClient(promapi.Config{Address: p.URL, RoundTripper: t})
	if err != nil {
		return unknown{errors.New("the URL cannot be read")}
	}
	v, _, _, err := promv1.NewAPI(c).Query(ctx, p.Query, time.Now())
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return unknown{fmt.Errorf("ask prometheus: %w", err)}
	}
	n, err := oneNumber(v)
	switch {
	case err != nil:
		return unknown{err}
	case math.IsNaN(n):
		return unknown{errors.New("the query yields NaN")}
	case !p.Value.Holds(n):
		return fmt.Errorf("%s, not %s", strconv.FormatFloat(n, 'g', -1, 64), p.Value)
	}
	return nil
}

// oneNumber is a scalar, or the value of a vector with exactly one sample.
func oneNumber(v model.Value) (float64, error) {
	switch v := v.(type) {
	case *model.Scalar:
		return float64(v.Value), nil
	case model.Vector:
		switch {
		case len(v) == 0:
			return 0, errors.New("the query yields nothing")
		case len(v) > 1:
			return 0, fmt.Errorf("the query yields %d samples, one is expected", len(v))
		case v[0].Histogram != nil:
			return 0, errors.New("the query yields a histogram, one number is expected")
		}
		return float64(v[0].Value), nil
	}
	return 0, fmt.Errorf("the query yields a %s, one number is expected", v.Type())
}

func clip(s string, most int) string {
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}
