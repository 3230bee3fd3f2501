// Package called is the verdict called.
package called

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "called", Title: "A tool call with its result", Doc: doc, Severity: rules.OK, Match: match}

// match takes every other tool call.
func match(c *hop.Case) (rules.Finding, bool) {
	if c.Kind != hop.ToolCall {
		return rules.Finding{}, false
	}
	return rules.Fine(c, "the tool was called"), true
}
