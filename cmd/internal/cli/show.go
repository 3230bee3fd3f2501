package cli

import (
	"github.com/spf13/cobra"

	"mcp401/cmd/internal/pipeline"
	"mcp401/rules/report"
)

func (a *app) show() *cobra.Command {
	var in input
	out := output{lists: true}
	var every bool
	cmd := &cobra.Command{
		Use:   "show FILE...",
		Short: "list every MCP exchange of both hops, one per line",
		Long: `show lists the MCP exchanges of a capture in order, on both sides of the
gateway, without judging them. With --all it lists every HTTP message. --where
is that of analyze, by server, client, path, status, tools, kind and frame; of a
message server and client are its two ends.`,
		Example: `  mcp401 show capture.pcap
  mcp401 show --where 'status >= 400 && path ~ /mcp' capture.pcap
  mcp401 show --all --format jsonl capture.pcap`,
		Args: files,
		RunE: func(cmd *cobra.Command, names []string) error {
			cfg, err := in.pipeline()
			if err != nil {
				return err
			}
			cfg.Show = pipeline.Exchanges
			if every {
				cfg.Show = pipeline.Messages
			}
			return a.run(names, in.keylogs, cfg, &out, report.Lists)
		},
	}
	in.flags(cmd.Flags())
	out.flags(cmd.Flags(), report.Lists, "table")
	out.whereFlag(cmd.Flags())
	cmd.Flags().BoolVar(&every, "all", false, "every HTTP message of any kind")
	return cmd
}
