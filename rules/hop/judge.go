package hop

import (
	"slices"
	"sort"
	"strings"

	"mcp401/decode/mcp"
	"mcp401/rules/pair"
)

// judge makes a case of a demand, or holds it until more is known. final: it
// has to be decided now.
func (l *Linker) judge(d *demand, final bool) {
	if d.judged {
		return
	}
	if !d.held {
		// What is seen of its window now is forgotten while it is held.
		if !l.crowded(d) {
			l.search(d)
		}
		d.view = l.look(d)
	}
	gateway, known := l.role(d, d.window, final)
	switch {
	case !known:
		l.hold(d)
		return
	case !gateway:
		d.judged = true
		return
	}
	l.alias(d)
	l.learn(d)
	thin := l.undecided(d)
	if !final && thin {
		l.hold(d)
		return
	}
	if len(d.window) == 0 && !final && d.kind != "" && d.view.dark == 0 && l.empty(d) && !l.seesUpstream(d) {
		l.hold(d)
		return
	}
	d.doubt = thin && l.doubtful(d)
	got := l.assign(d, d.window)
	d.judged = true
	for _, s := range got {
		s.thin = thin
		d.srv.served++
		if u := l.servers[s.end.addr]; len(s.Calls) > 0 && (u == nil || !u.gateway) {
			u = l.server(s.end.addr)
			u.upstream++
			l.changed = l.changed || u.upstream == 1
		}
	}
	if d.kind != "" {
		l.emit(l.makeCase(d, got))
	}
}

// crowd is how many attempts may have begun since a call that has no answer.
const crowd = 4 * competitors

// crowded reports whether there were more: any may be its own, and that would
// be sought among all of them for every such call, thousands of which are open
// when a capture loses much.
func (l *Linker) crowded(d *demand) bool {
	n := len(l.supplies) - crowd
	return n > 0 && (d.call.Outcome == pair.Unanswered || d.call.Outcome == pair.Unseen) && l.supplies[n].seen >= d.from
}

func (l *Linker) hold(d *demand) {
	d.held = true
	l.held = append(l.held, d)
}

// empty reports whether the client got an empty list.
func (l *Linker) empty(d *demand) bool {
	_, n := answer(d.call)
	return n == 0
}

// seesUpstream reports whether the capture shows what this gateway asks.
func (l *Linker) seesUpstream(d *demand) bool {
	if d.call.Asked.HAR {
		return d.srv.served > 0
	}
	a := d.srv.addr.Addr()
	return d.srv.served > 0 || !a.IsLoopback() && l.hosts[a] != nil && l.hosts[a].asks > 0
}

// undecided reports whether a single server is in scope, nobody knows where it
// is, and attempts at several endpoints compete.
func (l *Linker) undecided(d *demand) bool {
	if len(d.names) == 0 {
		return false
	}
	unknown := false
	for _, n := range d.names {
		unknown = unknown || !d.srv.names[n].known()
	}
	if !unknown {
		return false
	}
	ends := 0
	for _, g := range groups(slices.Concat(d.window, d.contended)) {
		if slices.ContainsFunc(g.s, func(s *supply) bool {
			_, ok := l.fit(d, s)
			return ok || s.taken && d.wants(s) && d.mayReach(s)
		}) {
			ends++
		}
	}
	return ends > len(d.names)
}

// doubtful reports whether some of the attempts that may be the demand's went
// well and others failed, those among them that another demand was given while
// nobody knew better.
func (l *Linker) doubtful(d *demand) bool {
	good, bad := false, false
	for _, s := range slices.Concat(d.window, d.contended) {
		if s.Outcome == Pending || s.token || !d.wants(s) || !d.mayReach(s) || d.fellBack(s) {
			continue
		}
		good, bad = good || !s.Outcome.Failed(), bad || s.Outcome.Failed()
	}
	return good && bad
}

// fellBack reports whether a connection came to nothing and the next one went to
// the same port of another address and did better: a name has several addresses,
// which are tried in turn (RFC 8305).
func (d *demand) fellBack(s *supply) bool {
	return len(s.Calls) == 0 && s.Outcome.Failed() && slices.ContainsFunc(d.window, func(t *supply) bool {
		return t.from >= s.from && (t.Outcome == OK || t.Outcome == Empty) && t.end.addr.Port() == s.end.addr.Port() && t.end.addr != s.end.addr
	})
}

// mayReach reports whether an attempt went where one of the names in scope may
// be reached, as far as is known.
func (d *demand) mayReach(s *supply) bool {
	return slices.ContainsFunc(d.names, func(n string) bool {
		_, no := d.srv.names[n].at(s)
		return !no && !d.srv.elsewhere(n, s.end)
	})
}

// alias learns another address that a gateway asks from: of a credential that
// its client sent, when nothing comes from its own.
func (l *Linker) alias(d *demand) {
	if len(d.window) > 0 || d.srv.served > 0 || len(d.srv.hosts) > 16 {
		return
	}
	for i := len(l.supplies) - 1; i >= 0 && l.supplies[i].seen >= d.from-slack; i-- {
		s := l.supplies[i]
		if s.taken || !d.contains(s) || s.Cred == nil || !d.holds(s.Cred.Hash) || s.host == d.call.Asked.Flow.Client.Addr() {
			continue
		}
		d.srv.hosts[s.host] = true
	}
	if len(d.srv.hosts) > 0 {
		l.search(d)
	}
}

// learn votes on where the one server in a demand's scope is reached.
func (l *Linker) learn(d *demand) {
	l.learnPrefixes(d)
	if d.learned || len(d.names) != 1 || d.kind == "" && d.call.Method != "initialize" {
		return
	}
	n := d.srv.name(d.names[0])
	if n.url != "" || n.sure && slices.ContainsFunc(d.window, func(s *supply) bool { return same(s.end, n.home) }) {
		return // nothing new
	}
	d.learned = true
	was := n.known()
	if x := d.call.Exchange; x != nil {
		if u := outbound(x); u != "" {
			n.url, n.urls = u, nil
			d.srv.learnt(d.names[0])
			l.changed = true
			return
		}
	}
	if len(n.votes) > 256 {
		return
	}
	present := map[endpoint]bool{}
	holed := d.view.holes > 0
	gs := slices.DeleteFunc(groups(d.window), func(g group) bool { return g.s[0].token })
	// What is known to be another name's counts only where there is nothing else.
	if rest := slices.DeleteFunc(slices.Clone(gs), func(g group) bool { return d.srv.elsewhere(d.names[0], g.end) }); len(rest) > 0 {
		gs = rest
	}
	mcps := len(gs)
	for _, g := range gs {
		end := g.end
		present[end] = true
		v := 1 / float64(mcps)
		if mcps == 1 && !holed && len(g.s[0].Calls) > 0 && l.alone(d, g.s) {
			v = sure + 1
		}
		for _, s := range g.s {
			if s.Cred != nil && d.holds(s.Cred.Hash) {
				v = max(v, 2*sure+2)
			}
			if tools, c := answer(d.call); c > 0 && s.Outcome == OK {
				if prefixed(tools, s.Tools, d.names[0]) {
					v = max(v, 2*sure+2)
				} else if !passedOn(tools, s.Tools) {
					v = -1
				}
			}
		}
		n.votes[end] += v
	}
	if mcps > 0 && !holed {
		for e := range n.votes {
			if !present[e] {
				n.votes[e]--
			}
		}
	}
	if n.decide(); n.sure {
		d.srv.learnt(d.names[0])
		d.srv.homes[n.home] = d.names[0]
	}
	l.changed = l.changed || !was && n.known()
}

// learnPrefixes takes the names that a list's tools bear for those of the
// servers that have these tools, where several servers are in scope.
func (l *Linker) learnPrefixes(d *demand) {
	tools, n := answer(d.call)
	if d.learned || n <= 0 || len(d.names) < 2 {
		return
	}
	d.learned = true
	for _, s := range d.window {
		for _, nm := range d.names {
			if k := d.srv.name(nm); s.Outcome == OK && !k.known() && len(k.votes) < 256 && prefixed(tools, s.Tools, nm) {
				k.votes[s.end] += 2*sure + 2
				if k.decide(); k.sure {
					d.srv.learnt(nm)
					d.srv.homes[k.home] = nm
					l.changed = true
				}
			}
		}
	}
}

// alone reports whether no other demand could have caused these attempts.
func (l *Linker) alone(d *demand, ss []*supply) bool {
	for _, e := range l.demands {
		if e == d || e.srv.upstream > 0 && !e.srv.gateway {
			continue
		}
		for _, s := range ss {
			if e.contains(s) && e.wants(s) && e.mayCause(s) && e.call.Asked.Flow.Server != s.end.addr {
				return false
			}
		}
	}
	return true
}

// prefixed reports whether the tools a client got are an upstream's own under
// the name of the server.
func prefixed(got, had []string, name string) bool {
	if len(had) == 0 {
		return false
	}
	for _, g := range got {
		if rest, ok := strings.CutPrefix(g, name); ok && len(rest) > len(had[0]) && strings.HasSuffix(rest, had[0]) {
			return true
		}
	}
	return false
}

func (l *Linker) makeCase(d *demand, got []*supply) *Case {
	got = explain(d, got)
	sort.SliceStable(got, func(i, j int) bool { return got[i].First.Frame < got[j].First.Frame })
	x := d.call.Asked
	c := &Case{
		Call: d.call, Kind: d.kind, Gateway: d.srv.addr, Profile: d.srv.profile.name, Version: d.srv.version,
		Servers: display(d.names), SeesUpstream: l.seesUpstream(d), HAR: x.HAR, NoAuth: x.HAR && l.noAuth,
		GatewayKeys: d.srv.keys, Names: d.srv.known,
	}
	c.Tools, c.Count = answer(d.call)
	c.Via, c.Target = via(x)
	if !d.srv.gateway {
		c.Profile = ""
	}
	if d.call.Answer != nil {
		c.Outcomes = d.call.Answer.Outcomes
	}
	if len(got) == 0 && c.Count == 0 && d.srv.profile == general {
		got = l.remembered(d)
	}
	for _, s := range got {
		a := &s.Attempt
		a.Server = d.srv.nameOf(s, d.names)
		if a.Server == "" && len(c.Servers) == 1 {
			a.Server = c.Servers[0]
		}
		if h := l.hosts[s.host]; c.Version == "" && h != nil {
			c.Version = h.version
		}
		c.Attempts = append(c.Attempts, a)
		if c.Confidence == None || weaker(a.Confidence, c.Confidence) {
			c.Confidence = a.Confidence
		}
	}
	c.nameLast()
	if len(c.Outcomes) > 0 {
		c.Confidence = Proved
	}
	if d.kind == LLM {
		l.model(d, c)
	}
	l.visibility(d, c)
	return c
}

// nameLast names the one endpoint whose name is not known by the one name in
// scope that has no endpoint.
func (c *Case) nameLast() {
	left := slices.Clone(c.Servers)
	var nameless []*Attempt
	for _, a := range c.Attempts {
		if a.Server == "" {
			nameless = append(nameless, a)
		}
		left = slices.DeleteFunc(left, func(n string) bool { return n == a.Server })
	}
	if len(left) != 1 || len(nameless) == 0 {
		return
	}
	for _, a := range nameless {
		if a.Address != nameless[0].Address {
			return
		}
	}
	for _, a := range nameless {
		a.Server = left[0]
	}
}

func weaker(a, b Confidence) bool {
	order := []Confidence{None, Suspected, Likely, Linked, Proved}
	return slices.Index(order, a) < slices.Index(order, b)
}

// display drops the ids whose names are not known to a plain id.
func display(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.TrimPrefix(n, idPrefix)
	}
	return out
}

// learnt adds a name of which it became known where it is reached. The list is
// copied, because cases hold it.
func (s *server) learnt(n string) {
	if strings.HasPrefix(n, idPrefix) {
		return
	}
	if i, found := slices.BinarySearch(s.known, n); !found {
		s.known = slices.Insert(slices.Clip(s.known), i, n)
	}
}

// nameOf is the gateway's name for the server of an attempt; "" when unknown.
func (s *server) nameOf(a *supply, scope []string) string {
	for _, n := range scope {
		if yes, _ := s.names[n].at(a); yes {
			return strings.TrimPrefix(n, idPrefix)
		}
	}
	if len(scope) == 1 {
		return strings.TrimPrefix(scope[0], idPrefix)
	}
	for _, n := range s.known {
		if len(scope) > 0 && !slices.Contains(scope, n) {
			continue
		}
		if yes, _ := s.names[n].at(a); yes {
			return n
		}
	}
	return ""
}

// remembered returns the last outcomes of the upstreams of a gateway that
// lists them before it is asked and answers from memory: only when none of
// them is good, because a good one would be in the list.
func (l *Linker) remembered(d *demand) []*supply {
	if len(l.gateways) != 1 || d.call.Asked.HAR {
		return nil
	}
	var got []*supply
	auth := false
	for _, s := range l.last {
		if !d.srv.fromHost(s.host, s.har) || s.to >= d.from || s.end.addr == d.srv.addr {
			continue
		}
		if len(d.names) > 0 {
			named := false
			for _, n := range d.names {
				yes, _ := d.srv.names[n].at(s)
				named = named || yes
			}
			if !named && len(l.last) > 1 {
				continue
			}
		}
		if !s.Outcome.Failed() {
			return nil
		}
		auth = auth || s.Outcome.Auth()
		got = append(got, s)
	}
	if !auth {
		return nil
	}
	sort.Slice(got, func(i, j int) bool { return got[i].First.Frame < got[j].First.Frame })
	for _, s := range got {
		s.Confidence = Likely
	}
	return got
}

// holed counts what of the upstream side is not whole in a demand's window.
func (l *Linker) holed(d *demand) int {
	n := 0
	for _, h := range l.holes {
		if h.server != d.srv.addr && h.to >= d.from && h.from <= d.to && d.srv.fromHost(h.host, false) {
			n++
		}
	}
	return n
}

// model finds the request that the gateway sent to the model.
func (l *Linker) model(d *demand, c *Case) {
	var best *model
	for _, m := range l.models {
		x := m.x
		if m.taken || instantOf(x.Asked.Time) < d.from || instantOf(x.Asked.Time) > d.to || x.Flow.Server == d.srv.addr || !d.srv.fromHost(x.Flow.Client.Addr(), x.HAR) {
			continue
		}
		if best == nil || x.LLMTools.Stream == d.call.Asked.LLMTools.Stream && best.x.LLMTools.Stream != d.call.Asked.LLMTools.Stream {
			best = m
		}
	}
	c.Count = -1
	if r := d.call.Exchange; r != nil && r.REST != nil {
		c.Count = r.REST.MCPTools
	}
	if best != nil {
		best.taken = true
		c.Model = best.x
		c.Count = max(best.x.LLMTools.Count-d.call.Asked.LLMTools.Count, 0)
	}
}

// A view is what the capture cannot show of a demand's window.
type view struct {
	dark  int // connections that cannot be read
	shape Shape
	name  string
	holes int
	lost  bool
}

func (l *Linker) look(d *demand) view {
	v := view{holes: l.holed(d)}
	v.dark, v.shape, v.name = l.dark(d)
	for _, s := range l.lossAt {
		v.lost = v.lost || s.to >= d.from && s.from <= d.to
	}
	return v
}

// visibility says what the capture cannot show of a case.
func (l *Linker) visibility(d *demand, c *Case) {
	c.Opaque, c.Shape, c.DarkName, c.Holes = d.view.dark, d.view.shape, d.view.name, d.view.holes
	c.Doubt = d.doubt
	c.Hidden = d.view.lost || d.rushed || l.bounded || d.call.Outcome == pair.Unseen || d.call.Exchange != nil && d.call.Exchange.Hole
}

// Told reports whether the client was told of a failure: by a status, an
// error, or a word in the answer.
func (c *Case) Told() bool {
	k := c.Call
	switch {
	case k.Outcome == pair.Refused:
		return true
	case k.Outcome != pair.Answered:
		return false
	case k.Answer != nil:
		return k.Answer.Kind == mcp.Error
	case k.Exchange != nil && k.Exchange.REST != nil:
		return k.Exchange.REST.Error != "" || k.Exchange.REST.IsError && c.Kind == List
	}
	return false
}
