package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"mcp401/capture"
	"mcp401/rules/report"
)

func (a *app) verify() *cobra.Command {
	out := output{format: "sh", zone: "UTC"}
	var against []string
	cmd := &cobra.Command{
		Use:   "verify --against FILE",
		Short: "print the requests that ask again what failed",
		Long: `verify prints a shell script of curl commands, one block for each kind of finding
in FILE: a report that was saved as json or jsonl, or one finding of it. It sends
nothing itself. Secrets are variables in it (KEY, TOKEN), and nothing that comes
from a capture is obeyed by a shell: still, read the addresses before you run it.

To see whether a repair helped, run it, capture meanwhile, and compare:
mcp401 diff before.pcap after.pcap.`,
		Example: `  mcp401 verify --against report.json
  mcp401 verify --against report.json -o verify.sh`,
		Args: func(cmd *cobra.Command, names []string) error {
			if against = append(against, names...); len(against) == 0 {
				return hinted(errors.New("no report named"), cmd.CommandPath()+" --against report.json")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(report.Requests); err != nil {
				return err
			}
			s, err := a.open(&out, report.Requests, against)
			if err != nil {
				return err
			}
			for _, name := range against {
				if err := a.findings(name, s.write); err != nil {
					s.abandon()
					return err
				}
			}
			return s.close()
		},
	}
	cmd.Flags().StringArrayVar(&against, "against", nil, "`FILE` with a report, or with one finding (repeatable)")
	cmd.Flags().StringVarP(&out.file, "output", "o", "", "write to `FILE`, which appears when it is complete")
	return cmd
}

// findings reads a report or a finding.
func (a *app) findings(name string, write func(report.Object) error) error {
	var r io.Reader = a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, capture.Nameless(err))
		}
		defer f.Close()
		r = f
	}
	if err := report.ReadFindings(r, write); err != nil {
		if name == "-" {
			name = "standard input"
		}
		return hinted(fmt.Errorf("%s: %w", name, capture.Nameless(err)), "made with: mcp401 analyze --format json capture.pcap")
	}
	return nil
}
