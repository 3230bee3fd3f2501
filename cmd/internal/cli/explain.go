package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"mcp401/rules/all"
	"mcp401/rules/cause"
)

func (a *app) explain() *cobra.Command {
	return &cobra.Command{
		Use:   "explain [VERDICT|CAUSE]",
		Short: "say what a verdict or a cause means, how to fix it, how to verify the fix",
		Long: `explain prints the page of one verdict or one cause. Without an argument it
lists them.`,
		Example: "  mcp401 explain\n  mcp401 explain swallowed-401\n  mcp401 explain token-expired",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return a.topics()
			}
			page, ok := topic(args[0])
			if !ok {
				return hinted(fmt.Errorf("%s is neither a verdict nor a cause", quote(args[0])), "mcp401 explain lists them")
			}
			columns, ok := terminal(a.stdout)
			if !ok {
				columns = 80
			}
			_, err := io.WriteString(a.stdout, render(page, min(columns, 100), ok && a.color()))
			return err
		},
	}
}

// topic returns the page with that name.
func topic(name string) (string, bool) {
	for _, r := range all.Rules {
		if r.ID == name {
			return r.Doc, true
		}
	}
	for _, c := range cause.Causes {
		if string(c.ID) == name {
			return c.Doc, true
		}
	}
	return "", false
}

// topics lists what can be explained.
func (a *app) topics() error {
	if _, err := fmt.Fprint(a.stdout, "verdicts, in the order in which they are tried:\n\n"); err != nil {
		return err
	}
	var verdicts []listed
	for _, r := range all.Rules {
		verdicts = append(verdicts, listed{r.ID, string(r.Severity), r.Title})
	}
	if err := a.table("table", nil, verdicts); err != nil {
		return err
	}
	if _, err := fmt.Fprint(a.stdout, "\ncauses, why an upstream refused:\n\n"); err != nil {
		return err
	}
	return a.table("table", nil, causes())
}
