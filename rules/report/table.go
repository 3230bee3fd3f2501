package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"mcp401/rules"
)

// Bounds of the table: a capture names servers and routes, and may name any
// number of them.
const (
	serversShown  = 8 // lines of servers below one verdict
	examplesShown = 3 // causes with an example and a fix below one server
	notesShown    = 8 // lines of what was lost or damaged
)

// A tableWriter prints the answer first and its evidence below: verdict,
// servers, causes with counts, an example with its frames, the fix.
type tableWriter struct {
	digest
	w    io.Writer
	page page
}

func newTable(w io.Writer, opt Options) Writer {
	if opt.Width <= 0 || opt.Width > 100 {
		opt.Width = 100
	}
	t := &tableWriter{w: w, digest: newDigest(opt)}
	t.page = page{width: max(opt.Width, 40), color: opt.Color}
	return t
}

func (t *tableWriter) Write(o Object) error {
	t.take(o)
	return nil
}

func (t *tableWriter) Close() error {
	switch {
	case t.summary.Cases == 0 && t.summary.LeftOut > 0:
		t.page.text(0, bold(plain("no call fits")))
	case t.summary.Cases == 0:
		t.nothing()
	default:
		t.healthy()
		t.sort()
		for _, v := range t.verdicts {
			t.verdict(v)
		}
	}
	t.damage()
	if t.summary.Cases+t.summary.LeftOut > 0 {
		t.total()
	}
	_, err := t.w.Write(t.page.buf)
	return err
}

// healthy is the answer when there is nothing to complain of.
func (t *tableWriter) healthy() {
	for _, v := range t.verdicts {
		if rules.Severity(v.severity).Rank() >= rules.Warning.Rank() {
			return
		}
	}
	if t.summary.LeftOut > 0 {
		t.page.text(0, bold(plain("nothing wrong in these: "+t.narrowed())))
		return
	}
	t.page.text(0, bold(plain("nothing wrong: no failure of an upstream was hidden from a client")))
}

// column is where the text of a verdict begins: behind its longest name.
const column = 19

func (t *tableWriter) verdict(v *verdict) {
	t.page.headed(column, []span{
		{pad(clean(v.id), column), colors[v.severity]},
		bold(plain(number(v.count) + "x  ")),
		plain(clean(t.title(v.id))),
	}, span{clean(v.severity), colors[v.severity]})
	var shown reason
	for i, s := range v.servers {
		if i == serversShown {
			t.page.text(2, plain(fmt.Sprintf("  and %d more: see --format json", len(v.servers)-i)))
			break
		}
		t.at(s)
		for _, r := range s.causes[:min(len(s.causes), examplesShown)] {
			t.example(&shown, r)
			t.fix(s, r)
			shown = *r
		}
		if len(s.causes) > examplesShown {
			t.page.text(column, plain(strings.Repeat(" ", column)+"the others: mcp401 explain "+clean(s.causes[examplesShown].id)))
		}
	}
}

// at is the line of one server: how often, and why.
func (t *tableWriter) at(s *server) {
	line := pad("  "+clean(s.name), column) + number(s.count) + "x"
	if why := causes(s); why != "" {
		line += "  " + why
	}
	switch {
	case s.known == s.count:
		line += "  (known since the baseline)"
	case s.known > 0:
		line += "  (" + number(s.known) + " of them known since the baseline)"
	}
	t.page.text(column, plain(line))
}

// causes lists them with their counts, and of how many the join is less than
// sure.
func causes(s *server) string {
	var parts []string
	for _, r := range s.causes {
		part := clean(r.id)
		if len(s.causes) > 1 {
			part += " " + number(r.count)
		}
		switch {
		case r.unsure == 0 || r.attempt == nil: // nothing upstream is claimed
		case r.unsure == r.count:
			part += " (not certain)"
		default:
			part += " (" + number(r.unsure) + " not certain)"
		}
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

// example is a call and the upstream attempt that it is about. The call is not
// said again when it was said right before.
func (t *tableWriter) example(before, r *reason) {
	c := &r.example
	indent := strings.Repeat(" ", column)
	if before.count == 0 || before.example.Frame != c.Frame {
		asked := fmt.Sprintf("%se.g. %s %d %s %s -> %s", indent, t.unit(1), c.Frame, clean(c.HTTPMethod), clean(c.Path), answered(c.Status, c.Tools))
		from := ""
		if c.Client != "" {
			from = "from " + clean(c.Client)
		}
		if !c.Time.IsZero() {
			from = strings.TrimSpace(from + " at " + c.Time.In(t.opt.Zone).Format("15:04:05.000"))
		}
		t.page.tailed(column+5, plain(asked), span{from, sgrDim})
	}
	if a := r.attempt; a != nil {
		t.page.text(column+5, plain(indent+"     "+t.upstream(a)))
	}
}

func (t *tableWriter) fix(s *server, r *reason) {
	if r.fix == "" {
		return
	}
	head := "fix: "
	if len(s.causes) > 1 && r.id != "" {
		head = "fix for " + clean(r.id) + ": "
	}
	t.page.text(column+5, plain(strings.Repeat(" ", column)), span{head, sgrGreen}, plain(clean(r.fix)))
}

// upstream is one attempt: what was asked where, and what came back.
func (t *tableWriter) upstream(a *Attempt) string {
	what := ""
	if a.HTTPMethod != nil {
		what = *a.HTTPMethod + " "
	}
	line := fmt.Sprintf("%s %d %s%s -> ", t.unit(1), a.Frame, what, cmp.Or(a.URL, a.Address, a.Server))
	if a.Status == nil {
		line += a.Outcome
	} else {
		line += answered(a.Status, a.Tools)
	}
	if a.Challenge != nil && a.Challenge.Error != "" {
		line += " " + a.Challenge.Error
	}
	if a.AnswerFrame != nil {
		line += fmt.Sprintf(" (%s %d)", t.unit(1), *a.AnswerFrame)
	}
	return clean(line)
}

// damage tells what was lost, unknown or beyond a bound.
func (t *tableWriter) damage() {
	for i, n := range t.notes {
		if i == notesShown {
			t.page.text(0, plain(fmt.Sprintf("and %d more kinds of notes: see --format json", len(t.notes)-i)))
			break
		}
		line := pad(clean(n.Code), column) + number(n.Count) + "x  "
		if n.About != "" {
			line += clean(n.About) + ": "
		}
		line += clean(n.Text)
		if n.Frame > 0 {
			line += fmt.Sprintf(" (first at %s %d)", t.unit(1), n.Frame)
		}
		t.page.text(column, span{line, sgrDim})
	}
}

// total is the last line: how much there was and what came of it.
func (t *tableWriter) total() {
	ids := make([]string, 0, len(t.summary.ByVerdict))
	for id := range t.summary.ByVerdict {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(
			cmp.Compare(t.summary.ByVerdict[b], t.summary.ByVerdict[a]),
			cmp.Compare(t.place(a), t.place(b)),
			cmp.Compare(a, b))
	})
	for i, id := range ids {
		ids[i] = number(t.summary.ByVerdict[id]) + " " + clean(id)
	}
	line := counted(t.summary.Cases, "call")
	if len(ids) > 0 {
		line += ": " + strings.Join(ids, ", ")
	}
	line += "; "
	if t.summary.LeftOut > 0 {
		line += t.narrowed() + "; "
	}
	if t.summary.Known > 0 {
		line += counted(t.summary.Known, "finding") + " of " + number(t.summary.Findings) + " known since the baseline; "
	}
	line += t.seen() + "; " + t.lost()
	t.page.text(2, bold(plain(line)))
}

// nothing is the answer when there is no call at all: what was seen instead,
// and what to do about it.
func (t *tableWriter) nothing() {
	s := t.summary
	line := "no MCP traffic: " + t.seen() + ", " + counted(s.Exchanges, "HTTP exchange")
	if s.Lost.UndecryptedFlows > 0 {
		line += "; TLS without keys: " + counted(s.Lost.UndecryptedFlows, "connection")
	}
	if lost := t.lost(); lost != nothingLost && lost != "" {
		line += "; " + lost
	}
	t.page.text(2, bold(plain(line)))
	t.page.text(2, plain("hint: "+t.hint()))
}
