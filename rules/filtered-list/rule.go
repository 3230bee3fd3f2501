// Package filteredlist is the verdict filtered-list.
package filteredlist

import (
	_ "embed"
	"slices"
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
	i := slices.IndexFunc(c.Attempts, func(a *hop.Attempt) bool { return a.Outcome == hop.OK })
	if i < 0 || !rules.Empty(c) || len(rules.Failed(c)) > 0 {
		return rules.Finding{}, false
	}
	name := rules.Name(c.Attempts[i])
	f := rules.New(c, name+" returned "+strconv.Itoa(c.Attempts[i].Count)+" tools and the gateway passed none on: look at allowed_tools, disallowed_tools and the permissions of the key")
	f.Servers = []string{name}
	return f, true
}
