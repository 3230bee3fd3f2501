// Package surfacedauth is the verdict surfaced-auth.
package surfacedauth

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "surfaced-auth", Title: "An upstream refused and the client was told", Doc: doc, Severity: rules.OK, Match: match}

// match takes a refusal that reached the client, in whatever form: a status, a
// JSON-RPC error, an error in a REST answer.
func match(c *hop.Case) (rules.Finding, bool) {
	failed := rules.Failed(c)
	if len(failed) == 0 || !failed[0].Outcome.Auth() || !c.Told() {
		return rules.Finding{}, false
	}
	f := rules.New(c, rules.Name(failed[0])+" "+rules.Words(failed[0])+" and the client was told")
	f.Blame(c, failed)
	return f, true
}
