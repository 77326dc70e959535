package machine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// About describes the machine in one line.
func About() string {
	return fmt.Sprintf("%d cores (%s), memory %s, Linux %s, %s, %s", runtime.NumCPU(), entry("/proc/cpuinfo", "model name"),
		entry("/proc/meminfo", "MemTotal"), kernel(), runtime.GOARCH, runtime.Version())
}

func kernel() string {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// entry is the value of the first "name: value" in a file of the kernel's.
func entry(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if n, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(n) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// AllowFiles raises the limit of open descriptors of this process and its
// children as far as it may, and returns it.
func AllowFiles() (uint64, error) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("read the limit of descriptors: %w", err)
	}
	const plenty = 100_000
	more := syscall.Rlimit{Cur: plenty, Max: max(plenty, r.Max)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) == nil { // takes a capability
		return plenty, nil
	}
	r.Cur = r.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("raise the limit of descriptors to %d: %w", r.Max, err)
	}
	return r.Cur, nil
}
