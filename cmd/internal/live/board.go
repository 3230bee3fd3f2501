package live

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"mcp401/cmd/internal/pipeline"
	"mcp401/rules"
	"mcp401/rules/cause"
	"mcp401/rules/hop"
)

const (
	rowsKept = 64 // upstreams that are told apart; what comes after is one row
	rowsMost = 16 // rows that are shown: those with the most findings
	recent   = 63 // calls that a latency is the median of
)

// A Board is the view of a live run: a row for each upstream.
type Board struct {
	rows map[string]*row
	beat pipeline.Beat
}

// A row counts the calls that one upstream had a part in.
type row struct {
	name                     string
	calls, listed, swallowed int
	cause                    string
	down, up                 median
}

// Case counts a case.
func (b *Board) Case(c *hop.Case, f rules.Finding) {
	down := took(c.Call.Start(), c.Call.At.Time)
	if len(c.Attempts) == 0 {
		why := cmp.Or(string(f.Cause), string(f.Failure), f.Rule)
		b.count(cmp.Or(strings.Join(c.Servers, ","), "(none seen)"), why, f.Rule == "listed", swallows(f.Rule), down, -1)
	}
	for _, a := range c.Attempts {
		hidden := a.Outcome.Failed() && swallows(f.Rule)
		why := string(a.Outcome)
		if hidden && a.Outcome.Auth() {
			why = cmp.Or(string(cause.Of(c, a)), string(f.Cause), why)
		}
		b.count(attempted(a), why, a.Outcome == hop.OK && c.Count > 0, hidden, down, took(a.First.Time, a.Last.Time))
	}
}

// attempted names the upstream of an attempt.
func attempted(a *hop.Attempt) string { return cmp.Or(a.Server, a.Address.String()) }

// count counts a call at an upstream; why is of one that was hidden.
func (b *Board) count(name, why string, listed, hidden bool, down, up time.Duration) {
	r := b.row(name)
	r.calls++
	if listed {
		r.listed++
	}
	if hidden {
		r.swallowed++
		r.cause = why
	}
	r.down.add(down)
	r.up.add(up)
}

// swallows reports whether a verdict hides an upstream's failure.
func swallows(verdict string) bool {
	switch verdict {
	case "partial-list", "llm-without-tools", "call-401":
		return true
	}
	return strings.HasPrefix(verdict, "swallowed-")
}

func (b *Board) row(name string) *row {
	if b.rows == nil {
		b.rows = map[string]*row{}
	}
	if b.rows[name] == nil && len(b.rows) >= rowsKept {
		name = "(others)"
	}
	if b.rows[name] == nil {
		b.rows[name] = &row{name: name}
	}
	return b.rows[name]
}

// Beat takes the state of the run.
func (b *Board) Beat(s pipeline.Beat) { b.beat = s }

// columns is those between the first and the last, which share what is left.
const columns = "%7s %7s %9s %8s %8s"

// Lines returns the view, each line at most width columns wide.
func (b *Board) Lines(width int) []string {
	list := make([]*row, 0, len(b.rows))
	for _, r := range b.rows {
		list = append(list, r)
	}
	slices.SortFunc(list, func(x, y *row) int {
		return cmp.Or(cmp.Compare(y.swallowed, x.swallowed), cmp.Compare(y.calls, x.calls), cmp.Compare(x.name, y.name))
	})
	// The names have what they need, and leave the causes at least half.
	left := max(width-47, 24) // 43 of the columns, 3 between, and the last, which would wrap
	name := twwidth.Width("(others)")
	for _, r := range list[:min(len(list), rowsMost)] {
		name = max(name, twwidth.Width(visible(r.name)))
	}
	name = min(name, left/2)
	why := left - name
	put := func(first, last, middle string) string {
		return clip(fit(first, name)+" "+middle+"  "+clip(visible(last), why), width-1)
	}
	lines := []string{put("upstream", "last cause", fmt.Sprintf(columns, "calls", "listed", "swallowed", "client", "upstream"))}
	for i, r := range list {
		if i == rowsMost {
			lines = append(lines, clip(fmt.Sprintf("... %d more upstreams", len(list)-i), width-1))
			break
		}
		lines = append(lines, put(r.name, cmp.Or(r.cause, "-"), fmt.Sprintf(columns,
			fmt.Sprint(r.calls), fmt.Sprint(r.listed), fmt.Sprint(r.swallowed), r.down.String(), r.up.String())))
	}
	status := fmt.Sprintf("packets: %d, MCP exchanges: %d, open calls: %d; %s", b.beat.Records, b.beat.Exchanges, b.beat.Open, lost(b.beat.Lost))
	return append(lines, clip(status, width-1))
}

// fit makes s n columns wide.
func fit(s string, n int) string {
	s = clip(visible(s), n)
	return s + strings.Repeat(" ", max(0, n-twwidth.Width(s)))
}

// clip cuts s to n columns.
func clip(s string, n int) string {
	if twwidth.Width(s) <= n {
		return s
	}
	r := []rune(s)
	for len(r) > 0 && twwidth.Width(string(r)) > n-1 {
		r = r[:len(r)-1]
	}
	return string(r) + "…"
}

// A median is that of the last durations.
type median struct {
	last [recent]time.Duration
	n    int
}

func (m *median) add(d time.Duration) {
	if d >= 0 {
		m.last[m.n%recent] = d
		m.n++
	}
}

func (m *median) String() string {
	if m.n == 0 {
		return "-"
	}
	list := slices.Sorted(slices.Values(m.last[:min(m.n, recent)]))
	d := list[len(list)/2]
	if d < time.Second {
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// took is the time between two moments, negative where one is not known.
func took(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() || to.Before(from) {
		return -1
	}
	return to.Sub(from)
}
