// Package rules holds the words of a judgement: a Rule is one verdict, a
// Finding is what it says of one case, Evidence points at frames.
package rules

import (
	"time"

	"mcp401/decode/mcp"
	"mcp401/rules/cause"
	"mcp401/rules/hop"
)

// A Severity says how much a verdict matters.
type Severity string

// The severities, least first.
const (
	OK      Severity = "ok"
	Note    Severity = "note"
	Warning Severity = "warning"
	Error   Severity = "error"
)

// Rank orders severities: ok 0, note 1, warning 2, error 3.
func (s Severity) Rank() int {
	switch s {
	case Note:
		return 1
	case Warning:
		return 2
	case Error:
		return 3
	}
	return 0
}

// A Rule is one verdict.
type Rule struct {
	ID       string // "swallowed-401"
	Title    string // one line, no period
	Doc      string // embedded doc.md: what, why, an example, how to fix, how to verify the fix
	Severity Severity
	Match    func(*hop.Case) (Finding, bool)
}

// A Finding is what a rule says of one case. Findings of severity ok are
// counted, not printed.
type Finding struct {
	Rule       string
	Severity   Severity
	Confidence hop.Confidence
	Cause      cause.ID
	Causes     []cause.ID  // of each attempt of the case, in its order
	Failure    hop.Outcome // swallowed-failure, partial-list, llm-without-tools: how the upstream failed; "" for 401 and 403
	Servers    []string    // the upstreams at fault, by name or else by URL
	Text       string      // one line: what happened
	Fix        string
	Verify     string
	Evidence   []Evidence
	Outcomes   []mcp.Outcome
}

// Evidence is one place in the capture that shows it.
type Evidence struct {
	What    string // "client request", "upstream answer", ...
	Frame   int
	Time    time.Time
	Flow    string // "client > server" of the message's sender and receiver
	Excerpt string // a start line or a status line; redacted
}
