package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mcp401/rules"
)

// Bounds of the table: a capture names servers and routes, and may name any
// number of them.
const (
	groupsKept    = 1024 // (verdict, server) pairs with an example of their own; the rest are counted together
	serversShown  = 8    // lines of servers below one verdict
	examplesShown = 3    // causes with an example and a fix below one server
	notesShown    = 8    // lines of what was lost or damaged
)

// others is the name of the servers that are counted together.
const others = "others"

// A tableWriter prints the answer first and its evidence below: verdict,
// servers, causes with counts, an example with its frames, the fix. It keeps
// one example of each (verdict, server, cause) and prints when all is known.
type tableWriter struct {
	w        io.Writer
	opt      Options
	page     page
	verdicts []*verdict
	kept     int
	last     *Case // the case that a Finding belongs to
	notes    []Note
	run      Run
	summary  *Summary
}

// A verdict is all findings of one rule.
type verdict struct {
	id, severity string
	count        int
	servers      []*server
	byName       map[string]*server
}

// A server is what one verdict says of one upstream, or of one route where no
// upstream is at fault.
type server struct {
	name   string
	count  int
	causes []*reason
}

// A reason is a cause or a failure at one server, with its first case: the
// first that is sure, if there is one.
type reason struct {
	id      string
	count   int
	unsure  int // of these, joined by no more than likelihood
	sure    bool
	example Case
	attempt *Attempt
	fix     string
}

func newTable(w io.Writer, opt Options) Writer {
	if opt.Width <= 0 || opt.Width > 100 {
		opt.Width = 100
	}
	if opt.Zone == nil {
		opt.Zone = time.UTC
	}
	t := &tableWriter{w: w, opt: opt}
	t.page = page{width: max(opt.Width, 40), color: opt.Color}
	return t
}

func (t *tableWriter) Write(o Object) error {
	switch {
	case o.Run != nil:
		t.run = *o.Run
	case o.Case != nil:
		t.last = o.Case
	case o.Finding != nil:
		t.finding(o.Finding)
	case o.Note != nil:
		t.notes = append(t.notes, *o.Note)
	case o.Summary != nil:
		t.summary = o.Summary
	}
	return nil
}

// finding counts f below its verdict, once for each server at fault.
func (t *tableWriter) finding(f *Finding) {
	if t.last == nil || t.last.Frame != f.CaseFrame {
		return // a report put together by hand: nothing to show as an example
	}
	i := slices.IndexFunc(t.verdicts, func(v *verdict) bool { return v.id == f.Rule })
	if i < 0 {
		i = len(t.verdicts)
		t.verdicts = append(t.verdicts, &verdict{id: f.Rule, severity: f.Severity, byName: map[string]*server{}})
	}
	v := t.verdicts[i]
	v.count++
	if len(f.Servers) == 0 {
		t.server(v, t.last.HTTPMethod+" "+t.last.Path).add(t.last, nil, f)
	}
	for _, name := range f.Servers {
		t.server(v, name).add(t.last, attemptAt(t.last, name), f)
		f = withoutFix(f)
	}
}

// withoutFix is what is said of the second and later servers at fault: the fix
// of a finding is that of the first.
func withoutFix(f *Finding) *Finding {
	g := *f
	g.Fix = ""
	return &g
}

func (t *tableWriter) server(v *verdict, name string) *server {
	if s := v.byName[name]; s != nil {
		return s
	}
	if t.kept++; t.kept > groupsKept && name != others {
		return t.server(v, others)
	}
	s := &server{name: name}
	v.byName[name] = s
	v.servers = append(v.servers, s)
	return s
}

// add counts a case at the server. A cause of the attempt goes before the one
// of the finding: of several servers at fault each has its own.
func (s *server) add(c *Case, a *Attempt, f *Finding) {
	s.count++
	id := cmp.Or(f.Cause, f.Failure)
	if a != nil {
		id = cmp.Or(a.Cause, id)
		if len(f.Servers) > 1 && a.Cause == "" {
			id = a.Outcome
		}
	}
	i := slices.IndexFunc(s.causes, func(r *reason) bool { return r.id == id })
	if i < 0 {
		i = len(s.causes)
		s.causes = append(s.causes, &reason{id: id})
	}
	s.causes[i].add(c, a, f)
}

func (r *reason) add(c *Case, a *Attempt, f *Finding) {
	r.count++
	sure := f.Confidence != "likely" && f.Confidence != "suspected"
	if !sure {
		r.unsure++
	}
	if r.count > 1 && (r.sure || !sure) && (r.fix != "" || f.Fix == "") {
		return
	}
	r.sure, r.example, r.fix = sure, *c, f.Fix
	if a != nil {
		copied := *a
		r.attempt = &copied
	}
}

// attemptAt returns the attempt of a case at the server of that name or URL:
// the last one that went wrong, or else the last.
func attemptAt(c *Case, name string) *Attempt {
	var found *Attempt
	for i := range c.Upstream {
		a := &c.Upstream[i]
		if a.Server != name && (a.Server != "" || a.URL != name && a.Address != name) {
			continue
		}
		if found == nil || a.Outcome != "ok" {
			found = a
		}
	}
	return found
}

func (t *tableWriter) Close() error {
	if t.summary == nil {
		t.summary = &Summary{}
	}
	if t.summary.Cases == 0 {
		t.nothing()
	} else {
		t.healthy()
		t.sort()
		for _, v := range t.verdicts {
			t.verdict(v)
		}
	}
	t.damage()
	if t.summary.Cases > 0 {
		t.total()
	}
	_, err := t.w.Write(t.page.buf)
	return err
}

// sort puts the worst verdicts first, and of equals the first in precedence.
func (t *tableWriter) sort() {
	slices.SortStableFunc(t.verdicts, func(a, b *verdict) int {
		return cmp.Or(
			cmp.Compare(rules.Severity(b.severity).Rank(), rules.Severity(a.severity).Rank()),
			cmp.Compare(t.place(a.id), t.place(b.id)))
	})
	for _, v := range t.verdicts {
		slices.SortStableFunc(v.servers, func(a, b *server) int { return cmp.Compare(b.count, a.count) })
		for _, s := range v.servers {
			slices.SortStableFunc(s.causes, func(a, b *reason) int { return cmp.Compare(b.count, a.count) })
		}
	}
}

// place is where a verdict stands among the rules; an unknown one is last.
func (t *tableWriter) place(id string) int {
	if i := slices.IndexFunc(t.opt.Rules, func(r rules.Rule) bool { return r.ID == id }); i >= 0 {
		return i
	}
	return len(t.opt.Rules)
}

func (t *tableWriter) title(id string) string {
	if i := t.place(id); i < len(t.opt.Rules) {
		return t.opt.Rules[i].Title
	}
	return ""
}

// healthy is the answer when there is nothing to complain of.
func (t *tableWriter) healthy() {
	for _, v := range t.verdicts {
		if rules.Severity(v.severity).Rank() >= rules.Warning.Rank() {
			return
		}
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

func answered(status, tools *int) string {
	switch {
	case status == nil:
		return "no answer"
	case tools == nil:
		return fmt.Sprint(*status)
	}
	return fmt.Sprintf("%d, tools: %d", *status, *tools)
}

// damage tells what was lost, unknown or beyond a bound.
func (t *tableWriter) damage() {
	for i, n := range t.notes {
		if i == notesShown {
			t.page.text(0, plain(fmt.Sprintf("and %d more kinds of notes: see --format json", len(t.notes)-i)))
			break
		}
		line := pad(clean(n.Code), column) + number(n.Count) + "x  " + clean(n.Text)
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
	line := counted(t.summary.Cases, "call") + ": " + strings.Join(ids, ", ") + "; " + t.seen() + "; " + t.lost()
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

func (t *tableWriter) hint() string {
	s := t.summary
	switch {
	case s.Records == 0:
		return "the capture is empty: check the capture filter and the interface"
	case s.Lost.UndecryptedFlows > 0:
		return "give the TLS keys with --keylog FILE, or capture where the traffic is in clear"
	case s.Flows == 0 && s.Exchanges == 0:
		return "there is no TCP in it: check the capture filter and the interface"
	case s.Exchanges == 0:
		return "there is no HTTP in it: capture the ports of the gateway and of its MCP servers"
	}
	return "no tools list, tool call or model call with MCP tools is among them: capture the gateway's own port while a client lists tools"
}

// unit is what the records of this run are called.
func (t *tableWriter) unit(n int) string {
	word := "frame"
	hars := 0
	for _, in := range t.run.Inputs {
		if strings.HasPrefix(in.Kind, "har") {
			hars++
		}
	}
	if hars > 0 && hars == len(t.run.Inputs) {
		word = "entry"
	}
	return plural(n, word)
}

func (t *tableWriter) seen() string {
	if t.unit(1) == "entry" {
		return number(t.summary.Records) + " HAR " + t.unit(t.summary.Records)
	}
	return counted(t.summary.Records, "packet") + ", " + counted(t.summary.Flows, "connection")
}

const nothingLost = "nothing lost"

func (t *tableWriter) lost() string {
	l := t.summary.Lost
	var parts []string
	if l.CaptureDrops > 0 {
		parts = append(parts, counted(int(min(l.CaptureDrops, 1<<62)), "packet")+" dropped while capturing")
	}
	if l.Gaps > 0 {
		part := counted(l.Gaps, "gap")
		if l.Bytes > 0 {
			part += fmt.Sprintf(" (%s)", counted(int(l.Bytes), "byte"))
		}
		parts = append(parts, part)
	}
	if l.UndecryptedFlows > 0 && t.summary.Cases > 0 {
		parts = append(parts, counted(l.UndecryptedFlows, "TLS connection")+" without keys")
	}
	if l.Limits > 0 {
		parts = append(parts, counted(l.Limits, "limit")+" reached")
	}
	if len(parts) == 0 {
		return nothingLost
	}
	return "lost: " + strings.Join(parts, ", ")
}
