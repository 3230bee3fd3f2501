package hop

import (
	"slices"
	"strings"
	"time"

	"mcp401/decode/mcp"
	"mcp401/rules/pair"
)

// search finds a demand's candidates: the attempts that lie in its window and
// that no other demand has, oldest first.
func (l *Linker) search(d *demand) {
	var c []*supply
	d.contended = nil
	for i := len(l.supplies) - 1; i >= 0; i-- {
		s := l.supplies[i]
		if s.seen < d.from-slack {
			break
		}
		switch {
		case s.taken && !s.thin || !d.contains(s) || !d.mayCause(s):
		case s.taken:
			d.contended = append(d.contended, s)
		default:
			c = append(c, s)
		}
	}
	slices.Reverse(c)
	asked := map[endpoint]bool{}
	for _, s := range c {
		if len(s.Calls) > 0 && d.encloses(s) {
			asked[s.end] = true
		}
	}
	d.asked = len(asked)
	d.window = slices.DeleteFunc(c, func(s *supply) bool { return len(s.Calls) == 0 && !l.plausible(d, s) })
}

// The weights of fit. Any fit is worth more than none; a credential settles
// it; a known name and a consistent answer outweigh everything that is only
// nearness in time.
const (
	wFit        = 2000
	wCredential = 10000
	wName       = 1000
	wAnswer     = 400
	wUse        = 400
	wNear       = 100
)

// fit says how well an attempt fits a demand; false: it cannot be of it.
func (l *Linker) fit(d *demand, s *supply) (int, bool) {
	if s.taken || !d.contains(s) || !d.srv.gateway || !d.wants(s) || !d.mayCause(s) || len(s.Calls) == 0 && !l.plausible(d, s) {
		return 0, false
	}
	w := wFit
	if len(d.names) > 0 {
		yes, maybe := false, false
		for _, n := range d.names {
			y, no := d.srv.names[n].at(s)
			yes, maybe = yes || y, maybe || !no && !d.srv.elsewhere(n, s.end)
		}
		switch {
		case yes:
			w += wName
		case !maybe:
			return 0, false
		default:
			// Nobody knows: what was seen together before, and, where all else
			// is equal, what is innocent.
			for _, n := range d.names {
				if k := d.srv.names[n]; k != nil {
					w += int(max(-wName/2, min(wName/2, 100*k.votes[s.end])))
				}
			}
			if !s.Outcome.Failed() {
				w += wNear
			}
		}
	}
	if !d.told(s) {
		return 0, false
	}
	if s.Cred != nil {
		if d.holds(s.Cred.Hash) {
			w += wCredential
		} else if l.sent[s.Cred.Hash] > 0 {
			return 0, false // another client's
		}
	}
	switch {
	case s.asked == "call" && d.kind == ToolCall, s.asked == "else" && d.kind == "":
		w += wUse
	case s.asked == "list" && (d.kind == ToolCall || d.kind == ""):
		w -= wUse
	}
	return w + d.agrees(s) + d.near(s), true
}

// told reports whether the gateway's own word on its servers, where it gives
// one, allows for an attempt that went so.
func (d *demand) told(s *supply) bool {
	m := d.call.Answer
	if m == nil || len(m.Outcomes) == 0 || s.Outcome == Pending || s.Outcome == Unseen {
		return true
	}
	for i := range m.Outcomes {
		o := &m.Outcomes[i]
		if _, no := d.srv.names[o.Server].at(s); no && d.srv.names[o.Server] != nil {
			continue
		}
		switch said := FailureOf(*o); {
		case o.Status == "ok":
			if !s.Outcome.Failed() {
				return true
			}
		case said.Auth():
			if s.Outcome == said {
				return true
			}
		case s.Outcome.Failed() && !s.Outcome.Auth():
			return true
		}
	}
	return s.probe || s.token
}

// agrees says how well the answer of a demand goes with the outcome of an
// attempt.
func (d *demand) agrees(s *supply) int {
	if d.kind != List || d.call.Outcome != pair.Answered && d.call.Outcome != pair.Refused {
		return 0
	}
	if d.call.Outcome == pair.Refused {
		if s.Outcome.Failed() {
			return wAnswer
		}
		return 0
	}
	tools, n := answer(d.call)
	switch {
	case n == 0 && (s.Outcome.Failed() || s.Outcome == Empty):
		return wAnswer
	case n > 0 && s.Outcome == OK && s.Count > 0:
		if passedOn(tools, s.Tools) {
			return wAnswer
		}
		return -wAnswer / 2
	case n == 0 && s.Outcome == OK:
		return -wAnswer / 4
	case n > 0 && s.Outcome.Failed() && len(d.names) == 1:
		return -wAnswer
	case n > 0 && s.Outcome.Failed():
		return -wAnswer / 4 // where a health check could have asked as well, it did
	}
	return 0
}

// near prefers the attempt that begins soon after the request and ends shortly
// before the answer.
func (d *demand) near(s *supply) int {
	if !d.encloses(s) {
		return 0
	}
	w := wNear - int(min((s.from-d.from)/instant(time.Millisecond), wNear))
	if d.to != never && s.to != never {
		w += wNear - int(min((d.to-s.to)/instant(100*time.Microsecond), wNear))
	}
	return w
}

// passedOn reports whether a tool of an upstream is among the tools a client
// got, perhaps under a prefix.
func passedOn(got, had []string) bool {
	if len(had) == 0 {
		return false
	}
	for _, h := range [2]string{had[0], had[len(had)-1]} {
		for _, g := range got {
			if strings.HasSuffix(g, h) {
				return true
			}
		}
	}
	return false
}

// answer returns the tools of a list's answer and how many there are; -1: it
// is none.
func answer(c *pair.Call) ([]string, int) {
	switch {
	case c.Outcome != pair.Answered:
		return nil, -1
	case c.Answer != nil:
		if c.Answer.Kind == mcp.Error || c.Method != "tools/list" {
			return nil, -1
		}
		return c.Answer.Tools, c.Answer.Count
	case c.Exchange != nil && c.Exchange.REST != nil && c.Method == "tools/list":
		return c.Exchange.REST.Tools, c.Exchange.REST.Count
	}
	return nil, -1
}

// A group is the candidates at one endpoint. A connection that shows no path
// is of the first group at its address.
type group struct {
	end endpoint
	s   []*supply
}

func groups(window []*supply) []group {
	var gs []group
	at := map[endpoint]int{}
	put := func(s *supply) {
		i, ok := at[s.end]
		if !ok {
			i = len(gs)
			gs = append(gs, group{end: s.end})
			at[s.end] = i
			if bare := (endpoint{addr: s.end.addr}); s.end != bare {
				if _, ok := at[bare]; !ok {
					at[bare] = i
				}
			}
		}
		gs[i].s = append(gs[i].s, s)
	}
	for _, s := range window {
		if s.end.path != "" {
			put(s)
		}
	}
	for _, s := range window {
		if s.end.path == "" {
			put(s)
		}
	}
	return gs
}

// same reports whether two endpoints may be one: a connection shows no path.
func same(a, b endpoint) bool {
	return a.addr == b.addr && (a.path == b.path || a.path == "" || b.path == "")
}

// competitors bounds the demands that one assignment is solved over, examined
// those that are looked at to find them, and the attempts: those of one call are
// sought for as long as for any other, however many calls are open.
const (
	competitors = 64
	examined    = 1024
)

// assign finds the attempts of a demand among its candidates, by the best
// assignment over all demands that compete for them.
func (l *Linker) assign(d *demand, window []*supply) []*supply {
	mine := l.fitting(d, window)
	if len(mine) == 0 {
		return nil
	}
	demands, all := l.competing([]*demand{d}, mine), mine
	if len(demands) > 1 {
		all = l.contested(demands)
		demands = l.competing(demands, all)
	}
	var rows []row
	for _, e := range demands {
		rows = append(rows, l.rows(e, all)...)
	}
	owner := make(map[*supply]*demand, len(all))
	for i, s := range solve(rows) {
		if s != nil {
			owner[s] = rows[i].d
		}
	}
	var got []*supply
	for _, s := range mine {
		if owner[s] == d {
			got = append(got, s)
		}
	}
	for _, s := range mine {
		if owner[s] == nil && l.leftover(d, s, got, demands) {
			got = append(got, s)
		}
	}
	for _, s := range got {
		s.Confidence = l.confidence(d, s, demands)
		s.taken = true
	}
	return got
}

// A row of the assignment is a demand that wants one attempt of these:
// anywhere, when one server is in its scope, else at one endpoint.
type row struct {
	d  *demand
	of []choice
}

// A choice is an attempt that a row may be given, and what that is worth.
type choice struct {
	s     *supply
	worth int
}

// rows returns what a demand wants of the attempts.
func (l *Linker) rows(d *demand, all []*supply) []row {
	worth := map[*supply]int{}
	one := len(d.names) == 1
	var mine, tokens []*supply
	for _, s := range all {
		// A refused probe decides a call that was refused, and no other.
		if v, ok := l.fit(d, s); !ok || s.probe && d.call.Outcome != pair.Refused {
			continue
		} else if worth[s] = v; one && s.token {
			tokens = append(tokens, s)
		} else {
			mine = append(mine, s)
		}
	}
	var rows []row
	want := func(ss []*supply) {
		r := row{d: d}
		for _, s := range ss {
			r.of = append(r.of, choice{s, worth[s]})
		}
		rows = append(rows, r)
	}
	apart := mine
	if one {
		want(mine)
		apart = tokens
	}
	for _, g := range groups(apart) {
		want(g.s)
	}
	return rows
}

func (l *Linker) fitting(d *demand, window []*supply) []*supply {
	var mine []*supply
	for _, s := range window {
		if _, ok := l.fit(d, s); ok {
			mine = append(mine, s)
		}
	}
	return mine
}

// competing adds to the demands those that may have one of the attempts.
func (l *Linker) competing(demands []*demand, attempts []*supply) []*demand {
	first, last := attempts[0].from, attempts[0].from
	for _, s := range attempts {
		first, last = min(first, s.from), max(last, s.from)
	}
	looked := 0
	for _, e := range l.demands {
		if len(demands) >= competitors || looked >= examined || e.from > last+slack {
			break
		}
		if e.judged || e.to != never && e.to < first || slices.Contains(demands, e) {
			continue
		}
		looked++
		for _, s := range attempts {
			if _, ok := l.fit(e, s); ok {
				demands = append(demands, e)
				break
			}
		}
	}
	return demands
}

// contested returns the attempts that any of the demands may have.
func (l *Linker) contested(demands []*demand) []*supply {
	var all []*supply
	seen := map[*supply]bool{}
	add := func(s *supply) {
		if seen[s] || len(all) >= 2*competitors {
			return
		}
		for _, e := range demands {
			if _, ok := l.fit(e, s); ok {
				seen[s] = true
				all = append(all, s)
				return
			}
		}
	}
	oldest := demands[0].from
	for _, e := range demands {
		for _, s := range e.window {
			add(s)
		}
		if !e.held && e.from < oldest {
			oldest = e.from
		}
	}
	for i := len(l.supplies) - 1; i >= max(0, len(l.supplies)-examined) && l.supplies[i].seen >= oldest-slack; i-- {
		add(l.supplies[i])
	}
	return all
}

// leftover reports whether an attempt that no demand was given belongs to d
// all the same: a retry or a probe, or a second server at the same endpoint.
func (l *Linker) leftover(d *demand, s *supply, got []*supply, demands []*demand) bool {
	if len(d.names) == 1 && !s.token && !slices.ContainsFunc(got, func(g *supply) bool { return same(g.end, s.end) }) {
		return false
	}
	if s.Cred != nil && d.holds(s.Cred.Hash) {
		return true
	}
	for _, e := range demands {
		if _, ok := l.fit(e, s); ok && e != d {
			return false
		}
	}
	return true
}

// confidence says how sure it is that s is an attempt of d.
func (l *Linker) confidence(d *demand, s *supply, demands []*demand) Confidence {
	same := s.Cred != nil && d.holds(s.Cred.Hash)
	for _, e := range demands {
		if _, ok := l.fit(e, s); e == d || !ok || d.encloses(s) && !e.encloses(s) {
			continue
		}
		if !same || e.holds(s.Cred.Hash) {
			return Likely
		}
	}
	if same {
		return Linked
	}
	for _, n := range d.names {
		if yes, _ := d.srv.names[n].at(s); yes {
			return Linked
		}
	}
	if len(s.Calls) == 0 && !l.owned(d, s) {
		return Likely // any program of the machine may have been refused
	}
	near := d.window
	if d.encloses(s) {
		near = slices.DeleteFunc(slices.Clone(near), func(o *supply) bool { return !d.encloses(o) })
	}
	if len(d.names) == 0 || len(groups(near)) <= 1 {
		return Linked
	}
	return Likely
}
