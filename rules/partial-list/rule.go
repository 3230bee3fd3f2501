// Package partiallist is the verdict partial-list.
package partiallist

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "partial-list", Title: "Tools came, and those of a failed upstream are missing", Doc: doc, Severity: rules.Warning, Match: match}

// match takes a list, or a model call with tools, that lacks the tools of a
// server that failed. Where a single server is in scope the list is whole.
func match(c *hop.Case) (rules.Finding, bool) {
	if c.Kind == hop.ToolCall || c.Count <= 0 || c.Call.Outcome != pair.Answered {
		return rules.Finding{}, false
	}
	if failed := rules.Failed(c); len(failed) > 0 && len(c.Servers) != 1 && rules.Sure(c, failed[0]) && rules.Certain(c) {
		f := rules.New(c, "")
		f.Blame(c, failed)
		f.Text = "the tools of " + rules.Names(f.Servers) + " are missing: " + rules.Name(failed[0]) + " " + rules.Words(failed[0])
		return f, true
	}
	o := rules.OutcomeFailed(c)
	if o == nil {
		return rules.Finding{}, false
	}
	f := rules.New(c, "the tools of "+o.Server+" are missing: the gateway says "+o.Status)
	f.Tell(c, o)
	return f, true
}
