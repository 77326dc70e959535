package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// beat is how often WaitRun tells that it is there; the server waits for 15 s.
const beat = 3 * time.Second

// WaitRun keeps a run alive until it has ended and returns its record. onEvent,
// which may be nil, gets the run's events one after the other, also those that
// are past; however long it takes, the run is kept alive. When ctx ends, WaitRun
// returns its error and leaves the run to AbortRun or to the server, which
// aborts it for want of a client. A server that is gone for 15 s is an error
// with code Unavailable.
func (c *Client) WaitRun(ctx context.Context, id string, onEvent func(experiment.Event)) (*experiment.Run, error) {
	inner, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()

	events := make(chan experiment.Event)
	tasks.Go(func() { c.forward(inner, id, events) })
	type end struct {
		run *experiment.Run
		err error
	}
	ended := make(chan end, 1)
	look := make(chan struct{}, 1) // the run may have ended
	tasks.Go(func() {
		run, err := c.keepAlive(inner, id, look)
		ended <- end{run, err}
	})
	for {
		select {
		case e := <-ended:
			if e.err != nil && ctx.Err() != nil {
				return nil, fmt.Errorf("wait for run %s: %w", id, ctx.Err())
			}
			return e.run, e.err
		case e := <-events:
			if onEvent != nil {
				onEvent(e)
			}
			if e.Type == "run-ended" {
				select {
				case look <- struct{}{}:
				default:
				}
			}
		}
	}
}

// forward passes on the events of one run. A stream that cannot be had is no
// reason to leave the run: keepAlive sees whether the server is gone.
func (c *Client) forward(ctx context.Context, id string, to chan<- experiment.Event) {
	for e, err := range c.Events(ctx, 0) {
		if err != nil {
			return
		}
		if e.ID != id && (e.Progress == nil || e.Progress.Run != id) {
			continue
		}
		select {
		case to <- e:
		case <-ctx.Done():
			return
		}
	}
}

// keepAlive beats and looks at the run until it has ended.
func (c *Client) keepAlive(ctx context.Context, id string, look <-chan struct{}) (*experiment.Run, error) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	heard := time.Now()
	for {
		once, cancel := context.WithTimeout(ctx, giveUp)
		err := c.KeepAlive(once, id)
		if err == nil {
			heard = time.Now()
		}
		// A run that has ended may refuse to be kept alive; its record says so.
		run, runErr := c.Run(once, id)
		cancel()
		switch {
		case runErr == nil && over(run):
			return run, nil
		case runErr == nil:
			heard = time.Now()
		case ctx.Err() != nil || refused(runErr) || time.Since(heard) > giveUp:
			return nil, runErr
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for run %s: %w", id, ctx.Err())
		case <-look:
		case <-ticker.C:
		}
	}
}

// over tells whether nothing will be added to a record any more.
func over(r *experiment.Run) bool { return r.Stage == experiment.StageDone && r.Verdict != nil }
