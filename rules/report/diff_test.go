package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"mcp401/rules"
)

// side is a report in short: a line a call, "VERDICT[:CAUSE[:SEVERITY]]
// METHOD PATH SERVERS", where SERVERS are those in scope, and one with "!"
// behind it is at fault. "SERVER=OUTCOME" adds an upstream attempt.
func side(t testing.TB, lines string) *Tally {
	t.Helper()
	tally := &Tally{}
	write := func(o Object) {
		if err := tally.Write(o); err != nil {
			t.Fatal(err)
		}
	}
	write(Object{Run: &Run{Schema: Schema, Inputs: []Input{{Name: "x.pcap", Kind: "pcap"}}}})
	frame := 0
	for line := range strings.Lines(lines) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		frame += 10
		c, f := call(frame, strings.Fields(line))
		write(Object{Case: c})
		if f != nil {
			write(Object{Finding: f})
		}
	}
	write(Object{Summary: &Summary{Inputs: []Input{{Name: "x.pcap", Kind: "pcap", Records: frame}}}})
	if err := tally.Close(); err != nil {
		t.Fatal(err)
	}
	return tally
}

func call(frame int, words []string) (*Case, *Finding) {
	verdict, rest, _ := strings.Cut(words[0], ":")
	why, severity, _ := strings.Cut(rest, ":")
	if severity == "" {
		severity = map[bool]string{true: "error", false: "ok"}[strings.HasPrefix(verdict, "swallowed") || verdict == "partial-list"]
		if blind(verdict) || verdict == "filtered-list" {
			severity = "note"
		}
	}
	c := &Case{Frame: frame, Kind: "list", HTTPMethod: words[1], Path: words[2], Verdict: verdict, Severity: severity, Cause: why, Servers: []string{}}
	f := &Finding{Rule: verdict, Severity: severity, Cause: why, CaseFrame: frame, Fingerprint: "f" + strconv.Itoa(frame)}
	for _, name := range words[3:] {
		if name, outcome, ok := strings.Cut(name, "="); ok {
			name, url, _ := strings.Cut(name, "@")
			c.Upstream = append(c.Upstream, Attempt{Server: name, URL: url, Outcome: outcome})
			continue
		}
		if n, bad := strings.CutSuffix(name, "!"); bad {
			f.Servers = append(f.Servers, n)
			name = n
		}
		if !strings.Contains(name, "://") {
			c.Servers = append(c.Servers, name)
		}
	}
	if rules.Severity(severity) == rules.OK {
		return c, nil
	}
	return c, f
}

// changes compares, and words each change in one line.
func changes(t testing.TB, before, after *Tally) []string {
	t.Helper()
	var got []string
	err := Compare(before, after, "1", func(o Object) error {
		if c := o.Change; c != nil {
			got = append(got, fmt.Sprintf("%s %s %s@%s %s %d/%d: %s", c.State, strings.TrimSpace(c.Rule+" "+c.Cause), c.HTTPMethod, c.Server, c.Route, c.Before, c.After, c.Text))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestCompare(t *testing.T) {
	const expired = "swallowed-401:token-expired POST /a/mcp a!\n"
	for _, c := range []struct{ name, before, after, want string }{
		{"nothing", "", "", ""},
		{"same", expired, expired, "still-there swallowed-401 token-expired POST@a /a/mcp 1/1: 1 call before, 1 after"},
		{"more often", expired, expired + expired, "still-there swallowed-401 token-expired POST@a /a/mcp 1/2: 1 call before, 2 after"},
		{"fixed", expired, "listed POST /a/mcp a", "fixed swallowed-401 token-expired POST@a /a/mcp 1/0: now listed"},
		{"the client is told now", expired, "surfaced-auth POST /a/mcp a a=401", "fixed swallowed-401 token-expired POST@a /a/mcp 1/0: now surfaced-auth"},
		{"not asked again", expired, "listed POST /b/mcp b", "gone-from-view swallowed-401 token-expired POST@a /a/mcp 1/0: not asked again"},
		{"asked on another route", expired, "listed POST /mcp/a a", "gone-from-view swallowed-401 token-expired POST@a /a/mcp 1/0: not asked again; on POST /mcp/a now listed"},
		{"asked of another server", "swallowed-401:x POST /mcp a! b", "listed POST /mcp b", "gone-from-view swallowed-401 x POST@a /mcp 1/0: not asked again"},
		{"asked again and not seen", expired, "unseen-upstream::warning POST /a/mcp a!", "gone-from-view swallowed-401 token-expired POST@a /a/mcp 1/0: asked again, and all that shows is unseen-upstream"},
		{"asked again and unanswered", expired, "unanswered POST /a/mcp a", "gone-from-view swallowed-401 token-expired POST@a /a/mcp 1/0: asked again, and all that shows is unanswered"},
		{"asked again, the attempt is hidden", expired, "called POST /a/mcp a a=unseen", "gone-from-view swallowed-401 token-expired POST@a /a/mcp 1/0: asked again, and it does not show how it went: called"},
		{"another cause", expired, "swallowed-401:token-audience POST /a/mcp a!", "changed swallowed-401 token-audience POST@a /a/mcp 1/1: was swallowed-401 token-expired"},
		{"one of two causes", expired + "swallowed-401:token-audience POST /a/mcp a!", expired,
			"still-there swallowed-401 token-expired POST@a /a/mcp 1/1: 1 call before, 1 after; gone-from-view swallowed-401 token-audience POST@a /a/mcp 1/0: asked again, and all that shows is swallowed-401 token-expired"},
		{"worse", "filtered-list POST /a/mcp a!", expired, "new swallowed-401 token-expired POST@a /a/mcp 1/1: was filtered-list"},
		{"filtered now", expired, "filtered-list POST /a/mcp a!", "changed filtered-list POST@a /a/mcp 1/1: was swallowed-401 token-expired"},
		{"new", "listed POST /a/mcp a", expired, "new swallowed-401 token-expired POST@a /a/mcp 0/1: was listed"},
		{"new route", "listed POST /b/mcp b", expired, "new swallowed-401 token-expired POST@a /a/mcp 0/1: not asked before"},
		{"one more server of a list", "partial-list:x POST /mcp a! b", "partial-list:x POST /mcp a! b!",
			"new partial-list x POST@b /mcp 0/1: did not show before; still-there partial-list x POST@a /mcp 1/1: 1 call before, 1 after"},
		{"one server less", "partial-list:x POST /mcp a! b!", "partial-list:x POST /mcp a! b b=ok",
			"still-there partial-list x POST@a /mcp 1/1: 1 call before, 1 after; fixed partial-list x POST@b /mcp 1/0: now partial-list"},
		{"ids of routes", "swallowed-401:x GET /mcp/1234567 a!", "swallowed-401:x GET /mcp/7654321 a!", "still-there swallowed-401 x GET@a /mcp/* 1/1: 1 call before, 1 after"},
		{"a name that one side does not know", "swallowed-401:x POST /mcp http://u/mcp! @http://u/mcp=401", "listed POST /mcp a a@http://u/mcp=ok", "fixed swallowed-401 x POST@a /mcp 1/0: now listed"},
		{"one side knows the name for a part", "swallowed-401:x POST /mcp http://u/mcp! @http://u/mcp=401\nswallowed-401:x POST /mcp a! a@http://u/mcp=401", "",
			"gone-from-view swallowed-401 x POST@a /mcp 2/0: not asked again"},
		{"the client's side alone", "swallowed-401:x GET /all a!", "listed GET /all", "fixed swallowed-401 x GET@a /all 1/0: now listed"},
		{"no server named", "gateway-refused GET /x", "listed GET /x", "fixed gateway-refused GET@ /x 1/0: now listed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, after := side(t, c.before), side(t, c.after)
			got := strings.Join(changes(t, before, after), "; ")
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if again := strings.Join(changes(t, before, after), "; "); again != got {
				t.Errorf("and then %s", again)
			}
			for _, same := range []*Tally{before, after} {
				for _, s := range changes(t, same, same) {
					if !strings.HasPrefix(s, Still+" ") {
						t.Errorf("a report against itself: %s", s)
					}
				}
			}
		})
	}
}

// Every finding of either side is in exactly one change, or replaced there.
func FuzzCompareLosesNothing(f *testing.F) {
	f.Add([]byte{0, 17, 34, 51}, []byte{3, 64})
	f.Add([]byte{}, []byte{1, 2, 3})
	verdicts := []string{"listed", "swallowed-401:x", "swallowed-401:y", "unanswered", "unseen-upstream::warning", "filtered-list", "surfaced-auth", "partial-list:x"}
	f.Fuzz(func(t *testing.T, x, y []byte) {
		lines := func(b []byte) string {
			var s strings.Builder
			for _, c := range b[:min(len(b), 40)] {
				fmt.Fprintf(&s, "%s POST /%c/mcp s%d!\n", verdicts[c&7], 'a'+c>>3&3, c>>5&3)
			}
			return s.String()
		}
		before, after := side(t, lines(x)), side(t, lines(y))
		type finding struct{ rule, cause, server, route string }
		told, replaced := map[finding]int{}, map[string]bool{}
		if err := Compare(before, after, "1", func(o Object) error {
			if c := o.Change; c != nil {
				told[finding{c.Rule, c.Cause, c.Server, c.Route}]++
				replaced[c.Server+c.Route] = true
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, side := range []*Tally{before, after} {
			for p, v := range side.places {
				for _, d := range v.found {
					n := told[finding{d.rule, d.reason, p.server, p.route}]
					if n > 1 || n == 0 && !replaced[p.server+p.route] {
						t.Errorf("%v %s is told %d times", p, d.label(), n)
					}
				}
			}
		}
	})
}

func TestKnows(t *testing.T) {
	baseline := side(t, "swallowed-401:x POST /mcp a! b!\nswallowed-401:y POST /c/mcp http://u/mcp! c@http://u/mcp=401")
	for line, want := range map[string]bool{
		"swallowed-401:x POST /mcp a! b!":               true,
		"swallowed-401:x POST /mcp a!":                  true,
		"swallowed-401:x POST /mcp a! b! c!":            false,
		"swallowed-401:y POST /mcp a!":                  false,
		"swallowed-403:x POST /mcp a!":                  false,
		"swallowed-401:x POST /a/mcp a!":                false,
		"swallowed-401:y POST /c/mcp http://u/mcp!":     true,
		"swallowed-401:y POST /c/mcp http://other/mcp!": false,
	} {
		c, f := call(5, strings.Fields(line))
		if got := baseline.Knows(c, f); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func TestTallyIsBounded(t *testing.T) {
	var tally Tally
	for i := range placesKept + 10 {
		c, f := call(i+1, []string{"swallowed-401:x", "POST", fmt.Sprintf("/n%d/mcp", i), "a!"})
		tally.Write(Object{Case: c})
		tally.Write(Object{Finding: f})
	}
	one := &Tally{}
	for i := range diagnosesKept + 5 {
		c, f := call(i+1, []string{fmt.Sprintf("swallowed-401:x%d", i), "POST", "/mcp", "a!"})
		one.Write(Object{Case: c})
		one.Write(Object{Finding: f})
	}
	if len(tally.places) != placesKept || tally.Skipped != 10 || one.Skipped != 5 {
		t.Errorf("%d places, %d and %d skipped", len(tally.places), tally.Skipped, one.Skipped)
	}
	out := render(t, Diffs, "table", one, &Tally{})
	if !strings.Contains(out, "not compared: 5 calls") {
		t.Errorf("the skipped calls are not told of:\n%s", out)
	}
}

// render writes a comparison.
func render(t testing.TB, formats []Format, name string, before, after *Tally) string {
	t.Helper()
	var buf bytes.Buffer
	i := slices.IndexFunc(formats, func(f Format) bool { return f.Name == name })
	w := formats[i].New(&buf, Options{})
	if err := Compare(before, after, "1", w.Write); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestDiffTable(t *testing.T) {
	before := side(t, `swallowed-401:token-expired POST /a/mcp a!
		swallowed-401:token-expired POST /mcp/a a!
		swallowed-403:scope POST /b/mcp b!
		filtered-list POST /c/mcp c!
		partial-list:x POST /mcp d! e`)
	after := side(t, `listed POST /a/mcp a
		listed POST /mcp/a a
		swallowed-403:other POST /b/mcp b!
		filtered-list POST /c/mcp c!
		swallowed-401:`+"\x1b[31m"+` POST /x/mcp evil`+"\x1b]0;"+`!`)
	want := `new                1x  not in BEFORE
  evil?]0;         swallowed-401 ?[31m: 1 call, not asked before
                   on POST /x/mcp (first: after 50)
changed            1x  at fault as before, for another reason
  b                swallowed-403 other: 1 call, was swallowed-403 scope
                   on POST /b/mcp (first: before 30, after 30)
still-there        1x  in both
  c                filtered-list: 1 call before, 1 after
                   on POST /c/mcp (first: before 40, after 40)
gone-from-view     1x  in BEFORE; AFTER does not show how it is now
  d                partial-list x: 1 call before, not asked again
                   on POST /mcp (first: before 50)
fixed              2x  in BEFORE; AFTER asked again and nothing was hidden
  a                swallowed-401 token-expired: 2 calls before, now listed
                   on POST /a/mcp, POST /mcp/a (first: before 10, after 10)
1 new, 1 changed, 1 still-there, 1 gone-from-view, 2 fixed; 5 calls before, 5 after
`
	if got := render(t, Diffs, "table", before, after); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := render(t, Diffs, "table", before, before), "nothing has changed: 5 findings in both; 5 calls before, 5 after\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := render(t, Diffs, "table", &Tally{}, before); !strings.Contains(got, "5 new; 0 calls before, 5 after") {
		t.Errorf("got %q", got)
	}
	if got := render(t, Diffs, "table", &Tally{}, &Tally{}); !strings.Contains(got, "no findings in either") || !strings.Contains(got, "hint: ") {
		t.Errorf("got %q", got)
	}
}

func TestDiffJSON(t *testing.T) {
	for _, after := range []string{"", "listed POST /a/mcp a"} {
		var doc struct {
			Changes  []Change
			Compared *Compared
			Run      *Run
		}
		out := render(t, Diffs, "json", side(t, after), side(t, after+"\nswallowed-401:x POST /a/mcp a!\nswallowed-401:x POST /b/mcp b!"))
		if err := json.Unmarshal([]byte(out), &doc); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if len(doc.Changes) != 2 || doc.Compared.ByState[New] != 2 || len(doc.Run.Inputs) != 2 || doc.Compared.Before[0].Name != "x.pcap" {
			t.Errorf("%+v", doc)
		}
	}
	out := render(t, Diffs, "json", &Tally{}, &Tally{})
	if !json.Valid([]byte(out)) || !strings.Contains(out, `"changes": [`) || strings.Contains(out, "null") {
		t.Errorf("%s", out)
	}
	lines := strings.Split(strings.TrimSpace(render(t, Diffs, "jsonl", &Tally{}, side(t, "swallowed-401:x POST /a/mcp a!"))), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[1], `{"change":`) || !strings.HasPrefix(lines[2], `{"compared":`) {
		t.Errorf("%q", lines)
	}
}

func TestTableSaysWhatIsKnown(t *testing.T) {
	var buf bytes.Buffer
	w := newTable(&buf, Options{})
	w.Write(Object{Run: &Run{}})
	for i, known := range []bool{true, false} {
		c, f := call(i+1, []string{"swallowed-401:x", "POST", "/mcp", "a!"})
		f.Known = known
		w.Write(Object{Case: c})
		w.Write(Object{Finding: f})
	}
	w.Write(Object{Summary: &Summary{Cases: 2, Findings: 2, Known: 1}})
	w.Close()
	for _, want := range []string{"2x  x  (1 of them known since the baseline)\n", "; 1 finding of 2 known since the baseline; "} {
		if !strings.Contains(buf.String(), want) {
			t.Errorf("no %q in\n%s", want, buf.String())
		}
	}
}
