package httpapi

import (
	"context"

	"github.com/chaosctl/chaosctl/experiment"
)

// Connections is what the API needs of the engine to show and end what is open.
type Connections interface {
	Connections(ctx context.Context, edge string) ([]experiment.Connection, error)
	CloseConnection(ctx context.Context, id uint64, reset bool) (experiment.Connection, error)
}

// ConnectionList is the answer of GET /v1/connections.
type ConnectionList struct {
	Connections []experiment.Connection `json:"connections"`
}

func (s *server) connections(ctx context.Context, in *struct {
	Edge string `query:"edge" maxLength:"500" doc:"only those of this edge: caller -> callee"`
}) (*reply[ConnectionList], error) {
	all, err := s.cfg.Faults.Connections(ctx, in.Edge)
	return &reply[ConnectionList]{ConnectionList{all}}, err
}

func (s *server) closeConnection(ctx context.Context, in *struct {
	ID    uint64 `path:"id"`
	Reset bool   `query:"reset" doc:"by a reset (RST) instead of a FIN"`
}) (*reply[experiment.Connection], error) {
	c, err := s.cfg.Faults.CloseConnection(context.WithoutCancel(ctx), in.ID, in.Reset)
	return &reply[experiment.Connection]{c}, err
}
