package engine

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// audit is the log of who did what: JSON lines, appended. It never stands in
// the way of a lift: what cannot be written is kept as a problem.
type audit struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int64
	err  error
}

type auditLine struct {
	Time    time.Time `json:"time"`
	Action  string    `json:"action"`
	ID      string    `json:"id,omitempty"`
	Actor   string    `json:"actor,omitempty"`
	What    string    `json:"what,omitempty"`
	Problem string    `json:"problem,omitempty"`
}

func (a *audit) write(action, id, actor, what string, problem error) {
	line := auditLine{Time: time.Now().UTC(), Action: action, ID: id, Actor: actor, What: what}
	if problem != nil {
		line.Problem = problem.Error()
	}
	b, err := json.Marshal(line)
	if err != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		if a.err = os.MkdirAll(filepath.Dir(a.path), 0o700); a.err != nil {
			return
		}
		if a.file, a.err = os.OpenFile(a.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); a.err != nil {
			return
		}
		if st, err := a.file.Stat(); err == nil {
			a.size = st.Size()
		}
	}
	n, err := a.file.Write(append(b, '\n'))
	if a.size += int64(n); err != nil {
		a.err = err
	} else if a.size >= maxAudit {
		a.turn()
	}
}

// maxAudit is the size at which the log is set aside as audit.log.1, in the
// place of the one before.
const maxAudit = 16 << 20

func (a *audit) turn() {
	a.err = errors.Join(a.file.Close(), os.Rename(a.path, a.path+".1"))
	a.file, a.size = nil, 0
}

func (a *audit) close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.file == nil {
		return nil
	}
	err := a.file.Close()
	a.file = nil
	return err
}
