// Package gatewayrefused is the verdict gateway-refused.
package gatewayrefused

import (
	_ "embed"
	"strconv"

	"mcp401/decode/mcp"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "gateway-refused", Title: "The gateway itself refused the client", Doc: doc, Severity: rules.Note, Match: match}

// match takes an answer of the gateway's own making: no upstream had a part in
// it. A tool call that an upstream answered is none of it.
func match(c *hop.Case) (rules.Finding, bool) {
	k := c.Call
	noList := c.Kind == hop.List && k.Outcome == pair.Answered && c.Count < 0
	if !c.Told() && !noList || c.Kind == hop.ToolCall && rules.Has(c, hop.OK) {
		return rules.Finding{}, false
	}
	status := k.Status()
	text := "the gateway itself refused: "
	switch {
	case status >= 300 && status < 400:
		text = "the gateway redirected the call: "
		if k.Exchange.Location != "" {
			text += k.Exchange.Location + ", "
		}
	case status >= 500 && authText(k):
		text = "the gateway refused its caller's key and said so with a server error: "
	case status == 404:
		text = "the gateway knows no such server: "
	}
	switch {
	case k.Answer != nil && k.Answer.Kind == mcp.Error:
		text += "JSON-RPC error " + strconv.Itoa(k.Answer.Code)
	case k.Outcome == pair.Answered && k.Exchange.REST != nil && k.Exchange.REST.Error != "":
		text += k.Exchange.REST.Error
	case status == 200:
		text = "the answer is no tools list"
	default:
		text += strconv.Itoa(status)
	}
	if rules.Has(c, hop.Unseen) || c.Opaque > 0 || c.Holes > 0 || c.Hidden {
		text += "; an upstream may have said so first: its side is not whole in the capture"
	}
	return rules.New(c, text), true
}

// authText reports whether an error answer speaks of authorization.
func authText(k *pair.Call) bool {
	x := k.Exchange
	return x.Answer.AuthErr || x.REST != nil && x.REST.AuthText || k.Answer != nil && k.Answer.AuthText
}
