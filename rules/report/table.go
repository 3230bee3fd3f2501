package report

import (
	"bytes"
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
	serversShown  = 12   // lines of servers below one verdict
	examplesShown = 3    // causes with an example and a fix below one server
	notesShown    = 8    // lines of what was lost or damaged
)

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
}

// A server is what one verdict says of one upstream, or of one route where no
// upstream is at fault.
type server struct {
	name   string
	count  int
	causes []*reason
}

// A reason is a cause or a failure at one server, with the first case of it.
type reason struct {
	id, confidence string
	count          int
	example        Case
	attempt        *Attempt
	fix            string
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
		t.verdicts = append(t.verdicts, &verdict{id: f.Rule, severity: f.Severity})
	}
	v := t.verdicts[i]
	v.count++
	if len(f.Servers) == 0 {
		t.server(v, t.last.HTTPMethod+" "+t.last.Path).add(t.last, nil, f)
	}
	for _, name := range f.Servers {
		t.server(v, name).add(t.last, attemptAt(t.last, name), f)
	}
}

func (t *tableWriter) server(v *verdict, name string) *server {
	if t.kept >= groupsKept {
		name = "others"
	}
	i := slices.IndexFunc(v.servers, func(s *server) bool { return s.name == name })
	if i < 0 {
		i = len(v.servers)
		v.servers = append(v.servers, &server{name: name})
		t.kept++
	}
	return v.servers[i]
}

// add counts a case at the server. A cause of the attempt goes before the one
// of the finding: of several servers at fault each has its own.
func (s *server) add(c *Case, a *Attempt, f *Finding) {
	s.count++
	id, confidence := cmp.Or(f.Cause, f.Failure), f.Confidence
	if a != nil {
		id = cmp.Or(a.Cause, id)
		if len(f.Servers) > 1 && a.Cause == "" {
			id = a.Outcome
		}
	}
	i := slices.IndexFunc(s.causes, func(r *reason) bool { return r.id == id && r.confidence == confidence })
	if i < 0 {
		i = len(s.causes)
		r := &reason{id: id, confidence: confidence, example: *c, fix: f.Fix}
		if a != nil {
			copied := *a
			r.attempt = &copied
		}
		s.causes = append(s.causes, r)
	}
	s.causes[i].count++
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
	_, err := t.w.Write(t.page.buf.Bytes())
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
	t.page.row(column, []span{
		{pad(clean(v.id), column), colors[v.severity] + sgrBold},
		bold(plain(number(v.count) + "x  ")),
		plain(clean(t.title(v.id))),
	}, span{clean(v.severity), colors[v.severity]})
	for i, s := range v.servers {
		if i == serversShown {
			t.page.text(2, plain(fmt.Sprintf("and %d more servers: see --format json", len(v.servers)-i)))
			break
		}
		t.server1(v, s)
	}
}

func (t *tableWriter) server1(v *verdict, s *server) {
	name := "  " + clean(s.name)
	if width(name) > column-2 {
		t.page.text(2, plain(name[2:]))
		name = ""
	}
	head := pad(name, column) + number(s.count) + "x"
	if why := causes(s); why != "" {
		head += "  " + why
	}
	t.page.text(column, plain(head))
	for i, r := range s.causes {
		if i == examplesShown {
			t.page.text(column, plain("more: mcp401 explain "+v.id))
			break
		}
		t.reason(s, r)
	}
}

// causes lists them with their counts, and how sure the join is where it is
// less than linked.
func causes(s *server) string {
	var parts []string
	for _, r := range s.causes {
		part := clean(r.id)
		if r.confidence == "likely" || r.confidence == "suspected" {
			part = strings.TrimSpace(part + " (" + r.confidence + ")")
		}
		if part == "" {
			continue
		}
		if len(s.causes) > 1 {
			part += fmt.Sprintf(" %d", r.count)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

func (t *tableWriter) reason(s *server, r *reason) {
	c := &r.example
	asked := fmt.Sprintf("e.g. %s %d %s %s -> %s", t.unit(1), c.Frame, clean(c.HTTPMethod), clean(c.Path), answered(c.Status, c.Tools))
	from := ""
	if c.Client != "" {
		from = "from " + c.Client
	}
	if !c.Time.IsZero() {
		from = strings.TrimSpace(from + " at " + c.Time.In(t.opt.Zone).Format("15:04:05.000"))
	}
	t.page.row(column+5, []span{plain(strings.Repeat(" ", column) + asked)}, span{from, sgrDim})
	if a := r.attempt; a != nil {
		t.page.text(column+5, plain(strings.Repeat(" ", column+5)+t.upstream(a)))
	}
	if r.fix == "" {
		return
	}
	head := "fix: "
	if len(s.causes) > 1 && r.id != "" {
		head = "fix for " + clean(r.id) + ": "
	}
	t.page.text(column+5, span{strings.Repeat(" ", column), ""}, span{head, sgrGreen}, plain(clean(r.fix)))
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

// A page is text that is wrapped to a width, with or without colours.
type page struct {
	buf   bytes.Buffer
	width int
	color bool
}

// A span is text in one style.
type span struct{ text, style string }

// Styles (ECMA-48 SGR parameters); colour is never the only sign of anything.
const (
	sgrBold  = "1"
	sgrDim   = "2"
	sgrGreen = "32"
)

var colors = map[string]string{string(rules.Error): "31;", string(rules.Warning): "33;", string(rules.Note): "36;"}

func plain(s string) span { return span{s, ""} }
func bold(s span) span    { return span{s.text, sgrBold} }

// row writes spans and puts the last one at the right edge, or on a line of
// its own below when it does not fit.
func (p *page) row(indent int, spans []span, right span) {
	n := 0
	for _, s := range spans {
		n += width(s.text)
	}
	if right.text == "" {
		p.text(indent, spans...)
		return
	}
	if room := p.width - n - width(right.text); room >= 2 {
		p.text(indent, append(spans, plain(strings.Repeat(" ", room)), right)...)
		return
	}
	p.text(indent, append(spans, plain(" "), right)...)
}

// text writes spans as one paragraph; its lines after the first are indented.
func (p *page) text(indent int, spans ...span) {
	at := 0
	for _, s := range spans {
		p.span(s, indent, &at)
	}
	p.buf.WriteByte('\n')
}

// span writes the words of s, beginning at the column *at.
func (p *page) span(s span, indent int, at *int) {
	if s.text == "" {
		return
	}
	p.style(s.style)
	for _, word := range words(s.text) {
		n := width(word)
		if *at+n > p.width && *at > indent && strings.TrimSpace(word) != "" {
			p.newline(s.style, indent, at)
			word = strings.TrimLeft(word, " ")
		}
		for width(word) > p.width-*at && p.width > *at && strings.TrimSpace(word) != "" {
			// A word longer than a line is broken where the line ends.
			head := prefix(word, p.width-*at)
			p.buf.WriteString(head)
			word = word[len(head):]
			p.newline(s.style, indent, at)
		}
		p.buf.WriteString(word)
		*at += width(word)
	}
	p.unstyle(s.style)
}

func (p *page) newline(style string, indent int, at *int) {
	p.unstyle(style)
	p.buf.Truncate(len(bytes.TrimRight(p.buf.Bytes(), " ")))
	p.buf.WriteString("\n" + strings.Repeat(" ", indent))
	p.style(style)
	*at = indent
}

func (p *page) style(s string) {
	if p.color && s != "" {
		p.buf.WriteString("\x1b[" + strings.TrimSuffix(s, ";") + "m")
	}
}

func (p *page) unstyle(s string) {
	if p.color && s != "" {
		p.buf.WriteString("\x1b[0m")
	}
}
