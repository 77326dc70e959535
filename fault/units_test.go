package fault

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"150ms": 150 * time.Millisecond, "2s": 2 * time.Second, "1m30s": 90 * time.Second, "0": 0, "0s": 0, "1.5s": 1500 * time.Millisecond,
		"720h": 720 * time.Hour, "10us": 10 * time.Microsecond, "10µs": 10 * time.Microsecond, "1ns": 1,
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(in)); err != nil || d.Std() != want {
			t.Errorf("%s: got %s, want %s (%v)", in, d, want, err)
		}
		text, err := d.MarshalText()
		var back Duration
		if err != nil || back.UnmarshalText(text) != nil || back != d {
			t.Errorf("%s does not survive as %s", in, text)
		}
	}
	for in, want := range map[string]string{
		"500": "needs a unit: write 500ms or 500s", "1.5": "needs a unit: write 1.5ms or 1.5s", "-2s": "must not be negative", "-5": "must not be negative",
		"721h": "at most 720h (30 days)", "9999999999h": "at most 720h (30 days)", "soon": "must be a duration such as 150ms", "": "must be a duration such as",
		".": "must be a duration", "-": "must be a duration", "1d": "must be a duration", "inf": "must be a duration", "NaN": "must be a duration", "h": "must be a duration",
		strings.Repeat("9", 200): "...",
	} {
		d := Duration(7)
		if err := d.UnmarshalText([]byte(in)); err == nil || !strings.Contains(err.Error(), want) || d != 7 {
			t.Errorf("%s: got %v %d, want %s", in, err, d, want)
		}
	}
}

func TestRateAndSize(t *testing.T) {
	for in, want := range map[string]Rate{
		"1B/s": 1, "64KiB/s": 65536, "64 kib/s": 65536, "1MB/s": 1e6, "8mbit/s": 1e6, "8kbit/s": 1000, "1.5KB/s": 1500, "1TB/s": 1e12, "8bit/s": 1, "1gbit/s": 125e6,
	} {
		var r Rate
		if err := r.UnmarshalText([]byte(in)); err != nil || r != want {
			t.Errorf("%s: got %d, want %d (%v)", in, r, want, err)
		}
		var back Rate
		if err := back.UnmarshalText([]byte(r.String())); err != nil || back != r {
			t.Errorf("%s does not survive as %s: %v", in, r, err)
		}
	}
	for _, in := range []string{"", "1", "1MB", "0B/s", "-1KB/s", "2TB/s", "1bit/s", "x/s", "1e9KB/s", "1MB/m", "infKB/s", "1.2.3KB/s", "/s"} {
		r := Rate(7)
		if err := r.UnmarshalText([]byte(in)); err == nil || !strings.Contains(err.Error(), "such as 1MB/s") || r != 7 {
			t.Errorf("%q: got %v %d", in, err, r)
		}
	}
	for in, want := range map[string]Size{"0B": 0, "512B": 512, "64KiB": 65536, "10MB": 1e7, "1GiB": 1 << 30, "1.5KiB": 1536} {
		var z Size
		if err := z.UnmarshalText([]byte(in)); err != nil || z != want {
			t.Errorf("%s: got %d, want %d (%v)", in, z, want, err)
		}
		var back Size
		if err := back.UnmarshalText([]byte(z.String())); err != nil || back != z {
			t.Errorf("%s does not survive as %s: %v", in, z, err)
		}
	}
	for _, in := range []string{"", "5", "-1B", "8mbit", "9999999TB", "1KB/s"} {
		var z Size
		if err := z.UnmarshalText([]byte(in)); err == nil || !strings.Contains(err.Error(), "such as 64KiB") {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestShare(t *testing.T) {
	for in, want := range map[string]Share{"0.2": 0.2, "20%": 0.2, "1": 1, "100%": 1, "0.5%": 0.005} {
		var s Share
		if err := s.UnmarshalText([]byte(in)); err != nil || s != want {
			t.Errorf("%s: got %v, want %v (%v)", in, s, want, err)
		}
		text, err := json.Marshal(s)
		var back Share
		if err != nil || back.UnmarshalText(text) != nil || back != s {
			t.Errorf("%s does not survive as %s", in, text)
		}
	}
	for _, in := range []string{"", "0", "0%", "-0.1", "1.01", "101%", "NaN", "Inf", "half", "%"} {
		s := Share(0.5)
		if err := s.UnmarshalText([]byte(in)); err == nil || !strings.Contains(err.Error(), "above 0 and up to 1") || s != 0.5 {
			t.Errorf("%q: got %v %v", in, err, s)
		}
	}
	if Share(0).Of() != 1 || Share(0.3).Of() != 0.3 {
		t.Error("a share that was not given means all")
	}
}

func TestChance(t *testing.T) {
	for in, want := range map[string]Chance{"0": 0, "0.2": 0.2, "20%": 0.2, "1": 1, "100%": 1, "0%": 0} {
		var c Chance
		if err := c.UnmarshalText([]byte(in)); err != nil || c != want {
			t.Errorf("%s: got %v, want %v (%v)", in, c, want, err)
		}
		text, err := json.Marshal(c)
		var back Chance
		if err != nil || json.Unmarshal(text, &back) != nil || back != c {
			t.Errorf("%s does not survive as %s", in, text)
		}
	}
	for _, in := range []string{"", "-0.1", "1.01", "101%", "NaN", "Inf", "half", "%"} {
		c := Chance(0.5)
		if err := c.UnmarshalText([]byte(in)); err == nil || !strings.Contains(err.Error(), "from 0 to 1") || c != 0.5 {
			t.Errorf("%q: got %v %v", in, err, c)
		}
	}
}

func TestCompilePath(t *testing.T) {
	for _, tt := range []struct {
		pattern, path string
		want          bool
	}{
		{"", "/x", true}, {"/login", "/login", true}, {"/login", "/login/x", false}, {"/login", "/xlogin", false}, {"/login*", "/login-x", true},
		{"/login*", "/login/x", false}, {"/a/*/c", "/a/b/c", true}, {"/a/*/c", "/a/b/b/c", false}, {"/a/**", "/a/b/c", true}, {"/a/**", "/a", false},
		{"**/c", "/a/b/c", true}, {"/a?c", "/abc", true}, {"/a?c", "/a/c", false}, {"/a.c", "/abc", false}, {"/[a]", "/a", false}, {"/[a]", "/[a]", true},
		{"~^/v[0-9]+/", "/v2/x", true}, {"~^/v[0-9]+/", "/vx/x", false}, {"/admin/**", "/admin/a\nb", true}, {"*", "/", false}, {"**", "/a/b", true},
	} {
		re, err := CompilePath(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		if re.MatchString(tt.path) != tt.want {
			t.Errorf("%s on %q: got %v", tt.pattern, tt.path, !tt.want)
		}
	}
	for pattern, want := range map[string]string{"login": "must start with / or *", "~(": "is not a regular expression", "/" + strings.Repeat("a", 2000): "longer than 1024"} {
		if _, err := CompilePath(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20s: %v", pattern, err)
		}
	}
}

func TestCheckHeader(t *testing.T) {
	for _, good := range [][2]string{{"X-A", ""}, {"Retry-After", "120"}, {"a", "b\tc ü"}} {
		if err := CheckHeader(good[0], good[1]); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range [][2]string{{"", "x"}, {"a b", "x"}, {"a:b", "x"}, {"ä", "x"}, {"a\n", "x"}, {"a", "b\r\nc: d"}, {"a", "\x00"}, {"a", "\x7f"}} {
		if CheckHeader(bad[0], bad[1]) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
