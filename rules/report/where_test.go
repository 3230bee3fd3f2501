package report

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"mcp401/rules"
)

func ptr[T any](v T) *T { return &v }

// subjects is cases that differ in every field that an expression can ask for.
func subjects() []*chosen {
	return []*chosen{
		{Case: &Case{
			Frame: 7, Client: "10.0.0.1:50000", Gateway: "10.0.0.2:4000", Kind: "list", Path: "/github/mcp", Status: ptr(200), Tools: ptr(0),
			Verdict: "swallowed-401", Severity: "error", Confidence: "linked", Cause: "token-expired", Servers: []string{"github"},
			Upstream: []Attempt{{Server: "github", Cause: "token-expired"}, {URL: "http://other:1/mcp", Cause: "token-missing"}},
		}, finding: &Finding{Servers: []string{"github", "told"}}},
		{Case: &Case{Frame: 12, Client: "10.0.0.1:50001", Kind: "llm", Path: "/v1/responses", Verdict: "unanswered", Severity: "note", Failure: "timeout"}},
		{Case: &Case{Frame: 20, Kind: "call", Path: "/mcp/a b", Status: ptr(502), Tools: ptr(3), Verdict: "listed", Severity: "ok", Confidence: "proved"}},
	}
}

// Each expression, and which of the subjects fit it.
func TestWhere(t *testing.T) {
	known := []rules.Rule{{ID: "swallowed-401"}, {ID: "unanswered"}, {ID: "listed"}}
	for _, c := range [][2]string{
		{"verdict = swallowed-401", "100"},
		{"verdict!=swallowed-401", "011"},
		{"verdict ~ ^un|^li", ""}, // a bar ends a bare word: an error
		{"verdict ~ '^un|^li'", "011"},
		{"cause = token-missing", "100"}, // of the second attempt
		{`cause = ""`, "011"},
		{`cause != ""`, "100"},
		{"severity >= warning", "100"},
		{"severity < error", "011"},
		{"severity > ok && severity <= note", "010"},
		{"confidence > suspected", "101"},
		{"confidence < proved", "100"}, // what is not there is neither less nor greater
		{"server = told", "100"},       // named by the finding alone
		{"server = http://other:1/mcp", "100"},
		{`server != github`, "011"},
		{"client ~ :50001$", "010"},
		{"gateway = 10.0.0.2:4000", "100"},
		{`path = "/mcp/a b"`, "001"},
		{`path ~ '^/\w+/mcp$'`, "100"},
		{"status = 200", "100"},
		{"status != 200", "011"},
		{`status = ""`, "010"},
		{`status != ""`, "101"},
		{"status >= 500", "001"},
		{"status < 500", "100"},
		{"status ~ ^5", "001"},
		{"tools > 0", "001"},
		{"kind = llm", "010"},
		{"frame > 7 && frame < 20", "010"},
		{"failure = timeout", "010"},
		{"!severity = ok", "110"},
		{"!!frame = 7", "100"},
		{"frame = 7 || frame = 12 && status = 1", "100"}, // && binds first
		{"(frame = 7 || frame = 12) && !(status = 200)", "010"},
		{" \t( frame=7 )\n||frame=20 ", "101"},
		{`path = "a\"b" || path ~ '\d'`, "010"},
	} {
		cond, err := Where(c[0], known)
		got := ""
		for _, s := range subjects() {
			if err == nil && cond.fits(s) {
				got += "1"
			} else if err == nil {
				got += "0"
			}
		}
		if got != c[1] {
			t.Errorf("%s: %q, not %q (%v)", c[0], got, c[1], err)
		}
	}
}

func TestWhereSaysTheColumn(t *testing.T) {
	known := []rules.Rule{{ID: "listed"}}
	deep := strings.Repeat("!", 200) + "frame = 1"
	for _, c := range []struct {
		expr   string
		column int
		text   string
	}{
		{"foo = 1", 1, `"foo" is no field`},
		{"path = é && foo = 1", 13, `"foo" is no field`}, // characters, not bytes
		{"frame", 6, "the end: an operator is wanted"},
		{"path == x", 6, "==: equal is one ="},
		{"frame = 7 &&", 13, "the end: a comparison is wanted"},
		{"frame = 7 frame = 8", 11, `"frame": && or || is wanted`},
		{"(frame = 7", 11, "the parenthesis of column 1 is not closed"},
		{"frame = 7)", 10, `")": && or || is wanted`},
		{"frame = x", 9, `"x" is no number`},
		{"frame < ''", 9, `"" is no number`},
		{"frame = 99999999999999999999", 9, "is no number"},
		{"verdict = lsited", 11, `"lsited" is no verdict`},
		{"cause = nothing", 9, `"nothing" is no cause`},
		{"severity < ''", 12, `"" is no severity`},
		{"kind = rpc", 8, `"rpc" is no kind`},
		{"server < a", 8, "<: server has no order"},
		{"path ~ '('", 8, "not a regular expression: missing closing )"},
		{"path = 'a", 8, "the quote is not closed"},
		{"path = ", 8, "the end: a value is wanted"},
		{"path = \xff", 1, "not UTF-8"},
		{deep, 101, "over 100 parentheses"},
		{strings.Repeat(" ", 5000), 1, "over 4,096 bytes"},
	} {
		_, err := Where(c.expr, known)
		var w *WhereError
		switch {
		case !errors.As(err, &w):
			t.Errorf("%.40q: %v, no WhereError", c.expr, err)
		case w.Column != c.column || !strings.Contains(w.Text, c.text):
			t.Errorf("%.40q: %v, not column %d: %s", c.expr, err, c.column, c.text)
		}
	}
}

// What is listed has no verdict, and a response is from its server to its
// client.
func TestWhereListed(t *testing.T) {
	if _, err := WhereListed("verdict = listed"); err == nil {
		t.Error("a line of a list has a verdict")
	}
	cond, err := WhereListed("kind = response && client = c:1 && server = s:2 || kind = rpc && tools = 0")
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	write := cond.Narrow(func(o Object) error {
		if o.Message != nil {
			got = append(got, o.Message.Frame)
		} else {
			got = append(got, o.Exchange.Frame)
		}
		return nil
	})
	for _, o := range []Object{
		{Message: &Message{Frame: 1, Kind: "request", Src: "c:1", Dst: "s:2"}},
		{Message: &Message{Frame: 2, Kind: "response", Src: "s:2", Dst: "c:1"}},
		{Exchange: &Exchange{Frame: 3, Kind: "rpc", Tools: ptr(0)}},
		{Exchange: &Exchange{Frame: 4, Kind: "rpc"}},
	} {
		if err := write(o); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 2 || got[0] != 2 || got[1] != 3 {
		t.Errorf("frames %v, not 2 and 3", got)
	}
}

// The summary counts what is chosen, and a second condition adds to the first.
func TestNarrowCounts(t *testing.T) {
	var got []Object
	write := func(o Object) error { got = append(got, o); return nil }
	for _, expr := range []string{"frame > 1", "frame < 9 || server = late"} {
		cond, err := Where(expr, nil)
		if err != nil {
			t.Fatal(err)
		}
		write = cond.Narrow(write)
	}
	for _, o := range []Object{
		{Run: &Run{}},
		{Case: &Case{Frame: 1, Verdict: "listed", Severity: "ok"}},
		{Case: &Case{Frame: 2, Verdict: "listed", Severity: "ok"}},
		{Case: &Case{Frame: 9, Verdict: "swallowed-401", Severity: "error"}},
		{Finding: &Finding{CaseFrame: 9, Servers: []string{"late"}, Known: true}},
		{Case: &Case{Frame: 10, Verdict: "swallowed-401", Severity: "error"}},
		{Finding: &Finding{CaseFrame: 10}},
		{Note: &Note{}},
		{Summary: &Summary{Cases: 4, Findings: 2, Known: 1, ByVerdict: map[string]int{"listed": 2, "swallowed-401": 2}}},
	} {
		if err := write(o); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 6 || got[1].Case.Frame != 2 || got[2].Case.Frame != 9 || got[3].Finding.CaseFrame != 9 || got[4].Note == nil {
		t.Fatalf("%d objects: %+v", len(got), got)
	}
	s := got[5].Summary
	if s.Cases != 2 || s.Findings != 1 || s.Known != 1 || s.LeftOut != 2 || len(s.ByVerdict) != 2 || s.ByVerdict["listed"] != 1 ||
		s.Where != "(frame < 9 || server = late) && (frame > 1)" {
		t.Errorf("%+v", s)
	}
}

// Whatever is typed is an error that points into it or one behind it, or a
// condition; and then it is the same in parentheses, its opposite behind "!",
// and what the summary says of two of them is a condition again.
func FuzzWhereIsAConditionOrPointsAtTheColumn(f *testing.F) {
	for _, s := range []string{
		"verdict = listed", "severity>=note&&!(tools=0||server~'a b')", `cause = ""`, "frame<7||frame>7", "path ~ (", "a=", `path="\"`, "((", "!!!", "status = ''", "\xff",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		cond, err := Where(expr, nil)
		if err != nil {
			var w *WhereError
			if !errors.As(err, &w) || w.Column < 1 || w.Column > utf8.RuneCountInString(expr)+1 || w.Text == "" {
				t.Fatalf("%q: %v", expr, err)
			}
			return
		}
		in, err := Where("("+expr+")", nil)
		not, err2 := Where("!("+expr+")", nil)
		both, err3 := Where("("+expr+") && ("+expr+")", nil)
		if err := errors.Join(err, err2, err3); err != nil {
			if strings.Contains(err.Error(), ": over ") {
				return // at the bound already
			}
			t.Fatalf("%q: %v", expr, err)
		}
		for _, s := range subjects() {
			if want := cond.fits(s); in.fits(s) != want || not.fits(s) == want || both.fits(s) != want {
				t.Errorf("%q, frame %d: %v, (%v), !%v, &&%v", expr, s.Frame, want, in.fits(s), not.fits(s), both.fits(s))
			}
		}
	})
}
