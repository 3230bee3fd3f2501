package report

import (
	"cmp"
	"slices"
)

// Bounds of a Tally: a capture names servers and routes, and may name any
// number of them.
const (
	placesKept       = 1 << 16 // (kind, route, server) that are told apart
	diagnosesKept    = 64      // verdicts with a cause at one place; there are fewer
	fingerprintsKept = 16      // of one diagnosis
)

// A Tally is what a comparison keeps of a report: of each place, which is a
// server on a route, how its calls went. It is a Writer that writes nothing;
// its zero value is empty. It keeps no object that it is given.
type Tally struct {
	run     Run
	inputs  []Input
	cases   int
	places  map[place]*visits
	names   map[string]string // a URL or an address to the server's name
	open    *Case             // whose finding may still come
	fault   *Finding
	LeftOut int // calls that a condition had left out of the report
	Skipped int // calls at places beyond the bound
}

// A place is what a finding is about, whoever called.
type place struct{ kind, route, server string }

// anyServer is the server of a call that shows none: neither its route nor an
// upstream attempt names one.
const anyServer = "*"

// A visits is how the calls of one place went.
type visits struct {
	method string // of the first call
	found  []*diagnosis
	good   seen // calls that went well, or of which the client was told
	blind  seen // calls that do not show how it went
}

// A diagnosis is one verdict with its cause or failure at one place.
type diagnosis struct {
	rule, reason, severity string
	seen
	fingerprints []string
}

// A seen counts calls; frame and verdict are those of the first one.
type seen struct {
	count, frame int
	verdict      string
}

func (s *seen) add(c *Case) {
	if s.count++; s.count == 1 {
		s.frame, s.verdict = c.Frame, c.Verdict
	}
}

// blind reports whether a verdict says that the capture does not show how the
// upstream answers, or that the gateway did not ask it.
func blind(verdict string) bool {
	return slices.Contains([]string{"unanswered", "unseen-upstream", "gateway-refused", "no-upstream"}, verdict)
}

// Write implements Writer.
func (t *Tally) Write(o Object) error {
	switch {
	case o.Run != nil:
		t.run, t.inputs = *o.Run, o.Run.Inputs
	case o.Case != nil:
		t.flush()
		t.open = o.Case
	case o.Finding != nil:
		t.fault = o.Finding
		t.flush()
	case o.Summary != nil:
		t.flush()
		t.LeftOut = o.Summary.LeftOut
		if len(o.Summary.Inputs) > 0 {
			t.inputs = o.Summary.Inputs
		}
	}
	return nil
}

// Close implements Writer.
func (t *Tally) Close() error {
	t.flush()
	return nil
}

// flush takes the call at hand, now that it is known whether it has a finding.
func (t *Tally) flush() {
	c, f := t.open, t.fault
	t.open, t.fault = nil, nil
	if c == nil {
		return
	}
	t.cases++
	for i := range c.Upstream {
		t.name(&c.Upstream[i])
	}
	var blamed []string
	if f != nil {
		blamed = faulty(c, f)
		for _, server := range blamed {
			t.found(c, f, server)
		}
	}
	for _, server := range scope(c) {
		if !slices.Contains(blamed, server) {
			t.visited(c, f == nil, server)
		}
	}
}

// name learns what the upstream of an attempt is called.
func (t *Tally) name(a *Attempt) {
	if a.Server == "" || len(t.names) >= placesKept {
		return
	}
	if t.names == nil {
		t.names = map[string]string{}
	}
	for _, s := range []string{a.URL, a.Address} {
		if s != "" {
			t.names[s] = a.Server
		}
	}
}

// faulty is the servers that a finding is about, "*" where none is named.
func faulty(c *Case, f *Finding) []string {
	switch {
	case len(f.Servers) > 0:
		return f.Servers
	case len(c.Servers) > 0:
		return c.Servers
	}
	return []string{anyServer}
}

// scope is every server that a call is about, "*" where none is named.
func scope(c *Case) []string {
	list := slices.Clone(c.Servers)
	for i := range c.Upstream {
		if name := called(&c.Upstream[i]); name != "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	if len(list) == 0 {
		list = append(list, anyServer)
	}
	return list
}

// called is how findings name the upstream of an attempt.
func called(a *Attempt) string { return cmp.Or(a.Server, a.URL, a.Address) }

func (t *Tally) at(c *Case, server string) *visits {
	p := place{c.Kind, route(c.Path), server}
	if v := t.places[p]; v != nil {
		return v
	}
	if len(t.places) >= placesKept {
		t.Skipped++
		return nil
	}
	if t.places == nil {
		t.places = map[place]*visits{}
	}
	v := &visits{method: c.HTTPMethod}
	t.places[p] = v
	return v
}

// found counts a finding at one of the servers that it is about.
func (t *Tally) found(c *Case, f *Finding, server string) {
	v := t.at(c, server)
	if v == nil {
		return
	}
	if blind(f.Rule) {
		v.blind.add(c)
	}
	why := reasonAt(c, f, server)
	d := v.diagnosis(f.Rule, why)
	if d == nil {
		if len(v.found) >= diagnosesKept {
			t.Skipped++
			return
		}
		d = &diagnosis{rule: f.Rule, reason: why, severity: f.Severity}
		v.found = append(v.found, d)
	}
	d.add(c)
	if f.Fingerprint != "" && len(d.fingerprints) < fingerprintsKept && !slices.Contains(d.fingerprints, f.Fingerprint) {
		d.fingerprints = append(d.fingerprints, f.Fingerprint)
	}
}

func (v *visits) diagnosis(rule, why string) *diagnosis {
	for _, d := range v.found {
		if d.rule == rule && d.reason == why {
			return d
		}
	}
	return nil
}

// reasonAt is why a finding blames that server: of several servers at fault
// each has its own.
func reasonAt(c *Case, f *Finding, server string) string {
	why := cmp.Or(f.Cause, f.Failure)
	if a := attemptAt(c, server); a != nil {
		why = cmp.Or(a.Cause, why)
		if len(f.Servers) > 1 && a.Cause == "" {
			why = a.Outcome
		}
	}
	return why
}

// visited counts a call at a server that nobody blames for it.
func (t *Tally) visited(c *Case, healthy bool, server string) {
	tried, answered := false, false
	for i := range c.Upstream {
		if a := &c.Upstream[i]; called(a) == server {
			tried = true
			answered = answered || a.Outcome == "ok" || a.Outcome == "empty"
		}
	}
	told := c.Verdict == "surfaced-auth" || c.Verdict == "surfaced-failure"
	v := t.at(c, server)
	switch {
	case v == nil:
	case answered && !blind(c.Verdict), healthy && (told || !tried):
		v.good.add(c)
	default:
		v.blind.add(c)
	}
}

// Knows reports whether each server that the finding f of the case c blames
// had that verdict with that cause on that route already.
func (t *Tally) Knows(c *Case, f *Finding) bool {
	for _, server := range faulty(c, f) {
		v := t.places[place{c.Kind, route(c.Path), server}]
		if name, ok := t.names[server]; v == nil && ok {
			v = t.places[place{c.Kind, route(c.Path), name}]
		}
		if v == nil || v.diagnosis(f.Rule, reasonAt(c, f, server)) == nil {
			return false
		}
	}
	return true
}
