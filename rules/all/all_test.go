package all_test

import (
	"slices"
	"testing"

	"mcp401/decode/mcp"
	"mcp401/rules"
	"mcp401/rules/all"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
	"mcp401/rules/rulestest"
)

// Conversations that are about the join rather than about one rule.
func TestConversations(t *testing.T) {
	for _, c := range rulestest.Load(t, "testdata/*.txtar") {
		t.Run(c.Name, c.Test)
	}
}

// Every rule is whole, and stands once.
func TestRules(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range all.Rules {
		if r.ID == "" || r.Title == "" || r.Doc == "" || r.Severity == "" || r.Match == nil || seen[r.ID] {
			t.Errorf("%q is not whole, or stands twice", r.ID)
		}
		seen[r.ID] = true
	}
}

// Of every case that can be there is a verdict, and without a failure it is no
// error.
func TestEveryCaseMatches(t *testing.T) {
	for _, c := range rulestest.Shapes() {
		f, r := all.Judge(c)
		if f.Rule != r.ID || f.Severity != r.Severity || f.Text == "" {
			t.Errorf("%s %s %d: %+v", c.Kind, c.Call.Outcome, c.Count, f)
		}
		failed := slices.ContainsFunc(c.Attempts, func(a *hop.Attempt) bool { return a.Outcome.Failed() }) ||
			slices.ContainsFunc(c.Outcomes, func(o mcp.Outcome) bool { return o.Status != "ok" })
		if !failed && r.Severity == rules.Error {
			t.Errorf("%s %s %d without a failure: accused of %s", c.Kind, c.Call.Outcome, c.Count, r.ID)
		}
	}
}

// A case that no rule takes is our own mistake, and is said so.
func TestJudgePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	all.Judge(&hop.Case{Call: &pair.Call{Outcome: pair.Answered}})
}
