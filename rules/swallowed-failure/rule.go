// Package swallowedfailure is the verdict swallowed-failure.
package swallowedfailure

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "swallowed-failure", Title: "An upstream failed and the client got 200 with an empty list", Doc: doc, Severity: rules.Warning, Match: match}

// match takes an empty list behind which an upstream failed otherwise than by
// 401 or 403.
func match(c *hop.Case) (rules.Finding, bool) {
	return rules.Swallowed(c, func(o hop.Outcome) bool { return !o.Auth() })
}
