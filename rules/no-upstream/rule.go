// Package noupstream is the verdict no-upstream.
package noupstream

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "no-upstream", Title: "The gateway answered an empty list and asked no upstream", Doc: doc, Severity: rules.Note, Match: match}

// match takes an empty list without an upstream attempt in a capture that does
// show what the gateway asks.
func match(c *hop.Case) (rules.Finding, bool) {
	if !rules.Empty(c) || len(c.Attempts) > 0 || !c.SeesUpstream || c.Opaque > 0 || c.Hidden {
		return rules.Finding{}, false
	}
	return rules.New(c, "no tools, and the gateway asked no upstream: the key may use no server, the list came from a cache, or the server is a stdio or OpenAPI one"), true
}
