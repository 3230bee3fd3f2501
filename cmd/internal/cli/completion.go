package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"mcp401/rules/all"
	"mcp401/rules/cause"
	"mcp401/rules/report"
)

// shells is every shell that completion writes a script for. To add one, put
// its writer here.
var shells = []struct {
	name  string
	write func(root *cobra.Command, w io.Writer) error
}{
	{"bash", func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) }},
	{"zsh", func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) }},
	{"fish", func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) }},
	{"powershell", func(root *cobra.Command, w io.Writer) error { return root.GenPowerShellCompletionWithDesc(w) }},
}

func (a *app) completion() *cobra.Command {
	var known []string
	for _, s := range shells {
		known = append(known, s.name)
	}
	return &cobra.Command{
		Use:   "completion SHELL",
		Short: "print a script that completes commands, flags and their values",
		Long: `completion prints a script for one of these shells: ` + strings.Join(known, ", ") + `.

For this session:
  bash        source <(mcp401 completion bash)
  zsh         source <(mcp401 completion zsh)
  fish        mcp401 completion fish | source
  powershell  mcp401 completion powershell | Out-String | Invoke-Expression
For every session write it to where the shell looks.`,
		Example: `  mcp401 completion bash
  mcp401 completion zsh`,
		ValidArgs: known,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return hinted(fmt.Errorf("%d shells named, not one", len(args)), "one of "+strings.Join(known, ", "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, s := range shells {
				if s.name == args[0] {
					return s.write(cmd.Root(), a.stdout)
				}
			}
			return hinted(fmt.Errorf("%s: not a known shell", quote(args[0])), "one of "+strings.Join(known, ", "))
		},
	}
}

// complete tells the shells what the values of flags and arguments are.
func complete(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		values := map[string][]string{
			"fail-on":   {"error", "warning", "note", "never"},
			"time-zone": {"UTC", "Local"},
			"format":    formatValues(cmd.Name()),
		}
		for flag, list := range values {
			if cmd.Flags().Lookup(flag) != nil {
				// The flag is there and asked for once: it cannot fail.
				_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
			}
		}
		if cmd.Name() == "explain" {
			cmd.ValidArgsFunction = cobra.FixedCompletions(topicValues(), cobra.ShellCompDirectiveNoFileComp)
		}
	}
}

// formatValues is the formats of a command, each with what it is.
func formatValues(command string) []string {
	formats := report.Formats
	switch command {
	case "show":
		formats = report.Lists
	case "rules":
		return []string{"table", "json", "markdown"}
	}
	var list []string
	for _, f := range formats {
		list = append(list, f.Name+"\t"+f.Title)
	}
	return list
}

func topicValues() []string {
	var list []string
	for _, r := range all.Rules {
		list = append(list, r.ID+"\t"+r.Title)
	}
	for _, c := range cause.Causes {
		list = append(list, string(c.ID)+"\t"+c.Title)
	}
	return list
}
