package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 2 * time.Second
	giveUp     = 15 * time.Second // without a server
	maxSilence = 45 * time.Second // the server writes every 15 s
	maxLine    = 1 << 20
)

var errSilent = errors.New("the stream of events fell silent")

// Events streams what happens after the event with the sequence number after; 0
// begins with the oldest that the server remembers. A stream that breaks is
// taken up again where it broke. It ends when ctx does, or with one error: the
// server refuses, is not there, or does not come back within 15 s.
func (c *Client) Events(ctx context.Context, after uint64) iter.Seq2[experiment.Event, error] {
	return func(yield func(experiment.Event, error) bool) {
		var lost time.Time // since when there is no server; zero while there is one
		wait := firstRetry
		for {
			connected, more, err := c.stream(ctx, &after, yield)
			if !more || ctx.Err() != nil {
				return
			}
			if connected {
				lost, wait = time.Now(), firstRetry
			}
			if refused(err) || lost.IsZero() || time.Since(lost) > giveUp {
				yield(experiment.Event{}, err)
				return
			}
			if !pause(ctx, wait) {
				return
			}
			wait = min(2*wait, lastRetry)
		}
	}
}

// refused tells an answer that will not get better from a server that is gone.
func refused(err error) bool {
	var e *experiment.Error
	return errors.As(err, &e) && e.Code != experiment.Unavailable
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// stream reads one connection until it breaks; err says how. more is false when
// the consumer has had enough.
func (c *Client) stream(ctx context.Context, after *uint64, yield func(experiment.Event, error) bool) (connected, more bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	req, err := c.request(ctx, http.MethodGet, fmt.Sprintf("/v1/events?after=%d", *after), nil)
	if err != nil {
		return false, true, err
	}
	req.Header.Set("Accept", "text/event-stream")
	silence := time.AfterFunc(maxSilence, func() { cancel(errSilent) })
	defer silence.Stop()
	endless := *c.http
	endless.Timeout = 0
	resp, err := endless.Do(req)
	if err != nil {
		return false, true, c.unreachable(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := refusalOf(resp); err != nil {
		return false, true, err
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	var data strings.Builder
	for lines.Scan() {
		silence.Reset(maxSilence)
		line := lines.Text()
		if text, ok := strings.CutPrefix(line, "data:"); ok {
			data.WriteString(strings.TrimPrefix(text, " "))
		}
		if line != "" || data.Len() == 0 {
			continue
		}
		var e experiment.Event
		if err := json.Unmarshal([]byte(data.String()), &e); err != nil {
			return true, true, &experiment.Error{Code: experiment.Unavailable, Message: fmt.Sprintf("an event of %s cannot be read: %v", c.base, err)}
		}
		data.Reset()
		*after = e.Seq
		if !yield(e, nil) {
			return true, false, nil
		}
	}
	err = lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return true, true, c.unreachable(ctx, err)
}
