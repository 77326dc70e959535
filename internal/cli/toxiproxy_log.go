package cli

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// levels are the words of LOG_LEVEL.
var levels = map[string]slog.Level{
	"panic": slog.LevelError, "fatal": slog.LevelError, "error": slog.LevelError, "warn": slog.LevelWarn,
	"info": slog.LevelInfo, "debug": slog.LevelDebug, "trace": slog.LevelDebug,
}

// toxiproxyLog writes JSON lines to stdout, with the keys of the original's. done
// writes what is still held.
func (a *app) toxiproxyLog() (log *slog.Logger, done func()) {
	word, _ := a.env.Getenv("LOG_LEVEL")
	level, known := levels[strings.ToLower(word)]
	// A log that cannot be written is said once; it does not make the end a failure.
	w := newBurstWriter(bare(a.env.Stdout), sync.OnceFunc(func() { a.say("warning: stdout takes no lines of the log") }))
	log = slog.New(newLineLog(w, level))
	if word != "" && !known {
		log.Error("LOG_LEVEL must be error, warn, info, debug or trace; info is taken", "LOG_LEVEL", word)
	}
	return log, w.close
}

// Bounds of a burstWriter.
const (
	holdFor  = 20 * time.Millisecond
	holdMost = 1 << 20
	// closeWithin is how long the end waits for whoever reads.
	closeWithin = time.Second
)

// burstWriter writes lines soon, many at once if they come together: a thousand
// proxies are not a thousand writes. Whoever writes a line never waits: where
// nobody reads, lines are dropped, and it is said how many.
type burstWriter struct {
	to   io.Writer
	lost func()        // is called when to takes no lines
	wake chan struct{} // holds one while there are lines
	stop chan struct{}
	done chan struct{}

	mu      sync.Mutex
	held    []byte
	dropped int
	closed  bool
}

func newBurstWriter(to io.Writer, lost func()) *burstWriter {
	w := &burstWriter{to: to, lost: lost, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *burstWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	if w.closed || len(w.held)+len(line) > holdMost {
		w.dropped++
	} else {
		w.held = append(w.held, line...)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return len(line), nil
}

func (w *burstWriter) run() {
	defer close(w.done)
	timer := time.NewTimer(holdFor)
	defer timer.Stop()
	var lines []byte
	for stopped := false; !stopped; {
		select {
		case <-w.wake:
		case <-w.stop:
			stopped = true
		}
		if lines = w.take(lines[:0]); len(lines) > 0 {
			if _, err := w.to.Write(lines); err != nil {
				w.lost()
			}
		}
		timer.Reset(holdFor)
		select {
		case <-timer.C:
		case <-w.stop:
		}
	}
}

// take exchanges the lines that are held for a buffer that is free.
func (w *burstWriter) take(free []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines, n := w.held, w.dropped
	w.held, w.dropped = free, 0
	if n > 0 {
		lines = fmt.Appendf(lines, `{"time":%q,"level":"warn","message":"lines of the log are missing: nobody read them in time","lines":%d}`+"\n",
			time.Now().UTC().Format(time.RFC3339), n)
	}
	return lines
}

// close writes what is still held; it does not wait long for whoever reads. What
// comes afterwards is dropped.
func (w *burstWriter) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	close(w.stop)
	enough := time.NewTimer(closeWithin)
	defer enough.Stop()
	select {
	case <-w.done:
	case <-enough.C:
	}
}

func newLineLog(w io.Writer, level slog.Level) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, at slog.Attr) slog.Attr {
		if len(groups) > 0 {
			return at
		}
		switch at.Key {
		case slog.MessageKey:
			at.Key = "message"
		case slog.LevelKey:
			at.Value = slog.StringValue(strings.ToLower(at.Value.String()))
		case slog.TimeKey:
			at.Value = slog.StringValue(at.Value.Time().UTC().Format(time.RFC3339))
		}
		return at
	}})
}
