package engine

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"mcp401/cmd/internal/web/page"
)

func TestModule(t *testing.T) {
	r, err := gzip.NewReader(bytes.NewReader(Module()))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil || string(b[:4]) != "\x00asm" {
		t.Errorf("no WebAssembly: %x, %v", b[:4], err)
	}
	if !strings.Contains(string(Support()), "globalThis.Go = class") {
		t.Error("no wasm_exec.js")
	}
	// It has 4.3 MB; who adds to it sees it here.
	if len(Module()) > 4_600_000 {
		t.Errorf("the engine has grown to %d bytes: what is in it that is not needed? see go list -deps", len(Module()))
	}
}

// The page is one file: nothing in it refers to another, and the policy names
// exactly the script and the style that are in it.
func TestStandalone(t *testing.T) {
	b, err := Standalone(page.Files(), `1"<&`)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if again, _ := Standalone(page.Files(), `1"<&`); !bytes.Equal(b, again) {
		t.Error("it differs from one time to the next")
	}
	if m := elsewhere.FindString(text); m != "" || strings.Contains(text, "<link rel=\"stylesheet\"") {
		t.Errorf("it refers to another file: %s", m)
	}
	if !strings.Contains(text, `data-version="1&#34;&lt;&amp;"`) {
		t.Error("the version is not in it as text")
	}
	for what, element := range map[string]*regexp.Regexp{
		"script": regexp.MustCompile(`(?s)<script type="module">(.*?)</script>`), "style": regexp.MustCompile(`(?s)<style>(.*?)</style>`),
	} {
		m := element.FindAllStringSubmatch(text, -1)
		if len(m) != 1 || !strings.Contains(text, "; "+what+"-src '"+hash(m[0][1])+"'") {
			t.Errorf("%d elements %s, or the policy names another one", len(m), what)
		}
	}
	m := regexp.MustCompile(`id="engine-module">([^<]*)</script>`).FindStringSubmatch(text)
	if got, err := base64.StdEncoding.DecodeString(m[1]); err != nil || !bytes.Equal(got, Module()) {
		t.Errorf("the engine in it is not the engine: %v", err)
	}
}

// small is a page of a few lines.
func small() fstest.MapFS {
	fs := fstest.MapFS{}
	for name, text := range map[string]string{
		"index.html": "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<link rel=\"stylesheet\" href=\"a.css\">\n<link rel=\"stylesheet\" href=\"b.css\">\n" +
			"<script type=\"module\" src=\"start-server.js\"></script>\n</head>\n<body><p>x</p></body>\n</html>\n",
		"a.css": "p{}", "b.css": "b{}",
		"start-local.js": "// the first\nimport { twice as two, Box } from \"./a-b.js\";\nimport {\n  one,\n} from \"./c.js\";\n\nconst twice = 1;\nconsole.log(two(one) + twice, new Box().v, say());\nimport { say } from \"./d.js\";\n",
		"a-b.js":         "import { one } from \"./c.js\";\nconst own = one;\nexport function twice(n) {\n  return 2 * n * own;\n}\nexport class Box { v = own + 1; }\n",
		"c.js":           "export const one = 1;\n",
		"d.js":           "export async function later() {}\nexport function say() { return \"$& $1\"; }\n",
		"worker.js":      "onmessage = () => {};\n",
	} {
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fs
}

// Modules in one script do what they do apart.
func TestModules(t *testing.T) {
	script, err := modules(small(), start)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(script, "const one = 1;"); n != 1 {
		t.Errorf("a module that two import stands in it %d times", n)
	}
	b, err := Standalone(small(), "1")
	if err != nil || !strings.Contains(string(b), "<style>p{}b{}</style>") {
		t.Errorf("%v: %.600s", err, b)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the script is not run")
	}
	name := filepath.Join(t.TempDir(), "x.mjs")
	os.WriteFile(name, []byte(script), 0o666)
	out, err := exec.Command(node, name).CombinedOutput()
	if err != nil || string(out) != "3 2 $& $1\n" {
		t.Errorf("%s, %v\n%s", out, err, script)
	}
}

// What cannot be put into one file is refused.
func TestStandaloneRefuses(t *testing.T) {
	for name, change := range map[string]struct{ file, old, new, want string }{
		"a circle":            {"c.js", "export", "import { twice } from \"./a-b.js\";\nexport", "import each other"},
		"no such module":      {"c.js", "export", "import { x } from \"./none.js\";\nexport", "none.js"},
		"a default export":    {"c.js", "export const one =", "export default", "cannot be put into one script"},
		"a list of exports":   {"c.js", "export const one = 1;", "const one = 1;\nexport { one };", "cannot be put into one script"},
		"all of a module":     {"c.js", "export", "import * as d from \"./d.js\";\nexport", "cannot be put into one script"},
		"import when needed":  {"d.js", "return \"", "import(\"./c.js\"); return \"", "cannot be put into one script"},
		"import.meta":         {"d.js", "return \"", "import.meta.url; return \"", "cannot be put into one script"},
		"a variable export":   {"c.js", "export const", "export let", "cannot be put into one script"},
		"the end of a script": {"d.js", "$&", "</SCRIPT>", "ends the script"},
		"a comment of HTML":   {"worker.js", "{}", "{ '<!--' }", "ends the script"},
		"the end of a style":  {"b.css", "b{}", "</style>", "ends it"},
		"an image":            {"index.html", "<p>", "<img src=\"x.png\"><p>", "another file"},
		"a link":              {"index.html", "<p>", "<a href=\"https://example.com/\">x</a><p>", "another file"},
		"no style":            {"a.css", "", "-", "a.css"},
		"another start":       {"index.html", "start-server.js", "start.js", "not one <script"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := maps.Clone(small())
			if change.new == "-" {
				delete(fs, change.file)
			} else {
				old := string(fs[change.file].Data)
				if !strings.Contains(old, change.old) {
					t.Fatalf("%s has no %s", change.file, change.old)
				}
				fs[change.file] = &fstest.MapFile{Data: []byte(strings.Replace(old, change.old, change.new, 1))}
			}
			if _, err := Standalone(fs, "1"); err == nil || !strings.Contains(err.Error(), change.want) {
				t.Errorf("%v, want %q", err, change.want)
			}
		})
	}
}
