// Package listed is the verdict listed.
package listed

import (
	_ "embed"
	"strconv"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "listed", Title: "Tools came and nothing failed", Doc: doc, Severity: rules.OK, Match: match}

// match takes every other list.
func match(c *hop.Case) (rules.Finding, bool) {
	if c.Kind != hop.List {
		return rules.Finding{}, false
	}
	if c.Count == 0 && c.Call.Answer != nil && c.Call.Answer.Next {
		return rules.Fine(c, "an empty page of a list that goes on"), true
	}
	return rules.Fine(c, strconv.Itoa(max(c.Count, 0))+" tools"), true
}
