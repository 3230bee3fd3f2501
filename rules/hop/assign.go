package hop

import (
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
		if s.seen.Before(d.from.Add(-slack)) {
			break
		}
		if !s.taken && d.contains(s) && d.srv.fromHost(s.host, s.har) {
			c = append(c, s)
		}
	}
	for i, j := 0, len(c)-1; i < j; i, j = i+1, j-1 {
		c[i], c[j] = c[j], c[i]
	}
	return c
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
	if s.taken || !d.contains(s) || !d.wants(s) || !d.srv.fromHost(s.host, s.har) || !d.srv.gateway {
		return 0, false
	}
	w := wFit
	if len(d.names) > 0 {
		yes, maybe := false, false
		for _, n := range d.names {
			y, no := d.srv.names[n].at(s)
			yes, maybe = yes || y, maybe || !no
		}
		switch {
		case yes:
			w += wName
		case !maybe:
			return 0, false
		}
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
	}
	return 0
}

// near prefers the attempt that begins soon after the request and ends shortly
// before the answer.
func (d *demand) near(s *supply) int {
	w := wNear - int(min(s.from.Sub(d.from)/time.Millisecond, wNear))
	if !d.to.IsZero() && !s.to.IsZero() {
		w += wNear - int(min(d.to.Sub(s.to)/(100*time.Microsecond), wNear))
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
			if gs[i].end.addr == s.end.addr && (gs[i].end.path == s.end.path || gs[i].end.path == "" || s.end.path == "") {
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

// assign finds the attempts of a demand among its candidates, endpoint by
// endpoint, by the best assignment over all demands that compete for them.
func (l *Linker) assign(d *demand, window []*supply) []*supply {
	var got []*supply
	for _, g := range groups(window) {
		got = append(got, l.assignAt(d, g)...)
	}
	if len(d.names) == 1 && !d.srv.names[d.names[0]].known() {
		got = l.oneEndpoint(d, got)
	}
	for _, s := range got {
		s.taken = true
	}
	return got
}

func (l *Linker) assignAt(d *demand, g group) []*supply {
	var mine []*supply
	for _, s := range g.s {
		if _, ok := l.fit(d, s); ok {
			mine = append(mine, s)
		}
	}
	if len(mine) == 0 {
		return nil
	}
	demands := l.competing(d, mine)
	all := l.contested(demands, g.end)
	w := make([][]int, len(demands))
	for i, e := range demands {
		w[i] = make([]int, len(all))
		for j, s := range all {
			if v, ok := l.fit(e, s); ok && !s.probe {
				w[i][j] = v
			}
		}
	}
	to := hungarian(w)
	owner := make(map[*supply]int, len(all))
	for i, j := range to {
		if j >= 0 && w[i][j] > 0 {
			owner[all[j]] = i
		}
	}
	var got []*supply
	for _, s := range mine {
		i, owned := owner[s]
		switch {
		case owned && i == 0:
		case owned:
			continue
		case !l.leftover(d, s, demands):
			continue
		}
		s.Confidence = l.confidence(d, s, demands)
		got = append(got, s)
	}
	return got
}

// competing returns d and the other demands that may have one of its
// attempts, d first.
func (l *Linker) competing(d *demand, mine []*supply) []*demand {
	demands := []*demand{d}
	for _, e := range l.demands {
		if e == d || e.judged {
			continue
		}
		for _, s := range mine {
			if _, ok := l.fit(e, s); ok {
				demands = append(demands, e)
				break
			}
		}
		if len(demands) == competitors {
			break
		}
	}
	return demands
}

// contested returns the attempts at an endpoint that any of the demands may
// have.
func (l *Linker) contested(demands []*demand, end endpoint) []*supply {
	var all []*supply
	seen := map[*supply]bool{}
	add := func(s *supply) {
		if !seen[s] && len(all) < 2*competitors && s.end.addr == end.addr && (s.end.path == end.path || s.end.path == "" || end.path == "") {
			for _, e := range demands {
				if _, ok := l.fit(e, s); ok {
					seen[s] = true
					all = append(all, s)
					return
				}
			}
		}
	}
	for _, e := range demands {
		for _, s := range e.window {
			add(s)
		}
	}
	oldest := demands[0].from
	for _, e := range demands {
		if !e.held && e.from.Before(oldest) {
			oldest = e.from
		}
	}
	for i := len(l.supplies) - 1; i >= 0 && !l.supplies[i].seen.Before(oldest.Add(-slack)); i-- {
		add(l.supplies[i])
	}
	return all
}

// leftover reports whether an attempt that no demand was given belongs to d
// all the same: a retry or a probe, or a second server at the same endpoint.
func (l *Linker) leftover(d *demand, s *supply, demands []*demand) bool {
	if s.Cred != nil && d.holds(s.Cred.Hash) {
		return true
	}
	for _, e := range demands[1:] {
		if _, ok := l.fit(e, s); ok {
			return false
		}
	}
	return true
}

// confidence says how sure it is that s is an attempt of d.
func (l *Linker) confidence(d *demand, s *supply, demands []*demand) Confidence {
	same := s.Cred != nil && d.holds(s.Cred.Hash)
	for _, e := range demands[1:] {
		if _, ok := l.fit(e, s); !ok {
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

// oneEndpoint keeps the attempts at the endpoint that fits best, where one
// server is in scope and nobody knows where it is. What fits equally well is
// settled in favour of the innocent.
func (l *Linker) oneEndpoint(d *demand, got []*supply) []*supply {
	gs := groups(got)
	if len(gs) <= 1 {
		return got
	}
	best, most := 0, -1
	for i, g := range gs {
		w := 0
		for _, s := range g.s {
			v, _ := l.fit(d, s)
			if n := d.srv.names[d.names[0]]; n != nil {
				v += int(100 * n.votes[s.end])
			}
			if !s.Outcome.Failed() {
				v += wAnswer
			}
			w = max(w, v)
		}
		if w > most {
			best, most = i, w
		}
	}
	for _, s := range gs[best].s {
		if s.Confidence != Linked || s.Cred == nil || !d.holds(s.Cred.Hash) {
			s.Confidence = Likely
		}
	}
	return gs[best].s
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
