package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

// slowRunner never ends a run by itself. It is a fake because no real run can
// be made to hang in its abort on purpose.
type slowRunner struct {
	waiting chan struct{} // gets a value with each wait
	calls   []string
}

func (r *slowRunner) start(context.Context, experiment.RunRequest) (experiment.RunSummary, error) {
	return experiment.RunSummary{ID: "r-1"}, nil
}

func (r *slowRunner) wait(ctx context.Context, _ string, _ func(experiment.Event)) (*experiment.Run, error) {
	r.calls = append(r.calls, "wait")
	r.waiting <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (r *slowRunner) abort(context.Context, string, string) error {
	r.calls = append(r.calls, "abort")
	return nil
}

func (r *slowRunner) now(context.Context, string) (*experiment.Run, error) {
	r.calls = append(r.calls, "now")
	return &experiment.Run{ID: "r-1"}, nil
}

func (r *slowRunner) close(ctx context.Context) error {
	r.calls = append(r.calls, "close")
	return ctx.Err()
}

// The first request to stop aborts, the second ends the waiting; the record is
// had as it stands and everything is lifted, with a context that still lives.
func TestStoppedTwice(t *testing.T) {
	first, stop := context.WithCancel(t.Context())
	again, hurry := context.WithCancel(t.Context())
	var stderr bytes.Buffer
	a := &app{env: Env{
		Stderr: &stderr, Getenv: func(string) (string, bool) { return "", false },
		Hurry: func(context.Context) (context.Context, context.CancelFunc) { return again, hurry },
	}}
	r := &slowRunner{waiting: make(chan struct{})}
	type end struct {
		record *experiment.Run
		err    error
	}
	done := make(chan end)
	go func() {
		record, err := a.conduct(first, r, experiment.RunRequest{}, false)
		done <- end{record, err}
	}()
	<-r.waiting
	stop()
	<-r.waiting
	hurry()
	got := <-done
	if got.err != nil || got.record == nil || verdictExit(got.record) != exit(experiment.ExitAborted) {
		t.Errorf("the record is %+v, the error %v", got.record, got.err)
	}
	if calls := strings.Join(r.calls, " "); calls != "wait abort wait now close" {
		t.Errorf("calls: %s", calls)
	}
	if !strings.Contains(stderr.String(), "stopping") {
		t.Errorf("stderr: %s", stderr.String())
	}
}

func TestVerdictExit(t *testing.T) {
	for name, tt := range map[string]struct {
		run  experiment.Run
		want error
	}{
		"pass":             {experiment.Run{Verdict: &experiment.Verdict{Exit: 0}}, nil},
		"broken":           {experiment.Run{Verdict: &experiment.Verdict{Exit: 3}}, exit(3)},
		"cut off":          {experiment.Run{}, exit(4)},
		"stuck goes first": {experiment.Run{Stuck: []string{"x"}, Verdict: &experiment.Verdict{Exit: 3}}, exit(5)},
	} {
		if got := verdictExit(&tt.run); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// A document that no decoder would take is refused before it is in memory.
func TestReadDocument(t *testing.T) {
	dir := t.TempDir()
	huge := filepath.Join(dir, "huge.yaml")
	f, err := os.Create(huge)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(50<<20), f.Close()); err != nil {
		t.Fatal(err)
	}
	a := &app{env: Env{Stdin: bytes.NewReader(make([]byte, 50<<20))}}
	for file, want := range map[string]string{
		huge:                     "is 52428800 bytes long; the limit is",
		"-":                      "stdin: is longer than the limit",
		dir:                      "is a folder",
		filepath.Join(dir, "no"): "cannot be read: no such file",
	} {
		_, _, err := a.readDocument(file)
		var ps experiment.Problems
		if !errors.As(err, &ps) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}
