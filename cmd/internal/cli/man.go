package cli

import (
	"errors"
	"fmt"
	"io"
	"mcp401/capture"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) man() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man -o DIR",
		Short: "write the manual pages",
		Long: `man writes a manual page for the program and one for each command into DIR,
which is made if it is not there: mcp401.1, mcp401-analyze.1, ...
They say what --help says.`,
		Example: "  mcp401 man -o man1\n  mcp401 man -o man1 && ls man1",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir == "" {
				return hinted(errors.New("no folder named"), "mcp401 man -o man1")
			}
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return fmt.Errorf("-o %s: %w", dir, capture.Nameless(err))
			}
			return manual(cmd.Root(), dir)
		},
	}
	cmd.Flags().StringVarP(&dir, "output", "o", "", "write the pages into `DIR`")
	return cmd
}

// manual writes the page of a command and of all below it.
func manual(cmd *cobra.Command, dir string) error {
	cmd.InitDefaultHelpFlag()
	name := pageName(cmd)
	if err := os.WriteFile(filepath.Join(dir, name+".1"), []byte(manPage(cmd, name)), 0o666); err != nil {
		return err
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			if err := manual(c, dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// pageName is what a command's page is called.
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is the page of a command in the macros of man(7). It holds no date:
// the same program writes the same pages.
func manPage(cmd *cobra.Command, name string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"mcp401 %s\" \"mcp401 Manual\"\n", roff(strings.ToUpper(name)), Version)
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(cmd.Short))
	use := cmd.UseLine()
	if cmd.HasSubCommands() {
		use = cmd.CommandPath() + " COMMAND [flags]"
	}
	fmt.Fprintf(&b, ".SH SYNOPSIS\n%s\n.SH DESCRIPTION\n", roff(use))
	verbatim(&b, cmd.Long)
	flags(&b, "OPTIONS", cmd.NonInheritedFlags())
	flags(&b, "GLOBAL OPTIONS", cmd.InheritedFlags())
	if cmd.HasExample() {
		b.WriteString(".SH EXAMPLES\n.nf\n")
		for line := range strings.Lines(cmd.Example) {
			b.WriteString(roff(strings.TrimSuffix(strings.TrimPrefix(line, "  "), "\n")) + "\n")
		}
		b.WriteString(".fi\n")
	}
	b.WriteString(".SH EXIT STATUS\n0: done, and nothing to complain of. 1: findings. 2: the job could not be done.\n.SH SEE ALSO\n")
	b.WriteString(strings.Join(others(cmd), ",\n") + "\n")
	return b.String()
}

// others is the pages above and below a command.
func others(cmd *cobra.Command) []string {
	var list []string
	add := func(c *cobra.Command) { list = append(list, `\fB`+roff(pageName(c))+`\fR(1)`) }
	if cmd.HasParent() {
		add(cmd.Parent())
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			add(c)
		}
	}
	return list
}

// verbatim writes text whose indented lines are to stay as they are.
func verbatim(w io.StringWriter, text string) {
	literal := false
	for line := range strings.SplitSeq(text, "\n") {
		if indented := strings.HasPrefix(line, "  "); indented != literal {
			literal = indented
			w.WriteString(map[bool]string{true: ".nf\n", false: ".fi\n"}[literal])
		}
		if line == "" {
			w.WriteString(".PP\n")
		} else {
			w.WriteString(roff(line) + "\n")
		}
	}
	if literal {
		w.WriteString(".fi\n")
	}
}

func flags(w io.StringWriter, title string, set *pflag.FlagSet) {
	if !set.HasAvailableFlags() {
		return
	}
	w.WriteString(".SH " + title + "\n")
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		head := `\fB` + roff("--"+f.Name) + `\fR`
		if f.Shorthand != "" {
			head = `\fB` + roff("-"+f.Shorthand) + `\fR, ` + head
		}
		if value != "" {
			head += ` \fI` + roff(value) + `\fR`
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		w.WriteString(".TP\n" + head + "\n" + roff(usage) + "\n")
	})
}

// roff is text that means itself to troff: no escape, no hyphen where a minus
// is meant, no request at the beginning of a line.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}
