// Package machine reads from the kernel what processes use, how busy the machine
// is with others, and what machine it is. Linux only.
package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CPU is the processor time all threads of a process and of its children have used,
// to the nanosecond where the kernel counts so. A thread or child that ended takes
// its time with it: none of the proxies ends any under load.
func CPU(pid int) (time.Duration, error) {
	sum, err := ownCPU(pid)
	for _, child := range children(pid) {
		if err != nil {
			break
		}
		var n time.Duration
		n, err = CPU(child)
		sum += n
	}
	return sum, err
}

// children are the processes that a process has started; none where the kernel does
// not list them.
func children(pid int) []int {
	var all []int
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, l := range lists {
		text, _ := os.ReadFile(l) // a thread that has ended has no children
		for _, f := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(f); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

func ownCPU(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(tasks) == 0 {
		return 0, fmt.Errorf("processor time of process %d: no threads in /proc", pid)
	}
	var sum time.Duration
	for _, t := range tasks {
		text, err := os.ReadFile(t)
		if errors.Is(err, fs.ErrNotExist) {
			continue // ended meanwhile
		}
		if err != nil {
			return 0, err
		}
		ns, _, _ := bytes.Cut(text, []byte(" "))
		n, err := strconv.ParseInt(string(ns), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", t, err)
		}
		sum += time.Duration(n)
	}
	return sum, nil
}

// RSS is the memory a process has resident now, in bytes.
func RSS(pid int) (float64, error) { return status(pid, "VmRSS:") }

// PeakRSS is the most it ever had.
func PeakRSS(pid int) (float64, error) { return status(pid, "VmHWM:") }

func status(pid int, field string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb * 1024, err
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", pid, field)
}

// Descriptors is how many descriptors a process has open.
func Descriptors(pid int) (float64, error) {
	d, err := os.Open(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	return float64(len(names)), err
}
