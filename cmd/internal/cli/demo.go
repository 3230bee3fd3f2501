package cli

import (
	"bytes"

	"github.com/spf13/cobra"

	"mcp401/rules/report"
	"mcp401/samples"
)

func (a *app) demo() *cobra.Command {
	in := input{jobs: 1}
	var out output
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "analyse a built-in capture, to see what a report looks like",
		Long: `demo analyses a small real capture that is built into the program: about thirty
lists over all routes of a LiteLLM gateway, most of them with a hidden failure.
Its exit status is 0: the findings are not yours.`,
		Example: "  mcp401 demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := in.pipeline()
			if err != nil {
				return err
			}
			a.stdin = bytes.NewReader(samples.Tour)
			return a.run([]string{"-"}, nil, cfg, &out, report.Formats)
		},
	}
	out.flags(cmd.Flags(), report.Formats, "table")
	return cmd
}
