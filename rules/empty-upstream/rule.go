// Package emptyupstream is the verdict empty-upstream.
package emptyupstream

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "empty-upstream", Title: "The upstream's own list is empty", Doc: doc, Severity: rules.OK, Match: match}

// match takes an empty list that is the truth, seen upstream or told by the
// gateway.
func match(c *hop.Case) (rules.Finding, bool) {
	if !rules.Empty(c) || c.Doubt || len(rules.Failed(c)) > 0 || len(c.Servers) != 1 && (rules.Has(c, hop.Unseen) || c.Opaque > 0) {
		return rules.Finding{}, false
	}
	for _, a := range c.Attempts {
		if a.Outcome == hop.Empty {
			return rules.Fine(c, rules.Name(a)+" has no tools"), true
		}
	}
	if len(c.Attempts) > 0 || len(c.Outcomes) == 0 {
		return rules.Finding{}, false
	}
	for _, o := range c.Outcomes {
		if o.Status != "ok" {
			return rules.Finding{}, false
		}
	}
	return rules.Fine(c, "the gateway says that "+c.Outcomes[0].Server+" has no tools, or none that this caller may use"), true
}
