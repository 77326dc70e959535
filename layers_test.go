package chaosctl_test

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLayers holds the packages against the table in ARCHITECTURE.md: imports
// point down, every package stands in a row, and every name in a row is a
// package. Test files may import what they like.
func TestLayers(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range checkLayers(string(text), packages(repository(t))) {
		t.Error(p)
	}
}

// packages maps the directory of each package to those of the packages of ours
// that it imports.
func packages(files []*source) map[string][]string {
	all := map[string][]string{}
	for _, s := range files {
		if s.isTest() {
			continue
		}
		all[s.dir()] = append(all[s.dir()], nil...)
		for _, p := range s.imports() {
			if dir, ours := strings.CutPrefix(p, module+"/"); ours && !slices.Contains(all[s.dir()], dir) {
				all[s.dir()] = append(all[s.dir()], dir)
			}
		}
	}
	return all
}

// row is one line of the table: a layer with its packages and what they may
// import of their own layer.
type row struct {
	title    string
	packages []string
	may      map[[2]string]bool
}

var (
	rowLine = regexp.MustCompile(`(?m)^\|\s*(\d+ [^|]*?)\s*\|\s*([^|]*?)\s*\|\s*$`)
	bracket = regexp.MustCompile(`\(([^)]*)\)`)
	mayUse  = regexp.MustCompile(`(\S+) may use (\S+)`)
)

func readTable(md string) []row {
	var rows []row
	md = strings.ReplaceAll(md, "`", "")
	for _, m := range rowLine.FindAllStringSubmatch(md, -1) {
		r := row{title: m[1], may: map[[2]string]bool{}}
		for _, note := range bracket.FindAllString(m[2], -1) {
			for _, u := range mayUse.FindAllStringSubmatch(note, -1) {
				r.may[[2]string{strings.Trim(u[1], "(,;"), strings.Trim(u[2], "),;")}] = true
			}
		}
		for name := range strings.SplitSeq(bracket.ReplaceAllString(m[2], ""), ",") {
			if name = strings.TrimSpace(name); name != "" {
				r.packages = append(r.packages, name)
			}
		}
		rows = append(rows, r)
	}
	return rows
}

// checkLayers returns what is wrong, in sentences.
func checkLayers(md string, pkgs map[string][]string) []string {
	var wrong []string
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	rows := readTable(md)
	if len(rows) == 0 {
		return []string{"there is no table of layers"}
	}
	layer, name := map[string]int{}, map[string]string{} // by directory
	used := map[[2]string]bool{}
	for i, r := range rows {
		for _, n := range r.packages {
			dir := n
			if _, ok := pkgs[dir]; !ok {
				dir = "internal/" + n
			}
			if _, ok := pkgs[dir]; !ok {
				complain("layer %q names %s, and there is no such package", r.title, n)
				continue
			}
			if _, twice := layer[dir]; twice {
				complain("%s stands in two rows", n)
			}
			layer[dir], name[dir] = i, n
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(pkgs)) {
		at, ok := layer[dir]
		if !ok {
			complain("package %s stands in no row of the table of layers", dir)
			continue
		}
		for _, imp := range pkgs[dir] {
			to, ok := layer[imp]
			pair := [2]string{name[dir], name[imp]}
			switch {
			case !ok: // the import's own row is missing, which is said above or is no package
				if _, exists := pkgs[imp]; !exists {
					complain("%s imports %s, and there is no such package", dir, imp)
				}
			case to > at:
				complain("%s imports %s: upward, from %q to %q", dir, imp, rows[at].title, rows[to].title)
			case to == at && !rows[at].may[pair]:
				complain("%s imports %s: sideways, and the row %q does not allow it", dir, imp, rows[at].title)
			case isMechanism(imp) && rows[at].title != assembly:
				complain("%s imports the driver %s: only the assembly does", dir, imp)
			}
			used[pair] = true
		}
	}
	for _, r := range rows {
		for pair := range r.may {
			if !used[pair] {
				complain("the row %q allows %s to use %s, which nobody needs", r.title, pair[0], pair[1])
			}
		}
	}
	return wrong
}

// assembly is the only layer that may import a driver.
const assembly = "7 assembly"

func isMechanism(dir string) bool { return strings.HasPrefix(dir, "internal/driver/") }

// TestLayersBite breaks each rule in a small repository.
func TestLayersBite(t *testing.T) {
	const table = `
| layer | packages |
| --- | --- |
| 0 words | fault, strict (fault may use strict) |
| 2 machines | relay |
| 4 mechanisms | driver/relay, driver/process |
| 5 engine | engine |
| 7 assembly | cli |
`
	good := func() map[string][]string {
		return map[string][]string{
			"fault": {"internal/strict"}, "internal/strict": nil, "internal/relay": {"fault"},
			"internal/driver/relay": {"internal/relay", "fault"}, "internal/driver/process": {"fault"},
			"internal/engine": {"fault"}, "internal/cli": {"internal/engine", "internal/driver/relay"},
		}
	}
	if wrong := checkLayers(table, good()); len(wrong) > 0 {
		t.Fatalf("a good repository is refused: %v", wrong)
	}
	for _, tc := range []struct {
		name  string
		table string
		spoil func(map[string][]string)
		want  string
	}{
		{"upward", table, func(p map[string][]string) { p["fault"] = append(p["fault"], "internal/relay") }, "upward"},
		{"sideways", table, func(p map[string][]string) { p["internal/driver/relay"] = []string{"internal/driver/process"} }, "sideways"},
		{"sideways, against the note", table, func(p map[string][]string) { p["internal/strict"] = []string{"fault"} }, "sideways"},
		{"driver below the assembly", table, func(p map[string][]string) {
			p["internal/engine"] = []string{"internal/driver/relay"}
		}, "only the assembly"},
		{"package in no row", table, func(p map[string][]string) { p["internal/stray"] = nil }, "stands in no row"},
		{"row without a package", strings.Replace(table, "relay |", "relay, ghost |", 1), func(map[string][]string) {}, "no such package"},
		{"package in two rows", strings.Replace(table, "| engine |", "| engine, fault |", 1), func(map[string][]string) {}, "two rows"},
		{"note that nobody needs", table, func(p map[string][]string) { p["fault"] = nil }, "nobody needs"},
		{"no table", "# nothing", func(map[string][]string) {}, "no table"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := good()
			tc.spoil(p)
			wrong := checkLayers(tc.table, p)
			if !strings.Contains(strings.Join(wrong, "\n"), tc.want) {
				t.Errorf("not noticed; it says: %q", wrong)
			}
		})
	}
}

// TestPackagesIgnoresTests: what only a test file imports is not an import of
// its package, and what any platform's file imports is one.
func TestPackagesIgnoresTests(t *testing.T) {
	got := packages([]*source{
		parse(t, "a/a.go", []byte("package a\n")),
		parse(t, "a/a_test.go", []byte("package a\nimport _ \""+module+"/b\"\n")),
		parse(t, "b/b_windows.go", []byte("package b\nimport (\n_ \"fmt\"\n_ \""+module+"/internal/c\"\n)\n")),
	})
	if len(got) != 2 || len(got["a"]) != 0 || !slices.Equal(got["b"], []string{"internal/c"}) {
		t.Errorf("%v", got)
	}
}
