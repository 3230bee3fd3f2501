// Package llmwithouttools is the verdict llm-without-tools.
package llmwithouttools

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "llm-without-tools", Title: "An upstream failed and the model was called without its tools", Doc: doc, Severity: rules.Error, Match: match}

// match takes a model call whose tools are missing because an upstream failed.
// Where the request to the model is not in the capture, every upstream must
// have failed.
func match(c *hop.Case) (rules.Finding, bool) {
	if c.Kind != hop.LLM || c.Call.Outcome != pair.Answered || !rules.Certain(c) || c.Count > 0 {
		return rules.Finding{}, false
	}
	failed := rules.Failed(c)
	if len(failed) == 0 || !rules.Sure(c, failed[0]) || c.Count < 0 && (rules.Has(c, hop.OK) || rules.Has(c, hop.Unseen)) {
		return rules.Finding{}, false
	}
	f := rules.New(c, rules.Name(failed[0])+" "+rules.Words(failed[0])+" and the model was called without its tools")
	f.Confidence = failed[0].Confidence
	f.Blame(c, failed)
	if failed[0].Outcome.Auth() {
		f.Failure = failed[0].Outcome
	}
	return f, true
}
