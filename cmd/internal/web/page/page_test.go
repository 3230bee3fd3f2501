package page

import (
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"mcp401/rules/report"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := fs.ReadFile(Files(), name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFiles(t *testing.T) {
	names := Names()
	for _, want := range []string{"index.html", "page.css", ReportStyle, "main.js", "engine.js", "start-server.js"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s among %s", want, names)
		}
	}
	for _, name := range names {
		f, err := Files().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := f.Stat()
		b, _ := io.ReadAll(f)
		if err != nil || info.Size() != int64(len(b)) || len(b) == 0 || info.Name() != name {
			t.Errorf("%s: %d bytes, said to be %d of %s, %v", name, len(b), info.Size(), info.Name(), err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if read(t, ReportStyle) != report.Style() {
		t.Error("the style is not the report's")
	}
	if _, err := Files().Open("page.go"); err == nil {
		t.Error("more than the page is among its files")
	}
}

var (
	declared = regexp.MustCompile(`(?m)^(?:export )?(?:async )?(?:function\*?|const|let|var|class) ([\w$]+)`)
	exported = regexp.MustCompile(`(?m)^export .*$`)
	exports  = regexp.MustCompile(`^export (?:async )?(?:function\*?|const|class) [\w$]+`)
	imported = regexp.MustCompile(`(?m)^import .*$`)
	imports  = regexp.MustCompile(`^import \{ ([\w$, ]+) \} from "\./([\w-]+\.js)";$`)
)

// The modules of the page can be put into one script, in order of their imports:
// no name is at the top of two, none is renamed, none imports in a circle.
func TestModulesGoIntoOneScript(t *testing.T) {
	where := map[string]string{}
	needs := map[string][]string{}
	for _, name := range Names() {
		if path.Ext(name) != ".js" || name == "worker.js" { // which is a script of its own
			continue
		}
		text := read(t, name)
		for _, m := range declared.FindAllStringSubmatch(text, -1) {
			other, ok := where[m[1]]
			if ok && !(strings.HasPrefix(other, "engine-") && strings.HasPrefix(name, "engine-")) { // of which a page has one
				t.Errorf("%s is at the top of %s and of %s", m[1], other, name)
			}
			where[m[1]] = name
		}
		for _, line := range exported.FindAllString(text, -1) {
			if !exports.MatchString(line) {
				t.Errorf("%s: %s", name, line)
			}
		}
		for _, line := range imported.FindAllString(text, -1) {
			m := imports.FindStringSubmatch(line)
			if m == nil {
				t.Errorf("%s: %s", name, line)
				continue
			}
			needs[name] = append(needs[name], m[2])
			for _, what := range strings.Split(m[1], ",") {
				if !regexp.MustCompile(`(?m)^export .*\b` + regexp.QuoteMeta(strings.TrimSpace(what)) + `\b`).MatchString(read(t, m[2])) {
					t.Errorf("%s imports %s, which %s does not export", name, what, m[2])
				}
				if strings.Count(text, strings.TrimSpace(what)) < 2 {
					t.Errorf("%s imports %s and does not use it", name, what)
				}
			}
		}
	}
	var visit func(name string, above []string)
	visit = func(name string, above []string) {
		if slices.Contains(above, name) {
			t.Fatalf("a circle of imports: %s", append(above, name))
		}
		for _, n := range needs[name] {
			visit(n, append(above, name))
		}
	}
	for name := range needs {
		visit(name, nil)
	}
}

// Nothing on the page makes markup or code of text, or names another place.
func TestNothingBecomesMarkup(t *testing.T) {
	bad := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|\beval\b|new Function|setAttribute\("style"|cssText|https?://|@import|url\(`)
	for _, name := range Names() {
		text := strings.ReplaceAll(read(t, name), `"http://www.w3.org/2000/svg"`, "")
		for _, found := range bad.FindAllString(text, -1) {
			t.Errorf("%s has %s", name, found)
		}
	}
	top, err := html.Parse(strings.NewReader(read(t, "index.html")))
	if err != nil {
		t.Fatal(err)
	}
	scripts := 0
	for n := range top.Descendants() {
		if n.Data == "style" || n.Data == "script" && (n.FirstChild != nil || len(n.Attr) != 2) {
			t.Errorf("a %s in the markup", n.Data)
		}
		if n.Data == "script" {
			scripts++
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || a.Key == "style" {
				t.Errorf("%s has %s", n.Data, a.Key)
			}
		}
	}
	if scripts != 1 {
		t.Errorf("%d scripts", scripts)
	}
}
