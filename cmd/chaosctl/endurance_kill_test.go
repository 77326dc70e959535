//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKilledWhileChanging: 50 proxies and their toxics change without a pause, the
// server is killed at a random moment, and the next one has them all: every change
// up to one of the last, and no half of any.
func TestKilledWhileChanging(t *testing.T) {
	if testing.Short() {
		t.Skip("kills often")
	}
	kills := 6
	if soaks() {
		kills = 100
	}
	file := filepath.Join(t.TempDir(), "state.json")
	k := &killing{t: t, r: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 5)), now: map[string]string{}, listen: map[string]string{}}
	s := startToxi(t, "", "-state", file)
	for i := range 50 {
		k.create(s, i)
	}
	for n := range kills {
		s = k.once(s, file)
		if t.Failed() {
			t.Fatalf("after kill %d", n)
		}
	}
	t.Logf("%d kills; at most %d answered changes, %s old, were not in the file", kills, k.mostLost, k.oldestLost.Round(time.Millisecond))

	// The newest file torn in the middle: the one before is used, and said.
	s.kill()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(file + ".prev")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, whole[:1+k.r.IntN(len(whole)-1)], 0o600); err != nil {
		t.Fatal(err)
	}
	s = startToxi(t, "", "-state", file)
	s.mu.Lock()
	said := s.out.String()
	s.mu.Unlock()
	if !strings.Contains(said, file+" is refused") || !strings.Contains(said, file+".prev") {
		t.Errorf("it does not say what it did:\n%.2000s", said)
	}
	var saved struct{ Proxies []proxyShown }
	if err := json.Unmarshal(before, &saved); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for _, p := range saved.Proxies {
		want[p.Name] = p.String()
	}
	if got := shown(s); len(want) == 0 || !maps.Equal(got, want) {
		t.Errorf("it has %v\nthe file before has %v", got, want)
	}
	s.stop()
}

// proxyShown is a proxy as answers and the state file show it.
type proxyShown struct {
	Name, Listen, Upstream string
	Enabled                bool
	Toxics                 []toxicShown
}

type toxicShown struct {
	Name, Type, Stream string
	Toxicity           float64
	Attributes         map[string]any
}

// String does not show the order of the toxics: answers sort them by direction, the
// file has them as they act.
func (p proxyShown) String() string {
	slices.SortFunc(p.Toxics, func(a, b toxicShown) int { return strings.Compare(a.Name, b.Name) })
	b, err := json.Marshal(p)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// shown is what a server has, by name.
func shown(s *toxi) map[string]string {
	var all map[string]proxyShown
	if err := json.Unmarshal(s.must("GET", "/proxies", ""), &all); err != nil {
		s.t.Fatal(err)
	}
	texts := map[string]string{}
	for name, p := range all {
		texts[name] = p.String()
	}
	return texts
}

// killing changes proxies and knows what they should be.
type killing struct {
	t      *testing.T
	r      *rand.Rand
	now    map[string]string // proxies as last answered
	listen map[string]string // an address of its own for each, which nobody else uses

	count      int // of changes
	mostLost   int
	oldestLost time.Duration
}

// step is what there was after a change, and when it was answered.
type step struct {
	all map[string]string
	at  time.Time
}

func (k *killing) create(s *toxi, i int) {
	name := fmt.Sprintf("p%d", i)
	listen := k.listen[name]
	if listen == "" {
		listen = fmt.Sprintf("127.77.%d.%d:0", 1+i/200, 1+i%200)
	}
	toxics := fmt.Sprintf(`[{"type":"latency","attributes":{"latency":%d,"jitter":%d}},{"type":"slicer","stream":"upstream","toxicity":0.25,"attributes":{"average_size":%d}}]`,
		k.r.IntN(1000), k.r.IntN(10), 1+k.r.IntN(1000))
	s.must("POST", "/proxies", fmt.Sprintf(`{"name":%q,"listen":%q,"upstream":"127.0.0.1:%d","toxics":%s}`, name, listen, 1+k.r.IntN(60000), toxics))
	var p proxyShown
	if err := json.Unmarshal(s.must("GET", "/proxies/"+name, ""), &p); err != nil {
		k.t.Fatal(err)
	}
	k.listen[name], k.now[name] = p.Listen, p.String()
}

// change draws a change, and returns the call for it.
func (k *killing) change() (proxy, method, path, body string) {
	k.count++
	name := fmt.Sprintf("p%d", k.r.IntN(50))
	at := "/proxies/" + name
	if k.now[name] == "" {
		return name, "POST", "/proxies", fmt.Sprintf(`{"name":%q,"listen":%q,"upstream":"127.0.0.1:%d","toxics":[{"type":"latency","attributes":{"latency":%d}}]}`,
			name, k.listen[name], 1+k.r.IntN(60000), k.r.IntN(1000))
	}
	var p proxyShown
	if err := json.Unmarshal([]byte(k.now[name]), &p); err != nil {
		k.t.Fatal(err)
	}
	switch what := k.r.IntN(10); {
	case what == 0:
		return name, "DELETE", at, ""
	case what == 1:
		return name, "PATCH", at, fmt.Sprintf(`{"enabled":%t}`, !p.Enabled)
	case what == 2:
		return name, "POST", at, fmt.Sprintf(`{"upstream":"127.0.0.1:%d"}`, 1+k.r.IntN(60000))
	case what < 6 && len(p.Toxics) > 0:
		x := p.Toxics[k.r.IntN(len(p.Toxics))]
		if what == 3 {
			return name, "DELETE", at + "/toxics/" + x.Name, ""
		}
		return name, "PATCH", at + "/toxics/" + x.Name, fmt.Sprintf(`{"toxicity":%g}`, float64(k.r.IntN(64))/64)
	}
	return name, "POST", at + "/toxics", fmt.Sprintf(`{"name":"t%d","type":"latency","stream":%q,"attributes":{"latency":%d}}`,
		k.count, []string{"upstream", "downstream", "both"}[k.r.IntN(3)], k.r.IntN(1000))
}

// once changes for a while, kills the server in the midst, and holds the next one
// against what was answered.
func (k *killing) once(s *toxi, file string) *toxi {
	k.t.Helper()
	die := time.NewTimer(time.Duration(50+k.r.IntN(1500)) * time.Millisecond)
	defer die.Stop()
	steps := []step{{maps.Clone(k.now), time.Now()}}
	dead := make(chan time.Time, 1)
	go func() {
		<-die.C
		at := time.Now()
		_ = s.cmd.Process.Kill()
		dead <- at
	}()
	for {
		proxy, method, path, body := k.change()
		code, answer, err := s.call(s.http, method, s.api+path, body)
		if err != nil {
			break // it is dead
		}
		if code >= 300 {
			k.t.Fatalf("%s %s %s: %d %s", method, path, body, code, answer)
		}
		if !k.look(s, proxy, method, path) {
			break
		}
		steps = append(steps, step{maps.Clone(k.now), time.Now()})
	}
	killed := <-dead
	<-s.done

	next := startToxi(k.t, "", "-state", file)
	got := shown(next)
	kept := len(steps) - 1
	for kept >= 0 && !maps.Equal(steps[kept].all, got) {
		kept--
	}
	// A change may have been made and saved and never been answered.
	if kept < 0 && nearly(steps[len(steps)-1].all, got) {
		kept = len(steps) - 1
	}
	if kept < 0 {
		k.t.Fatalf("after %d changes the state is none that there was:\n%v\nthe last was\n%v", len(steps)-1, got, steps[len(steps)-1].all)
	}
	// What is documented is 50 ms on a quick disk; a busy machine gets more.
	lost := len(steps) - 1 - kept
	if lost > 0 {
		age := killed.Sub(steps[kept+1].at)
		k.mostLost, k.oldestLost = max(k.mostLost, lost), max(k.oldestLost, age)
		if age > 2*time.Second {
			k.t.Errorf("a change that was answered %s before the kill is lost, and %d after it", age, lost-1)
		}
	}
	k.now = got
	return next
}

// nearly tells whether two states differ in one proxy at most.
func nearly(a, b map[string]string) bool {
	differ := map[string]bool{}
	for name := range a {
		if a[name] != b[name] {
			differ[name] = true
		}
	}
	for name := range b {
		if a[name] != b[name] {
			differ[name] = true
		}
	}
	return len(differ) <= 1
}

// look notes what a change has made of a proxy; false if the server is dead.
func (k *killing) look(s *toxi, proxy, method, path string) bool {
	if method == "DELETE" && path == "/proxies/"+proxy {
		delete(k.now, proxy)
		return true
	}
	code, answer, err := s.call(s.http, "GET", s.api+"/proxies/"+proxy, "")
	if err != nil {
		return false
	}
	var p proxyShown
	if err := json.Unmarshal(answer, &p); err != nil || code != 200 {
		k.t.Fatalf("GET %s: %d %s %v", proxy, code, answer, err)
	}
	k.now[proxy] = p.String()
	return true
}
