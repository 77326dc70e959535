package fault

import (
	"errors"
	"path"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// GRPC narrows a match to gRPC calls: POST /service/method of a content type
// application/grpc. Both are globs in which * stands for any text; empty is any.
type GRPC struct {
	// Service with its package, for example shop.v1.Auth.
	Service string `json:"service,omitempty" doc:"glob over the service with its package, for example shop.v1.*; any by default"`
	Method  string `json:"method,omitempty" doc:"glob over the method, for example Get*; any by default"`
}

// Validate refuses patterns that cannot be read.
func (g *GRPC) Validate() error {
	var errs []error
	for _, p := range []struct{ name, glob string }{{"service", g.Service}, {"method", g.Method}} {
		if _, err := path.Match(p.glob, ""); err != nil || strings.Contains(p.glob, "/") {
			errs = append(errs, strict.Fieldf(p.name, "must be a glob over a name without slashes, not %q", strict.Clip(p.glob)))
		}
	}
	return errors.Join(errs...)
}

// Fits tells whether a path is that of a call that is meant.
func (g *GRPC) Fits(p string) bool {
	service, method, ok := strings.Cut(strings.TrimPrefix(p, "/"), "/")
	return ok && p[0] == '/' && service != "" && method != "" && !strings.Contains(method, "/") &&
		globFits(g.Service, service) && globFits(g.Method, method)
}

func globFits(glob, name string) bool {
	ok, err := path.Match(glob, name)
	return glob == "" || ok && err == nil
}

func (g *GRPC) String() string {
	or := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	return "gRPC " + or(g.Service) + "/" + or(g.Method)
}
