// Package hop joins the two hops: who is the gateway, and which upstream
// attempts a downstream call caused.
//
// No id is shared by the two hops. What there is, strongest first: the
// gateway's own word; the same credential on both; a server name that is known
// to belong to an endpoint; the window from the downstream request to its
// result event; being the only candidate. The one trick: calls are demands and
// attempts are supplies, and a call is judged only when everything that began
// before its answer has been seen, by an assignment over all calls that
// compete for the same attempts.
package hop

import (
	"maps"
	"net/netip"
	"time"

	"mcp401/decode"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
	"mcp401/rules/pair"
)

// A Config says what is known beforehand. Its zero value works.
type Config struct {
	Limits    decode.Limits
	Gateways  []netip.AddrPort  // named by the user; an unspecified address means any address with that port
	Upstreams []netip.AddrPort  // likewise
	Names     map[string]Server // server names of a gateway's configuration file, by name
	Note      func(decode.Note) // of a limit that was passed; may be nil
	Hold      time.Duration     // how long a call may wait for evidence that comes later (names, roles); 0: until the capture ends
}

// A Server is what a configuration file says of one upstream.
type Server struct {
	URL          string
	Alias        string
	Transport    string // "http", "sse", "stdio"
	ExtraHeaders []string
	Stored       bool // the gateway holds a credential for it
}

// A Linker turns the events of all shards into cases.
type Linker struct {
	cfg   Config
	lim   decode.Limits
	emit  func(*Case)
	pair  pair.Pairer
	now   decode.Mark
	clock instant // now's time

	servers  map[netip.AddrPort]*server
	seen     []netip.AddrPort // keys of servers, oldest first
	hosts    map[netip.Addr]*host
	demands  []*demand // downstream calls that are not judged, in order of their requests
	byCall   map[*pair.Call]*demand
	due      []*demand // those with an answer, in order of it
	held     []*demand // those past their time that wait for evidence
	supplies []*supply // upstream attempts that no call has, in order of their requests
	supplied map[*pair.Call]*supply
	sess     sessions

	sights    sights
	redirects map[string]*supply // by target
	opaque    map[int]opaque     // by flow
	models    []*model
	last      map[endpoint]*supply // the last outcome of each endpoint, whoever caused it
	sent      map[string]int       // client credentials that may be forwarded: how many calls sent each
	lossAt    []span
	holes     []hole
	noAuth    bool // HAR: no credential was seen in the file so far
	gateways  []*server
	callers   map[caller]struct{}
	calls     map[string]int // how many servers each caller calls, by its agent
	begun     int            // attempts so far
	changed   bool           // a role or a name became known: held calls are worth another look
	bounded   bool
	closing   bool // the capture is over

	sinceDemands int // demands judged since prune
}

type span struct{ from, to instant }

// An instant is a time of the capture's clock in nanoseconds, as the join
// compares millions of them; never: not yet.
type instant int64

const never instant = 0

func instantOf(t time.Time) instant {
	if t.IsZero() {
		return never
	}
	return instant(t.UnixNano())
}

// A model is a request that a gateway sent to a language model.
type model struct {
	x     *mcp.Exchange
	taken bool
}

// slack is how much two marks of one host's capture may be out of order.
const slack = instant(2 * time.Millisecond)

// A host is an address that asks.
type host struct {
	origin  *profile // the product that its requests name
	version string
	asks    int // MCP requests it sent
}

// NewLinker returns a linker that gives each case to emit once, when it is
// decided: Limits.Lateness after its answer on the capture's clock, or later
// where only what follows can tell whose an attempt was.
func NewLinker(cfg Config, emit func(*Case)) *Linker {
	l := &Linker{
		cfg: cfg, lim: cfg.Limits.WithDefaults(), emit: emit,
		servers: map[netip.AddrPort]*server{}, hosts: map[netip.Addr]*host{},
		byCall: map[*pair.Call]*demand{}, supplied: map[*pair.Call]*supply{},
		redirects: map[string]*supply{}, opaque: map[int]opaque{}, last: map[endpoint]*supply{}, sent: map[string]int{}, callers: map[caller]struct{}{}, calls: map[string]int{}, noAuth: true,
	}
	l.pair = pair.Pairer{Limits: l.lim, Begin: l.asked, End: l.ended, Note: func(n decode.Note) {
		l.bounded = true // what was given up may have caused any attempt
		if cfg.Note != nil {
			cfg.Note(n)
		}
	}}
	return l
}

// Event takes the next event, in order of its Mark.
func (l *Linker) Event(e stack.Event) {
	if t := instantOf(e.At.Time); t > l.clock {
		l.now, l.clock = e.At, t
	}
	switch {
	case l.again(&e):
	case e.Exchange != nil:
		l.exchange(e.At, e.Exchange)
	case e.Connection != nil:
		l.connection(e.Connection)
	}
	l.settle()
}

// Loss says that the capture itself lost packets before that mark and after
// the last event: nothing that is not seen in between proves anything.
func (l *Linker) Loss(at decode.Mark) {
	from, to := l.clock, instantOf(at.Time)
	switch {
	case from > to+instant(time.Second): // the clock was set back, and that of the events was not
		to = from
	case from == never || from > to:
		from = to
	}
	l.lossAt = append(l.lossAt, span{from, to})
	if len(l.lossAt) > 1024 {
		l.lossAt[1].from = l.lossAt[0].from
		l.lossAt = l.lossAt[1:]
	}
}

// Tick says what time it is when no event does.
func (l *Linker) Tick(now time.Time) {
	if t := instantOf(now); t > l.clock {
		l.now.Time, l.clock = now, t
	}
	l.pair.Tick(now)
	l.settle()
}

// Close decides what is still open: the capture is over.
func (l *Linker) Close() {
	l.closing = true
	l.pair.Close(l.now)
	due := l.due
	l.due = nil
	for _, d := range due {
		l.judge(d, false)
	}
	// What is still held is judged by all that was learned, in two rounds: the
	// first may still learn from what the second cannot tell.
	l.retry()
	held := l.held
	l.held = nil
	sortDemands(held)
	for _, d := range held {
		l.judge(d, true)
	}
}

func (l *Linker) exchange(at decode.Mark, x *mcp.Exchange) {
	l.recognise(x)
	if x.Phase == mcp.Asked {
		if x.Scheme == "https" {
			l.readable(x.Flow.First)
		}
		for i := range x.Creds {
			l.noAuth = l.noAuth && x.Creds[i].Header != "authorization" && x.Creds[i].Header != "cookie"
		}
		if x.Kind == mcp.LLM && !x.LLMTools.MCP {
			l.models = append(l.models, &model{x: x})
			if len(l.models) > l.lim.Attempts {
				l.models = l.models[len(l.models)/2:]
			}
		}
	}
	if x.Phase == mcp.Closed && x.Hole {
		l.hole(span{instantOf(x.Asked.Time), l.clock}, x.Flow.Client.Addr(), x.Flow.Server)
	}
	if x.Phase == mcp.Closed && x.Kind == mcp.Other {
		l.page(x)
	}
	l.pair.Exchange(at, x)
}

// page takes an answer that is no MCP: the target of a redirect decides the
// attempt that was redirected.
func (l *Linker) page(x *mcp.Exchange) {
	s := l.sess.byFlow[x.Flow.First]
	if s == nil || !s.redirected() {
		s = l.redirects[x.Scheme+"://"+x.Authority+x.Path]
	}
	if s == nil || !s.redirected() || instantOf(x.Asked.Time)-s.latest() > redirectGap {
		return
	}
	c := &pair.Call{Asked: x, Method: x.Method, Outcome: pair.Refused, Exchange: x, At: x.Ended}
	if x.Status >= 300 && x.Status < 400 && x.Location != "" {
		l.redirect(x.Location, s)
	}
	s.Redirect = s.Calls[len(s.Calls)-1]
	s.Calls = append(s.Calls, c)
	s.settle(loginOr(refusal(c), c), c)
}

// asked takes a call that begins: it may be a downstream call, an upstream one,
// or, between two gateways, both.
func (l *Linker) asked(c *pair.Call) {
	x := c.Asked
	srv := l.server(x.Flow.Server)
	h := l.host(x.Flow.Client.Addr())
	if x.Kind == mcp.RPC {
		h.asks++
		l.called(x)
	}
	if d := l.newDemand(c, srv); d != nil {
		l.demands = append(l.demands, d)
		l.byCall[c] = d
	}
	if srv.gateway && !srv.guessed && !l.chained(srv, x.Flow.Client.Addr()) || x.Kind == mcp.RESTList || x.Kind == mcp.RESTCall || x.Kind == mcp.RESTTest || x.Kind == mcp.Health || x.Kind == mcp.LLM {
		return
	}
	if s := l.begin(c); s != nil {
		l.supplied[c] = s
	}
}

// ended takes a call that has its answer or will never have one.
func (l *Linker) ended(c *pair.Call) {
	if s := l.supplied[c]; s != nil {
		delete(l.supplied, c)
		l.answered(s, c)
		if !s.Outcome.Failed() && s.token {
			l.spent(s)
		}
		if s.Outcome != Pending && s.Outcome != Unseen && !s.token {
			l.remember(s)
		}
	}
	if d := l.byCall[c]; d != nil {
		delete(l.byCall, c)
		if c.Method == "" && c.Answer != nil && c.Answer.Count >= 0 {
			c.Method, d.kind = "tools/list", List // the request was not seen, the answer tells
		}
		d.to = instantOf(c.At.Time)
		l.due = append(l.due, d)
	}
}

// remember keeps the last outcome of an endpoint. Where there are more of them
// than a gateway has servers, the first are kept: they are those of its boot.
func (l *Linker) remember(s *supply) {
	if _, known := l.last[s.end]; known || len(l.last) < l.lim.Sessions {
		l.last[s.end] = s
	}
}

// settle judges the calls whose time has come, and forgets what no call that
// is open can need.
func (l *Linker) settle() {
	n := 0
	// More than Limits.Held wait only where the clock stands still, as in a HAR
	// that was put together of others.
	for n < len(l.due) && (l.ripe(l.due[n]) || len(l.due)-n > l.lim.Held && l.rush(l.due[n])) {
		l.judge(l.due[n], false)
		n++
	}
	if n == 0 && !l.overdue() {
		return
	}
	clear(l.due[:n])
	l.due = l.due[n:]
	l.retry()
	// Often enough that little is kept, seldom enough that it costs little.
	if l.sinceDemands += n; l.sinceDemands > 16+(len(l.demands)+len(l.supplies))/8 {
		l.sinceDemands = 0
		l.prune()
	}
}

// Open returns how many calls have no case yet: those without an answer, and
// those that wait for evidence.
func (l *Linker) Open() int { return len(l.byCall) + len(l.due) + len(l.held) }

// Since returns the frame that began the oldest call that is not judged, 0
// where there is none: nothing that came before it can matter to a case but by
// what was learned of it.
func (l *Linker) Since() int {
	for _, d := range l.demands {
		if !d.judged && d.kind != "" {
			return d.call.Asked.Asked.Frame
		}
	}
	return 0
}

// overdue reports whether a held call has waited for Config.Hold: when the wire
// is quiet no other call comes to have it looked at again.
func (l *Linker) overdue() bool {
	return len(l.held) > 0 && l.cfg.Hold > 0 && l.clock-l.held[0].to > instant(l.cfg.Hold)
}

// keyWait is how long a call waits beside TLS that cannot be read: the keys of
// a connection may be written, and found, a moment after it.
const keyWait = instant(2 * time.Second)

// ripe reports whether a call with an answer may be judged.
func (l *Linker) ripe(d *demand) bool {
	late := d.to + instant(l.lim.Lateness)
	if late > l.clock {
		return false
	}
	if d.ripe == never {
		d.ripe = late
		if n, _, _ := l.dark(d); n > 0 {
			d.ripe = d.to + keyWait
			if l.cfg.Hold > 0 {
				d.ripe = max(late, d.to+min(keyWait, instant(l.cfg.Hold)))
			}
		}
	}
	return d.ripe <= l.clock
}

// rush says that a demand is judged before its time, so that others have room:
// what was not seen by then may have been the right attempt.
func (l *Linker) rush(d *demand) bool {
	d.rushed = true
	if l.cfg.Note != nil && len(l.supplies)+len(d.window) > 0 { // else nothing upstream is seen at all
		l.cfg.Note(decode.Note{Code: "limit/held", At: l.now, Text: "calls were judged before what may come later, and accuse nobody"})
	}
	return true
}

// retry judges held calls again: what came since may tell.
func (l *Linker) retry() {
	for len(l.held) > l.lim.Held {
		d := l.held[0]
		l.held = l.held[1:]
		l.rush(d)
		l.judge(d, true)
	}
	late := func(d *demand) bool { return l.cfg.Hold > 0 && l.clock-d.to > instant(l.cfg.Hold) }
	for len(l.held) > 0 && (l.changed || l.overdue()) {
		l.changed = false
		held := l.held
		l.held = nil
		for _, d := range held {
			l.judge(d, late(d))
		}
	}
}

// prune forgets supplies that began before every demand that is not judged.
func (l *Linker) prune() {
	keep := l.demands[:0]
	for _, d := range l.demands {
		if !d.judged {
			keep = append(keep, d)
		}
	}
	clear(l.demands[len(keep):])
	l.demands = keep
	from := l.clock
	for _, d := range l.demands {
		if d.held {
			continue // it has its candidates
		}
		from = min(from, d.from)
		break // demands stand in order of their requests
	}
	from -= slack
	kept := l.supplies[:0]
	for _, s := range l.supplies {
		// An attempt that is still used may decide later: keep it for a while.
		if (!s.taken || s.thin) && (s.from > from || s.latestOrEnd() >= from) {
			kept = append(kept, s)
		} else {
			l.sess.forget(s)
		}
	}
	clear(l.supplies[len(kept):])
	l.supplies = kept
	for t, s := range l.redirects {
		if s.latest() < from-redirectGap {
			delete(l.redirects, t)
		}
	}
	l.holes = after(l.holes, func(h hole) bool { return h.to > from })
	maps.DeleteFunc(l.opaque, func(_ int, o opaque) bool { return !o.open && o.to <= from })
	l.models = after(l.models, func(m *model) bool { return !m.taken && instantOf(m.x.Asked.Time) > from })
}

func after[T any](q []T, keep func(T) bool) []T {
	kept := q[:0]
	for _, v := range q {
		if keep(v) {
			kept = append(kept, v)
		}
	}
	clear(q[len(kept):])
	return kept
}

// latestOrEnd is when the attempt was last seen to move, calls or none.
func (s *supply) latestOrEnd() instant {
	if len(s.Calls) == 0 {
		return s.to
	}
	return max(s.latest(), s.to)
}

// boundSupplies keeps the attempts that no call has within Limits.Attempts.
func (l *Linker) boundSupplies() {
	if len(l.supplies) <= l.lim.Attempts {
		return
	}
	n := len(l.supplies) / 2
	for _, s := range l.supplies[:n] {
		l.sess.forget(s)
	}
	l.supplies = append(l.supplies[:0], l.supplies[n:]...)
	l.bounded = true
	if l.cfg.Note != nil {
		l.cfg.Note(decode.Note{Code: "limit/attempts", At: l.now, N: n, Text: "upstream attempts were forgotten while a call was open: no empty list is blamed on one from here on"})
	}
}
