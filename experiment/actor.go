package experiment

import "context"

type actorKey struct{}

// WithActor says in whose name what is asked with ctx happens, for the audit log.
func WithActor(ctx context.Context, name string) context.Context {
	return context.WithValue(ctx, actorKey{}, name)
}

// ActorOf is the name WithActor gave, "api" without one.
func ActorOf(ctx context.Context) string {
	if name, ok := ctx.Value(actorKey{}).(string); ok && name != "" {
		return name
	}
	return "api"
}
