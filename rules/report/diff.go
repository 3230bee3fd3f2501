package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"mcp401/rules"
)

// What became of a finding.
const (
	New     = "new"            // in AFTER alone
	Changed = "changed"        // the same place is at fault for another reason, and not more severely
	Still   = "still-there"    // in both
	Gone    = "gone-from-view" // in BEFORE alone, and AFTER does not show that it is fixed
	Fixed   = "fixed"          // in BEFORE alone, and AFTER has calls of the same route and server without it
)

// states is the order in which changes are told: what needs a person first.
var states = []string{New, Changed, Still, Gone, Fixed}

// A Change is what became of one finding at one place: a verdict with its
// cause, at a server, on a route.
type Change struct {
	State        string   `json:"state"`
	Rule         string   `json:"rule"`
	Severity     string   `json:"severity"`
	Cause        string   `json:"cause"`  // or the failure
	Server       string   `json:"server"` // "": the finding names none
	Kind         string   `json:"kind"`
	HTTPMethod   string   `json:"http_method"`
	Route        string   `json:"route"`  // the path, with "*" for ids
	Before       int      `json:"before"` // calls
	After        int      `json:"after"`
	BeforeFrame  *int     `json:"before_frame"` // of the first call; of the place where it has no such finding
	AfterFrame   *int     `json:"after_frame"`
	Text         string   `json:"text"` // one line: what the other side says of the place
	Fingerprints []string `json:"fingerprints"`
}

// A Compared closes a comparison.
type Compared struct {
	Before  []Input        `json:"before"`
	After   []Input        `json:"after"`
	ByState map[string]int `json:"by_state"`
	Calls   [2]int         `json:"calls"`   // of BEFORE and AFTER
	Skipped int            `json:"skipped"` // calls beyond what a comparison tells apart
}

// Compare gives out what became of each finding of before, and which findings
// of after are new: a run, the changes in order, and the comparison. It changes
// neither side; an error of out ends it and is returned.
func Compare(before, after *Tally, version string, out func(Object) error) error {
	names := maps.Clone(before.names)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, after.names)
	d := differ{before: named(before, names), after: named(after, names)}
	for p := range d.before {
		d.place(p)
	}
	for p := range d.after {
		if d.before[p] == nil {
			d.place(p)
		}
	}
	slices.SortFunc(d.changes, order)

	done := &Compared{
		Before: append([]Input{}, before.inputs...), After: append([]Input{}, after.inputs...), ByState: map[string]int{},
		Calls: [2]int{before.cases, after.cases}, Skipped: before.Skipped + after.Skipped,
	}
	run := &Run{Schema: Schema, Tool: "mcp401", Version: version, Inputs: append(done.Before[:len(done.Before):len(done.Before)], done.After...)}
	if err := out(Object{Run: run}); err != nil {
		return err
	}
	for _, c := range d.changes {
		done.ByState[c.State]++
		if err := out(Object{Change: c}); err != nil {
			return err
		}
	}
	return out(Object{Compared: done})
}

// named is the places of a tally with every server by its name: one side may
// know a server by its URL alone.
func named(t *Tally, names map[string]string) map[place]*visits {
	places := make(map[place]*visits, len(t.places))
	for p, v := range t.places {
		if name, ok := names[p.server]; ok {
			p.server = name
		}
		if have := places[p]; have != nil {
			v = have.and(v)
		}
		places[p] = v
	}
	return places
}

// and is the visits of two places that turned out to be one.
func (v *visits) and(w *visits) *visits {
	sum := visits{method: min(v.method, w.method), good: v.good.and(w.good), blind: v.blind.and(w.blind), found: slices.Clone(v.found)}
	for _, d := range w.found {
		i := slices.IndexFunc(sum.found, func(e *diagnosis) bool { return e.rule == d.rule && e.reason == d.reason })
		if i < 0 {
			sum.found = append(sum.found, d)
			continue
		}
		both := *sum.found[i]
		both.seen = both.seen.and(d.seen)
		both.fingerprints = slices.Compact(slices.Sorted(slices.Values(slices.Concat(both.fingerprints, d.fingerprints))))
		sum.found[i] = &both
	}
	return &sum
}

func (s seen) and(t seen) seen {
	first := s
	if s.count == 0 || t.count > 0 && t.frame < s.frame {
		first = t
	}
	first.count = s.count + t.count
	return first
}

// order puts states in their order, within one the severest first, and then by
// what is read first.
func order(a, b *Change) int {
	return cmp.Or(
		cmp.Compare(slices.Index(states, a.State), slices.Index(states, b.State)),
		cmp.Compare(rules.Severity(b.Severity).Rank(), rules.Severity(a.Severity).Rank()),
		cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Server, b.Server), cmp.Compare(a.Cause, b.Cause),
		cmp.Compare(a.Route, b.Route), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.HTTPMethod, b.HTTPMethod))
}

// A differ compares the places of two reports.
type differ struct {
	before, after map[place]*visits
	changes       []*Change
	good          map[string]place // a place of after where the server did well; nil: not looked for yet
}

// place tells what became of the findings of one place.
func (d *differ) place(p place) {
	b, a := d.before[p], d.after[p]
	if b == nil {
		b = &visits{method: a.method}
	}
	var lost, came []*diagnosis
	for _, x := range b.found {
		if y := a.has(x); y != nil {
			c := d.change(Still, p, b, x, y)
			c.Text = counted(x.count, "call") + " before, " + number(y.count) + " after"
			continue
		}
		lost = append(lost, x)
	}
	if a != nil {
		for _, y := range a.found {
			if b.has(y) == nil {
				came = append(came, y)
			}
		}
	}
	// What only hides how it went replaces no finding: that one is out of view.
	seeing := slices.ContainsFunc(came, func(y *diagnosis) bool { return !blind(y.rule) })
	blinded := len(lost) > 0 && !seeing && slices.ContainsFunc(lost, func(x *diagnosis) bool { return !blind(x.rule) })
	if !blinded {
		for _, y := range came {
			d.came(p, b, lost, y)
		}
	}
	if len(came) > 0 && !blinded {
		return // what was lost is told as what it became
	}
	for _, x := range lost {
		d.lost(p, b, a, x)
	}
}

func (v *visits) has(d *diagnosis) *diagnosis {
	if v == nil {
		return nil
	}
	return v.diagnosis(d.rule, d.reason)
}

// change adds a change of one finding: x before, y after, of which one may be
// nil.
func (d *differ) change(state string, p place, v *visits, x, y *diagnosis) *Change {
	one := cmp.Or(x, y)
	c := &Change{
		State: state, Rule: one.rule, Severity: one.severity, Cause: one.reason, Server: p.server, Kind: p.kind,
		HTTPMethod: v.method, Route: p.route, Fingerprints: list(one.fingerprints),
	}
	if c.Server == anyServer {
		c.Server = ""
	}
	if x != nil {
		c.Before, c.BeforeFrame = x.count, positive(x.frame)
	}
	if y != nil {
		c.After, c.AfterFrame = y.count, positive(y.frame)
	}
	d.changes = append(d.changes, c)
	return c
}

// came tells of a finding that the place did not have before.
func (d *differ) came(p place, b *visits, lost []*diagnosis, y *diagnosis) {
	state := New
	var was []string
	for _, x := range lost {
		was = append(was, x.label())
		if rules.Severity(x.severity).Rank() >= rules.Severity(y.severity).Rank() {
			state = Changed
		}
	}
	c := d.change(state, p, b, nil, y)
	c.BeforeFrame = positive(b.first())
	switch {
	case len(was) > 0:
		c.Text = "was " + strings.Join(was, ", ")
		c.Before, c.BeforeFrame = lost[0].count, positive(lost[0].frame)
	case b.good.count > 0:
		c.Text = "was " + b.good.verdict
	case len(b.found) > 0:
		c.Text = "was " + b.found[0].label()
	case b.blind.count > 0:
		c.Text = "did not show before"
	default:
		c.Text = "not asked before"
	}
}

// lost tells of a finding that the place has no more, and nothing in its stead.
func (d *differ) lost(p place, b, a *visits, x *diagnosis) {
	if a == nil {
		a = d.unnamed(p)
	}
	if a != nil && a.good.count > 0 {
		c := d.change(Fixed, p, b, x, nil)
		c.Text, c.AfterFrame = "now "+a.good.verdict, positive(a.good.frame)
		return
	}
	c := d.change(Gone, p, b, x, nil)
	switch {
	case a == nil:
		c.Text = "not asked again" + d.elsewhere(p)
	case len(a.found) > 0:
		c.Text, c.AfterFrame = "asked again, and all that shows is "+a.found[0].label(), positive(a.found[0].frame)
	default:
		c.Text, c.AfterFrame = "asked again, and it does not show how it went: "+a.blind.verdict, positive(a.blind.frame)
	}
}

// unnamed is the calls of a route that asked all servers and show none: where
// the client's side alone was recorded. That all went well is then said of each.
func (d *differ) unnamed(p place) *visits {
	p.server = anyServer
	if v := d.after[p]; v != nil && len(v.found) == 0 {
		return v
	}
	return nil
}

// elsewhere says how the server did on another route: the first one by name
// that went well.
func (d *differ) elsewhere(p place) string {
	if d.good == nil {
		d.good = map[string]place{}
		for q, v := range d.after {
			have, ok := d.good[q.server]
			if v.good.count > 0 && q.server != anyServer && (!ok || cmp.Or(cmp.Compare(q.route, have.route), cmp.Compare(q.kind, have.kind)) < 0) {
				d.good[q.server] = q
			}
		}
	}
	q, ok := d.good[p.server]
	if !ok {
		return ""
	}
	v := d.after[q]
	return "; on " + v.method + " " + q.route + " now " + v.good.verdict
}

// first is the frame of the first call of a place.
func (v *visits) first() int {
	frame := v.good.and(v.blind).frame
	for _, d := range v.found {
		if frame == 0 || d.frame < frame {
			frame = d.frame
		}
	}
	return frame
}

// label names a diagnosis.
func (d *diagnosis) label() string { return strings.TrimSpace(d.rule + " " + d.reason) }
