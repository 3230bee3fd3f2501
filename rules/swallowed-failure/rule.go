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
	if c.Kind != hop.List || !rules.Empty(c) || !rules.Certain(c) {
		return rules.Finding{}, false
	}
	if failed := rules.Failed(c); len(failed) > 0 && !failed[0].Outcome.Auth() && rules.Sure(c, failed[0]) {
		f := rules.New(c, rules.Name(failed[0])+" "+rules.Words(failed[0])+" and the client got 200 with no tools")
		f.Confidence = failed[0].Confidence
		f.Blame(c, failed)
		return f, true
	}
	o := rules.OutcomeFailed(c)
	if o == nil || rules.FailureOf(*o).Auth() {
		return rules.Finding{}, false
	}
	f := rules.New(c, "the gateway says of "+o.Server+": "+o.Status+", and the client got 200 with no tools")
	f.Tell(c, o)
	return f, true
}
