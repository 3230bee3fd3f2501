// Package all lists the rules in order of precedence: a verdict is the first
// that matches.
package all

import (
	"mcp401/rules"
	call401 "mcp401/rules/call-401"
	called "mcp401/rules/called"
	emptyupstream "mcp401/rules/empty-upstream"
	filteredlist "mcp401/rules/filtered-list"
	gatewayrefused "mcp401/rules/gateway-refused"
	"mcp401/rules/hop"
	listed "mcp401/rules/listed"
	llmwithtools "mcp401/rules/llm-with-tools"
	llmwithouttools "mcp401/rules/llm-without-tools"
	noupstream "mcp401/rules/no-upstream"
	partiallist "mcp401/rules/partial-list"
	surfacedauth "mcp401/rules/surfaced-auth"
	surfacedfailure "mcp401/rules/surfaced-failure"
	swallowed401 "mcp401/rules/swallowed-401"
	swallowed403 "mcp401/rules/swallowed-403"
	swallowedfailure "mcp401/rules/swallowed-failure"
	unanswered "mcp401/rules/unanswered"
	unseenupstream "mcp401/rules/unseen-upstream"
)

// Rules is every rule. To add one, write its folder under rules and put it here
// before the rules that it must win over.
var Rules = []rules.Rule{
	unanswered.Rule,
	surfacedauth.Rule,
	surfacedfailure.Rule,
	gatewayrefused.Rule,
	swallowed401.Rule,
	swallowed403.Rule,
	swallowedfailure.Rule,
	partiallist.Rule,
	filteredlist.Rule,
	emptyupstream.Rule,
	noupstream.Rule,
	unseenupstream.Rule,
	listed.Rule,
	llmwithouttools.Rule,
	llmwithtools.Rule,
	call401.Rule,
	called.Rule,
}

// Judge returns the finding of the first rule that matches, and that rule. Every
// case matches one.
func Judge(c *hop.Case) (rules.Finding, *rules.Rule) {
	for i := range Rules {
		if f, ok := Rules[i].Match(c); ok {
			f.Rule, f.Severity = Rules[i].ID, Rules[i].Severity
			return f, &Rules[i]
		}
	}
	panic("internal error: a case that no rule matches")
}
