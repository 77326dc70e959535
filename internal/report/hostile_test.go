package report

import (
	"bytes"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/fault"
)

// payloads are what someone could put into a record to act on its readers.
var payloads = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`, `javascript:alert(1)`, `</title></style></script><script>alert(1)</script>`,
	`<svg/onload=alert(1)>`, `url(http://evil.example/x)`, `;background:url(//evil.example)`, `{{.Run}}`, "`code` | pipe | \\ | [link](javascript:alert(1)) ![i](//evil.example/p.png)",
	"line one\n\n# heading\n- item\n| a | b |\r\n", "nul\x00 bell\x07 esc\x1b[31mred\x1b[0m\x1b]0;title\x07 del\x7f c1\u009b31m", "\u202egnp.exe \u2066x", "]]> <!-- --> &amp; &#60; \ufffe", "@everyone https://evil.example www.evil.example ~~x~~ <https://evil.example>", "1. one",
	"\xff\xfe broken utf-8",
}

// hostile is a record in which every text holds one of texts.
func hostile(texts []string) *experiment.Run {
	r := judgedBroken()
	r.Stuck, r.Aborted = []string{"a"}, "b"
	r.Notes = []string{"c"}
	r.Injections[0].Problem = "d"
	r.Plan = plan("x")
	n := 0
	fillStrings(reflect.ValueOf(r).Elem(), func() string { n++; return texts[n%len(texts)] })
	return r
}

// talkative is a record in which every free text holds one of texts, and every word of
// ours is what it should be.
func talkative(texts []string) *experiment.Run {
	r := judgedMany()
	n := 0
	fill(reflect.ValueOf(r).Elem(), func(t reflect.Type) (string, bool) { n++; return texts[n%len(texts)], t == reflect.TypeFor[string]() })
	return r
}

// fillStrings sets every string below v, in keys of maps, too.
func fillStrings(v reflect.Value, next func() string) {
	fill(v, func(reflect.Type) (string, bool) { return next(), true })
}

func fill(v reflect.Value, next func(reflect.Type) (string, bool)) {
	switch v.Kind() {
	case reflect.String:
		if s, ok := next(v.Type()); ok {
			v.SetString(s)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && v.Kind() == reflect.Pointer {
			fill(v.Elem(), next)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && v.Field(i).Type() != reflect.TypeFor[fault.Params]() {
				fill(v.Field(i), next)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case reflect.Map:
		fresh, keys := reflect.MakeMap(v.Type()), v.MapKeys()
		slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
		for _, k := range keys {
			s, ok := next(v.Type().Key())
			if !ok {
				s = k.String()
			}
			fresh.SetMapIndex(reflect.ValueOf(s).Convert(v.Type().Key()), v.MapIndex(k))
		}
		if v.CanSet() {
			v.Set(fresh)
		}
	}
}

// tags are the elements of a page with the names of their attributes, in order.
func tags(t *testing.T, page string) []string {
	t.Helper()
	var all []string
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() != io.EOF {
				t.Fatal(z.Err())
			}
			return all
		case html.StartTagToken, html.SelfClosingTagToken, html.EndTagToken:
			tok := z.Token()
			s := tok.Type.String() + " " + tok.Data
			for _, a := range tok.Attr {
				s += " " + a.Key
			}
			all = append(all, s)
		}
	}
}

// TestHTMLEscapes renders every payload in every text of the record: the page
// must have the same elements and attributes as with harmless text.
func TestHTMLEscapes(t *testing.T) {
	for name, record := range map[string]func([]string) *experiment.Run{"hostile": hostile, "talkative": talkative} {
		harmless := tags(t, render(t, HTML, record([]string{"harmless"})))
		for _, p := range payloads {
			page := render(t, HTML, record([]string{p}))
			got := tags(t, page)
			if strings.Join(got, "\n") != strings.Join(harmless, "\n") {
				t.Errorf("%s: %q changes the page's elements", name, p)
			}
			if bad := outside(t, page); bad != "" {
				t.Errorf("%s: %q: %s", name, p, bad)
			}
			if strings.IndexFunc(page, func(r rune) bool { return special(r) && r != '\n' && r != '\t' }) >= 0 {
				t.Errorf("%s: %q: the page holds control characters", name, p)
			}
		}
	}
}

var ownTags = regexp.MustCompile(`</?sub>|</?code>`)

func TestMarkdownEscapes(t *testing.T) {
	shape := func(doc string) string { // lines by their cells
		var b strings.Builder
		for line := range strings.SplitSeq(doc, "\n") {
			b.WriteString(strings.Repeat("|", strings.Count(line, "|")))
			for _, start := range []string{"### ", "#### ", "- ", "> - ", "> ", "| "} {
				if strings.HasPrefix(line, start) {
					b.WriteString(start)
				}
			}
			b.WriteByte('\n')
		}
		return b.String()
	}
	for name, record := range map[string]func([]string) *experiment.Run{"hostile": hostile, "talkative": talkative} {
		harmless := shape(render(t, Markdown, record([]string{"harmless"})))
		for _, p := range payloads {
			doc := render(t, Markdown, record([]string{p}))
			if got := shape(doc); got != harmless {
				t.Errorf("%s: %q changes the document's structure:\n%s", name, p, doc)
			}
			rest := ownTags.ReplaceAllString(doc, "")
			for _, bad := range []string{"<", "](", "![i]", "://", " @", "\x1b", "www.", "`code`", "~~x"} {
				if at := strings.Index(rest, bad); at > 0 && rest[at-1] != '\\' {
					t.Errorf("%s: %q leaves %q in:\n%s", name, p, bad, rest[max(0, at-40):min(len(rest), at+40)])
				}
			}
		}
	}
}

func TestTextIsPrintable(t *testing.T) {
	status := func(p string) *experiment.Status {
		s := &experiment.Status{Edges: failing().Edges, Injections: failing().Injections, Runs: []experiment.RunSummary{{}}, Debts: []string{""}}
		fillStrings(reflect.ValueOf(s).Elem(), func() string { return p })
		return s
	}
	for _, p := range payloads {
		r := hostile([]string{p})
		var b bytes.Buffer
		for _, err := range []error{Text(&b, r, Style{}), Text(&b, talkative([]string{p}), Style{}), PlanText(&b, &r.Plan, Style{}), StatusText(&b, status(p), Style{})} {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range b.String() {
			if c != '\n' && (unicode.IsControl(c) || c == '\u202e' || c == '\u2066') {
				t.Fatalf("%q puts %q on a terminal", p, c)
			}
		}
	}
}
