package live

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp401/cmd/internal/pipeline"
	"mcp401/decode"
	"mcp401/decode/mcp"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
	"mcp401/rules/report"
)

var zero = time.Date(2026, 11, 23, 8, 4, 11, 0, time.UTC)

func at(d time.Duration) decode.Mark { return decode.Mark{Time: zero.Add(d)} }

// swallowed is a case of one upstream that said 401: the call took 20 ms, the
// attempt 5.
func swallowed(server string) (*hop.Case, rules.Finding) {
	call := &pair.Call{Asked: &mcp.Exchange{Asked: at(0)}, At: at(20 * time.Millisecond)}
	attempt := &hop.Attempt{Server: server, Outcome: hop.Status401, First: at(5 * time.Millisecond), Last: at(10 * time.Millisecond), Address: netip.MustParseAddrPort("10.0.0.9:80")}
	return &hop.Case{Call: call, Attempts: []*hop.Attempt{attempt}}, rules.Finding{Rule: "swallowed-401", Cause: "token-rejected"}
}

func listed(server string) (*hop.Case, rules.Finding) {
	c, _ := swallowed(server)
	c.Attempts[0].Outcome, c.Count = hop.OK, 3
	return c, rules.Finding{Rule: "listed"}
}

func TestBoard(t *testing.T) {
	var b Board
	for range 3 {
		b.Case(listed("good"))
	}
	b.Case(swallowed("bad\x1b[2J"))
	b.Case(&hop.Case{Call: &pair.Call{Asked: &mcp.Exchange{}}}, rules.Finding{Rule: "no-upstream"})
	b.Beat(pipeline.Beat{Records: 40, Exchanges: 8, Open: 1, Lost: report.Lost{CaptureDrops: 2}})
	got := b.Lines(100)
	for i := range got {
		got[i] = strings.TrimRight(got[i], " ")
	}
	want := []string{
		"upstream      calls  listed swallowed   client upstream  last cause",
		"bad?[2J           1       0         1  20.0 ms   5.0 ms  token-rejected",
		"good              3       3         0  20.0 ms   5.0 ms  -",
		"(none seen)       1       0         0        -        -  -",
		"packets: 40, MCP exchanges: 8, open calls: 1; 2 dropped by the capture",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for _, width := range []int{20, 60, 80, 140} {
		for _, line := range b.Lines(width) {
			if n := len([]rune(line)); n >= width {
				t.Errorf("%d columns in %d: %s", n, width, line)
			}
		}
	}
}

// Any number of upstreams takes a bounded number of rows.
func TestBoardIsBounded(t *testing.T) {
	var b Board
	for i := range 1000 {
		b.Case(swallowed(fmt.Sprint("server", i)))
	}
	if len(b.rows) != rowsKept+1 || len(b.Lines(80)) != rowsMost+3 {
		t.Errorf("%d rows, %d lines", len(b.rows), len(b.Lines(80)))
	}
	if n := b.rows["(others)"].calls; n != 1000-rowsKept {
		t.Errorf("%d calls of the others", n)
	}
}

// A kind of finding is a line once in a while, with the count of those between.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	l := NewLines(&out, 0, nil, 10*time.Minute)
	say := func(after time.Duration, fingerprint string) {
		c := &report.Case{Frame: 7, Time: report.Time{Time: zero.Add(after)}, HTTPMethod: "POST", Path: "/mcp\n", Client: "10.0.0.1:5"}
		f := &report.Finding{Rule: "swallowed-401", Cause: "token-missing", Text: "a hid", Fingerprint: fingerprint}
		for _, o := range []report.Object{{Case: c}, {Finding: f}} {
			if err := l.Write(o); err != nil {
				t.Fatal(err)
			}
		}
	}
	say(0, "one")
	say(time.Minute, "one")
	say(2*time.Minute, "two")
	say(10*time.Minute, "one")
	say(11*time.Minute, "one")
	if err := l.Write(report.Object{Summary: &report.Summary{Cases: 5, ByVerdict: map[string]int{"listed": 1, "swallowed-401": 4}}}); err != nil {
		t.Fatal(err)
	}
	want := `08:04:11  swallowed-401  token-missing  frame 7  a hid  (POST /mcp?, client 10.0.0.1:5)
08:06:11  swallowed-401  token-missing  frame 7  a hid  (POST /mcp?, client 10.0.0.1:5)
08:14:11  swallowed-401  token-missing  frame 7  [1 more like it before]  a hid  (POST /mcp?, client 10.0.0.1:5)
calls: 5 (4 swallowed-401, 1 listed); packets: 0, connections: 0; nothing lost
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Error(d)
	}
}

// Made-up routes do not grow the memory.
func TestFreshIsBounded(t *testing.T) {
	var f Fresh
	for i := range 3 * kinds {
		if _, isNew := f.New(&report.Finding{Fingerprint: fmt.Sprint(i)}, zero.Add(time.Duration(i)*time.Second)); !isNew {
			t.Fatalf("%d is not new", i)
		}
	}
	if len(f.said) != kinds {
		t.Errorf("%d kinds kept", len(f.said))
	}
	if _, isNew := f.New(&report.Finding{Fingerprint: fmt.Sprint(3*kinds - 1)}, zero); isNew {
		t.Error("the last one is forgotten")
	}
}

// A clock that is set back a year does not silence a kind for a year.
func TestFreshAfterAClockStep(t *testing.T) {
	f := Fresh{Every: 10 * time.Minute}
	v := &report.Finding{Fingerprint: "one"}
	for i, c := range []struct {
		at    time.Duration
		isNew bool
	}{{0, true}, {-time.Minute, false}, {-365 * 24 * time.Hour, true}, {-365*24*time.Hour + time.Minute, false}} {
		if _, isNew := f.New(v, zero.Add(c.at)); isNew != c.isNew {
			t.Errorf("%d: %v", i, isNew)
		}
	}
}
