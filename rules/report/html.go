package report

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"mcp401/rules"
)

// Bounds of a page: a capture may hold any number of calls, and a page that a
// browser cannot open proves nothing. What is left out is said on the page.
const (
	badShown      = 400 // calls with a finding
	goodShown     = 400 // calls without
	causesShown   = 40  // causes, each with an example and its diagram
	serversOnPage = 200
	notesOnPage   = 40
	textLength    = 400 // characters of any text from the capture
	labelLength   = 46  // of a label in a diagram
	shortLength   = 17  // of the same on a narrow screen
	addressLength = 24  // of an address above a lane
)

//go:embed html.tmpl
var pageText string

//go:embed html.css
var pageStyle string

// Style is the style sheet of the HTML report, for a page that is to look like
// it.
func Style() string { return pageStyle }

// An htmlWriter writes one page that needs nothing else: no script, no request,
// and a policy that forbids both. All text of a capture goes through
// html/template, which escapes it for where it stands.
type htmlWriter struct {
	sheet
	w    io.Writer
	bad  []judged
	good []judged
}

// A sheet is a digest with what stands on a page above the calls: the servers
// and the time line.
type sheet struct {
	digest
	waiting bool // the last case may get a finding
	calls   int
	wrong   int
	unsure  int // of these, suspected only
	line    timeline
	table   []*upstreamRow
	byName  map[string]*upstreamRow
}

func newSheet(opt Options) sheet {
	return sheet{digest: newDigest(opt), byName: map[string]*upstreamRow{}}
}

// A judged case, with its finding if it has one.
type judged struct {
	c *Case
	f *Finding
}

// serversKey says what stands in the columns of the table of servers.
const serversKey = "hidden: a refusal that the client was not told of. other: another failure, a filter, no answer, or a reason that the capture cannot show."

// An upstreamRow is one line of the table of servers.
type upstreamRow struct {
	Name                        string
	Calls, Fine, Hidden, Failed int
	Cause                       string
}

func newHTML(w io.Writer, opt Options) Writer {
	return &htmlWriter{sheet: newSheet(opt), w: w}
}

func (h *htmlWriter) Write(o Object) error {
	h.keep(h.next(o))
	return nil
}

// keep keeps a case for the list of calls, if there is one and room for it.
func (h *htmlWriter) keep(x judged) {
	switch {
	case x.c == nil:
	case x.f != nil && len(h.bad) < badShown:
		h.bad = append(h.bad, x)
	case x.f == nil && len(h.good) < goodShown:
		h.good = append(h.good, x)
	}
}

// next takes the next object in and returns the case that is complete with it;
// none: its case is nil.
func (s *sheet) next(o Object) (x judged) {
	switch {
	case o.Case != nil:
		x = s.count(nil)
		s.waiting = true
	case o.Finding != nil:
		if s.waiting && o.Finding.CaseFrame == s.last.Frame {
			x = s.count(o.Finding)
		}
	}
	s.take(o)
	return x
}

// count counts the case that waits, with its finding if it has one.
func (s *sheet) count(f *Finding) judged {
	if !s.waiting {
		return judged{}
	}
	s.waiting = false
	c := s.last
	s.calls++
	wrong := f != nil && rules.Severity(f.Severity).Rank() >= rules.Warning.Rank()
	if wrong {
		s.wrong++
		if f.Confidence == "suspected" {
			s.unsure++
		}
	}
	s.line.add(c.Time, wrong)
	s.servers(c, f)
	return judged{c, f}
}

// end counts the last case in, which gets no finding any more, and sorts.
func (s *sheet) end() judged {
	x := s.count(nil)
	s.sort()
	slices.SortStableFunc(s.table, func(a, b *upstreamRow) int { return cmp.Compare(b.Hidden, a.Hidden) })
	return x
}

// servers counts a call at every upstream in its scope.
func (s *sheet) servers(c *Case, f *Finding) {
	if f == nil {
		f = &Finding{}
	}
	names := slices.Concat(f.Servers, c.Servers)
	for i := range c.Upstream {
		names = append(names, name(&c.Upstream[i]))
	}
	for i, server := range names {
		if server == "" || slices.Contains(names[:i], server) {
			continue
		}
		row := s.row(server)
		row.Calls++
		switch {
		case !slices.Contains(f.Servers, server) && (f.Severity == "" || len(f.Servers) > 0):
			row.Fine++
		case rules.Severity(f.Severity) == rules.Error:
			row.Hidden++
		default:
			row.Failed++
		}
		if slices.Contains(f.Servers, server) {
			why := cmp.Or(f.Cause, f.Failure)
			if a := attemptAt(c, server); a != nil {
				why = cmp.Or(a.Cause, why)
			}
			row.Cause = cmp.Or(clip(why, 60), row.Cause)
		}
	}
}

func (s *sheet) row(server string) *upstreamRow {
	row := s.byName[server]
	if row == nil && len(s.table) >= serversOnPage && server != others {
		return s.row(others)
	}
	if row == nil {
		row = &upstreamRow{Name: clip(server, 120)}
		s.byName[server] = row
		s.table = append(s.table, row)
	}
	return row
}

func (h *htmlWriter) Close() error {
	h.keep(h.end())
	sum := sha256.Sum256([]byte(pageStyle))
	text := strings.NewReplacer("STYLE-HASH", base64.StdEncoding.EncodeToString(sum[:]), "STYLE", pageStyle).Replace(pageText)
	t, err := template.New("page").Parse(text)
	if err != nil {
		panic("internal error: the page does not parse: " + err.Error())
	}
	var b bytes.Buffer
	if err := t.Execute(&b, h.page()); err != nil {
		panic("internal error: the page does not render: " + err.Error())
	}
	_, err = h.w.Write(b.Bytes())
	return err
}

// The page as its template sees it: all text made visible, nothing escaped yet.
type (
	pageView struct {
		Version, Title, Detail, Certainty string
		Nothing                           bool // nothing is wrong, or nothing was seen
		Inputs, Seen, Lost                string
		Causes                            []causeView
		CausesLeft                        int
		Servers                           []*upstreamRow
		ServersKey                        string
		Line                              *lineView
		Calls                             []callView
		CallsLeft, Total, Wrong           int
		Totals                            []totalView
		Notes                             []noteView
		NotesLeft                         int
		Words                             []wordView
		Known                             map[string]bool // the words that are explained
		Unit                              string
	}
	causeView struct {
		ID, Verdict, Severity, Server, Meaning, Certainty, Text string
		Count, Unsure                                           int
		Fix                                                     []part
		Verify                                                  string
		Example                                                 exampleView
	}
	exampleView struct {
		Frame        int
		Listed, Open bool
		Diagram      diagramView
		Steps        []string
		Wireshark    string
		Left         int
	}
	callView struct {
		Frame                          int
		Clock, Absolute, Route, Answer string
		Verdict, Severity, Cause, Text string
		Client, Gateway                string
		Steps, Facts                   []string
		Wireshark                      string
	}
	totalView struct {
		Count       int
		ID, Meaning string
	}
	noteView struct {
		Code, Text string
		Count      int
		Frame      int
	}
	wordView struct{ ID, Meaning string }
)

func (h *htmlWriter) page() *pageView {
	a := h.headline()
	v := &pageView{
		Version: clip(h.run.Version, 40), Title: a.title + ".", Detail: a.detail, Certainty: a.certainty, Nothing: a.certainty == "",
		Inputs: inputNames(h.run.Inputs), Seen: h.seen(), Lost: h.lostOf(true),
		Servers: h.table, ServersKey: serversKey, Line: h.lineView(), Total: h.calls, Wrong: h.wrong, Unit: h.unit(1),
		CallsLeft: h.calls - len(h.bad) - len(h.good),
	}
	v.Causes, v.CausesLeft = h.causes()
	v.Calls = h.list()
	for _, id := range h.ids() {
		v.Totals = append(v.Totals, totalView{h.summary.ByVerdict[id], clip(id, 60), h.meaning(id)})
	}
	for _, n := range h.notes[:min(len(h.notes), notesOnPage)] {
		v.Notes = append(v.Notes, noteView{clip(n.Code, 80), clip(n.Text, textLength), n.Count, n.Frame})
	}
	v.NotesLeft = len(h.notes) - len(v.Notes)
	v.Words, v.Known = h.words(v), map[string]bool{}
	for _, w := range v.Words {
		v.Known[w.ID] = true
	}
	return v
}

// inputNames is the names of the files without their folders, which are
// nobody's business where a report travels to.
func inputNames(inputs []Input) string {
	var list []string
	for _, in := range inputs[:min(len(inputs), 20)] {
		name := path.Base(in.Name)
		if in.Name == "-" {
			name = "standard input"
		}
		list = append(list, clip(name, 120))
	}
	if n := len(inputs) - len(list); n > 0 {
		list = append(list, counted(n, "file")+" more")
	}
	return strings.Join(list, ", ")
}

// causes is the findings above notes, which stand among the calls.
func (h *htmlWriter) causes() (list []causeView, left int) {
	left = h.reasons(func(v *verdict, s *server, r *reason) {
		list = append(list, h.cause(v, s, r, len(list) == 0))
	})
	return list, left
}

// reasons calls f with the findings by upstream and cause, the worst first, and
// returns how many are left out. The digest is sorted.
func (d *digest) reasons(f func(*verdict, *server, *reason)) (left int) {
	n := 0
	for _, v := range d.verdicts {
		if rules.Severity(v.severity).Rank() < rules.Warning.Rank() {
			continue
		}
		for _, s := range v.servers {
			for _, r := range s.causes {
				if n++; n <= causesShown {
					f(v, s, r)
				}
			}
		}
	}
	return max(n-causesShown, 0)
}

func (h *htmlWriter) cause(v *verdict, s *server, r *reason, open bool) causeView {
	all, left := steps(&r.example, &r.finding)
	ex := exampleView{
		Frame: r.example.Frame, Diagram: drawn(&r.example, all), Left: left, Open: open,
		Listed: slices.ContainsFunc(h.bad, func(c judged) bool { return c.c.Frame == r.example.Frame }),
	}
	for _, s := range all {
		ex.Steps = append(ex.Steps, clip(s.sentence(h.unit(1)), textLength))
	}
	if h.unit(1) == "frame" {
		ex.Wireshark = wireshark(all)
	}
	text := clip(r.finding.Text, textLength)
	return causeView{
		ID: clip(r.id, 60), Verdict: clip(v.id, 60), Severity: clip(v.severity, 20), Server: clip(s.name, 120), Meaning: cmp.Or(h.why(r.id), h.meaning(v.id)), Text: text,
		Certainty: certainty(r.finding.Confidence), Count: r.count, Unsure: r.unsure, Example: ex,
		Fix: parts(clip(r.fix, 2*textLength)), Verify: clip(verifyOf(r), 4*textLength),
	}
}

// verifyOf is how the fix of a reason is verified: where the fix is not its
// own, neither is this.
func verifyOf(r *reason) string {
	if r.fix == "" {
		return ""
	}
	return r.finding.Verify
}

// ids is the verdicts of the summary, the most frequent first.
func (d *digest) ids() []string {
	ids := make([]string, 0, len(d.summary.ByVerdict))
	for id := range d.summary.ByVerdict {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(d.summary.ByVerdict[b], d.summary.ByVerdict[a]), cmp.Compare(d.place(a), d.place(b)), cmp.Compare(a, b))
	})
	return ids
}

// list is the calls that are shown, in the order of their frames.
func (h *htmlWriter) list() []callView {
	all := slices.Concat(h.bad, h.good)
	slices.SortStableFunc(all, func(a, b judged) int { return cmp.Compare(a.c.Frame, b.c.Frame) })
	views := make([]callView, 0, len(all))
	for _, x := range all {
		views = append(views, h.call(x))
	}
	return views
}

func (h *htmlWriter) call(x judged) callView {
	c, f := x.c, x.f
	if f == nil {
		f = &Finding{}
	}
	v := callView{
		Frame: c.Frame, Route: clip(strings.TrimSpace(c.HTTPMethod+" "+c.Path), textLength), Answer: answered(c.Status, c.Tools),
		Verdict: clip(c.Verdict, 60), Severity: clip(c.Severity, 20), Cause: clip(cmp.Or(c.Cause, c.Failure), 60), Text: clip(f.Text, textLength),
		Client: clip(c.Client, 80), Gateway: clip(c.Gateway, 80),
	}
	if !c.Time.IsZero() {
		v.Clock = c.Time.In(h.opt.Zone).Format("15:04:05.000")
		v.Absolute = c.Time.In(h.opt.Zone).Format(time.RFC3339Nano)
	}
	all, left := steps(c, f)
	for _, s := range all {
		v.Steps = append(v.Steps, clip(s.sentence(h.unit(1)), textLength))
	}
	if left > 0 {
		v.Steps = append(v.Steps, counted(left, "upstream attempt")+" more: see --format json")
	}
	if h.unit(1) == "frame" {
		v.Wireshark = wireshark(all)
	}
	for i := range c.Upstream[:min(len(c.Upstream), stepsShown)] {
		a := &c.Upstream[i]
		fact := name(a) + " at " + a.Address
		if a.Credential != nil {
			fact += " was sent " + *a.Credential
		}
		if why := joins[a.Confidence]; why != "" {
			fact += "; belongs to this call: " + why
		}
		v.Facts = append(v.Facts, clip(fact, textLength))
	}
	return v
}

// words is the verdicts and causes on the page and what they mean.
func (h *htmlWriter) words(v *pageView) []wordView {
	var ids []string
	for _, t := range v.Totals {
		ids = append(ids, t.ID)
	}
	for _, c := range v.Causes {
		ids = append(ids, c.Verdict, c.ID)
	}
	for _, c := range v.Calls {
		ids = append(ids, c.Verdict, c.Cause)
	}
	var list []wordView
	seen := map[string]bool{}
	for _, id := range ids {
		if meaning := h.meaning(id); meaning != "" && !seen[id] {
			list = append(list, wordView{id, meaning})
		}
		seen[id] = true
	}
	return list
}

// A lineView is the time line as an SVG whose x are per cent and whose y are
// pixels: it fits any width without scaling its text.
type lineView struct {
	First, Last, Says, Key string
	Marks                  []markView
}

type markView struct {
	X, Width string
	Y, H     int
	Bad      bool
}

const lineHeight = 60

func (h *htmlWriter) lineView() *lineView {
	bins, most := h.line.columns()
	if most == 0 {
		return nil
	}
	v := &lineView{
		First: h.line.first.In(h.opt.Zone).Format("15:04:05.000"), Last: h.line.last.In(h.opt.Zone).Format("15:04:05.000"),
		Says: h.lineSays(), Key: h.lineKey(),
	}
	unit := max(1, min(10, lineHeight/most)) // height of one call, while there are few
	for i, b := range bins {
		x, width := fmt.Sprintf("%.2f%%", 100*float64(i)/float64(len(bins))), fmt.Sprintf("%.2f%%", 86/float64(len(bins)))
		bad, all := b.bad*unit, b.all*unit
		if most > lineHeight {
			bad, all = (b.bad*lineHeight+most-1)/most, (b.all*lineHeight+most-1)/most
		}
		if bad > 0 {
			v.Marks = append(v.Marks, markView{x, width, lineHeight + 1 - bad, bad, true})
		}
		if all > bad {
			v.Marks = append(v.Marks, markView{x, width, lineHeight + 1 - all, all - bad, false})
		}
	}
	return v
}

func (s *sheet) lineSays() string {
	return fmt.Sprintf("%s by time, %s of them with a failure that was %s", counted(s.calls, "call"), number(s.wrong), s.filled())
}

// lineKey says what the marks of the time line stand for.
func (s *sheet) lineKey() string {
	return "filled: " + s.filled() + " failures, hollow: other calls"
}

// filled is what the failures of the filled marks were.
func (s *sheet) filled() string {
	switch s.unsure {
	case 0:
		return "hidden"
	case s.wrong:
		return "suspected"
	}
	return "hidden or suspected"
}

// A diagramView is the two hops of a call as an SVG, drawn like the time line:
// three lanes, a row for each message.
type diagramView struct {
	Height, Bottom int
	Says           string
	Lanes          []laneView
	Rows           []rowView
}

type laneView struct{ X, Name, Short, At string }

// A rowView is one message of a diagram.
type rowView struct {
	X1, X2, Middle     string // per cent
	Text, Line, Below  int    // pixels
	Label, Short, Meta string
	Bad, Hidden, Lost  bool
	Head               bool // the head of an answer only
	Left               bool // points to the left
}

// Lanes of a diagram, in per cent, and its heights, in pixels.
var laneX = [...]string{client: "12%", gateway: "50%", upstream: "88%"}

const (
	rowsTop   = 46
	rowHeight = 46
)

func drawn(c *Case, list []step) diagramView {
	one, at := only(list), ""
	if a := attemptAt(c, one); one != "" && a != nil {
		at = clip(a.Address, addressLength)
	}
	lane := func(i int, name, at string) laneView {
		return laneView{laneX[i], clip(name, addressLength), clip(name, shortLength-5), clip(at, addressLength)}
	}
	v := diagramView{
		Height: rowsTop + rowHeight*len(list) + 12, Bottom: rowsTop + rowHeight*len(list) + 4,
		Says:  "sequence of messages between client, gateway and upstream; the list below says the same in words",
		Lanes: []laneView{lane(client, "client", c.Client), lane(gateway, "gateway", c.Gateway), lane(upstream, cmp.Or(one, "upstream"), at)},
	}
	for i, s := range list {
		v.Rows = append(v.Rows, drawnRow(s, i, c.Time, one == ""))
	}
	return v
}

// only is the upstream of all steps, "" where they are several.
func only(list []step) string {
	one := ""
	for _, s := range list {
		if s.server != "" && one != "" && s.server != one {
			return ""
		}
		one = cmp.Or(s.server, one)
	}
	return one
}

func drawnRow(s step, i int, from Time, named bool) rowView {
	y := rowsTop + rowHeight*i
	label := s.text
	if named && s.server != "" {
		label = s.server + ": " + label
	}
	r := rowView{
		X1: laneX[s.from], X2: laneX[s.to], Text: y + 14, Line: y + 21, Below: y + 35, Label: clip(label, labelLength), Short: clip(label, shortLength),
		Bad: s.bad, Hidden: s.bad && s.from == upstream, Lost: s.frame == 0, Head: s.head, Left: s.to < s.from,
	}
	r.Middle = "31%"
	if s.from == upstream || s.to == upstream {
		r.Middle = "70%" // clear of the sign at the gateway
	}
	if s.frame > 0 {
		r.Meta = fmt.Sprintf("#%d", s.frame)
		if at := elapsed(from, s.time); at != "" && i > 0 {
			r.Meta += " " + at
		}
	}
	return r
}
