package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/chaosctl/chaosctl/experiment"
)

// Connections returns the live connections of an edge, or of all of them if it is
// empty, in the order in which they came.
func (c *Client) Connections(ctx context.Context, edge string) ([]experiment.Connection, error) {
	query := ""
	if edge != "" {
		query = "?edge=" + url.QueryEscape(edge)
	}
	l, err := ask[struct {
		Connections []experiment.Connection `json:"connections"`
	}](ctx, c, http.MethodGet, "/v1/connections"+query, nil)
	return l.Connections, err
}

// CloseConnection ends a live connection, by a FIN or a reset, and returns what
// was known of it.
func (c *Client) CloseConnection(ctx context.Context, id uint64, reset bool) (experiment.Connection, error) {
	query := ""
	if reset {
		query = "?reset=true"
	}
	return ask[experiment.Connection](ctx, c, http.MethodDelete, "/v1/connections/"+strconv.FormatUint(id, 10)+query, nil)
}
