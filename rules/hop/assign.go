package hop

import (
	"slices"
	"strings"
	"time"

	"mcp401/decode/mcp"
	"mcp401/rules/pair"
)

// candidates returns the attempts that lie in a demand's window and that no
// other demand has, oldest first.
func (l *Linker) candidates(d *demand) []*supply {
	var c []*supply
	for i := len(l.supplies) - 1; i >= 0; i-- {
		s := l.supplies[i]
		if s.seen < d.from-slack {
			break
		}
		if !s.taken && d.contains(s) && d.srv.fromHost(s.host, s.har) {
			c = append(c, s)
		}
	}
	for i, j := 0, len(c)-1; i < j; i, j = i+1, j-1 {
		c[i], c[j] = c[j], c[i]
	}
	return slices.DeleteFunc(c, func(s *supply) bool { return len(s.Calls) == 0 && !l.plausible(d, s, c) })
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
	if s.taken || !d.contains(s) || !d.srv.gateway || !d.wants(s) || !d.srv.fromHost(s.host, s.har) || len(s.Calls) == 0 && !l.plausible(d, s, d.window) {
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
		switch o.Status {
		case "ok":
			if !s.Outcome.Failed() {
				return true
			}
		case "auth_required":
			if s.Outcome == Status401 {
				return true
			}
		case "forbidden":
			if s.Outcome == Status403 {
				return true
			}
		default:
			if s.Outcome.Failed() && !s.Outcome.Auth() {
				return true
			}
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

// A group is the candidates at one endpoint.
type group struct {
	end endpoint
	s   []*supply
}

func groups(window []*supply) []group {
	var gs []group
next:
	for _, s := range window {
		for i := range gs {
			if same(gs[i].end, s.end) {
				gs[i].s = append(gs[i].s, s)
				continue next
			}
		}
		gs = append(gs, group{s.end, []*supply{s}})
	}
	return gs
}

// competitors bounds the assignment: beyond it the nearest are taken.
const competitors = 64

// A row of the assignment is a demand that wants one attempt: anywhere, when
// one server is in its scope, else at one endpoint.
type row struct {
	d   *demand
	end *endpoint
}

func (r row) takes(s *supply) bool {
	if r.end == nil {
		return !s.token
	}
	return same(*r.end, s.end)
}

// same reports whether two endpoints may be one: a connection shows no path.
func same(a, b endpoint) bool {
	return a.addr == b.addr && (a.path == b.path || a.path == "" || b.path == "")
}

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
	w := make([][]int, len(rows))
	for i, r := range rows {
		w[i] = make([]int, len(all))
		for j, s := range all {
			// A refused probe decides a call that was refused, and no other.
			if v, ok := l.fit(r.d, s); ok && (!s.probe || r.d.call.Outcome == pair.Refused) && r.takes(s) {
				w[i][j] = v
			}
		}
	}
	owner := make(map[*supply]*demand, len(all))
	for i, j := range hungarian(w) {
		if j >= 0 {
			owner[all[j]] = rows[i].d
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

// rows returns what a demand wants of the attempts.
func (l *Linker) rows(d *demand, all []*supply) []row {
	var rows []row
	one := len(d.names) == 1
	if one {
		rows = append(rows, row{d, nil})
	}
	for _, g := range groups(l.fitting(d, all)) {
		if one && !g.s[0].token {
			continue
		}
		end := g.end
		rows = append(rows, row{d, &end})
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
	for _, e := range l.demands {
		if len(demands) >= competitors || e.from > last+slack {
			break
		}
		if e.judged || e.to != never && e.to < first || slices.Contains(demands, e) {
			continue
		}
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
	for i := len(l.supplies) - 1; i >= 0 && l.supplies[i].seen >= oldest-slack; i-- {
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
		if _, ok := l.fit(e, s); e == d || !ok {
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
	if len(d.names) == 0 || len(groups(d.window)) <= 1 {
		return Linked
	}
	return Likely
}

// hungarian solves the assignment problem: it returns for each row the column
// that it is given, or -1, so that the sum of the weights is largest. A weight
// of 0 means that the two cannot go together. Kuhn and Munkres with
// potentials, O(n²m).
func hungarian(w [][]int) []int {
	n := len(w)
	m := 0
	if n > 0 {
		m = len(w[0])
	}
	if len(w) == 1 {
		best := -1
		for j, v := range w[0] {
			if v > 0 && (best < 0 || v > w[0][best]) {
				best = j
			}
		}
		return []int{best}
	}
	cols := m + n // a row may be given a column of its own, which is worth nothing
	const inf = int(1) << 60
	u, v := make([]int, n+1), make([]int, cols+1)
	row := make([]int, cols+1) // of the column, from 1; 0: none
	way := make([]int, cols+1)
	cost := func(i, j int) int {
		if j <= m && w[i-1][j-1] > 0 {
			return -w[i-1][j-1]
		}
		if j == m+i {
			return 0
		}
		return inf / 4
	}
	for i := 1; i <= n; i++ {
		row[0] = i
		j0 := 0
		minv := make([]int, cols+1)
		used := make([]bool, cols+1)
		for j := range minv {
			minv[j] = inf
		}
		for {
			used[j0] = true
			i0, delta, j1 := row[j0], inf, 0
			for j := 1; j <= cols; j++ {
				if used[j] {
					continue
				}
				if c := cost(i0, j) - u[i0] - v[j]; c < minv[j] {
					minv[j], way[j] = c, j0
				}
				if minv[j] < delta {
					delta, j1 = minv[j], j
				}
			}
			for j := 0; j <= cols; j++ {
				if used[j] {
					u[row[j]] += delta
					v[j] -= delta
				} else {
					minv[j] -= delta
				}
			}
			j0 = j1
			if row[j0] == 0 {
				break
			}
		}
		for j0 != 0 {
			j1 := way[j0]
			row[j0] = row[j1]
			j0 = j1
		}
	}
	to := make([]int, n)
	for i := range to {
		to[i] = -1
	}
	for j := 1; j <= m; j++ {
		if i := row[j]; i > 0 && w[i-1][j-1] > 0 {
			to[i-1] = j - 1
		}
	}
	return to
}
