package cli

import (
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
	w := &burstWriter{to: a.env.Stdout}
	log = slog.New(newLineLog(w, level))
	if word != "" && !known {
		log.Error("LOG_LEVEL must be error, warn, info, debug or trace; info is taken", "LOG_LEVEL", word)
	}
	return log, w.close
}

// Bounds of what a burstWriter holds.
const (
	holdFor  = 20 * time.Millisecond
	holdMost = 64 << 10
)

// burstWriter writes a line at once, and those that follow closely together: a
// thousand proxies that come at once are not a thousand writes.
type burstWriter struct {
	to io.Writer

	mu     sync.Mutex
	held   []byte
	timer  *time.Timer // runs while lines are held; nil otherwise
	closed bool
}

func (w *burstWriter) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil || w.closed {
		if !w.closed {
			w.timer = time.AfterFunc(holdFor, w.rest)
		}
		return w.to.Write(line)
	}
	if w.held = append(w.held, line...); len(w.held) < holdMost {
		return len(line), nil
	}
	return len(line), w.flush()
}

// flush is called under mu.
func (w *burstWriter) flush() error {
	_, err := w.to.Write(w.held)
	w.held = w.held[:0]
	return err
}

// rest ends the burst, unless more has come.
func (w *burstWriter) rest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.held) == 0 || w.closed {
		w.timer = nil
		return
	}
	_ = w.flush() // stdout remembers what went wrong
	w.timer.Reset(holdFor)
}

func (w *burstWriter) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.timer != nil {
		w.timer.Stop()
	}
	_ = w.flush() // stdout remembers what went wrong
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
