package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
	"github.com/spf13/cobra"

	"mcp401/rules/all"
	"mcp401/rules/cause"
)

// A listed is one line of `mcp401 rules --format json`.
type listed struct {
	ID       string `json:"id"`
	Severity string `json:"severity"`
	Title    string `json:"title"`
}

func (a *app) rules() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "rules",
		Short: "list the verdicts, in the order in which they are tried",
		Long: `rules lists every verdict. A call gets the first one that fits. "mcp401 explain
VERDICT" says what it means and what to do.`,
		Example: "  mcp401 rules\n  mcp401 rules --format json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list := []listed{}
			for _, r := range all.Rules {
				list = append(list, listed{r.ID, string(r.Severity), r.Title})
			}
			switch format {
			case "json":
				enc := json.NewEncoder(a.stdout)
				enc.SetEscapeHTML(false)
				enc.SetIndent("", "  ")
				return enc.Encode(list)
			case "table", "markdown":
				return a.table(format, []string{"verdict", "severity", "it means"}, list)
			}
			return hinted(fmt.Errorf("--format %s: not known", quote(format)), "one of table, json, markdown")
		},
	}
	cmd.Flags().StringVar(&format, "format", "table", "`FORMAT`: table, json, markdown")
	return cmd
}

// table prints rows without rules between them, or as a Markdown table.
func (a *app) table(format string, head []string, list []listed) error {
	var rows [][]string
	for _, row := range list {
		if row.Severity == "" {
			rows = append(rows, []string{row.ID, row.Title})
		} else {
			rows = append(rows, []string{row.ID, row.Severity, row.Title})
		}
	}
	var buf bytes.Buffer
	t := tablewriter.NewTable(&buf, a.tableOptions(format, rows)...)
	if len(head) > 0 {
		t.Header(head)
	}
	if err := t.Bulk(rows); err != nil {
		return err
	}
	if err := t.Render(); err != nil {
		return err
	}
	for line := range strings.Lines(buf.String()) {
		if _, err := fmt.Fprintln(a.stdout, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) tableOptions(format string, rows [][]string) []tablewriter.Option {
	cfg := tablewriter.NewConfigBuilder().
		WithHeaderAutoFormat(tw.Off).
		WithHeaderAlignment(tw.AlignLeft).
		WithRowAlignment(tw.AlignLeft)
	if format == "markdown" {
		return []tablewriter.Option{
			tablewriter.WithConfig(cfg.WithRowAutoWrap(tw.WrapNone).Build()),
			tablewriter.WithRenderer(renderer.NewMarkdown()),
		}
	}
	columns, ok := terminal(a.stdout)
	if !ok {
		columns = 100
	}
	// Only the last column, the titles, is wrapped: to what the others leave.
	gap := tw.Padding{Right: "  ", Overwrite: true}
	room := min(columns, 100)
	last := 0
	for i := range rows[0][:len(rows[0])-1] {
		widest := len("severity")
		for _, row := range rows {
			widest = max(widest, len(row[i]))
		}
		room -= widest + len(gap.Right)
		last = i + 1
	}
	cfg.WithRowAutoWrap(tw.WrapNormal).WithRowGlobalPadding(gap).WithHeaderGlobalPadding(gap)
	cfg.ForColumn(last).WithMaxWidth(max(room, 20))
	return []tablewriter.Option{
		tablewriter.WithConfig(cfg.Build()),
		tablewriter.WithRendition(tw.Rendition{
			Borders:  tw.BorderNone,
			Settings: tw.Settings{Separators: tw.SeparatorsNone, Lines: tw.LinesNone},
		}),
	}
}

// causes lists the causes in the order in which they are tried.
func causes() []listed {
	var list []listed
	for _, c := range cause.Causes {
		list = append(list, listed{ID: string(c.ID), Title: c.Title})
	}
	return list
}
