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
	if len(failed) == 0 || !rules.Sure(c, failed[0]) || c.Count < 0 && !all(c, failed) {
		return rules.Finding{}, false
	}
	text := rules.Name(failed[0]) + " " + rules.Words(failed[0]) + " and the model was called without its tools"
	if c.Model == nil && c.Count < 0 {
		text = rules.Name(failed[0]) + " " + rules.Words(failed[0]) + " and there were no tools for the model, whose call is not in the capture"
	}
	f := rules.New(c, text)
	f.Confidence = failed[0].Confidence
	f.Blame(c, failed)
	if failed[0].Outcome.Auth() {
		f.Failure = failed[0].Outcome
	}
	return f, true
}

// all reports whether every upstream in scope failed. Of several, a connection
// that was refused says too little: it may be any program's.
func all(c *hop.Case, failed []*hop.Attempt) bool {
	if rules.Has(c, hop.OK) || rules.Has(c, hop.Unseen) {
		return false
	}
	asked := 0
	for _, a := range failed {
		if a.Decisive != nil || len(c.Servers) <= 1 {
			asked++
		}
	}
	return asked >= len(c.Servers)
}
