// Package laws holds tests only: what the whole program keeps to, beyond what
// one package can say of itself.
//
// Do not edit this to make a build pass; move the code.
package laws

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mcp401/rules/all"
	"mcp401/rules/cause"
)

// floors is who may import whom: a package imports packages of floors below
// its own, never of its own. Do not edit this to make a build pass; move the
// code. "rules/*" is the folder of any rule.
const floors = `
capture samples
capture/filter
decode
decode/httpmsg decode/inet decode/jsonrpc decode/sse
decode/tcp decode/tls decode/http1 decode/http2 decode/mcp decode/quic
decode/stack
rules/pair
rules/hop
rules/cause
rules
rules/*
rules/all rules/report
cmd/internal/pipeline cmd/internal/keep
cmd/internal/redact
cmd/internal/har cmd/internal/live cmd/internal/bundle
cmd/internal/web/engine cmd/internal/web/engine/* cmd/internal/web/page
cmd/internal/web
cmd/internal/cli
cmd/mcp401
`

// forTests is packages that only tests import. They may import anything.
var forTests = []string{"capture/capturetest", "decode/decodetest", "rules/rulestest", "cmd/internal/laws", "cmd/internal/lag"}

// dependencies is every module that is imported, and why. A dependency without
// a reason goes.
var dependencies = map[string]string{
	"github.com/andybalholm/brotli":                     "br bodies: no other maintained decoder in Go",
	"github.com/chromedp/cdproto":                       "tests: the words of the protocol that drives a browser",
	"github.com/chromedp/chromedp":                      "tests: the page in a real browser",
	"github.com/go-json-experiment/json":                "a HAR rewritten token by token, and its strings quoted as they were",
	"github.com/goccy/go-yaml":                          "LiteLLM's configuration, for server names",
	"github.com/google/go-cmp":                          "tests: differences that can be read",
	"github.com/gopacket/gopacket":                      "ICMP errors; tests: layers and a reassembly to compare with, and writers",
	"github.com/klauspost/compress":                     "gzip and zstd captures and bodies, faster than the standard library",
	"github.com/olekukonko/tablewriter":                 "lists on a terminal and in Markdown, and the width of characters",
	"github.com/prometheus/client_golang":               "metrics in the format that Prometheus reads",
	"github.com/rogpeppe/go-internal":                   "tests: testscript and txtar",
	"github.com/santhosh-tekuri/jsonschema/v6":          "tests: SARIF and HAR against the schemas of the standards",
	"github.com/spf13/cobra":                            "commands and help",
	"github.com/spf13/pflag":                            "flags, the type that cobra speaks in",
	"github.com/tidwall/gjson":                          "a few members of large JSON bodies without decoding them",
	"go.opentelemetry.io/otel":                          "traces: attributes and the names that the conventions give them",
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace": "traces: spans in the format that collectors read; its HTTP client, which needs gRPC, is left out",
	"go.opentelemetry.io/otel/sdk":                      "traces: spans, their queue and their batches",
	"go.opentelemetry.io/otel/trace":                    "traces: the interface of the SDK",
	"go.opentelemetry.io/proto/otlp":                    "traces: the messages of OTLP",
	"google.golang.org/protobuf":                        "traces: encodes those messages",
	"golang.org/x/crypto":                               "ChaCha20-Poly1305 records of TLS",
	"golang.org/x/net":                                  "HPACK; capture filters as classic BPF",
	"golang.org/x/sys":                                  "packet sockets, their rings and network namespaces",
	"golang.org/x/term":                                 "whether an output is a terminal, and how wide",
}

const module = "mcp401"

// A source is one Go file of the project.
type source struct {
	dir  string // of the package, from the root, with slashes
	name string
	test bool
	text []byte
	file *ast.File
	set  *token.FileSet
}

func (s *source) String() string { return path.Join(s.dir, s.name) }

func (s *source) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", s, s.set.Position(n.Pos()).Line)
}

// imports returns the imported paths.
func (s *source) imports() []string {
	var list []string
	for _, i := range s.file.Imports {
		p, _ := strconv.Unquote(i.Path.Value)
		list = append(list, p)
	}
	return list
}

func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	t.Fatal("no go.mod above the test")
	return ""
}

// sources parses every Go file of the project.
func sources(t testing.TB) []*source {
	t.Helper()
	top := root(t)
	var list []*source
	err := filepath.WalkDir(top, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != top && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		s := &source{name: d.Name(), test: strings.HasSuffix(name, "_test.go"), set: token.NewFileSet()}
		rel, err := filepath.Rel(top, filepath.Dir(name))
		if err != nil {
			return err
		}
		s.dir = filepath.ToSlash(rel)
		if s.text, err = os.ReadFile(name); err != nil {
			return err
		}
		s.file, err = parser.ParseFile(s.set, name, s.text, parser.ParseComments)
		list = append(list, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// floor returns the floor of a package, from 0, and whether it has one.
func floor(dir string) (int, bool) {
	wild := -1
	for i, line := range strings.Split(strings.TrimSpace(floors), "\n") {
		for _, name := range strings.Fields(line) {
			if name == dir {
				return i, true
			}
			if ok, _ := path.Match(name, dir); ok {
				wild = i
			}
		}
	}
	return wild, wild >= 0
}

func TestImportFloors(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || slices.Contains(forTests, s.dir) {
			continue
		}
		mine, ok := floor(s.dir)
		if !ok {
			t.Errorf("%s: the package %s stands on no floor", s, s.dir)
			continue
		}
		for _, imported := range s.imports() {
			dir, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if slices.Contains(forTests, dir) {
				t.Errorf("%s imports %s, which is for tests", s, dir)
			} else if theirs, ok := floor(dir); !ok || theirs >= mine {
				t.Errorf("%s imports %s, which is not below it", s, dir)
			}
		}
	}
}

// banned is what decoders and rules do without: they get bytes and times from
// who calls them and give events back.
var banned = map[string]string{
	"bufio": "readers and writers", "context": "cancelling", "crypto/rand": "chance", "io": "readers and writers", "io/ioutil": "files",
	"log": "logging", "log/slog": "logging", "math/rand": "chance", "math/rand/v2": "chance", "net": "the network", "net/http": "the network",
	"os": "files", "os/signal": "signals", "runtime": "the runtime", "sync": "locks", "sync/atomic": "locks", "syscall": "the system",
	"iter": "coroutines",
}

// granted is the exceptions, each with its reason.
var granted = map[string]string{
	"rules/report io":      "a format writes to the writer that it is handed, and a saved report is read from a reader",
	"decode/httpmsg io":    "decompressors of libraries pull; a coroutine turns push into pull",
	"decode/httpmsg bufio": "the same",
	"decode/httpmsg iter":  "the same: iter.Pull is a coroutine, not a goroutine",
}

func sansIO(s *source) bool {
	return !s.test && !slices.Contains(forTests, s.dir) && (strings.HasPrefix(s.dir+"/", "decode/") || strings.HasPrefix(s.dir+"/", "rules/"))
}

// Bytes in, events out, nothing else: no reader, writer, clock, goroutine,
// lock, channel, context or logger in decode and rules.
func TestSansIO(t *testing.T) {
	used := map[string]bool{}
	for _, s := range sources(t) {
		if !sansIO(s) {
			continue
		}
		for _, p := range s.imports() {
			key := s.dir + " " + p
			if what := banned[p]; what == "" {
				continue
			} else if granted[key] == "" {
				t.Errorf("%s imports %q: no %s here", s, p, what)
			}
			used[key] = true
		}
		for _, fault := range concurrency(s) {
			t.Error(fault)
		}
	}
	for key := range granted {
		if !used[key] {
			t.Errorf("nobody needs the exception %q", key)
		}
	}
}

// clocks is the functions of package time that look at a clock.
var clocks = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}

// concurrency returns each use of a goroutine, a channel or a clock.
func concurrency(s *source) []string {
	var faults []string
	ast.Inspect(s.file, func(n ast.Node) bool {
		what := ""
		switch n := n.(type) {
		case *ast.GoStmt:
			what = "a goroutine"
		case *ast.ChanType:
			what = "a channel"
		case *ast.SelectStmt:
			what = "a select"
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && x.Obj == nil && slices.Contains(clocks, n.Sel.Name) {
				what = "the clock: time." + n.Sel.Name
			}
		case *ast.FuncDecl:
			if n.Name.Name == "init" && n.Recv == nil {
				what = "an init function"
			}
		}
		if what != "" {
			faults = append(faults, s.at(n)+" uses "+what)
		}
		return true
	})
	return faults
}

// The laws themselves can fail.
func TestConcurrencyIsSeen(t *testing.T) {
	const bad = `package x
import "time"
func init() {}
func f() { go f(); var c chan int; select {}; time.Now() }
`
	s := &source{dir: "x", name: "x.go", set: token.NewFileSet()}
	s.file, _ = parser.ParseFile(s.set, "x.go", bad, 0)
	if got := concurrency(s); len(got) != 5 {
		t.Errorf("5 faults, %d seen: %q", len(got), got)
	}
}

// Goroutines live in one folder, in the reader of a live ring, and where HTTP is
// spoken: beside a run that must not wait for it, and where an analysis goes on
// after its files were answered with its id.
func TestGoroutinesLiveInOneFolder(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.dir == "cmd/internal/pipeline" || s.dir == "cmd/internal/live" || s.dir == "cmd/internal/web" || s.String() == "capture/live_linux.go" || slices.Contains(forTests, s.dir) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s starts a goroutine", s.at(n))
			}
			return true
		})
	}
}

// Every module that is imported has its reason, and every reason its module.
func TestDependencies(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	required := map[string]bool{}
	for line := range strings.Lines(string(mod)) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "require ")
		name, version, ok := strings.Cut(line, " ")
		if ok && strings.HasPrefix(version, "v") && strings.Contains(name, ".") {
			required[name] = !strings.HasSuffix(line, "// indirect")
		}
	}
	imported := map[string]bool{}
	for _, s := range sources(t) {
		for _, p := range s.imports() {
			if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") {
				continue
			}
			m := p
			for m != "." && !has(required, m) {
				m = path.Dir(m)
			}
			imported[m] = true
			if dependencies[m] == "" {
				t.Errorf("%s imports %s, which has no reason", s, p)
			}
		}
	}
	for m, direct := range required {
		if direct && !imported[m] {
			t.Errorf("go.mod requires %s, and nothing imports it", m)
		}
	}
	for m, reason := range dependencies {
		if !imported[m] {
			t.Errorf("the reason for %s has no import", m)
		}
		if strings.Contains(reason, "\n") || reason == "" {
			t.Errorf("%s: a reason is one line", m)
		}
	}
}

func has(m map[string]bool, key string) bool {
	_, ok := m[key]
	return ok
}

// A name says what is inside.
func TestPackageNames(t *testing.T) {
	for _, s := range sources(t) {
		for _, bad := range []string{"util", "utils", "common", "types", "models", "helpers", "helper", "pkg", "manager", "service", "misc", "base", "lib"} {
			if slices.Contains(strings.Split(s.dir, "/"), bad) || s.file.Name.Name == bad {
				t.Errorf("%s: %q says nothing", s, bad)
			}
		}
	}
}

// Every package says what it does.
func TestPackageDocs(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			documented[s.dir] = documented[s.dir] || s.file.Doc != nil
		}
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package comment", dir)
		}
	}
}

func TestFormatted(t *testing.T) {
	for _, s := range sources(t) {
		want, err := format.Source(s.text)
		if err != nil || !bytes.Equal(want, s.text) {
			t.Errorf("%s is not formatted: gofmt -w %s", s, s)
		}
	}
}

// notRules is the folders below rules that hold no rule.
var notRules = []string{"all", "cause", "hop", "pair", "report", "rulestest"}

// sections is what the page of a verdict has to say, in this order.
var sections = []string{"What happened", "How it looks on both hops", "Why", "How to fix", "How to verify", "What it is not"}

// Every rule has a folder with its page and its evidence, and every folder is
// in the list.
func TestEveryRuleIsWhole(t *testing.T) {
	dir := filepath.Join(root(t), "rules")
	for _, r := range all.Rules {
		folder := filepath.Join(dir, r.ID)
		doc, err := os.ReadFile(filepath.Join(folder, "doc.md"))
		if err != nil {
			t.Errorf("%s: %v", r.ID, err)
			continue
		}
		if string(doc) != r.Doc {
			t.Errorf("%s: its Doc is not its doc.md", r.ID)
		}
		if r.Title == "" || strings.HasSuffix(r.Title, ".") || strings.Contains(r.Title, "\n") {
			t.Errorf("%s: the title %q is not one line without a period", r.ID, r.Title)
		}
		if !strings.HasPrefix(r.Doc, "# "+r.ID+": "+r.Title+"\n") {
			t.Errorf("%s: the page does not begin with %q", r.ID, "# "+r.ID+": "+r.Title)
		}
		at := 0
		for _, section := range sections {
			i := strings.Index(r.Doc[at:], "\n## "+section+"\n")
			if i < 0 {
				t.Errorf("%s: the page has no section %q in its place", r.ID, section)
				continue
			}
			at += i
		}
		evidence, _ := filepath.Glob(filepath.Join(folder, "testdata", "*.txtar"))
		if len(evidence) == 0 {
			t.Errorf("%s: no evidence in testdata", r.ID)
		}
	}
	folders, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if !f.IsDir() || slices.Contains(notRules, f.Name()) {
			continue
		}
		listed := 0
		for _, r := range all.Rules {
			if r.ID == f.Name() {
				listed++
			}
		}
		if listed != 1 {
			t.Errorf("rules/%s stands %d times in rules/all", f.Name(), listed)
		}
	}
}

func TestEveryCauseHasAPage(t *testing.T) {
	for _, c := range cause.Causes {
		if c.Title == "" || c.Fix == "" || c.Verify == "" || !strings.HasPrefix(c.Doc, "# "+string(c.ID)+": "+c.Title+"\n") {
			t.Errorf("%s: title, fix, verify or page is missing", c.ID)
		}
	}
}
