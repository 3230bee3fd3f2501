package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mcp401/cmd/internal/cli"
	"mcp401/rules/all"
)

var update = flag.Bool("update", false, "write the reports of the samples and the generated parts of the README")

// atTop goes to the top of the module, from where a reader of the README runs
// its commands.
func atTop(t *testing.T) {
	t.Helper()
	t.Chdir(filepath.Join("..", ".."))
}

// run is one command line, and what it printed.
func run(t *testing.T, args ...string) (stdout string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	status = cli.Main(args, strings.NewReader(""), &out, &errs)
	if errs.Len() > 0 {
		t.Errorf("mcp401 %s: on standard error: %s", strings.Join(args, " "), errs.String())
	}
	return out.String(), status
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what is printed now (go test ./cmd/mcp401 -update writes it):\n%s", file, got)
	}
}

func TestSamples(t *testing.T) {
	atTop(t)
	captures, err := filepath.Glob("samples/*/capture.*")
	if err != nil || len(captures) < 9 {
		t.Fatalf("found %d samples, %v", len(captures), err)
	}
	for _, file := range captures {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			table, status := run(t, "analyze", file)
			golden(t, filepath.Join(dir, "report.txt"), table)
			doc, same := run(t, "analyze", "--format", "json", file)
			golden(t, filepath.Join(dir, "report.json"), doc)
			if status != same {
				t.Errorf("status %d as a table, %d as json", status, same)
			}
			accused := strings.Contains(doc, `"severity":"error"`) || strings.Contains(doc, `"severity": "error"`)
			if (status == 1) != accused {
				t.Errorf("status %d, an error is found: %v", status, accused)
			}
			readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(readme), "go run ./cmd/mcp401 analyze "+file+"\n") {
				t.Errorf("README.md does not have the command")
			}
		})
	}
}

func TestREADME(t *testing.T) {
	atTop(t)
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(b)
	replace := func(begin, end, body string) {
		t.Helper()
		i := strings.Index(readme, begin)
		if i < 0 {
			t.Fatalf("README.md has no %q", begin)
		}
		i += len(begin)
		j := strings.Index(readme[i:], end)
		if j < 0 {
			t.Fatalf("README.md has no %q after %q", end, begin)
		}
		readme = readme[:i] + body + readme[i+j:]
	}

	const command = "go run ./cmd/mcp401 analyze samples/swallowed-401-header-not-forwarded/capture.pcap"
	out, _ := run(t, strings.Fields(command)[3:]...)
	replace("```\n$ "+command+"\n", "```", out)

	var rows strings.Builder
	rows.WriteString("\n| verdict | severity | it means |\n|---|---|---|\n")
	for _, r := range all.Rules {
		rows.WriteString("| `" + r.ID + "` | " + string(r.Severity) + " | " + r.Title + " |\n")
	}
	replace("<!-- verdicts -->", "<!-- /verdicts -->", rows.String())
	golden(t, "README.md", readme)

	for _, link := range regexp.MustCompile(`\]\(([^)#]+)\)`).FindAllStringSubmatch(readme, -1) {
		if strings.Contains(link[1], "://") {
			continue
		}
		if _, err := os.Stat(link[1]); err != nil {
			t.Errorf("a dead link: %v", err)
		}
	}
}
