package chaosctl_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// maxLines is how long a file may be; tests are excepted.
const maxLines = 450

// habit is one rule of the house on a single file. check returns what is wrong;
// bad is a fixture that it must refuse, good one that it must let pass.
type habit struct {
	name      string
	check     func(s *source) []string
	bad, good fixture
}

// fixture is a file that pretends to stand in the repository.
type fixture struct{ path, text string }

func habits() []habit {
	return []habit{
		{"no init", noInit,
			fixture{"fault/x.go", "package fault\nfunc init() {}"},
			fixture{"fault/x.go", "package fault\ntype T int\nfunc (T) init() {}"}},
		{"no context.TODO", forbid("context", "say whose context it is", everywhere, "TODO"),
			fixture{"fault/x.go", "package fault\nimport ctx \"context\"\nvar c = ctx.TODO()"},
			fixture{"fault/x.go", "package fault\nimport \"context\"\nvar c = context.Background()"}},
		{"no time.After in a loop", noAfterInLoop,
			fixture{"fault/x.go", "package fault\nimport \"time\"\nfunc f() { for { select { case <-time.After(1): } } }"},
			fixture{"fault/x.go", "package fault\nimport \"time\"\nfunc f() { <-time.After(1); for { func() { <-time.After(1) }() } }"}},
		{"no time.Sleep outside tests", forbid("time", "wait for the event, or for a timer and ctx", func(s *source) bool { return !s.isTest() }, "Sleep"),
			fixture{"fault/x.go", "package fault\nimport \"time\"\nfunc f() { time.Sleep(1) }"},
			fixture{"fault/x_test.go", "package fault\nimport \"time\"\nfunc f() { time.Sleep(1) }"}},
		{"no os.Exit below main", forbid("os", "return an error", func(s *source) bool { return !s.isMain() && !s.isTest() }, "Exit"),
			fixture{"internal/cli/x.go", "package cli\nimport \"os\"\nfunc f() { os.Exit(1) }"},
			fixture{"cmd/chaosctl/main.go", "package main\nimport \"os\"\nfunc main() { os.Exit(1) }"}},
		{"no log.Fatal", forbid("log", "return an error", everywhere, "Fatal", "Fatalf", "Fatalln", "Panic", "Panicf", "Panicln"),
			fixture{"cmd/chaosctl/main.go", "package main\nimport \"log\"\nfunc main() { log.Fatal(1) }"},
			fixture{"fault/x.go", "package fault\nimport \"log\"\nfunc f() { log.Print(1) }"}},
		{"no shell", noShell,
			fixture{"fault/x_test.go", "package fault\nimport \"os/exec\"\nvar c = exec.Command(\"/bin/sh\", \"-c\", \"ls\")"},
			fixture{"fault/x.go", "package fault\nimport \"os/exec\"\nvar c = exec.Command(\"true\")"}},
		{"only cli and main read the environment", forbid("os", "take it as an argument", belowCLI,
			"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Args", "Stdin", "Stdout", "Stderr"),
			fixture{"internal/engine/x.go", "package engine\nimport \"os\"\nvar v = os.Args"},
			fixture{"internal/cli/x.go", "package cli\nimport \"os\"\nvar v = os.Getenv(\"HOME\")"}},
		{"short files", shortFiles,
			fixture{"fault/x.go", "package fault\n" + strings.Repeat("// line\n", maxLines)},
			fixture{"fault/x_test.go", "package fault\n" + strings.Repeat("// line\n", maxLines)}},
		{"fenced imports", fenced,
			fixture{"internal/driver/process/x.go", "package process\nimport _ \"golang.org/x/sys/unix\""},
			fixture{"internal/linux/x.go", "package linux\nimport _ \"golang.org/x/sys/unix\""}},
		{"names that say nothing", noEmptyNames,
			fixture{"internal/engine/helpers.go", "package engine"},
			fixture{"internal/engine/help.go", "package engine"}},
	}
}

// TestHabits holds every file of the repository against the habits.
func TestHabits(t *testing.T) {
	files := repository(t)
	for _, h := range habits() {
		for _, s := range files {
			for _, w := range h.check(s) {
				t.Errorf("%s: %s", h.name, w)
			}
		}
	}
	for _, w := range undocumented(files) {
		t.Error(w)
	}
}

// TestHabitsBite proves of each habit that it refuses its bad fixture and lets
// its good one pass.
func TestHabitsBite(t *testing.T) {
	for _, h := range habits() {
		t.Run(h.name, func(t *testing.T) {
			if len(h.check(parse(t, h.bad.path, []byte(h.bad.text)))) == 0 {
				t.Errorf("the bad fixture passes:\n%.200s", h.bad.text)
			}
			if wrong := h.check(parse(t, h.good.path, []byte(h.good.text))); len(wrong) > 0 {
				t.Errorf("the good fixture is refused: %q", wrong)
			}
		})
	}
	t.Run("package doc", func(t *testing.T) {
		bad := []*source{
			parse(t, "a/a.go", []byte("// Copyright\n\npackage a\n")),
			parse(t, "b/b.go", []byte("// Something of b.\npackage b\n")),
			parse(t, "c/c_test.go", []byte("// Package c is documented in its test only.\npackage c\n")),
			parse(t, "c/c.go", []byte("package c\n")),
		}
		if got := undocumented(bad); len(got) != 3 {
			t.Errorf("3 packages have no doc, these are named: %q", got)
		}
		good := []*source{
			parse(t, "a/a.go", []byte("package a\n")),
			parse(t, "a/doc.go", []byte("// Package a does things.\npackage a\n")),
			parse(t, "cmd/b/b.go", []byte("// Command b does things.\npackage main\n")),
			parse(t, "only_test.go", []byte("package x_test\n")),
		}
		if got := undocumented(good); len(got) != 0 {
			t.Errorf("documented packages are refused: %q", got)
		}
	})
}

func everywhere(*source) bool { return true }

// belowCLI: neither the command line, nor a program, nor a test.
func belowCLI(s *source) bool {
	return !s.isTest() && !s.isMain() && s.dir() != "internal/cli"
}

func noInit(s *source) (wrong []string) {
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			wrong = append(wrong, s.at(f)+": use a package variable or a constructor")
		}
	}
	return wrong
}

// forbid makes a check against names of a package of the standard library.
func forbid(pkg, instead string, where func(*source) bool, names ...string) func(*source) []string {
	return func(s *source) (wrong []string) {
		if !where(s) {
			return nil
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if e, ok := n.(*ast.SelectorExpr); ok && s.calls(e, pkg, names...) {
				wrong = append(wrong, fmt.Sprintf("%s: %s.%s; %s", s.at(e), pkg, e.Sel.Name, instead))
			}
			return true
		})
		return wrong
	}
}

func noAfterInLoop(s *source) (wrong []string) {
	seen := map[token.Pos]bool{}
	find := func(body ast.Node) {
		ast.Inspect(body, func(n ast.Node) bool {
			if _, ok := n.(*ast.FuncLit); ok {
				return false // a function of its own, a table test's for example
			}
			if e, ok := n.(*ast.SelectorExpr); ok && s.calls(e, "time", "After", "Tick") && !seen[e.Pos()] {
				seen[e.Pos()] = true
				wrong = append(wrong, s.at(e)+": reuse a timer")
			}
			return true
		})
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch loop := n.(type) {
		case *ast.ForStmt:
			find(loop.Body)
		case *ast.RangeStmt:
			find(loop.Body)
		}
		return true
	})
	return wrong
}

func noShell(s *source) (wrong []string) {
	shells := []string{"sh", "bash", "dash", "zsh", "cmd", "cmd.exe", "powershell", "pwsh", "powershell.exe"}
	ast.Inspect(s.file, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok || !s.calls(c.Fun, "os/exec", "Command", "CommandContext") {
			return true
		}
		for _, a := range c.Args[:min(2, len(c.Args))] {
			if lit, ok := a.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if v, err := strconv.Unquote(lit.Value); err == nil && slices.Contains(shells, path.Base(v)) {
					wrong = append(wrong, s.at(c)+": run the program itself")
				}
			}
		}
		return true
	})
	return wrong
}

func shortFiles(s *source) []string {
	if s.isTest() || s.lines <= maxLines {
		return nil
	}
	return []string{fmt.Sprintf("%s has %d lines; past %d, ask what its second noun is", s.path, s.lines, maxLines)}
}

// fences maps imports, with all below them, to the only directories that may
// have them.
func fences() map[string][]string {
	return map[string][]string{
		"golang.org/x/sys/unix":                   {"internal/linux"},
		"github.com/danielgtaylor/huma/v2":        {"internal/httpapi"},
		"github.com/spf13/cobra":                  {"internal/cli"},
		"go.yaml.in/yaml/v4":                      {"internal/strict"},
		"google.golang.org/grpc":                  {"internal/probe"},
		"github.com/HdrHistogram/hdrhistogram-go": {"internal/traffic"},
		"k8s.io":               {"internal/driver/kubernetes", "internal/operator"},
		"modernc.org/sqlite":   {"internal/store"},
		"github.com/miekg/dns": {"internal/driver/dns"},
	}
}

func fenced(s *source) (wrong []string) {
	if s.isTest() {
		return nil
	}
	for _, imp := range s.imports() {
		for lib, dirs := range fences() {
			if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !slices.Contains(dirs, s.dir()) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s, which is fenced into %v", s.path, imp, dirs))
			}
		}
	}
	return wrong
}

func noEmptyNames(s *source) []string {
	words := append(strings.Split(s.dir(), "/"), s.file.Name.Name,
		strings.TrimSuffix(strings.TrimSuffix(path.Base(s.path), ".go"), "_test"))
	for _, w := range words {
		switch w {
		case "util", "utils", "common", "helper", "helpers", "misc":
			return []string{fmt.Sprintf("%s: %q says nothing; name what it holds", s.path, w)}
		}
	}
	return nil
}

// undocumented returns a sentence for each package whose files say nothing of
// what it is for.
func undocumented(files []*source) (wrong []string) {
	said := map[string]bool{}
	for _, s := range files {
		if s.isTest() {
			continue
		}
		first := `^Package ` + s.file.Name.Name + ` `
		if s.isMain() {
			first = `^Command `
		}
		said[s.dir()] = said[s.dir()] || regexp.MustCompile(first).MatchString(s.file.Doc.Text())
	}
	for dir, ok := range said {
		if !ok {
			wrong = append(wrong, "package doc: "+dir+" has no comment that begins \"Package ...\" (\"Command ...\" for a program)")
		}
	}
	slices.Sort(wrong)
	return wrong
}
