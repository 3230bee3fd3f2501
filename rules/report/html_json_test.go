package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func viewText(t *testing.T, in []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewView(&b, Options{Rules: titles})
	if err := Read(bytes.NewReader(in), w.Write); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func viewOf(t *testing.T, in []byte) *view {
	t.Helper()
	var v view
	if err := json.Unmarshal(viewText(t, in), &v); err != nil {
		t.Fatal(err)
	}
	return &v
}

// squash takes out what marks code and what lays text out.
func squash(s string) string { return strings.Join(strings.Fields(strings.ReplaceAll(s, "`", "")), "") }

// The view says what the HTML report says, in the same words.
func TestViewSaysWhatThePageSays(t *testing.T) {
	for name, in := range everything(t) {
		v := viewOf(t, in)
		text := textOf(write(t, "html", Options{Rules: titles}, in))
		said := func(what string, words ...string) {
			t.Helper()
			for _, w := range words {
				if !strings.Contains(squash(text), squash(w)) {
					t.Errorf("%s: the page does not say the %s %q", name, what, w)
				}
			}
		}
		if v.State != "unreadable" { // there the page of a browser names no flags
			said("answer", v.Detail)
		}
		said("answer", v.Title, v.Certainty, v.Inputs, v.Seen, v.Lost)
		for _, c := range v.Causes {
			said("cause", c.Server, c.Meaning, c.Text, c.Certainty, c.Verify)
			if strings.Count(c.Fix, "`")%2 == 0 {
				said("fix", c.Fix)
			}
		}
		for _, s := range v.Servers {
			said("server", s.Name, s.Cause)
		}
		for _, n := range v.Notes {
			said("note", n.Code, n.Text)
		}
		calls, listed := 0, 0
		for _, x := range v.Verdicts {
			said("verdict", x.ID)
			calls += x.Count
		}
		for _, g := range v.Groups {
			listed += g.Count
		}
		if calls != listed {
			t.Errorf("%s: %d calls by verdict, %d by group", name, calls, listed)
		}
		if v.Line != nil {
			all := 0
			for i, n := range v.Line.All {
				if all += n; v.Line.Bad[i] > n || n > v.Line.Most {
					t.Errorf("%s: column %d: %d calls, %d bad, at most %d", name, i, n, v.Line.Bad[i], v.Line.Most)
				}
			}
			if all > v.Calls {
				t.Errorf("%s: %d calls on the line, %d in all", name, all, v.Calls)
			}
		}
	}
}

// Nothing of a capture reaches the view that would steer a reader's eye: no
// control, no mark of writing direction.
func TestViewIsVisible(t *testing.T) {
	v := viewOf(t, hostile(t))
	v.Words = nil // our own texts, which have line ends
	text, _ := json.Marshal(v)
	var top any
	json.Unmarshal(text, &top)
	each := func(s string) {
		for _, r := range s {
			if !unicode.IsPrint(r) && r != unicode.ReplacementChar {
				t.Fatalf("%U in %q", r, s)
			}
		}
	}
	var visit func(x any)
	visit = func(x any) {
		switch x := x.(type) {
		case string:
			each(x)
		case []any:
			for _, y := range x {
				visit(y)
			}
		case map[string]any:
			for k, y := range x {
				each(k)
				visit(y)
			}
		}
	}
	visit(top)
}

// What cannot be told from one side is said first.
func TestViewStates(t *testing.T) {
	for _, c := range []struct{ state, title, verdict, more, finding string }{
		{"blind", "This capture has only the client's side, and no empty list in it", "listed", ``, ``},
		{"clear", "No failure of an upstream was hidden from a client", "listed", `,"upstream":[{"outcome":"ok"}]`, ``},
		{"clear", "No failure of an upstream was hidden from a client", "empty-upstream", `,"confidence":"proved"`, ``},
		{"clear", "No failure of an upstream was hidden from a client", "no-upstream", ``, ``},
		{"suspected", "A list came back empty, and this capture cannot show why", "unseen-upstream", ``, `"severity":"warning","confidence":"suspected"`},
		{"hidden", "a answered 401, and the gateway hid it", "swallowed-401", ``, `"severity":"error","confidence":"linked","servers":["a"]`},
		{"unreadable", "There is no MCP traffic in this capture that could be read", "", ``, ``},
	} {
		in := `{"run":{"schema":"1"}}` + "\n"
		if c.verdict != "" {
			in += fmt.Sprintf(`{"case":{"frame":1,"verdict":%q%s}}`, c.verdict, c.more) + "\n"
		}
		if c.finding != "" {
			in += fmt.Sprintf(`{"finding":{"rule":%q,"case_frame":1,%s}}`, c.verdict, c.finding) + "\n"
		}
		in += fmt.Sprintf(`{"summary":{"records":3,"cases":%d,"by_verdict":{%q:1}}}`, min(len(c.verdict), 1), c.verdict)
		if v := viewOf(t, []byte(in)); v.State != c.state || v.Title != c.title {
			t.Errorf("%s: %s, %q; want %s, %q", c.verdict, v.State, v.Title, c.state, c.title)
		}
	}
}

// What could not be read of the files is lost, and of nothing lost it is said.
func TestViewLost(t *testing.T) {
	for _, c := range []struct{ notes, lost string }{
		{``, "nothing lost"},
		{`{"note":{"code":"http1/skipped","count":1}}`, "nothing lost"},
		{`{"note":{"code":"pcap/cut-packet","count":1}}`, "lost: the end of a file"},
		{`{"note":{"code":"gzip/truncated","count":1}}` + "\n" + `{"note":{"code":"har/broken","count":1}}`, "lost: the ends of files"},
		{`{"note":{"code":"har/bad-url","count":2}}`, "lost: 2 HAR entries that cannot be read"},
	} {
		in := `{"run":{"schema":"1"}}` + "\n" + c.notes + "\n" + `{"summary":{"records":3}}`
		if v := viewOf(t, []byte(in)); v.Lost != c.lost || v.Damaged != (c.lost != "nothing lost") {
			t.Errorf("%s: %q, damaged %v; want %q", c.notes, v.Lost, v.Damaged, c.lost)
		}
	}
}

// Every verdict that can have the title has words for where another has it.
func TestPhrasesAreWhole(t *testing.T) {
	for id, p := range phrases {
		if p.title == "" || strings.Count(p.detail, "%s") != 1 || p.one == "" || p.several == "" || p.one == p.several {
			t.Errorf("%s: %+v", id, p)
		}
	}
}

// Every verdict that there is stands in a group.
func TestGroupsAreWhole(t *testing.T) {
	docs, _ := filepath.Glob("../*/doc.md")
	if len(docs) < 17 {
		t.Fatalf("%d rules", len(docs))
	}
	for _, doc := range docs {
		id := filepath.Base(filepath.Dir(doc))
		if !slices.ContainsFunc(groups, func(g viewGroup) bool { return slices.Contains(g.Verdicts, id) }) {
			t.Errorf("%s is in no group", id)
		}
	}
}
