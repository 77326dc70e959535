package flawed

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/judge"
	"github.com/chaosctl/chaosctl/internal/ledger"
)

var (
	binary   = flag.String("bin", "", "a chaosctl that is built already")
	runs     = flag.Int("runs", 0, "runs of each version of each flaw; 1 by default, 20 when soaking")
	only     = flag.String("only", "", "flaws, with commas between; all by default")
	keep     = flag.String("keep", "", "a folder for the records of all runs")
	table    = flag.String("table", "", "a file for the table of all runs; docs/flawed.md when soaking")
	again    = flag.String("again", "", "judge the kept records of this folder once more instead of running anything")
	passOn   = flag.String("pass-on", "", "trace or none; by default trace, and none in every other run")
	atATime  = flag.Int("at-a-time", 0, "runs at the same time; by default 4 for each processor")
	baseSeed = flag.Uint64("seed", 0, "of the first run; drawn by default")
)

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func soaks() bool { return os.Getenv("CHAOSCTL_SOAK") != "" }

// built is the program, built once for all tests.
var built struct {
	sync.Once
	dir, path string
	err       error
}

func chaosctl(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.path = *binary; built.path != "" {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "flawed-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "chaosctl")
		if runtime.GOOS == "windows" {
			built.path += ".exe"
		}
		out, err := exec.Command("go", "build", "-o", built.path, "../../cmd/chaosctl").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("build chaosctl: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// version is what is counted together.
type version struct {
	name  string
	fixed bool
	ids   IDs
}

// tally is what all runs of a version came to.
type tally struct {
	runs, hits int
	alarms     []string // what else was named
}

// tallies are those of all versions.
type tallies struct {
	mu    sync.Mutex
	by    map[version]tally
	again int // runs that were made again
}

func (ts *tallies) repeated() {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.again++
}

func (ts *tallies) add(c Case, o Options, kinds []string) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	v := version{c.Name, o.Fixed, o.IDs}
	a := ts.by[v]
	a.runs++
	for _, k := range kinds {
		if k == c.Name && !o.Fixed {
			a.hits++
			continue
		}
		a.alarms = append(a.alarms, k)
	}
	ts.by[v] = a
}

// TestFlaws runs every experiment against both versions of its system, as a user
// would, from other random choices each time: in the flawed one the flaw must be
// named, and nothing else; in the fixed one nothing.
func TestFlaws(t *testing.T) {
	n := *runs
	if n == 0 {
		n = 1
		if soaks() || *again != "" {
			n = 20
		}
	}
	seed := *baseSeed
	if seed == 0 {
		seed = rand.Uint64N(1 << 32)
	}
	t.Logf("to repeat: -seed %d", seed)
	if *again == "" {
		chaosctl(t)
	}
	limit := *atATime
	if limit <= 0 {
		limit = 4 * runtime.NumCPU()
	}
	ts := &tallies{by: map[version]tally{}}
	places := make(chan struct{}, limit)
	var all sync.WaitGroup
	for i := range n {
		for _, c := range Cases() {
			if *only != "" && !slices.Contains(strings.Split(*only, ","), c.Name) {
				continue
			}
			for _, isFixed := range []bool{false, true} {
				o := Options{Fixed: isFixed, Seed: seed + uint64(i), IDs: IDs(*passOn)}
				if o.IDs == "" {
					o.IDs = []IDs{Trace, None}[i%2]
				}
				places <- struct{}{}
				// Not t.Parallel: most of a run is waiting, and more fit on a
				// processor than one.
				all.Go(func() {
					defer func() { <-places }()
					t.Run(fmt.Sprintf("%s/%s-%d", c.Name, word(isFixed), i+1), func(t *testing.T) { check(t, c, o, i+1, ts) })
				})
			}
		}
	}
	all.Wait()
	to := *table
	if to == "" && soaks() && *only == "" {
		to = filepath.Join("..", "..", "docs", "flawed.md")
	}
	if to != "" {
		if err := os.WriteFile(to, ts.markdown(seed), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// stalled is how late timers of ours are, one in a hundred of them, when a machine
// is too busy to be told from a weak system.
const stalled = 25 * time.Millisecond

// check is one run, or the record of one. A run that is inconclusive, as its steady
// state was not reached, is made again; a short test may do that, too, if it was the
// machine that was weak, and a long one counts it.
func check(t *testing.T, c Case, o Options, n int, ts *tallies) {
	if *again != "" {
		if r := reread(t, c, o, n); r != nil {
			o.Seed = r.Seed
			kinds, wrong := named(c, o, r)
			complain(t, o, wrong)
			ts.add(c, o, kinds)
		}
		return
	}
	for try := 1; ; try++ {
		late := watchTimers(t.Context()) // ends with the test, too
		r := conduct(t, c, o, n)
		p99, most := late()
		kinds, wrong := named(c, o, r)
		inconclusive := r.Verdict.Exit == experiment.ExitInconclusive
		if try < 3 && (inconclusive || len(wrong) > 0 && p99 > stalled && !soaks() && *runs == 0) {
			t.Logf("once more, as timers were %s late (1%%), %s at most: %s", p99, most, strings.Join(wrong, "; "))
			ts.repeated()
			continue
		}
		for i := range wrong {
			wrong[i] += fmt.Sprintf(" (timers were %s late, 1%% of them, %s at most)", p99.Round(time.Millisecond), most.Round(time.Millisecond))
		}
		complain(t, o, wrong)
		ts.add(c, o, kinds)
		return
	}
}

func complain(t *testing.T, o Options, wrong []string) {
	t.Helper()
	for _, w := range wrong {
		t.Errorf("seed %d, ids %s: %s", o.Seed, o.IDs, w)
	}
}

// watchTimers measures how late timers are until the function that it returns is
// called: one in a hundred, and the latest.
func watchTimers(ctx context.Context) func() (p99, most time.Duration) {
	const every = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan []time.Duration, 1)
	go func() {
		var late []time.Duration
		for due := time.Now().Add(every); pause(ctx, time.Until(due)) == nil; due = time.Now().Add(every) {
			late = append(late, time.Since(due))
		}
		done <- late
	}()
	return func() (p99, most time.Duration) {
		cancel()
		late := <-done
		if len(late) == 0 {
			return 0, 0
		}
		slices.Sort(late)
		return late[len(late)*99/100], late[len(late)-1]
	}
}

func word(isFixed bool) string {
	if isFixed {
		return "fixed"
	}
	return "flawed"
}

// named is what a record names, and what is wrong with that: the flaw is missing, or
// something is named for nothing.
func named(c Case, o Options, r *experiment.Run) (kinds, wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if v := r.Verdict; v.Exit != experiment.ExitOK && v.Exit != experiment.ExitBroken {
		complain("the verdict is %q", v.Reasons)
	}
	if r.Ledger == nil || r.Ledger.Exchanges == 0 || r.Ledger.Lost > 0 {
		complain("the ledger is %+v", r.Ledger)
	}
	for _, w := range r.Weaknesses {
		if !slices.Contains(kinds, string(w.Kind)) {
			kinds = append(kinds, string(w.Kind))
		}
		if o.Fixed || string(w.Kind) != c.Name {
			complain("false alarm: %s on %s: %s", w.Kind, cmp.Or(w.Edge, w.Flow), w.Sentence)
		}
	}
	if !o.Fixed && !slices.Contains(kinds, c.Name) {
		complain("%s is not named; these are: %q", c.Name, kinds)
	}
	return kinds, wrong
}

// conduct starts a system and runs its experiment with the program.
func conduct(t *testing.T, c Case, o Options, n int) *experiment.Run {
	t.Helper()
	var release func()
	o.Addresses, release = freePorts(t, c)
	s, err := Start(t.Context(), c, o)
	release()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	dir := t.TempDir()
	doc, err := Document(c, s.Addresses())
	if err != nil {
		t.Fatal(err)
	}
	file, state := filepath.Join(dir, c.Name+".yaml"), filepath.Join(dir, "state")
	if err := os.WriteFile(file, doc, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chaosctl(t), "run", file, "-o", "json", "-q", "--state-dir", state, "--set", fmt.Sprintf("spec.seed=%d", o.Seed))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var r experiment.Run
	if bad := json.Unmarshal(out.Bytes(), &r); bad != nil || r.Verdict == nil {
		t.Fatalf("chaosctl run: %v, %v\n%s\n%.1000s", err, bad, errs.Bytes(), out.Bytes())
	}
	if *keep == "" {
		return &r
	}
	book, err := os.ReadFile(filepath.Join(state, "runs", r.ID+".ledger"))
	err = errors.Join(err, os.WriteFile(kept(*keep, c, o, n, ".json"), out.Bytes(), 0o600), os.WriteFile(kept(*keep, c, o, n, ".ledger"), book, 0o600),
		os.WriteFile(kept(*keep, c, o, n, ".yaml"), doc, 0o600))
	if err != nil {
		t.Error(err)
	}
	return &r
}

func kept(dir string, c Case, o Options, n int, ext string) string {
	return filepath.Join(dir, fmt.Sprintf("%s-%s-%d%s", c.Name, word(o.Fixed), n, ext))
}

// reread judges a kept record once more, from its ledger; nil if there is none.
func reread(t *testing.T, c Case, o Options, n int) *experiment.Run {
	t.Helper()
	text, err := os.ReadFile(kept(*again, c, o, n, ".json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	var r experiment.Run
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	doc, err := Document(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := experiment.Load(experiment.Input{File: c.Name + ".yaml", Data: doc})
	if err != nil {
		t.Fatal(err)
	}
	book, err := ledger.Load(kept(*again, c, o, n, ".ledger"), ledger.MostJudged, r.Windows...)
	if err != nil {
		t.Fatal(err)
	}
	judge.Ledger(&r, &l.Experiment.Spec, book)
	if *keep != "" {
		text, err := json.Marshal(&r)
		if err = errors.Join(err, os.WriteFile(kept(*keep, c, o, n, ".json"), text, 0o600)); err != nil {
			t.Error(err)
		}
	}
	return &r
}

// freePorts finds a port for the relay of every edge of a case, and holds them until
// release: the services must find others. They lie below those that systems give to
// outgoing connections, one of which might take a port before its relay does.
func freePorts(t *testing.T, c Case) (at map[string]string, release func()) {
	t.Helper()
	at = map[string]string{}
	var held []net.Listener
	for _, e := range c.Edges {
		var l net.Listener
		err := errors.New("not tried yet")
		for try := 0; err != nil && try < 100; try++ {
			l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		}
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, l)
		at[e.String()] = l.Addr().String()
	}
	return at, func() {
		for _, l := range held {
			_ = l.Close()
		}
	}
}

// markdown is the table of all runs.
func (ts *tallies) markdown(seed uint64) []byte {
	var b bytes.Buffer
	ts.mu.Lock()
	defer ts.mu.Unlock()
	fmt.Fprintf(&b, `# What the judge finds in flawed systems

<!-- Written by make soak (examples/flawed/flawed_test.go). Do not edit. -->

[examples/flawed](../examples/flawed/README.md) has a small system for each weakness, and the same system without it. Every service takes 0 to
20 ms of random time. Each version was run as often as the table says, each time with another seed (from %d): with services that pass on the
trace of a request, and with services that pass on nothing, where attempts are put together by their looks and times.

A *hit* is a run of the flawed version in which its weakness was named: all the others are misses, "unknown" is one, too. A *false alarm* is
anything else that was named: another weakness in the flawed version, any in the fixed one.

| weakness | hits with traces | hits without | false alarms, flawed | false alarms, fixed | what must have been seen |
| --- | --- | --- | --- | --- | --- |
`, seed)
	for _, c := range Cases() {
		with, without := ts.by[version{c.Name, false, Trace}], ts.by[version{c.Name, false, None}]
		fixedWith, fixedWithout := ts.by[version{c.Name, true, Trace}], ts.by[version{c.Name, true, None}]
		if with.runs+without.runs == 0 {
			continue
		}
		fmt.Fprintf(&b, "| [%s](../examples/flawed/%s.yaml) | %d of %d | %d of %d | %s | %s | %s |\n", c.Name, c.Name,
			with.hits, with.runs, without.hits, without.runs, alarms(with, without), alarms(fixedWith, fixedWithout), experiment.WeaknessKind(c.Name).InfoOf().Needs)
	}
	fmt.Fprintf(&b, "\nRuns that were made again, as they were inconclusive (the steady state was not reached on a busy machine): %d.\n", ts.again)
	return b.Bytes()
}

// alarms are those of both, by kind, of how many runs.
func alarms(with, without tally) string {
	count := map[string]int{}
	for _, k := range slices.Concat(with.alarms, without.alarms) {
		count[k]++
	}
	words := "0"
	for i, k := range slices.Sorted(maps.Keys(count)) {
		if i == 0 {
			words = ""
		} else {
			words += ", "
		}
		words += fmt.Sprintf("%d %s", count[k], k)
	}
	return fmt.Sprintf("%s of %d", words, with.runs+without.runs)
}
