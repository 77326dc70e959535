package probe

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

const (
	maxOutput = 4 << 10                // of a command, in Detail
	lastWords = 500 * time.Millisecond // for the output of a killed command to end
)

// passed are the variables that a command is given, as far as there are any.
func passed() []string {
	return []string{"PATH", "HOME", "TMPDIR", "LANG", "SYSTEMROOT", "TEMP"}
}

// takeCommand runs a program of its own process group. At the timeout the whole
// group is killed.
func takeCommand(ctx context.Context, p *experiment.CommandProbe, env Env) error {
	if !env.Commands {
		return unknown{errors.New("command probes are not allowed here; see --allow-commands")}
	}
	if len(p.Argv) == 0 {
		return unknown{errors.New("argv is empty")}
	}
	out := &head{}
	cmd := exec.CommandContext(ctx, p.Argv[0], p.Argv[1:]...)
	cmd.Env = []string{}
	for _, name := range passed() {
		if env.Lookup == nil {
			break
		}
		if v, ok := env.Lookup(name); ok {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = lastWords
	ownGroup(cmd)
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return unknown{fmt.Errorf("start the command: %w", err)}
	}
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		// It has ended well; something it left behind holds its output.
		killGroup(cmd)
		return nil
	}
	if err == nil {
		return nil
	}
	if text := strings.TrimSpace(out.String()); text != "" {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// head keeps the first bytes written to it.
type head struct {
	mu sync.Mutex
	b  []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if room := maxOutput - len(h.b); room > 0 {
		h.b = append(h.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.ToValidUTF8(string(h.b), "?")
}
