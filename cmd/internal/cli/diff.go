package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"mcp401/rules/report"
)

func (a *app) diff() *cobra.Command {
	var in input
	var out output
	cmd := &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "compare two captures or reports: fixed, still there, new",
		Long: `diff compares what was found in BEFORE with what is found in AFTER, each a
capture (pcap, pcapng, HAR) or a report saved as json or jsonl. A finding is the
same when its verdict, cause, server and route are. One that AFTER has no more
is fixed only where AFTER has a call of that route to that server that went
well; else it is gone from view, and diff says why.

Exit status: 0 nothing new, 1 findings at or above --fail-on that BEFORE has
not, 2 the job could not be done.`,
		Example: `  mcp401 diff before.pcap after.pcap
  mcp401 diff report.json after.pcap
  mcp401 diff --format json --fail-on error before.pcap after.pcap`,
		Args: func(cmd *cobra.Command, names []string) error {
			if len(names) != 2 {
				return hinted(errors.New("two files are wanted: before and after"), cmd.CommandPath()+" before.pcap after.pcap")
			}
			if names[0] == "-" && names[1] == "-" {
				return hinted(errors.New("standard input cannot be both sides"), "save one of them in a file")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, names []string) error {
			if err := out.check(report.Diffs); err != nil {
				return err
			}
			before, err := a.tally(names[0], &in)
			if err != nil {
				return err
			}
			after, err := a.tally(names[1], &in)
			if err != nil {
				return err
			}
			s, err := a.open(&out, report.Diffs, names)
			if err != nil {
				return err
			}
			if err := report.Compare(before, after, Version, s.write); err != nil {
				s.abandon()
				return err
			}
			a.status = s.status()
			return s.close()
		},
	}
	in.flags(cmd.Flags())
	out.flags(cmd.Flags(), report.Diffs, "table")
	cmd.Flags().StringVar(&out.failOn, "fail-on", "note", "exit with status 1 from this `SEVERITY` of a new finding on: error, warning, note, never")
	return cmd
}
