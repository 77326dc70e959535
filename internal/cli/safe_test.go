package cli

import "testing"

// What comes from callers steers no terminal, and turns no line around.
func TestSafe(t *testing.T) {
	for text, want := range map[string]string{
		"/a\x1b[31m\x07\u009b1m":        "/a?[31m??1m",
		"/\u202egnp.exe\u2066x\u2069":   "/?gnp.exe?x?",
		"a\nb\tc":                       "a\nb\tc",
		"line\u2028line\u2029 żółw 🦄 é": "line?line? żółw 🦄 é",
	} {
		if got := safe(text); got != want {
			t.Errorf("%q: %q, should be %q", text, got, want)
		}
	}
}
