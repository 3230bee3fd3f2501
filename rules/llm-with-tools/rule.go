// Package llmwithtools is the verdict llm-with-tools.
package llmwithtools

import (
	_ "embed"
	"strconv"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "llm-with-tools", Title: "The model was called with the MCP tools", Doc: doc, Severity: rules.OK, Match: match}

// match takes every other model call.
func match(c *hop.Case) (rules.Finding, bool) {
	if c.Kind != hop.LLM {
		return rules.Finding{}, false
	}
	if c.Count < 0 {
		return rules.Fine(c, "no sign that a tool was missing"), true
	}
	return rules.Fine(c, "the model was called with "+strconv.Itoa(c.Count)+" tools"), true
}
