// Package all lists the rules in order of precedence: a verdict is the first
// that matches.
package all

import (
	"mcp401/rules"
	"mcp401/rules/hop"
)

// Rules is every rule. To add one, write its folder under rules and put it here
// before the rules that it must win over.
var Rules []rules.Rule

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
