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
		text, fix = browser(c)
	case c.Opaque > 0:
		text += "the gateway's upstream connections are TLS without keys"
		if c.DarkName != "" {
			text = "no tools, and the gateway's connection to " + c.DarkName + " is TLS without keys"
		}
		switch c.Shape {
		case hop.RefusalShape:
			text += "; its sizes agree with a refusal: one request, one short answer, the end"
		case hop.ListShape:
			text += "; its sizes agree with a good list: several requests, a long answer"
		}
		fix = "start the gateway with SSLKEYLOGFILE set and give the file with --keylog"
	case c.Doubt && !c.Hidden && c.Holes == 0:
		text += "nobody knows yet which of the upstreams that were asked meanwhile is " + rules.Names(c.Servers)
		fix = "name the servers: give the gateway's litellm.yaml with --config"
	case c.Hidden || c.Holes > 0 || len(c.Attempts) > 0:
		text += "the upstream side is not whole in the capture"
		fix = "capture again with a larger buffer (`tcpdump -B 65536 -s 0`)"
	default:
		text += "no upstream side is in the capture"
		fix = "capture on the gateway itself, on every interface: `tcpdump -i any -s 0 -w gateway.pcap`"
		if c.Profile == "" {
			fix += "; if both sides are in this capture, name the gateway with --gateway"
		}
	}
	f := rules.New(c, text)
	f.Confidence, f.Fix, f.Servers = hop.Suspected, fix, c.Servers
	f.Verify = "mcp401 analyze gateway.pcap"
	if len(f.Servers) == 0 && c.Target != "" {
		f.Servers = []string{c.Target}
	}
	return f, true
}

// browser words what a HAR cannot show, and what to do next in its stead.
func browser(c *hop.Case) (text, fix string) {
	const capture = "this HAR has only the browser's side; to prove it, run `tcpdump -i any -s 0 -w gateway.pcap` or `mcp401 live -i any` on the gateway"
	switch c.Via {
	case hop.AdminPage:
		return "no tools on LiteLLM's admin page, and a HAR shows only the browser's side",
			capture + " and reload the admin page, or send `x-litellm-mcp-debug: true` with a list of your own to the server's MCP route," +
				" where LiteLLM 1.94 or later also says in `_meta` how each server answered"
	case hop.Inspector:
		return "no tools in MCP Inspector for " + c.Target + ", and a HAR shows only its own side",
			"this HAR has only what MCP Inspector's page and its proxy said to each other; to prove it, run `tcpdump -i any -s 0 -w gateway.pcap` or `mcp401 live -i any` on the gateway" +
				" and press List Tools again, or ask the gateway itself with curl and `x-litellm-mcp-debug: true`"
	}
	return "no tools, and a HAR shows only the browser's side",
		capture + " while the list is asked for, or send `x-litellm-mcp-debug: true` with the request," +
			" or use LiteLLM 1.94 or later, which says in `_meta` of its MCP routes how each server answered"
}
