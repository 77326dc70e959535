package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSuite runs the suite on small modules: one that is well, one that skips,
// one that fails, one that does not build.
func TestSuite(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the go tool")
	}
	for _, tc := range []struct {
		name, body string
		strict     bool
		code       int
		says       []string
	}{
		{"well", `func TestA(t *testing.T) {}
			func FuzzA(f *testing.F) { f.Fuzz(func(t *testing.T, b []byte) {}) }`, true, 0,
			[]string{"1 fuzz targets", "ok    small FuzzA", "inputs"}},
		{"skips", `func TestA(t *testing.T) { t.Skip("no such kernel") }`, false, 0,
			[]string{"NOT TESTED HERE", "SKIPPED  small TestA: no such kernel"}},
		{"skips, and may not", `func TestA(t *testing.T) { t.Skip("no such kernel") }`, true, 1,
			[]string{"skipped without being named"}},
		{"skips, and may", `func TestAllowed(t *testing.T) { t.Run("sub", func(t *testing.T) { t.Skip("no such kernel") }) }`, true, 0,
			[]string{"NOT TESTED HERE"}},
		{"fails", `func TestA(t *testing.T) { t.Error("wrong figure") }`, false, 1,
			[]string{"wrong figure", "failed: small TestA"}},
		{"breaks off", `func TestA(t *testing.T) { t.Log("last words"); done := make(chan int); go func() { panic("in between") }(); <-done }`, false, 1,
			[]string{"in between", "last words", "FAIL  small"}},
		{"does not build", `func TestA(t *testing.T) { undefined() }`, false, 1, []string{"undefined"}},
		{"finds a bug by fuzzing", `func FuzzA(f *testing.F) { f.Fuzz(func(t *testing.T, b []byte) { if len(b) > 2 { t.Fatal("too long") } }) }`, false, 1,
			[]string{"FAIL  small FuzzA", "too long"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "go.mod", "module small\n\ngo 1.26\n")
			write(t, dir, "small_test.go", "package small\n\nimport \"testing\"\n\n"+tc.body+"\n")
			write(t, dir, "may-skip", "# allowed\nsmall TestAllowed   # because\n")
			t.Chdir(dir)
			t.Setenv("GOFLAGS", "-mod=mod")
			fuzz := "0"
			if strings.Contains(tc.body, "Fuzz") {
				fuzz = "1s"
			}
			var out strings.Builder
			s := &suite{out: &out, strict: tc.strict}
			if code := s.main(t.Context(), []string{"-race=false", "-fuzz", fuzz, "-may-skip", "may-skip"}); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			for _, want := range tc.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if t.Failed() {
				t.Log(out.String())
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestParseTargets(t *testing.T) {
	got := parseTargets("FuzzA\nFuzzB\nok  \tx/a\t0.1s\nok  \tx/b\t0.1s\n?   \tx/c\t[no test files]\nFuzzC\nok  \tx/d\t0.1s\n")
	want := []target{{"x/a", "FuzzA"}, {"x/a", "FuzzB"}, {"x/d", "FuzzC"}}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestReason(t *testing.T) {
	got := reason([]string{"=== RUN   TestA\n", "    a_test.go:12: needs root: we are not\n", "--- SKIP: TestA (0.00s)\n"})
	if got != "needs root: we are not" {
		t.Errorf("%q", got)
	}
}
