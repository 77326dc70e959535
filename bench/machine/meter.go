package machine

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Meter tells how busy others made the machine meanwhile. Ours is this process
// and its children once they have been waited for: stop it after they ended.
type Meter struct {
	at   time.Time
	busy time.Duration // of all processors, interrupts and stolen time included
	ours time.Duration
}

// tick is the unit of /proc/stat, which Linux has fixed for user space.
const tick = 10 * time.Millisecond

// Start begins to measure.
func Start() (Meter, error) {
	busy, err := busyTime()
	if err != nil {
		return Meter{}, err
	}
	ours, err := ourTime()
	return Meter{at: time.Now(), busy: busy, ours: ours}, err
}

// Foreign is the share of the whole machine (0..1) that others have used since
// the start. Without CONFIG_IRQ_TIME_ACCOUNTING, as usual, the kernel counts
// interrupts as ours when they interrupt us; so they are counted on both sides.
// What is left of a quiet machine is up to 0.04, since /proc/stat counts ticks.
func (m Meter) Foreign() (float64, error) {
	now, err := Start()
	if err != nil {
		return 0, err
	}
	all := now.at.Sub(m.at) * time.Duration(runtime.NumCPU())
	return max(0, float64((now.busy-m.busy)-(now.ours-m.ours))/float64(all)), nil
}

func busyTime() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return parseBusy(first)
}

// parseBusy reads the line "cpu user nice system idle iowait irq softirq steal ...".
func parseBusy(line string) (time.Duration, error) {
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, fmt.Errorf("first line of /proc/stat: want the times of all processors, not %q", line)
	}
	var sum int64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("first line of /proc/stat: %w", err)
		}
		sum += n
	}
	return time.Duration(sum) * tick, nil
}

func ourTime() (time.Duration, error) {
	var sum time.Duration
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			return 0, fmt.Errorf("getrusage: %w", err)
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum, nil
}
