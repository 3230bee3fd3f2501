package report

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"time"

	"mcp401/rules/cause"
)

// NewView returns a writer of what the HTML report says above its list of
// calls, as JSON: for a page that draws itself and the calls, from the report's
// own JSON, and is to say the same in the same words. It has no Format: it says
// nothing that the report does not.
func NewView(w io.Writer, opt Options) Writer {
	return &viewWriter{sheet: newSheet(opt), w: w}
}

type viewWriter struct {
	sheet
	w io.Writer
}

// The view's JSON. Texts of a capture are made visible and cut, as on the page.
type (
	view struct {
		Version    string            `json:"version"`
		State      string            `json:"state"` // "hidden", "suspected", "clear", "blind" (one side only) or "unreadable"
		Title      string            `json:"title"`
		Detail     string            `json:"detail"`
		Certainty  string            `json:"certainty"` // "certain", "likely", "suspected"; "": nothing is claimed
		Inputs     string            `json:"inputs"`
		Seen       string            `json:"seen"`
		Lost       string            `json:"lost"`
		Damaged    bool              `json:"damaged"` // something was lost
		Unit       string            `json:"unit"`    // "frame" or "entry"
		Calls      int               `json:"calls"`
		Causes     []viewCause       `json:"causes"`
		CausesLeft int               `json:"causes_left"`
		Servers    []viewServer      `json:"servers"`
		ServersKey string            `json:"servers_key"` // what stands in the columns
		Line       *viewLine         `json:"line"`
		Groups     []viewGroup       `json:"groups"`
		Verdicts   []viewVerdict     `json:"verdicts"` // the most frequent first
		Notes      []Note            `json:"notes"`
		NotesLeft  int               `json:"notes_left"`
		Joins      map[string]string `json:"joins"` // why an attempt belongs to its call, by its confidence
		Words      map[string]word   `json:"words"` // verdicts and causes, by id
	}
	viewCause struct {
		Verdict   string `json:"verdict"`
		Severity  string `json:"severity"`
		Server    string `json:"server"`
		ID        string `json:"id"` // cause or failure; "": not known
		Meaning   string `json:"meaning"`
		Certainty string `json:"certainty"`
		Text      string `json:"text"`
		Count     int    `json:"count"`
		Unsure    int    `json:"unsure"`
		Fix       string `json:"fix"` // code in backticks
		Verify    string `json:"verify"`
		Frame     int    `json:"frame"` // of the example
	}
	viewServer struct {
		Name   string `json:"name"`
		Calls  int    `json:"calls"`
		Fine   int    `json:"fine"`
		Hidden int    `json:"hidden"`
		Failed int    `json:"failed"`
		Cause  string `json:"cause"`
	}
	viewLine struct {
		From  Time    `json:"from"` // of the first column
		First Time    `json:"first"`
		Last  Time    `json:"last"`
		Width float64 `json:"width"` // of a column, in milliseconds
		Most  int     `json:"most"`  // calls in one column
		All   []int   `json:"all"`
		Bad   []int   `json:"bad"` // of these, with a failure that was hidden, or is suspected
		Says  string  `json:"says"`
		Key   string  `json:"key"` // what the marks stand for
	}
	viewGroup struct {
		ID       string   `json:"id"`
		Label    string   `json:"label"`
		Count    int      `json:"count"`
		Verdicts []string `json:"verdicts"`
	}
	viewVerdict struct {
		ID      string `json:"id"`
		Count   int    `json:"count"`
		Meaning string `json:"meaning"`
	}
	word struct {
		Meaning string `json:"meaning"`
		Doc     string `json:"doc"` // Markdown
	}
)

// groups is what the verdicts come to for somebody who looks for the fault. A
// verdict that stands in none is of "other".
var groups = []viewGroup{
	{ID: "hidden", Label: "hidden", Verdicts: []string{"swallowed-401", "swallowed-403", "swallowed-failure", "llm-without-tools", "call-401"}},
	{ID: "partial", Label: "partial", Verdicts: []string{"partial-list"}},
	{ID: "suspected", Label: "suspected", Verdicts: []string{"unseen-upstream"}},
	{ID: "told", Label: "told", Verdicts: []string{"surfaced-auth", "surfaced-failure", "gateway-refused"}},
	{ID: "innocent", Label: "innocent", Verdicts: []string{"listed", "called", "llm-with-tools", "empty-upstream", "filtered-list", "no-upstream"}},
	{ID: "other", Label: "other", Verdicts: []string{"unanswered"}},
}

func (v *viewWriter) Write(o Object) error {
	v.next(o)
	return nil
}

func (v *viewWriter) Close() error {
	v.end()
	enc := json.NewEncoder(v.w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v.view())
}

func (v *viewWriter) view() *view {
	a := v.headline()
	if a.state == "unreadable" && v.summary.Lost.UndecryptedFlows > 0 {
		a.detail = "The connections are TLS, and their keys are not there. Start the gateway with SSLKEYLOGFILE set, and drop that file together with the capture."
	}
	all := &view{
		Version: clip(v.run.Version, 40), State: a.state, Title: a.title, Detail: a.detail, Certainty: a.certainty,
		Inputs: inputNames(v.run.Inputs), Seen: v.seen(), Lost: v.lostOf(true), Unit: v.unit(1), Calls: v.calls, Line: v.viewLine(),
		Causes: []viewCause{}, Servers: []viewServer{}, ServersKey: serversKey, Groups: []viewGroup{}, Verdicts: []viewVerdict{}, Notes: []Note{}, Joins: joins, Words: map[string]word{},
	}
	all.Damaged = all.Lost != nothingLost
	all.CausesLeft = v.reasons(func(d *verdict, s *server, r *reason) {
		all.Causes = append(all.Causes, v.cause(d, s, r))
	})
	for _, s := range v.table {
		all.Servers = append(all.Servers, viewServer(*s))
	}
	for _, id := range v.ids() {
		all.Verdicts = append(all.Verdicts, viewVerdict{clip(id, 60), v.summary.ByVerdict[id], v.meaning(id)})
	}
	all.Groups = grouped(v.summary.ByVerdict)
	for _, n := range v.notes[:min(len(v.notes), notesOnPage)] {
		all.Notes = append(all.Notes, Note{Code: clip(n.Code, 80), Frame: n.Frame, Count: n.Count, Text: clip(n.Text, textLength), About: clip(n.About, 80)})
	}
	all.NotesLeft = len(v.notes) - len(all.Notes)
	for _, r := range v.opt.Rules {
		all.Words[r.ID] = word{r.Title, r.Doc}
	}
	for _, c := range cause.Causes {
		all.Words[string(c.ID)] = word{c.Title, c.Doc}
	}
	return all
}

func (v *viewWriter) cause(d *verdict, s *server, r *reason) viewCause {
	return viewCause{
		Verdict: clip(d.id, 60), Severity: clip(d.severity, 20), Server: clip(s.name, 120), ID: clip(r.id, 60), Meaning: cmp.Or(v.why(r.id), v.meaning(d.id)),
		Certainty: certainty(r.finding.Confidence), Text: clip(r.finding.Text, textLength), Count: r.count, Unsure: r.unsure,
		Fix: clip(r.fix, 2*textLength), Verify: clip(verifyOf(r), 4*textLength), Frame: r.example.Frame,
	}
}

func (v *viewWriter) viewLine() *viewLine {
	bins, most := v.line.columns()
	if most == 0 {
		return nil
	}
	width := v.line.width
	line := &viewLine{
		From: Time{time.Unix(0, v.line.at(v.line.first)*int64(width)).UTC()}, First: Time{v.line.first}, Last: Time{v.line.last},
		Width: float64(width) / float64(time.Millisecond), Most: most, Says: v.lineSays(), Key: v.lineKey(),
	}
	for _, b := range bins {
		line.All, line.Bad = append(line.All, b.all), append(line.Bad, b.bad)
	}
	return line
}

// grouped is the groups that have calls, with how many.
func grouped(counts map[string]int) []viewGroup {
	list := slices.Clone(groups)
	other := &list[len(list)-1]
	for id, n := range counts {
		i := slices.IndexFunc(list, func(g viewGroup) bool { return slices.Contains(g.Verdicts, id) })
		if i < 0 {
			other.Verdicts = append(slices.Clone(other.Verdicts), id)
			i = len(list) - 1
		}
		list[i].Count += n
	}
	return slices.DeleteFunc(list, func(g viewGroup) bool { return g.Count == 0 })
}
