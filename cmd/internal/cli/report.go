package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mcp401/capture"
	"mcp401/rules/report"
)

func (a *app) report() *cobra.Command {
	var out output
	cmd := &cobra.Command{
		Use:   "report [FILE]",
		Short: "write a saved report in another format",
		Long: `report reads what analyze wrote as json or jsonl, from FILE or standard input,
and writes it in any format: the same as analyze in that format, and with --where
the same as analyze with it.`,
		Example: `  mcp401 report report.json
  mcp401 report --format html -o report.html report.json
  mcp401 report --where 'severity >= warning' report.json
  mcp401 analyze --format json capture.pcap | mcp401 report --format markdown`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := out.check(report.Formats); err != nil {
				return err
			}
			name, r := "standard input", a.stdin
			if len(names) == 1 && names[0] != "-" {
				f, err := os.Open(names[0])
				if err != nil {
					return fmt.Errorf("%s: %w", names[0], capture.Nameless(err))
				}
				defer f.Close()
				name, r = names[0], f
			}
			return a.rewrite(name, r, names, &out)
		},
	}
	out.flags(cmd.Flags(), report.Formats, "table")
	out.whereFlag(cmd.Flags())
	out.failFlag(cmd.Flags())
	return cmd
}

// rewrite reads a report and writes it again.
func (a *app) rewrite(name string, r io.Reader, inputs []string, out *output) error {
	s, err := a.open(out, report.Formats, inputs)
	if err != nil {
		return err
	}
	err = report.Read(r, out.only.Narrow(s.write))
	a.status = s.status()
	switch {
	case s.err != nil:
		s.abandon()
		return s.err
	case err != nil:
		s.abandon()
		return hinted(fmt.Errorf("%s: %w", name, capture.Nameless(err)), "made with: mcp401 analyze --format json capture.pcap")
	}
	return s.close()
}
