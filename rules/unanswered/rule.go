// Package unanswered is the verdict unanswered.
package unanswered

import (
	_ "embed"

	"mcp401/decode"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "unanswered", Title: "No answer to this call is in the capture", Doc: doc, Severity: rules.Note, Match: match}

// match takes every call without an answer. Whether nobody answered, or the
// capture does not show it, is in the text.
func match(c *hop.Case) (rules.Finding, bool) {
	k := c.Call
	var text string
	switch {
	case k.Outcome == pair.Unseen && k.Status() == 304:
		text = "the answer is not in the capture: 304 says that the client has it already"
	case k.Outcome == pair.Unseen:
		text = "the answer is not in the capture: a hole hides it"
	case k.Outcome != pair.Unanswered:
		return rules.Finding{}, false
	case k.Exchange != nil && k.Exchange.Error != "":
		text = "no answer: " + k.Exchange.Error
	case k.How == decode.Cut:
		text = "the capture ended before the answer"
	case k.How == decode.Reset:
		text = "the connection was reset before the answer"
	case k.Exchange != nil && k.Exchange.Aborted:
		text = "the client gave up before the answer"
	default:
		text = "no answer came"
	}
	failed := rules.Failed(c)
	if len(failed) > 0 {
		text += "; " + rules.Name(failed[0]) + " " + rules.Words(failed[0])
	}
	f := rules.New(c, text)
	f.Blame(c, failed)
	return f, true
}
