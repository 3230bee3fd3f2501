package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// everyCommand calls f with each command that a user sees.
func everyCommand(f func(*cobra.Command)) {
	root := (&app{}).root()
	f(root)
	for _, cmd := range root.Commands() {
		f(cmd)
	}
}

// Every command says what it does, with examples that begin with the program.
func TestEveryCommandHasHelp(t *testing.T) {
	everyCommand(func(cmd *cobra.Command) {
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || cmd.Example == "" {
			t.Errorf("%s: no line about it, or no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			if !strings.HasPrefix(line, "  ") || !strings.Contains(line, "mcp401 ") {
				t.Errorf("%s: the example %q", cmd.CommandPath(), line)
			}
		}
	})
}

// requests is what a page may hold at the beginning of a line, besides text.
var requests = regexp.MustCompile(`^\.(TH .*|SH [A-Z ]+|TP|PP|nf|fi)$`)

// Every command has a page with all its flags, of requests that every man
// knows.
func TestManual(t *testing.T) {
	dir := t.TempDir()
	if status, _, errs := run(t, "man", "-o", dir); status != statusClean || errs != "" {
		t.Fatalf("status %d, %s", status, errs)
	}
	everyCommand(func(cmd *cobra.Command) {
		b, err := os.ReadFile(filepath.Join(dir, pageName(cmd)+".1"))
		if err != nil {
			t.Error(err)
			return
		}
		page := string(b)
		at := 0
		for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO"} {
			i := strings.Index(page[at:], "\n.SH "+section+"\n")
			if i < 0 {
				t.Errorf("%s: no section %s in its place", cmd.CommandPath(), section)
				continue
			}
			at += i
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(page, roff("--"+f.Name)+`\fR`) {
				t.Errorf("%s: --%s is not in its page", cmd.CommandPath(), f.Name)
			}
		})
		for line := range strings.Lines(page) {
			line = strings.TrimSuffix(line, "\n")
			if strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") && !requests.MatchString(line) || line == "" {
				t.Errorf("%s: the line %q", cmd.CommandPath(), line)
			}
		}
		if strings.Count(page, ".nf\n") != strings.Count(page, ".fi\n") {
			t.Errorf("%s: text that is to stay as it is does not end", cmd.CommandPath())
		}
	})
}

func TestRoff(t *testing.T) {
	for in, want := range map[string]string{
		"plain":   "plain",
		".TH x":   `\&.TH x`,
		"'x":      `\(aqx`,
		`a\b -j`:  `a\eb \-j`,
		"`x` ~ ^": `\(gax\(ga \(ti \(ha`,
	} {
		if got := roff(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	var b strings.Builder
	verbatim(&b, "text\n\n  kept\n  as is\nmore\n  last")
	if want := "text\n.PP\n.nf\n  kept\n  as is\n.fi\nmore\n.nf\n  last\n.fi\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
}
