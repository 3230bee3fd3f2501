// Package unseenupstream is the verdict unseen-upstream.
package unseenupstream

import (
	_ "embed"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "unseen-upstream", Title: "An empty list, and the capture cannot show the upstream side", Doc: doc, Severity: rules.Warning, Match: match}

// match takes every other empty list: what was asked upstream is not in the
// capture, or not whole.
func match(c *hop.Case) (rules.Finding, bool) {
	if !rules.Empty(c) || c.Kind == hop.LLM && len(rules.Failed(c)) > 0 && rules.Certain(c) && rules.Sure(c, rules.Failed(c)[0]) {
		return rules.Finding{}, false
	}
	text, fix := "no tools, and ", ""
	switch {
	case c.HAR:
		text += "a HAR shows only the browser's side"
		fix = "run `tcpdump -i any -s 0 -w gateway.pcap` on the gateway while the list is asked for, or send `x-litellm-mcp-debug: true` with the request, or use LiteLLM 1.94 or later, which says in `_meta` how each server answered"
	case c.Opaque > 0:
		text += "the gateway's upstream connections are TLS without keys"
		fix = "start the gateway with SSLKEYLOGFILE set and give the file with --keylog"
	case c.Hidden || c.Holes > 0 || len(c.Attempts) > 0:
		text += "the upstream side is not whole in the capture"
		fix = "capture again with a larger buffer (`tcpdump -B 65536 -s 0`)"
	default:
		text += "no upstream side is in the capture"
		fix = "capture on the gateway itself, on every interface: `tcpdump -i any -s 0 -w gateway.pcap`"
	}
	f := rules.New(c, text)
	f.Confidence, f.Fix, f.Servers = hop.Suspected, fix, c.Servers
	f.Verify = "mcp401 analyze gateway.pcap"
	return f, true
}
