// Package filteredlist is the verdict filtered-list.
package filteredlist

import (
	_ "embed"
	"strconv"

	"mcp401/rules"
	"mcp401/rules/hop"
)

//go:embed doc.md
var doc string

// Rule is the verdict.
var Rule = rules.Rule{ID: "filtered-list", Title: "The upstream has tools and the gateway passed none on", Doc: doc, Severity: rules.Note, Match: match}

// match takes an empty list behind which tools were seen: the gateway left
// them out.
func match(c *hop.Case) (rules.Finding, bool) {
	if !rules.Empty(c) || !rules.Has(c, hop.OK) || len(rules.Failed(c)) > 0 {
		return rules.Finding{}, false
	}
	for _, a := range c.Attempts {
		if a.Outcome != hop.OK {
			continue
		}
		f := rules.New(c, rules.Name(a)+" returned "+strconv.Itoa(a.Count)+" tools and the gateway passed none on: look at allowed_tools, disallowed_tools and the permissions of the key")
		f.Servers = []string{rules.Name(a)}
		return f, true
	}
	return rules.Finding{}, false
}
