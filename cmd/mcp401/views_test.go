package main

import (
	"os"
	"path/filepath"
	"testing"

	"mcp401/rules/report"
)

// Every format is a view of the JSON: what report makes of what was saved is
// what analyze prints, for every format on every sample.
func TestEveryFormatIsAView(t *testing.T) {
	atTop(t)
	captures, err := filepath.Glob("samples/*/capture.*")
	if err != nil || len(captures) < 9 {
		t.Fatalf("found %d samples, %v", len(captures), err)
	}
	dir := t.TempDir()
	for _, file := range captures {
		var saved []string
		for _, by := range []string{"json", "jsonl"} {
			text, _ := run(t, "analyze", "--fail-on", "never", "--format", by, file)
			name := filepath.Join(dir, "report."+by)
			if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
			saved = append(saved, name)
		}
		for _, f := range report.Formats {
			want, status := run(t, "analyze", "--format", f.Name, file)
			for _, name := range saved {
				got, same := run(t, "report", "--format", f.Name, name)
				if got != want || same != status {
					t.Errorf("%s: %s of %s is another than analyze prints (status %d and %d)", file, f.Name, filepath.Base(name), same, status)
				}
			}
		}
	}
}
