package engine_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mcp401/cmd/internal/cli"
	"mcp401/cmd/internal/web/engine"
)

// A task is what the engine is to do with files; see testdata/node.js.
type task struct {
	What    string   `json:"what"`
	Format  string   `json:"format,omitempty"`
	Version string   `json:"version"`
	Paths   []string `json:"paths"`
}

// A result is what it answers.
type result struct {
	Report, View string
	Failed       *struct{ Text, Hint string }
	Progress     []struct{ Done, Total int64 }
	Done         bool
}

// inNode runs the embedded engine under Node.
func inNode(t *testing.T, tasks ...task) []result {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed: the engine is not run")
	}
	dir := t.TempDir()
	support, module := filepath.Join(dir, "wasm_exec.js"), filepath.Join(dir, "engine.wasm")
	z, err := gzip.NewReader(bytes.NewReader(engine.Module()))
	if err != nil {
		t.Fatal(err)
	}
	wasm, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{support: engine.Support(), module: wasm} {
		if err := os.WriteFile(name, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for i := range tasks {
		tasks[i].Version, tasks[i].Paths = cli.Version, append([]string{}, tasks[i].Paths...)
	}
	in, err := json.Marshal(tasks)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(node, "testdata/node.js", support, filepath.Join("..", "page", "worker.js"), module)
	cmd.Stdin = bytes.NewReader(in)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	var results []result
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, len(out)+1)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%v: %.300s", err, lines.Bytes())
		}
		results = append(results, r)
	}
	if len(results) != len(tasks) {
		t.Fatalf("%d tasks, %d results: %s", len(tasks), len(results), errs.String())
	}
	return results
}

// command is what the command line says, run where the files are, so that they
// have the same names.
func command(t *testing.T, dir string, args ...string) string {
	t.Helper()
	t.Chdir(dir)
	var out, errs bytes.Buffer
	if status := cli.Main(args, strings.NewReader(""), &out, &errs); status == 2 {
		t.Fatalf("mcp401 %q: %s", args, errs.String())
	}
	return out.String()
}

func TestSameAsTheCommandLine(t *testing.T) {
	names, _ := filepath.Glob("../../../../samples/*/capture.*")
	if len(names) < 10 {
		t.Fatalf("%d samples", len(names))
	}
	hars, _ := filepath.Glob("../../../../../shared/har/*.har")
	if len(hars) == 0 {
		t.Log("../shared is absent: only the samples are tried")
	}
	names = append(names, hars...)
	var tasks []task
	for i, name := range names {
		names[i], _ = filepath.Abs(name)
		tasks = append(tasks, task{What: "analyze", Paths: []string{names[i]}})
	}
	for i, got := range inNode(t, tasks...) {
		t.Run(filepath.Base(filepath.Dir(names[i]))+"/"+filepath.Base(names[i]), func(t *testing.T) {
			if !got.Done || got.Failed != nil {
				t.Fatalf("failed: %+v", got.Failed)
			}
			if !json.Valid([]byte(got.View)) {
				t.Errorf("the view is no JSON: %.200s", got.View)
			}
			if want := command(t, filepath.Dir(names[i]), "analyze", "--format", "jsonl", filepath.Base(names[i])); got.Report != want {
				t.Errorf("%.1000s\nwant\n%.1000s", got.Report, want)
			}
		})
	}
}

// Keys and a configuration are recognised, and every format is made of the
// lines that the engine gave.
func TestKeysAndFormats(t *testing.T) {
	shared, _ := filepath.Abs("../../../../../shared/captures")
	if _, err := os.Stat(shared); err != nil {
		t.Skip("../shared is absent: no capture with TLS keys")
	}
	dir := t.TempDir()
	for _, ext := range []string{"pcap", "keys"} {
		b, err := os.ReadFile(filepath.Join(shared, "litellm-1.82.3-tls."+ext))
		if err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(dir, "tls."+ext), b, 0o666)
	}
	os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("mcp_servers:\n  renamed: {url: http://127.0.0.1:9101/mcp}\n"), 0o666)
	paths := []string{filepath.Join(dir, "config.yaml"), filepath.Join(dir, "tls.keys"), filepath.Join(dir, "tls.pcap")}
	got := inNode(t, task{What: "analyze", Paths: paths})[0]
	if got.Failed != nil {
		t.Fatal(got.Failed)
	}
	lines := filepath.Join(dir, "lines")
	os.WriteFile(lines, []byte(got.Report), 0o666)
	formats := []string{"json", "html", "sarif", "markdown", "csv", "junit", "jsonl", "table"}
	var tasks []task
	for _, f := range formats {
		tasks = append(tasks, task{What: "write", Format: f, Paths: []string{lines}})
	}
	for i, got := range inNode(t, tasks...) {
		if want := command(t, dir, "analyze", "--format", formats[i], "--keylog", "tls.keys", "--config", "config.yaml", "tls.pcap"); got.Report != want || len(want) < 1000 {
			t.Errorf("%s: %+v\n%.1000s\nwant\n%.1000s", formats[i], got.Failed, got.Report, want)
		}
	}
}

// The sample is the capture of `mcp401 demo`, errors have their hints, and how
// far the reading is gets told.
func TestTasks(t *testing.T) {
	dir := t.TempDir()
	text, bad := filepath.Join(dir, "text"), filepath.Join(dir, "bad")
	os.WriteFile(text, []byte("hello\n"), 0o666)
	os.WriteFile(bad, []byte("{}\n{"), 0o666)
	tour, _ := filepath.Abs("../../../../samples/tour/capture.pcap")
	got := inNode(t, task{What: "sample"}, task{What: "analyze"}, task{What: "analyze", Paths: []string{text}},
		task{What: "write", Format: "json", Paths: []string{bad}}, task{What: "analyze", Paths: []string{tour}}, task{What: "dance"})
	demo := strings.ReplaceAll(command(t, dir, "demo", "--format", "jsonl"), `"name":"-"`, `"name":"tour.pcap"`)
	if got[0].Report != demo || !got[0].Done {
		t.Errorf("the sample is not that of demo:\n%.500s\nwant\n%.500s", got[0].Report, demo)
	}
	for i, want := range map[int][2]string{1: {"no file", "HAR"}, 2: {"text: neither a capture", "HAR"}, 3: {"", ""}, 5: {"internal error", ""}} {
		if f := got[i].Failed; got[i].Done || f == nil || !strings.HasPrefix(f.Text, want[0]) || !strings.Contains(f.Hint, want[1]) {
			t.Errorf("task %d: %+v, %+v, want %q", i, got[i].Failed, got[i].Done, want)
		}
	}
	info, _ := os.Stat(tour)
	if p := got[4].Progress; len(p) == 0 || p[0].Total != info.Size() {
		t.Errorf("progress %+v of %d bytes", p, info.Size())
	}
}
