package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/chaosctl/chaosctl/experiment"
)

// Ledger hands the exchanges of a run that fit the query to each, in the order in which
// they ended, until each returns an error, which it returns. They are not all held in
// memory at once.
func (c *Client) Ledger(ctx context.Context, id string, q experiment.LedgerQuery, each func(*experiment.LedgerLine) error) error {
	req, err := c.request(ctx, http.MethodGet, "/v1/runs/"+url.PathEscape(id)+"/ledger"+queryOf(q), nil)
	if err != nil {
		return err
	}
	endless := *c.http
	endless.Timeout = 0
	resp, err := endless.Do(req)
	if err != nil {
		return c.unreachable(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := refusalOf(resp); err != nil {
		return err
	}
	in := bufio.NewReaderSize(resp.Body, 64<<10)
	for lines := json.NewDecoder(in); ; {
		var l struct {
			experiment.LedgerLine
			Error *experiment.Error `json:"error"`
		}
		err := lines.Decode(&l)
		var syntax *json.SyntaxError
		var kind *json.UnmarshalTypeError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &syntax), errors.As(err, &kind):
			return &experiment.Error{Code: experiment.Unavailable, Message: fmt.Sprintf("the answer of %s cannot be read: %v", c.base, err), Hint: "is it a chaosctl server of this version?"}
		case err != nil:
			return c.unreachable(ctx, err)
		case l.Error != nil:
			return l.Error
		}
		if err := each(&l.LedgerLine); err != nil {
			return err
		}
	}
}

// queryOf writes what is not empty.
func queryOf(q experiment.LedgerQuery) string {
	v := url.Values{}
	for name, text := range map[string]string{
		"edge": q.Edge, "flow": q.Flow, "method": q.Method, "path": q.Path, "outcome": q.Outcome, "stage": q.Stage, "step": q.Step,
		"no": q.No, "trace": q.Trace, "since": q.Since, "until": q.Until,
	} {
		if text != "" {
			v.Set(name, text)
		}
	}
	for name, n := range map[string]int{"call": q.Call, "limit": q.Limit} {
		if n != 0 {
			v.Set(name, strconv.Itoa(n))
		}
	}
	for name, is := range map[string]bool{"failed": q.Failed, "hurt": q.Hurt, "calls": q.Calls} {
		if is {
			v.Set(name, "true")
		}
	}
	if len(v) == 0 {
		return ""
	}
	return "?" + v.Encode()
}
