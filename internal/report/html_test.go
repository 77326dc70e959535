package report

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/chaosctl/chaosctl/experiment"
)

// TestWriteSamples writes the pages for a look at them in a browser.
func TestWriteSamples(t *testing.T) {
	dir := os.Getenv("REPORT_SAMPLES")
	if dir == "" {
		t.Skip("set REPORT_SAMPLES to a directory to look at the pages")
	}
	all := variants()
	all["hours"], all["hostile"], all["empty"] = hours(t), hostile(payloads), &experiment.Run{}
	files, _ := filepath.Glob(filepath.Join(os.Getenv("REPORT_RECORDS"), "*.json")) // real ones
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ReadJSON(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = r
	}
	for name, r := range all {
		if err := os.WriteFile(dir+"/"+name+".html", []byte(render(t, HTML, r)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// loading is CSS that fetches something.
var loading = regexp.MustCompile(`(?i)url\s*\(|@import|expression\s*\(|image-set|@font-face`)

// outside says what in a page refers to something outside it, or runs.
func outside(t testing.TB, page string) string {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	inStyle := false
	for {
		switch z.Next() {
		case html.ErrorToken:
			return ""
		case html.TextToken:
			if text := string(z.Text()); inStyle && loading.MatchString(text) {
				return "style loads: " + loading.FindString(text)
			}
		case html.EndTagToken:
			inStyle = false
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			inStyle = tok.Data == "style"
			if slices.Contains([]string{"script", "link", "iframe", "frame", "object", "embed", "base", "form", "img", "image", "video", "audio", "source", "foreignobject", "use", "animate", "set"}, tok.Data) {
				return "has <" + tok.Data + ">"
			}
			for _, a := range tok.Attr {
				key := strings.ToLower(a.Key)
				switch {
				case strings.HasPrefix(key, "on"), slices.Contains([]string{"src", "srcset", "srcdoc", "action", "formaction", "data", "poster", "background", "ping", "xlink:href", "xmlns"}, key):
					return fmt.Sprintf("<%s %s=%q>", tok.Data, a.Key, a.Val)
				case key == "href" && !strings.HasPrefix(a.Val, "#"):
					return fmt.Sprintf("<%s href=%q>", tok.Data, a.Val)
				case key == "style" && loading.MatchString(a.Val):
					return fmt.Sprintf("<%s style=%q>", tok.Data, a.Val)
				case key == "http-equiv" && a.Val != "Content-Security-Policy":
					return fmt.Sprintf("<%s http-equiv=%q>", tok.Data, a.Val)
				}
			}
		}
	}
}

func TestHTMLStandsAlone(t *testing.T) {
	all := variants()
	all["hours"], all["empty"] = hours(t), &experiment.Run{}
	for name, r := range all {
		page := render(t, HTML, r)
		if bad := outside(t, page); bad != "" {
			t.Errorf("%s: %s", name, bad)
		}
		if !strings.Contains(page, "default-src 'none'") {
			t.Errorf("%s: the page has no policy that forbids loading", name)
		}
	}
	for _, bad := range []string{`<script>1</script>`, `<a href="http://x">`, `<a href="//x">`, `<img src="x">`, `<p onclick="x">`, `<style>a{background:URL (x)}</style>`, `<style>@import "x"</style>`,
		`<p style="background:url(x)">`, `<meta http-equiv="refresh" content="0">`, `<svg><use xlink:href="x#y"/></svg>`} {
		if outside(t, bad) == "" {
			t.Errorf("the check does not notice %s", bad)
		}
	}
}

// wellFormed checks that elements nest, ids are unique and references hold.
func wellFormed(page string) error {
	void := []string{"meta", "br", "link", "input", "hr"}
	var stack []string
	ids, refs := map[string]bool{}, map[string]bool{}
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(stack) > 0 {
				return fmt.Errorf("never closed: %v", stack)
			}
			for ref := range refs {
				if !ids[ref] {
					return fmt.Errorf("nothing has the id %q", ref)
				}
			}
			return nil
		case html.StartTagToken, html.SelfClosingTagToken:
			tok := z.Token()
			for _, a := range tok.Attr {
				switch a.Key {
				case "id":
					if ids[a.Val] {
						return fmt.Errorf("id %q stands twice", a.Val)
					}
					ids[a.Val] = true
				case "href":
					refs[strings.TrimPrefix(a.Val, "#")] = true
				case "aria-labelledby":
					refs[a.Val] = true
				}
			}
			if tok.Type == html.StartTagToken && !slices.Contains(void, tok.Data) {
				stack = append(stack, tok.Data)
			}
		case html.EndTagToken:
			tok := z.Token()
			if len(stack) == 0 || stack[len(stack)-1] != tok.Data {
				return fmt.Errorf("</%s> closes %v", tok.Data, stack)
			}
			stack = stack[:len(stack)-1]
		}
	}
}

func TestHTMLIsWellFormed(t *testing.T) {
	all := variants()
	all["hours"], all["empty"], all["hostile"] = hours(t), &experiment.Run{}, hostile(payloads)
	for name, r := range all {
		if err := wellFormed(render(t, HTML, r)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, bad := range []string{"<p><b></p>", "<p>", "</p>", `<p id="a"></p><p id="a"></p>`, `<a href="#x"></a>`} {
		if wellFormed(bad) == nil {
			t.Errorf("the check does not notice %s", bad)
		}
	}
}

// words is the text of a page, in one line.
func words(page string) string {
	var b strings.Builder
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return strings.Join(strings.Fields(b.String()), " ")
		case html.TextToken:
			b.WriteString(html.UnescapeString(string(z.Raw())) + " ")
		}
	}
}

func TestHTMLSays(t *testing.T) {
	for name, word := range map[string]string{"pass": "PASS", "fail": "FAIL", "aborted": "ABORTED", "inconclusive": "INCONCLUSIVE"} {
		r := variants()[name]
		page := render(t, HTML, r)
		text := words(page)
		want := append([]string{word, r.Experiment, r.Hypothesis, r.Topology, r.ID, "chaosctl run FILE --set spec.seed=7", r.Version.Commit, strings.Join(strings.Fields(r.Document), " ")}, r.Verdict.Reasons...)
		want = append(append(append(append(want, r.Notes...), r.Incomplete...), r.Stuck...), r.Aborted)
		for _, g := range r.Gates {
			want = append(want, g.Why)
		}
		for _, p := range r.Probes {
			want = append(want, p.Why, p.What)
		}
		for _, s := range r.Plan.Steps {
			want = append(want, s.Name, s.Changes[0].Undo)
		}
		if r.Recovery != nil {
			want = append(want, r.Recovery.Why)
		}
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: the page does not say %q", name, w)
			}
		}
		if first, second := strings.Index(text, r.Verdict.Reasons[0]), strings.Index(text, "What users got"); first > second {
			t.Errorf("%s: the reason is not in the first screen", name)
		}
		if (len(r.Stuck) > 0) != strings.Contains(page, `role="alert"`) {
			t.Errorf("%s: stuck is shown: %v", name, len(r.Stuck) == 0)
		}
		if page != render(t, HTML, r) {
			t.Errorf("%s: the same run gives two pages", name)
		}
	}
	text := words(render(t, HTML, aborted()))
	_, body, _ := strings.Cut(text, "Skip to the report")
	if !strings.HasPrefix(body, " Could not roll back") {
		t.Errorf("stuck does not come first, but %q", clip(body, 60))
	}
}

// TestHTMLUnknownIsNoPass: what is not known is said to be so.
func TestHTMLUnknownIsNoPass(t *testing.T) {
	r := passing()
	for i := range r.Gates {
		r.Gates[i].Result, r.Gates[i].Value = experiment.Unknown, ""
	}
	for i := range r.Probes {
		r.Probes[i].Result = ""
	}
	r.Recovery.Result, r.Recovery.Took = experiment.Unknown, nil
	for i := range r.Flows {
		for j := range r.Flows[i].Windows {
			r.Flows[i].Windows[j].Requests = 0
		}
	}
	r.Verdict, r.Injections = nil, nil
	page := render(t, HTML, r)
	for _, bad := range []string{"</svg>held<", "</svg>passed<", "</svg>recovered<", "PASS"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page says %q", bad)
		}
	}
	for _, want := range []string{"NO VERDICT", "no data", "No fault was put in force.", "Nothing was hurt."} {
		if !strings.Contains(words(page), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestHTMLSize(t *testing.T) {
	var b bytes.Buffer
	if err := HTML(&b, hours(t)); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 400_000 {
		t.Errorf("three hours make a page of %d bytes", b.Len())
	}
}
