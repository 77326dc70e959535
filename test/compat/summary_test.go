//go:build linux

package compat

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
)

// summary is what the log of a run says in the end, a line per suite.
var summary struct {
	mu    sync.Mutex
	lines []string
}

// tell adds a line to it.
func tell(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	t.Log(line)
	if t.Failed() {
		line = "FAILED: " + line
	}
	summary.mu.Lock()
	defer summary.mu.Unlock()
	summary.lines = append(summary.lines, line)
}

func printSummary(w io.Writer) {
	slices.Sort(summary.lines)
	for _, line := range summary.lines {
		fmt.Fprintln(w, "compat:", line)
	}
}
