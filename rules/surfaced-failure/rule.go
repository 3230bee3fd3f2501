// Package surfacedfailure is the verdict surfaced-failure.
package surfacedfailure

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "surfaced-failure", Title: "An upstream failed and the client was told", Doc: doc, Severity: rules.OK, Match: match}

// match takes a failure that reached the client. The gateway's own word will
// do where the upstream side is not in the capture.
func match(c *hop.Case) (rules.Finding, bool) {
	failed := rules.Failed(c)
	told := c.Told() || c.Kind == hop.ToolCall && toolError(c)
	switch {
	case !told:
		return rules.Finding{}, false
	case len(failed) > 0 && failed[0].Outcome.Auth():
		return rules.Finding{}, false // call-401
	case len(failed) > 0:
		f := rules.New(c, rules.Name(failed[0])+" "+rules.Words(failed[0])+" and the client was told")
		f.Blame(c, failed)
		return f, true
	case rules.OutcomeFailed(c) != nil:
		o := rules.OutcomeFailed(c)
		f := rules.New(c, o.Server+" failed ("+o.Status+") and the client was told")
		f.Servers, f.Failure = []string{o.Server}, hop.FailureOf(*o)
		return f, true
	}
	if x := c.Call.Exchange; x != nil && x.REST != nil && hop.UpstreamFault(x.REST) {
		return rules.New(c, "an upstream failed and the client was told"), true
	}
	return rules.Finding{}, false
}

// toolError reports whether a tool call's result says that it failed.
func toolError(c *hop.Case) bool {
	k := c.Call
	return k.Answer != nil && k.Answer.IsError || k.Answer == nil && k.Exchange != nil && k.Exchange.REST != nil && k.Exchange.REST.IsError
}
