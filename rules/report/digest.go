package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"mcp401/rules"
)

// Bounds of a digest: a capture names servers and routes, and may name any
// number of them.
const groupsKept = 1024 // (verdict, server) pairs with an example of their own; the rest are counted together

// others is the name of the servers that are counted together.
const others = "others"

// A digest is what the formats for people keep of a report: the findings by
// verdict, server and cause with one example of each, the notes, the summary.
type digest struct {
	opt      Options
	verdicts []*verdict
	kept     int
	last     *Case // the case that a Finding belongs to
	both     bool  // the upstream side of a case was seen, or told by the gateway
	notes    []Note
	run      Run
	summary  Summary
}

func newDigest(opt Options) digest {
	if opt.Zone == nil {
		opt.Zone = time.UTC
	}
	return digest{opt: opt}
}

// take counts the next object in.
func (d *digest) take(o Object) {
	switch {
	case o.Run != nil:
		d.run = *o.Run
	case o.Case != nil:
		d.last = o.Case
		d.both = d.both || len(o.Case.Upstream) > 0 || o.Case.Confidence == "proved" || o.Case.Verdict == "no-upstream"
	case o.Finding != nil:
		d.finding(o.Finding)
	case o.Note != nil:
		d.notes = append(d.notes, *o.Note)
	case o.Summary != nil:
		d.summary = *o.Summary
	}
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
	known  int // of these, known since the baseline
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
	finding Finding // of the example
	attempt *Attempt
	fix     string // "" at the second and later servers of a finding
}

// finding counts f below its verdict, once for each server at fault.
func (d *digest) finding(f *Finding) {
	if d.last == nil || d.last.Frame != f.CaseFrame {
		return // a report put together by hand: nothing to show as an example
	}
	i := slices.IndexFunc(d.verdicts, func(v *verdict) bool { return v.id == f.Rule })
	if i < 0 {
		i = len(d.verdicts)
		d.verdicts = append(d.verdicts, &verdict{id: f.Rule, severity: f.Severity, byName: map[string]*server{}})
	}
	v := d.verdicts[i]
	v.count++
	if len(f.Servers) == 0 {
		d.server(v, d.last.HTTPMethod+" "+d.last.Path).add(d.last, nil, f)
	}
	for _, name := range f.Servers {
		d.server(v, name).add(d.last, attemptAt(d.last, name), f)
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

func (d *digest) server(v *verdict, name string) *server {
	if s := v.byName[name]; s != nil {
		return s
	}
	if d.kept++; d.kept > groupsKept && name != others {
		return d.server(v, others)
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
	if f.Known {
		s.known++
	}
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
	r.sure, r.example, r.finding, r.fix = sure, *c, *f, f.Fix
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

// sort puts the worst verdicts first, and of equals the first in precedence.
func (d *digest) sort() {
	slices.SortStableFunc(d.verdicts, func(a, b *verdict) int {
		return cmp.Or(
			cmp.Compare(rules.Severity(b.severity).Rank(), rules.Severity(a.severity).Rank()),
			cmp.Compare(d.place(a.id), d.place(b.id)))
	})
	for _, v := range d.verdicts {
		slices.SortStableFunc(v.servers, func(a, b *server) int { return cmp.Compare(b.count, a.count) })
		for _, s := range v.servers {
			slices.SortStableFunc(s.causes, func(a, b *reason) int { return cmp.Compare(b.count, a.count) })
		}
	}
}

// place is where a verdict stands among the rules; an unknown one is last.
func (d *digest) place(id string) int {
	if i := slices.IndexFunc(d.opt.Rules, func(r rules.Rule) bool { return r.ID == id }); i >= 0 {
		return i
	}
	return len(d.opt.Rules)
}

func (d *digest) title(id string) string {
	if i := d.place(id); i < len(d.opt.Rules) {
		return d.opt.Rules[i].Title
	}
	return ""
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

func (d *digest) hint() string {
	s := d.summary
	switch {
	case s.Records == 0 && d.unit(1) == "entry":
		return "the HAR has no entries: open the network tab first, then reload the page, then export"
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
func (d *digest) unit(n int) string { return plural(n, unit(d.run.Inputs)) }

// unit is what a record of these inputs is called.
func unit(inputs []Input) string {
	for _, in := range inputs {
		if !strings.HasPrefix(in.Kind, "har") {
			return "frame"
		}
	}
	if len(inputs) == 0 {
		return "frame"
	}
	return "entry"
}

func (d *digest) seen() string {
	if d.unit(1) == "entry" {
		return number(d.summary.Records) + " HAR " + d.unit(d.summary.Records)
	}
	return counted(d.summary.Records, "packet") + ", " + counted(d.summary.Flows, "connection")
}

const nothingLost = "nothing lost"

func (d *digest) lost() string { return d.lostOf(d.summary.Cases > 0) }

// lostOf says what was lost. Of a capture without cases the hint has to do with
// TLS without keys; keyless says whether it is named all the same.
func (d *digest) lostOf(keyless bool) string {
	l := d.summary.Lost
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
	if l.UndecryptedFlows > 0 && keyless {
		parts = append(parts, counted(l.UndecryptedFlows, "TLS connection")+" without keys")
	}
	if l.Limits > 0 {
		parts = append(parts, counted(l.Limits, "limit")+" reached")
	}
	parts = append(parts, d.unread()...)
	if len(parts) == 0 {
		return nothingLost
	}
	return "lost: " + strings.Join(parts, ", ")
}

// unread is what of the files themselves could not be read: their notes say it
// in full.
func (d *digest) unread() (parts []string) {
	cut, entries := 0, 0
	for _, n := range d.notes {
		switch n.Code {
		case "pcap/cut-packet", "pcap/bad-record", "pcapng/cut-block", "pcapng/bad-block", "har/broken":
			cut += n.Count
		case "har/bad-entry", "har/bad-url":
			entries += n.Count
		default:
			if strings.HasSuffix(n.Code, "/truncated") { // of a HAR, and of gzip and the like
				cut += n.Count
			}
		}
	}
	switch {
	case cut == 1:
		parts = append(parts, "the end of a file")
	case cut > 1:
		parts = append(parts, "the ends of files")
	}
	if entries > 0 {
		parts = append(parts, counted(entries, "HAR entry")+" that cannot be read")
	}
	return parts
}
