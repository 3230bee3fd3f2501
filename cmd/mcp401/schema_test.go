package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemaFiles finds what MCP401_SCHEMAS, a folder, has at a pattern. It is not
// ours to copy: .ci/run fetches sarif.json, junit.xsd and har/*.json.
func schemaFiles(t *testing.T, pattern string) []string {
	t.Helper()
	dir := os.Getenv("MCP401_SCHEMAS")
	if dir == "" {
		t.Skip("skipped: MCP401_SCHEMAS names no folder with schemas; .ci/run fetches them")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, pattern))
	if len(files) == 0 {
		t.Skipf("skipped: MCP401_SCHEMAS has no %s", pattern)
	}
	return files
}

// jsonSchema compiles the schema of the first file; the others are what it
// refers to.
func jsonSchema(t *testing.T, files []string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	first := ""
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(name, err)
		}
		at := "http://schemas.example/" + filepath.Base(name)
		if first == "" {
			first = at
		}
		if err := c.AddResource(at, doc); err != nil {
			t.Fatal(name, err)
		}
	}
	s, err := c.Compile(first)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func valid(s *jsonschema.Schema, text []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return s.Validate(doc)
}

// everyInput is each sample and, where there are, the browser exports and the
// captures of ../shared, with the arguments that they are read with.
func everyInput(t *testing.T) map[string][]string {
	t.Helper()
	inputs := map[string][]string{}
	for _, pattern := range []string{"samples/*/capture.*", "../shared/har/*.har", "../shared/captures/*.pcap"} {
		found, _ := filepath.Glob(pattern)
		if len(found) == 0 {
			t.Logf("nothing is at %s: left out", pattern)
		}
		for _, name := range found {
			inputs[name] = []string{name}
			keys := strings.TrimSuffix(name, filepath.Ext(name)) + ".keys"
			if _, err := os.Stat(keys); err == nil {
				inputs[name] = append(inputs[name], "--keylog", keys)
			}
		}
	}
	return inputs
}

// written writes the report of every input in a format and returns the files.
func written(t *testing.T, format string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{}
	for name, args := range everyInput(t) {
		out := filepath.Join(dir, fmt.Sprintf("%d.%s", len(files), format))
		run(t, append([]string{"analyze", "--quiet", "--fail-on", "never", "--format", format, "-o", out}, args...)...)
		files[name] = out
	}
	return files
}

// without is a document that lacks one member.
func without(t *testing.T, text []byte, path ...string) []byte {
	t.Helper()
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	at := doc
	for _, step := range path[:len(path)-1] {
		if step == "0" {
			at = at.([]any)[0]
		} else {
			at = at.(object)[step]
		}
	}
	delete(at.(object), path[len(path)-1])
	b, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every report is SARIF 2.1.0 by the standard's own schema, and the schema
// refuses one that lacks what it must have.
func TestSARIFSchema(t *testing.T) {
	schema := jsonSchema(t, schemaFiles(t, "sarif.json"))
	atTop(t)
	refused := 0
	for name, file := range written(t, "sarif") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := valid(schema, b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, path := range [][]string{{"version"}, {"runs", "0", "tool"}, {"runs", "0", "tool", "driver", "name"}} {
			if valid(schema, without(t, b, path...)) == nil {
				t.Errorf("%s: valid without %v", name, path)
			}
			refused++
		}
	}
	if refused == 0 {
		t.Error("no report was made")
	}
}

// Every HAR that is written is one by the schema of HAR 1.2.
func TestHARSchema(t *testing.T) {
	files := schemaFiles(t, "har/*.json")
	for i, name := range files {
		if filepath.Base(name) == "har.json" {
			files[0], files[i] = files[i], files[0]
		}
	}
	schema := jsonSchema(t, files)
	atTop(t)
	made := 0
	for name, args := range everyInput(t) {
		if strings.HasSuffix(name, ".har") {
			continue // "har" takes packets
		}
		out := filepath.Join(t.TempDir(), "out.har")
		run(t, append([]string{"har", "--quiet", "-o", out}, args...)...)
		b, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := valid(schema, b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if bytes.Contains(b, []byte(`"startedDateTime"`)) {
			made++
			for _, path := range [][]string{{"log", "creator"}, {"log", "entries", "0", "timings"}, {"log", "entries", "0", "request", "httpVersion"}} {
				if valid(schema, without(t, b, path...)) == nil {
					t.Errorf("%s: valid without %v", name, path)
				}
			}
		}
	}
	if made == 0 {
		t.Error("no HAR with an entry was made")
	}
}

// Every report is JUnit XML by the schema that Jenkins' xUnit plugin has.
func TestJUnitSchema(t *testing.T) {
	schema := schemaFiles(t, "junit.xsd")[0]
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("skipped: there is no xmllint")
	}
	atTop(t)
	check := func(files ...string) (string, error) {
		out, err := exec.Command(xmllint, append([]string{"--noout", "--nonet", "--schema", schema}, files...)...).CombinedOutput()
		return string(out), err
	}
	var files []string
	names := map[string]string{}
	for name, file := range written(t, "junit") {
		files = append(files, file)
		names[file] = name
	}
	if out, err := check(files...); err != nil {
		for file, name := range names {
			out = strings.ReplaceAll(out, file, name)
		}
		t.Errorf("%v:\n%s", err, out)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.xml")
	for _, change := range [][2]string{{` tests="`, ` count="`}, {"<testsuites", "<suites"}, {"</testsuites>", "<a/></testsuites>"}} {
		text := strings.ReplaceAll(string(b), change[0], change[1])
		if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := check(broken); err == nil || text == string(b) {
			t.Errorf("valid with %q for %q", change[1], change[0])
		}
	}
}
