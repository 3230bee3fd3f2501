// Package swallowed403 is the verdict swallowed-403.
package swallowed403

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "swallowed-403", Title: "An upstream said 403 and the client got 200 with an empty list", Doc: doc, Severity: rules.Error, Match: match}

// match takes an empty list that hides a 403: one that was seen upstream in a
// window without holes, or one that the gateway itself tells of.
func match(c *hop.Case) (rules.Finding, bool) {
	return rules.Swallowed(c, func(o hop.Outcome) bool { return o == hop.Status403 })
}
