package all_test

import (
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

// Of every case that can be there is a verdict, and a healthy answer is never
// an error.
func TestEveryCaseMatches(t *testing.T) {
	for _, kind := range []hop.Kind{hop.List, hop.ToolCall, hop.LLM} {
		for o := pair.Answered; o <= pair.Unseen; o++ {
			for _, count := range []int{-1, 0, 2} {
				for _, out := range []hop.Outcome{"", hop.OK, hop.Empty, hop.Status401, hop.Status403, hop.Refused, hop.Unseen, hop.Pending} {
					x := &mcp.Exchange{Status: 200}
					if o == pair.Refused {
						x.Status = 503
					}
					c := &hop.Case{Kind: kind, Count: count, Call: &pair.Call{Asked: x, Exchange: x, Outcome: o}}
					if out != "" {
						c.Attempts = []*hop.Attempt{{Outcome: out}}
					}
					f, r := all.Judge(c)
					if f.Rule != r.ID || f.Severity != r.Severity || f.Text == "" {
						t.Errorf("%s %s %d %s: %+v", kind, o, count, out, f)
					}
					if !out.Failed() && r.Severity.Rank() >= rules.Error.Rank() {
						t.Errorf("%s %s %d %s: accused of %s", kind, o, count, out, r.ID)
					}
				}
			}
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
