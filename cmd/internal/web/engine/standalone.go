package engine

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// The files of the page that Standalone knows by name.
const (
	index  = "index.html"
	begin  = "start-server.js" // what index names
	start  = "start-local.js"  // what stands in its place
	worker = "worker.js"
)

// Standalone makes one HTML file of the page, which loads nothing: its styles
// and modules are in it, the engine as text that is no script, and a policy
// that allows these and forbids the network.
//
// The error says what of the page is of a kind that cannot be put into one file.
func Standalone(page fs.FS, version string) ([]byte, error) {
	doc, err := fs.ReadFile(page, index)
	if err != nil {
		return nil, err
	}
	text := string(doc)
	style, text, err := styles(page, text)
	if err != nil {
		return nil, err
	}
	script, err := modules(page, start)
	if err != nil {
		return nil, err
	}
	work, err := fs.ReadFile(page, worker)
	if err != nil {
		return nil, err
	}
	workerScript := string(Support()) + "\n" + string(work)
	for name, s := range map[string]string{start: script, worker: workerScript} {
		if low := strings.ToLower(s); strings.Contains(low, "</script") || strings.Contains(low, "<!--") {
			return nil, fmt.Errorf("%s, or what it needs: \"</script\" or \"<!--\" ends the script in HTML", name)
		}
	}
	if strings.Contains(strings.ToLower(style), "</style") {
		return nil, errors.New("a style sheet: \"</style\" ends it in HTML")
	}
	policy := "default-src 'none'; script-src '" + hash(script) + "' 'wasm-unsafe-eval'; style-src '" + hash(style) + "'; worker-src blob:; img-src data:; " +
		"base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types mcp401-worker"
	replace := []struct{ old, new string }{
		{`<html lang="en">`, `<html lang="en" data-version="` + html.EscapeString(version) + `">`},
		{`<meta charset="utf-8">`, `<meta charset="utf-8">` + "\n" + `<meta http-equiv="Content-Security-Policy" content="` + policy + `">`},
		{`<script type="module" src="` + begin + `"></script>`, `<script type="module">` + script + `</script>`},
		{`</body>`, `<script type="text/plain" id="engine-worker">` + workerScript + `</script>` + "\n" +
			`<script type="text/plain" id="engine-module">` + base64.StdEncoding.EncodeToString(Module()) + `</script>` + "\n</body>"},
	}
	for _, r := range replace {
		if strings.Count(text, r.old) != 1 {
			return nil, fmt.Errorf("%s: not one %s", index, r.old)
		}
	}
	if m := elsewhere.FindString(strings.Replace(text, replace[2].old, "", 1)); m != "" {
		return nil, fmt.Errorf("%s: %s is another file", index, m)
	}
	for _, r := range replace {
		text = strings.Replace(text, r.old, r.new, 1)
	}
	return []byte(text), nil
}

// elsewhere is a reference that leaves the file.
var elsewhere = regexp.MustCompile(`(?i)\s(?:src|href|srcset|action|poster|data)="(?:[^#d"]|d[^a]|da[^t])[^"]*"`)

// hash is what a policy calls a script or style by.
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

var sheet = regexp.MustCompile(`<link rel="stylesheet" href="([^"]+)">\n?`)

// styles takes the references to style sheets out of doc, and puts one style
// element with all of them where the first was.
func styles(page fs.FS, doc string) (style, rest string, err error) {
	found := sheet.FindAllStringSubmatchIndex(doc, -1)
	if len(found) == 0 {
		return "", "", fmt.Errorf("%s: no style sheet", index)
	}
	for _, at := range found {
		css, err := fs.ReadFile(page, doc[at[2]:at[3]])
		if err != nil {
			return "", "", err
		}
		style += string(css)
	}
	for _, at := range slices.Backward(found) {
		doc = doc[:at[0]] + doc[at[1]:]
	}
	at := found[0][0]
	return style, doc[:at] + "<style>" + style + "</style>\n" + doc[at:], nil
}

// The lines of a module that tie it to others. Anything else that begins like
// one is refused.
var (
	importing = regexp.MustCompile(`(?m)^import\s*\{([^}]*)\}\s*from\s*"\./([\w.-]+)";?[ \t]*$`)
	exporting = regexp.MustCompile(`(?m)^export\s+((?:async\s+)?function\*?|class|const)\s+([A-Za-z_$][\w$]*)`)
	tied      = regexp.MustCompile(`(?m)^\s*(?:import|export)\b.*|\bimport\s*[.(].*`)
	renamed   = regexp.MustCompile(`^([\w$]+)\s+as\s+([\w$]+)$`)
)

// modules returns one script that does what the module called first does, with
// all that it imports.
func modules(page fs.FS, first string) (string, error) {
	var out strings.Builder
	state := map[string]int{} // 1: under way, 2: written
	var add func(name, from string) error
	add = func(name, from string) error {
		switch state[name] {
		case 1:
			return fmt.Errorf("%s and %s import each other", from, name)
		case 2:
			return nil
		}
		state[name] = 1
		b, err := fs.ReadFile(page, name)
		if err != nil {
			return err
		}
		src := string(b)
		var head, names []string
		for _, m := range importing.FindAllStringSubmatch(src, -1) {
			if err := add(m[2], name); err != nil {
				return err
			}
			var list []string
			for _, n := range strings.Split(m[1], ",") {
				if n = strings.TrimSpace(n); n != "" {
					list = append(list, renamed.ReplaceAllString(n, "$1: $2"))
				}
			}
			head = append(head, "const { "+strings.Join(list, ", ")+" } = "+variable(m[2])+";")
		}
		src = importing.ReplaceAllString(src, "")
		for _, m := range exporting.FindAllStringSubmatch(src, -1) {
			names = append(names, m[2])
		}
		src = exporting.ReplaceAllString(src, "$1 $2")
		if m := tied.FindString(src); m != "" {
			return fmt.Errorf("%s: %q cannot be put into one script", name, strings.TrimSpace(m))
		}
		fmt.Fprintf(&out, "\nconst %s = (() => {\n%s\n%s\nreturn { %s };\n})();\n", variable(name), strings.Join(head, "\n"), strings.Trim(src, "\n"), strings.Join(names, ", "))
		state[name] = 2
		return nil
	}
	err := add(first, index)
	return out.String(), err
}

// variable names a module in the script.
func variable(name string) string {
	return "$$" + strings.Map(func(r rune) rune {
		if r == '.' || r == '-' {
			return '_'
		}
		return r
	}, name)
}
