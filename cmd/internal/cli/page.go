package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"mcp401/cmd/internal/web/engine"
	"mcp401/cmd/internal/web/page"
)

func (a *app) page() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "page -o FILE",
		Short: "write the page of mcp401 serve as one file that needs no server",
		Long: `page writes one HTML file that analyses captures in the browser, also from a
disk and without a network: what is dropped on it never leaves the browser, and
gets the same report as from analyze. It needs a browser of 2023 or later.`,
		Example: "  mcp401 page -o mcp401.html",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if file == "" {
				return hinted(errors.New("no file named"), "mcp401 page -o mcp401.html")
			}
			b, err := engine.Standalone(page.Files(), Version)
			if err != nil {
				return err
			}
			return save(file, b)
		},
	}
	cmd.Flags().StringVarP(&file, "output", "o", "", "write to `FILE`, which appears when it is complete")
	return cmd
}
