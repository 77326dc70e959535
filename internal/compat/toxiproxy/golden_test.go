package toxiproxy

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata")

// TestGolden sends the requests of each file in testdata to a door of its own and
// compares all that comes back, headers too. A request is a line `> METHOD PATH
// BODY`, with further headers on lines `+ Name: value`; what is below it, up to the
// next, is the answer. {free} is an address that nobody listens on, {busy} one that
// somebody does, and ports that were chosen are shown as {1}, {2}...
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s differs; -update rewrites it. From there:\n%s", file, firstDifference(got, string(want)))
			}
		})
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("one ends after line %d", min(len(g), len(w)))
}

// replay runs the requests of a file and returns the file as it should be.
func replay(t *testing.T, file string) string {
	s := newStage(t, func(c *Config) { c.ProxyMetrics = strings.Contains(file, "# metrics") })
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	names := &ports{seen: map[string]string{busy.Addr().String(): "{busy}"}}
	var out strings.Builder
	lines := strings.Split(file, "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
		case strings.HasPrefix(line, "> "):
			out.WriteString("\n" + line + "\n")
			header := http.Header{}
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "+ ") {
				i++
				out.WriteString(lines[i] + "\n")
				k, v, _ := strings.Cut(strings.TrimPrefix(lines[i], "+ "), ": ")
				header.Set(k, v)
			}
			out.WriteString(names.hide(ask(t, srv, strings.TrimPrefix(line, "> "), header, names)))
		}
	}
	return out.String()
}

func ask(t *testing.T, srv *httptest.Server, line string, header http.Header, names *ports) string {
	t.Helper()
	line = names.show(t, line)
	parts := strings.SplitN(line, " ", 3)
	body := ""
	if len(parts) == 3 {
		body = parts[2]
	}
	r, err := http.NewRequest(parts[0], srv.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.URL.Opaque = parts[1] // as it stands
	maps.Copy(r.Header, header)
	r.Header.Set("Accept-Encoding", "identity")
	a, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n", a.Status)
	for _, k := range slices.Sorted(maps.Keys(a.Header)) {
		v := strings.Join(a.Header[k], ", ")
		switch k {
		case "Date":
			continue
		case "X-Toxiproxy-Request-Id":
			v = regexp.MustCompile("^[0-9a-v]{20}$").ReplaceAllString(v, "(20 characters)")
		}
		fmt.Fprintf(&out, "%s: %s\n", k, v)
	}
	if len(b) > 0 {
		out.WriteString("|" + strings.ReplaceAll(strings.ReplaceAll(string(b), "\r", "\\r"), "\n", "\n|") + "\n")
	}
	return out.String()
}

// ports gives addresses that differ from run to run names that do not.
type ports struct {
	seen map[string]string // by address
	next int
}

var portNumber = regexp.MustCompile(`(127\.0\.0\.1|\[::\]|\[::1\]):(\d{5})\b`)

// hide names the ports in an answer.
func (p *ports) hide(s string) string {
	return portNumber.ReplaceAllStringFunc(s, func(a string) string {
		if name, ok := p.seen[a]; ok {
			return name
		}
		p.next++
		host, _, _ := net.SplitHostPort(a)
		p.seen[a] = fmt.Sprintf("%s:{%d}", host, p.next)
		return p.seen[a]
	})
}

// show puts addresses in the place of names.
func (p *ports) show(t *testing.T, s string) string {
	for a, name := range p.seen {
		s = strings.ReplaceAll(s, name, a)
	}
	if strings.Contains(s, "{free}") {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		a := l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		s = strings.ReplaceAll(s, "{free}", a)
	}
	return s
}
