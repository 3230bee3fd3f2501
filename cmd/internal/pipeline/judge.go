package pipeline

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
	"mcp401/rules"
	"mcp401/rules/all"
	"mcp401/rules/hop"
	"mcp401/rules/report"
)

// noteCodes bounds the kinds of notes that are told apart; there are far fewer.
const noteCodes = 256

// A judge turns the events of all decoders, in order, into the objects of a
// report, and counts.
type judge struct {
	cfg     Config
	out     func(report.Object) error
	err     error // of out: nothing more is given to it
	linker  *hop.Linker
	show    *shower
	notes   map[string]*report.Note
	summary report.Summary
	verdict func(*hop.Case) (rules.Finding, *rules.Rule)
}

func newJudge(cfg Config, out func(report.Object) error) *judge {
	j := &judge{cfg: cfg, out: out, notes: map[string]*report.Note{}, verdict: all.Judge}
	j.summary.ByVerdict = map[string]int{}
	j.summary.Inputs = []report.Input{}
	if cfg.Show != Cases {
		j.show = newShower(cfg.Show, j.put)
		return j
	}
	link := cfg.Hop
	link.Limits, link.Note = cfg.Limits, j.note
	j.linker = hop.NewLinker(link, j.hopCase)
	return j
}

func (j *judge) put(o report.Object) {
	if j.err == nil {
		j.err = j.out(o)
	}
}

// begin gives the run to out.
func (j *judge) begin() error {
	if j.show != nil {
		return nil
	}
	run := &report.Run{Schema: report.Schema, Tool: "mcp401", Version: j.cfg.Version, Inputs: j.inputs()}
	for i := range run.Inputs {
		run.Inputs[i].Records = 0 // the same line for a file and for a pipe
	}
	j.put(report.Object{Run: run})
	return j.err
}

func (j *judge) inputs() []report.Input {
	if j.cfg.Inputs == nil {
		return []report.Input{}
	}
	return slices.Clone(j.cfg.Inputs())
}

// record counts a record and takes what all decoders found in it, which it
// returns emptied.
func (j *judge) record(r capture.Record, found []stack.Event) []stack.Event {
	if r.Loss != nil {
		j.loss(r)
	}
	if r.Packet != nil || r.Entry != nil {
		j.summary.Records++
	}
	if len(found) > 1 && r.Entry == nil {
		stack.Sort(found, r.Secret != nil)
	}
	j.events(found)
	// Ticks stand at fixed places of the capture: a batch may end anywhere.
	if r.Num%batchRecords == 0 && r.Packet != nil {
		j.tick(r.Time)
	}
	clear(found)
	return found[:0]
}

// last takes what the decoders said when they were closed: connections by
// flow, then what HAR entries tell, which comes in order of time.
func (j *judge) last(found []stack.Event) {
	entry := func(e stack.Event) int {
		if e.Exchange != nil && e.Exchange.HAR {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(found, func(a, b stack.Event) int {
		if x, y := entry(a), entry(b); x+y > 0 {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(a.Flow, b.Flow)
	})
	for _, e := range found {
		j.event(e)
	}
}

// loss counts what the capture itself dropped.
func (j *judge) loss(r capture.Record) {
	at := decode.Mark{Frame: r.Num, Time: r.Time}
	j.summary.Lost.CaptureDrops += r.Loss.Packets
	if r.Loss.Packets > 0 {
		j.note(decode.Note{
			Code: "capture/drops", At: at, N: int(min(r.Loss.Packets, 1<<62)),
			Text: "packets were dropped while capturing: what is missing here was perhaps sent",
		})
	}
	if j.linker != nil {
		j.linker.Loss(at)
	}
}

func (j *judge) events(found []stack.Event) {
	for _, e := range found {
		j.event(e)
	}
}

// event takes the next event in order.
func (j *judge) event(e stack.Event) {
	switch {
	case e.Exchange != nil:
		if e.Exchange.Phase == mcp.Closed {
			j.summary.Exchanges++
		}
	case e.Connection != nil:
		j.connection(e.Connection)
	case e.Note != nil:
		j.note(*e.Note)
	}
	if j.show != nil {
		j.show.event(e)
		return
	}
	j.linker.Event(e)
}

func (j *judge) connection(c *stack.Connection) {
	if c.How == 0 {
		return // it goes on, and is told of again when it is over
	}
	j.summary.Flows++
	j.summary.Lost.Gaps += c.Gaps
	j.summary.Lost.Bytes += c.Lost
	if c.TLS != nil && !c.TLS.Decrypted {
		j.summary.Lost.UndecryptedFlows++
	}
}

func (j *judge) note(n decode.Note) {
	if strings.HasPrefix(n.Code, "limit/") {
		j.summary.Lost.Limits++
	}
	if n.Code == "tcp/gap" && n.N > 0 {
		j.summary.Lost.Bytes += int64(n.N)
	}
	key := n.Code + " " + n.About
	have := j.notes[key]
	if have == nil {
		if len(j.notes) >= noteCodes {
			return
		}
		have = &report.Note{Code: n.Code, Frame: n.At.Frame, Text: n.Text, About: n.About}
		j.notes[key] = have
	}
	if have.Count++; j.cfg.Live != nil && j.cfg.Live.Note != nil && (have.Count == 1 || n.Code == "capture/clock-step") {
		j.cfg.Live.Note(n)
	}
}

// limits counts the limits that were hit, by their code; nil: none.
func (j *judge) limits() map[string]int {
	if j.summary.Lost.Limits == 0 {
		return nil
	}
	hit := map[string]int{}
	for _, n := range j.notes {
		if code, ok := strings.CutPrefix(n.Code, "limit/"); ok {
			hit[code] += n.Count
		}
	}
	return hit
}

func (j *judge) tick(now time.Time) {
	if j.linker != nil && !now.IsZero() {
		j.linker.Tick(now)
	}
}

// hopCase judges a case and reports it.
func (j *judge) hopCase(c *hop.Case) {
	f, rule := j.verdict(c)
	f.Rule, f.Severity = rule.ID, rule.Severity
	j.summary.Cases++
	j.summary.ByVerdict[f.Rule]++
	if live := j.cfg.Live; live != nil && live.Case != nil && j.err == nil {
		live.Case(c, f)
	}
	j.put(report.Object{Case: report.CaseOf(c, f)})
	if f.Severity == rules.OK {
		return
	}
	j.summary.Findings++
	j.put(report.Object{Finding: report.FindingOf(c, f)})
}

// end decides what is open and closes the report. readErr is what ended the
// reading, nil for the end of the capture.
func (j *judge) end(readErr error) (report.Summary, error) {
	if j.show != nil {
		j.show.close()
		return j.summary, cmp.Or(j.err, readErr)
	}
	j.linker.Close()
	if j.cfg.Warnings != nil {
		for _, n := range j.cfg.Warnings() {
			j.note(n)
		}
	}
	if readErr != nil && j.summary.Records > 0 {
		j.note(decode.Note{Code: "capture/error", At: decode.Mark{Frame: j.summary.Records}, Text: readErr.Error()})
	}
	for _, n := range j.sortedNotes() {
		j.put(report.Object{Note: n})
	}
	j.summary.Inputs = j.inputs()
	summary := j.summary
	j.put(report.Object{Summary: &summary})
	return j.summary, cmp.Or(j.err, readErr)
}

func (j *judge) sortedNotes() []*report.Note {
	notes := make([]*report.Note, 0, len(j.notes))
	for _, n := range j.notes {
		notes = append(notes, n)
	}
	slices.SortFunc(notes, func(a, b *report.Note) int {
		return cmp.Or(cmp.Compare(a.Frame, b.Frame), cmp.Compare(a.Code, b.Code), cmp.Compare(a.About, b.About))
	})
	return notes
}
