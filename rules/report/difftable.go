package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Diffs is every format of `mcp401 diff`. To add one, write a file that has a
// Writer of Change and Compared objects and put it here.
var Diffs = []Format{
	{"table", "for a terminal: what changed, then the summary", newDiffTable},
	{"json", "one document", newChangesJSON},
	{"jsonl", "one object per line", newJSONL},
}

// A changesJSON writes one document. What it holds until its end is bounded as a
// Tally is.
type changesJSON struct {
	w    io.Writer
	line encoder
	err  error
	n    int
	run  *Run
	done *Compared
}

func newChangesJSON(w io.Writer, _ Options) Writer { return &changesJSON{w: w} }

func (j *changesJSON) Write(o Object) error {
	switch {
	case o.Run != nil:
		j.run = o.Run
	case o.Compared != nil:
		j.done = o.Compared
	case o.Change != nil:
		before := ",\n"
		if j.n++; j.n == 1 {
			before = "{\"changes\": [\n"
		}
		j.put(before, o.Change)
	}
	return j.err
}

func (j *changesJSON) Close() error {
	before := "\n],\n\"compared\": "
	if j.n == 0 {
		before = "{\"changes\": [" + before
	}
	j.put(before, j.done)
	j.put(",\n\"run\": ", j.run)
	if j.err == nil {
		_, j.err = io.WriteString(j.w, "\n}\n")
	}
	return j.err
}

func (j *changesJSON) put(before string, v any) {
	if j.err != nil {
		return
	}
	b, err := j.line.encode(v)
	if j.err = err; err == nil {
		_, j.err = j.w.Write(append([]byte(before), b...))
	}
}

// A diffTable prints the changes by state. Those that differ in nothing but
// the route stand together.
type diffTable struct {
	w      io.Writer
	page   page
	groups []*changeGroup
	at     map[changeKey]*changeGroup
	counts map[string]int
	done   *Compared
}

type changeKey struct{ state, rule, severity, cause, server, text string }

type changeGroup struct {
	changeKey
	before, after int
	routes        []string
	first         *Change
}

func newDiffTable(w io.Writer, opt Options) Writer {
	if opt.Width <= 0 || opt.Width > 100 {
		opt.Width = 100
	}
	return &diffTable{
		w: w, page: page{width: max(opt.Width, 40), color: opt.Color},
		at: map[changeKey]*changeGroup{}, counts: map[string]int{},
	}
}

func (t *diffTable) Write(o Object) error {
	switch {
	case o.Change != nil:
		t.change(o.Change)
	case o.Compared != nil:
		t.done = o.Compared
	}
	return nil
}

func (t *diffTable) change(c *Change) {
	t.counts[c.State]++
	key := changeKey{c.State, c.Rule, c.Severity, c.Cause, c.Server, c.Text}
	if c.State == Still {
		key.text = "" // the counts of its routes are added up
	}
	g := t.at[key]
	if g == nil {
		g = &changeGroup{changeKey: key, first: c}
		t.at[key] = g
		t.groups = append(t.groups, g)
	}
	g.before += c.Before
	g.after += c.After
	g.routes = append(g.routes, c.HTTPMethod+" "+c.Route)
}

// Titles of the states, for a person.
var stateTitles = map[string]string{
	New:     "not in BEFORE",
	Changed: "at fault as before, for another reason",
	Still:   "in both",
	Gone:    "in BEFORE; AFTER does not show how it is now",
	Fixed:   "in BEFORE; AFTER asked again and nothing was hidden",
}

var stateColors = map[string]string{New: "31;1", Changed: "33;1", Still: "33;1", Gone: "36;1", Fixed: sgrGreen}

// Bounds of what the table shows of one state, and of one group.
const (
	groupsShown = 40
	routesShown = 4
)

func (t *diffTable) Close() error {
	if t.done == nil {
		t.done = &Compared{}
	}
	if t.same() {
		t.nothing()
	} else {
		for _, state := range states {
			t.state(state)
		}
		t.total()
	}
	if t.done.Skipped > 0 {
		t.page.text(0, plain("not compared: "+counted(t.done.Skipped, "call")+" on routes beyond the first "+number(placesKept)))
	}
	_, err := t.w.Write(t.page.buf)
	return err
}

func (t *diffTable) same() bool {
	for state, n := range t.counts {
		if state != Still && n > 0 {
			return false
		}
	}
	return true
}

// nothing is the answer when there is no change to tell of.
func (t *diffTable) nothing() {
	line := "nothing has changed: "
	if n := t.counts[Still]; n > 0 {
		line += counted(n, "finding") + " in both"
	} else {
		line += "no findings in either"
	}
	t.page.text(0, bold(plain(line+"; "+t.calls())))
	if min(t.done.Calls[0], t.done.Calls[1]) == 0 {
		t.page.text(0, plain("hint: a side without calls says nothing: capture the gateway's own port while a client lists tools"))
	}
}

func (t *diffTable) calls() string {
	return counted(t.done.Calls[0], "call") + " before, " + number(t.done.Calls[1]) + " after"
}

func (t *diffTable) state(state string) {
	if t.counts[state] == 0 {
		return
	}
	t.page.text(column, span{pad(state, column), stateColors[state]}, bold(plain(number(t.counts[state])+"x  ")), plain(stateTitles[state]))
	shown := 0
	for _, g := range t.groups {
		if g.state != state {
			continue
		}
		if shown++; shown > groupsShown {
			t.page.text(2, plain("  and more: see --format json"))
			break
		}
		t.group(g)
	}
}

func (t *diffTable) group(g *changeGroup) {
	what := strings.TrimSpace(g.rule + " " + g.cause)
	t.page.text(column, plain(pad("  "+clean(g.server), column)+clean(what)+": "+clean(g.said())))
	routes := slices.Compact(slices.Clone(g.routes))
	more := ""
	if n := len(routes) - routesShown; n > 0 {
		routes, more = routes[:routesShown], fmt.Sprintf(" and %d more", n)
	}
	t.page.text(column+5, plain(strings.Repeat(" ", column)+clean("on "+strings.Join(routes, ", ")+more+g.frames())))
}

// said is what became of the group, with its counts.
func (g *changeGroup) said() string {
	switch g.state {
	case Still:
		return counted(g.before, "call") + " before, " + number(g.after) + " after"
	case New, Changed:
		return counted(g.after, "call") + ", " + g.text
	}
	return counted(g.before, "call") + " before, " + g.text
}

// frames is where to look first on each side.
func (g *changeGroup) frames() string {
	var parts []string
	if f := g.first.BeforeFrame; f != nil {
		parts = append(parts, "before "+fmt.Sprint(*f))
	}
	if f := g.first.AfterFrame; f != nil {
		parts = append(parts, "after "+fmt.Sprint(*f))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (first: " + strings.Join(parts, ", ") + ")"
}

func (t *diffTable) total() {
	var parts []string
	for _, state := range states {
		if n := t.counts[state]; n > 0 {
			parts = append(parts, number(n)+" "+state)
		}
	}
	t.page.text(2, bold(plain(strings.Join(parts, ", ")+"; "+t.calls())))
}
