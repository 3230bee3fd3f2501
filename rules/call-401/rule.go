// Package call401 is the verdict call-401.
package call401

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "call-401", Title: "A tool call was refused by the upstream and the client got 200", Doc: doc, Severity: rules.Warning, Match: match}

// match takes a refused tool call that came back as a result.
func match(c *hop.Case) (rules.Finding, bool) {
	failed := rules.Failed(c)
	if c.Kind != hop.ToolCall || c.Call.Outcome != pair.Answered || len(failed) == 0 || !failed[0].Outcome.Auth() || !rules.Sure(c, failed[0]) {
		return rules.Finding{}, false
	}
	f := rules.New(c, rules.Name(failed[0])+" "+rules.Words(failed[0])+" to a tool call and the client got 200 with isError")
	f.Confidence = failed[0].Confidence
	f.Blame(c, failed)
	return f, true
}
