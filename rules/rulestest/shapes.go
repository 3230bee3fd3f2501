package rulestest

import (
	"mcp401/decode/mcp"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
)

// Shapes returns cases of every shape: each kind and outcome, with and without
// tools, attempts of every sort and the gateway's own word. They are new each
// time.
func Shapes() []*hop.Case {
	attempts := [][]hop.Outcome{{}, {hop.OK}, {hop.Empty}, {hop.Status401}, {hop.Status403}, {hop.Refused}, {hop.Unseen}, {hop.Pending}, {hop.OK, hop.Status401}, {hop.Server5xx, hop.Status403}, {hop.Unseen, hop.Timeout}}
	words := [][]mcp.Outcome{nil, {{Server: "a", Status: "ok"}}, {{Server: "a", Status: "auth_required", HTTP: 401}}, {{Server: "a", Status: "timeout"}}}
	var out []*hop.Case
	for _, kind := range []hop.Kind{hop.List, hop.ToolCall, hop.LLM} {
		for o := pair.Answered; o <= pair.Unseen; o++ {
			for _, count := range []int{-1, 0, 2} {
				for i, as := range attempts {
					for j, w := range words {
						x := &mcp.Exchange{Status: 200}
						if o == pair.Refused {
							x.Status = 500 + i
						}
						if j%2 == 1 {
							x.REST = &mcp.REST{Count: count, IsError: i%2 == 1}
						}
						c := &hop.Case{
							Kind: kind, Count: count, Outcomes: w, SeesUpstream: i%2 == 0, Opaque: j / 3, Hidden: i == 9, HAR: i == 3 && j == 2,
							Call: &pair.Call{Asked: x, Exchange: x, Outcome: o},
						}
						for _, a := range as {
							c.Attempts = append(c.Attempts, &hop.Attempt{Outcome: a, Confidence: hop.Linked, URL: "http://up/mcp"})
						}
						out = append(out, c)
					}
				}
			}
		}
	}
	return out
}
