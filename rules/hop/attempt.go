package hop

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcp401/decode"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
	"mcp401/rules/pair"
)

// An endpoint is where an upstream is reached.
type endpoint struct {
	addr netip.AddrPort
	path string // "" where only a connection was seen
}

// A supply is an upstream attempt while it is not known whose it is.
type supply struct {
	Attempt
	host      netip.Addr // who asked
	end       endpoint
	authority string
	from, to  instant // of its first request; of its outcome, never while that is open
	flow      int     // of its last call without a session
	session   string
	probe     bool
	token     bool // a request to a token endpoint
	har       bool
	page      bool   // HAR: a browser sent it
	asked     string // "list", "call", "other": what the session was for, as far as seen
	open      int    // calls without an answer
	taken     bool
	thin      bool    // taken by a call of which nobody knows where its server is
	seen      instant // when it was made: supplies stand in that order
	inside    *server // the last one that it was counted for as inside of a call
}

// sessionGap parts two uses of one session: a gateway that keeps an upstream
// session open asks for each list on it anew.
const sessionGap = instant(2 * time.Second)

// looseKept is how many of the oldest attempts without a session at one
// endpoint are looked at, so that many open ones do not cost more for each.
const looseKept = 256

// redirectGap is how long after a redirect its target is asked at the latest.
const redirectGap = instant(2 * time.Second)

type sessionKey struct {
	host netip.Addr
	end  endpoint
	id   string
}

// sessions finds the supply that a call belongs to.
type sessions struct {
	byID   map[sessionKey]*supply
	byFlow map[int]*supply // the last one without a session on a connection
	loose  map[endpoint][]*supply
}

// begin finds or makes the supply of an upstream call.
func (l *Linker) begin(c *pair.Call) *supply {
	x := c.Asked
	host, end := x.Flow.Client.Addr(), endpoint{x.Flow.Server, x.Path}
	now := instantOf(c.Start())
	var s *supply
	first := c.Method == "initialize" || c.Method == "server/discover"
	switch {
	case c.Method == "token":
	case first:
		// The modern handshake may fall back to the old one.
		if p := l.sess.byFlow[x.Flow.First]; p != nil && !p.taken && c.Method == "initialize" && len(p.Calls) == 1 && p.Calls[0].Method == "server/discover" && now-p.from < sessionGap {
			s = p
			s.Outcome, s.Decisive, s.Challenge, s.to = Pending, nil, nil, never // the fallback decides
		}
	case c.Session != "":
		s = l.sess.byID[sessionKey{host, end, c.Session}]
	case c.Method != "GET":
		s = l.sess.loosely(c, end)
	}
	if s != nil && (s.taken || now-s.latest() > sessionGap && (s.to != never || s.open == 0) || c.Method == "tools/list" && s.asked == "list" && (c.Request == nil || !c.Request.Cursor)) {
		s = nil
	}
	if s == nil {
		if c.Method == "GET" {
			return l.beginStream(c, host, end)
		}
		s = l.newSupply(c, host, end)
	}
	s.add(c)
	l.index(s, c)
	return s
}

// beginStream takes a standing GET: the stream of a session is none of an
// attempt's outcome; one without a session opens the HTTP+SSE transport.
func (l *Linker) beginStream(c *pair.Call, host netip.Addr, end endpoint) *supply {
	if c.Session != "" {
		return nil
	}
	if p := l.sess.byFlow[c.Asked.Flow.First]; p != nil && p.redirected() && instantOf(c.Start())-p.latest() < redirectGap {
		p.Calls = append(p.Calls, c)
		p.open++
		return p
	}
	for i := len(l.supplies) - 1; i >= 0 && i >= len(l.supplies)-32; i-- {
		if p := l.supplies[i]; p.end == end && p.host == host && instantOf(c.Start())-p.latestOrEnd() < sessionGap {
			return nil // the fallback of an attempt that failed, or the stream of a server without sessions
		}
	}
	s := l.newSupply(c, host, end)
	s.add(c)
	return s
}

func (s *supply) redirected() bool {
	n := len(s.Calls)
	return n > 0 && s.Calls[n-1].Status() >= 300 && s.Calls[n-1].Status() < 400
}

// latest is when the supply was last seen to move.
func (s *supply) latest() instant {
	c := s.Calls[len(s.Calls)-1]
	if c.Outcome != pair.Open {
		return instantOf(c.At.Time)
	}
	return instantOf(c.Start())
}

// loosely finds the session of a call that names none: on its own connection,
// or the oldest one at that endpoint with the same credential that asked for
// nothing yet.
func (t *sessions) loosely(c *pair.Call, end endpoint) *supply {
	x := c.Asked
	list := c.Method == "tools/list"
	fits := func(s *supply) bool {
		if s.taken || s.session != "" || s.host != x.Flow.Client.Addr() || s.end != end || instantOf(x.Asked.Time)-s.latest() >= sessionGap {
			return false
		}
		return s.Outcome == Pending && (s.asked == "other" || !list && c.Method != "tools/call") || list && s.afterCall(c)
	}
	if s := t.byFlow[x.Flow.First]; s != nil && fits(s) {
		return s
	}
	cred := authorization(x)
	q := t.loose[end]
	for len(q) > 0 && q[0].open == 0 && instantOf(x.Asked.Time)-q[0].latest() >= sessionGap {
		q = q[1:] // nothing joins it any more
	}
	if t.loose[end] != nil {
		t.loose[end] = q
	}
	for _, s := range q[:min(len(q), looseKept)] {
		if fits(s) && (s.Cred == nil) == (cred == nil) && (cred == nil || cred.Hash == s.Cred.Hash) {
			return s
		}
	}
	return nil
}

// afterCall reports whether a list is the one by which an SDK learns the
// output schema of the tool that it has just called: nobody downstream asked
// for it. The ids of a session count up.
func (s *supply) afterCall(c *pair.Call) bool {
	last := s.Calls[len(s.Calls)-1]
	if last.Method != "tools/call" || last.Request == nil || c.Request == nil {
		return false
	}
	id, err := strconv.Atoi(last.Request.ID)
	return err == nil && id > 0 && c.Request.ID == strconv.Itoa(id+1)
}

func (l *Linker) newSupply(c *pair.Call, host netip.Addr, end endpoint) *supply {
	x := c.Asked
	s := &supply{host: host, end: end, authority: x.Authority, from: instantOf(c.Start()), har: x.HAR, page: byPage(x), asked: "other", seen: l.clock}
	s.Address, s.First, s.Count, s.Outcome = end.addr, x.Asked, -1, Pending
	authority := x.Authority
	if authority == "" {
		authority = end.addr.String()
	}
	s.URL = x.Scheme + "://" + authority + x.Path
	s.Cred = authorization(x)
	if s.token = c.Method == "token"; !s.token {
		l.begun++
		l.server(end.addr).begun++
	}
	for i := range profiles {
		s.probe = s.probe || profiles[i].probe(c)
	}
	if p := l.sess.byFlow[x.Flow.First]; p != nil && p.redirected() && s.from-p.latest() < redirectGap {
		s.follow(p)
	} else if p := l.redirects[x.Scheme+"://"+authority+x.Path]; p != nil && p.host == host && s.from-p.latest() < redirectGap && !p.taken {
		s.follow(p)
	}
	l.supplies = append(l.supplies, s)
	l.boundSupplies()
	return s
}

// follow makes s the rest of p, which was redirected here.
func (s *supply) follow(p *supply) {
	s.Redirect = p.Calls[len(p.Calls)-1]
	s.First, s.from, s.end, s.authority = p.First, p.from, p.end, p.authority
	p.taken = true
}

func (s *supply) add(c *pair.Call) {
	s.Calls = append(s.Calls, c)
	s.open++
	switch c.Method {
	case "tools/list":
		if s.asked != "call" { // an SDK lists after a call to learn the output schema
			s.asked = "list"
		}
	case "tools/call":
		s.asked = "call"
	case "initialize", "server/discover", "ping", "GET", "token":
	default:
		if s.asked == "other" && !unsent(c) {
			s.asked = "else"
		}
	}
}

// unsent reports whether a request was answered by its head alone, as a server
// may refuse over HTTP/2: its body, which would tell what it asks, was given up
// before it began.
func unsent(c *pair.Call) bool {
	x := c.Asked
	return c.Request == nil && x.Status >= 300 && x.Body.Size == 0 && !x.Body.Whole && !x.Body.Unkept && !x.Body.Absent && !x.Hole
}

func (l *Linker) index(s *supply, c *pair.Call) {
	t := &l.sess
	if t.byID == nil {
		t.byID, t.byFlow, t.loose = map[sessionKey]*supply{}, map[int]*supply{}, map[endpoint][]*supply{}
	}
	if c.Session != "" {
		s.session = c.Session
		t.byID[sessionKey{s.host, endpoint{c.Asked.Flow.Server, c.Asked.Path}, c.Session}] = s
		return
	}
	t.byFlow[c.Asked.Flow.First] = s
	s.flow = c.Asked.Flow.First
	if len(s.Calls) == 1 {
		t.loose[s.end] = append(t.loose[s.end], s)
	}
}

// forget drops a supply from the indexes.
func (t *sessions) forget(s *supply) {
	for _, c := range s.Calls {
		end := endpoint{c.Asked.Flow.Server, c.Asked.Path}
		if k := (sessionKey{s.host, end, s.session}); t.byID[k] == s {
			delete(t.byID, k)
		}
		if t.byFlow[c.Asked.Flow.First] == s {
			delete(t.byFlow, c.Asked.Flow.First)
		}
	}
	q := t.loose[s.end]
	if i := slices.Index(q, s); i == 0 {
		q = q[1:]
	} else if i > 0 {
		q = slices.Delete(q, i, i+1)
	}
	if len(q) == 0 {
		delete(t.loose, s.end)
	} else {
		t.loose[s.end] = q
	}
}

// answered takes the end of an upstream call into its supply.
func (l *Linker) answered(s *supply, c *pair.Call) {
	s.open--
	if c.Session != "" && s.session == "" {
		l.sess.forget(s)
		l.index(s, c)
	}
	if c.Method == "GET" && s.redirected() {
		return
	}
	switch c.Method {
	case "initialize", "server/discover", "tools/list", "tools/call", "token", "GET", "":
	default:
		return // its failure says nothing of the tools
	}
	o, decisive := outcomeOf(c)
	if s.Redirect != nil && o == BadAnswer && c.Exchange != nil && c.Exchange.Answer.HTML {
		o = LoginPage
	}
	if !decisive && !(o.Failed() || o == Unseen) {
		return
	}
	if c.Method == "server/discover" && (o == Client4xx || o.Auth()) && len(s.Calls) > 1 {
		return // the fallback decides
	}
	if c.Method == "GET" && len(s.Calls) > 1 && s.Calls[0] != c {
		if p := s.Calls[len(s.Calls)-2]; p.Status() >= 300 && p.Status() < 400 {
			s.settle(loginOr(o, c), c)
		}
		return
	}
	if s.Outcome == Pending || s.Outcome == Unseen || o == OK || o.Failed() && !s.Outcome.Failed() && s.asked != "call" {
		s.settle(o, c)
	}
	if s.redirected() && c.Exchange.Location != "" {
		l.redirect(c.Exchange.Location, s)
	}
}

// redirect remembers where an attempt was sent on to.
func (l *Linker) redirect(target string, s *supply) {
	if len(l.redirects) >= l.lim.Attempts {
		clear(l.redirects)
	}
	l.redirects[target] = s
}

func loginOr(o Outcome, c *pair.Call) Outcome {
	if c.Exchange != nil && (c.Exchange.Answer.HTML || c.Exchange.ContentType == "text/html") {
		return LoginPage
	}
	return o
}

func (s *supply) settle(o Outcome, c *pair.Call) {
	s.Outcome, s.Decisive, s.to, s.Last = o, c, instantOf(c.At.Time), c.At
	if cr := authorization(c.Asked); cr != nil {
		s.Cred = cr
	}
	if c.Exchange != nil && len(c.Exchange.Challenges) > 0 {
		s.Challenge = &c.Exchange.Challenges[0]
	}
	if m := c.Answer; m != nil && m.Count >= 0 {
		s.Count, s.Tools = m.Count, m.Tools
	}
}

// authorization is the credential by which a gateway authorises itself to an
// upstream: authorization, or else another field that carries one.
func authorization(x *mcp.Exchange) *mcp.Credential {
	if c := credential(x, "authorization"); c != nil {
		return c
	}
	for i := range x.Creds {
		if x.Creds[i].Header != "cookie" && x.Creds[i].Header != "proxy-authorization" {
			return &x.Creds[i]
		}
	}
	return nil
}

// outcomeOf says how one call went, and whether that decides its attempt: a
// good initialize does not, a refused one does.
func outcomeOf(c *pair.Call) (Outcome, bool) {
	switch c.Outcome {
	case pair.Open:
		return Pending, false
	case pair.Unseen:
		return Unseen, c.Method == "tools/list" || c.Method == "tools/call" || c.Method == "initialize"
	case pair.Unanswered:
		if c.How == decode.Cut {
			return Unseen, true
		}
		if c.How == decode.Reset || c.Exchange != nil && !c.Exchange.Aborted && c.How == decode.Fin {
			return ResetOut, true
		}
		return Timeout, true
	case pair.Refused:
		return refusal(c), true
	}
	m := c.Answer
	switch {
	case m != nil && m.Kind == mcp.Error && c.Status() >= 400:
		return refusal(c), true // the error is the body of a refusal
	case c.Method == "GET", c.Method == "token":
		return Pending, false
	case m == nil:
		return OK, true
	case m.Kind == mcp.Error:
		return RPCError, c.Method == "tools/list" || c.Method == "tools/call" || c.Method == "initialize"
	case c.Method == "tools/list":
		if m.Count == 0 && !m.Next {
			return Empty, true
		}
		if m.Count < 0 {
			return BadAnswer, true
		}
		return OK, true
	case c.Method == "tools/call":
		return OK, true
	}
	return Pending, false
}

func refusal(c *pair.Call) Outcome {
	x := c.Exchange
	switch st := x.Status; {
	case st == 401:
		return Status401
	case st == 403:
		return Status403
	case st >= 500:
		return Server5xx
	case st >= 400:
		return Client4xx
	case st >= 300:
		if loginPath(x.Location) {
			return LoginPage
		}
		return BadAnswer
	case x.Answer.HTML || x.ContentType == "text/html":
		return LoginPage
	}
	return BadAnswer
}

func loginPath(location string) bool {
	l := strings.ToLower(location)
	for _, w := range []string{"login", "signin", "sign-in", "sign_in", "oauth", "authorize", "sso", "saml"} {
		if strings.Contains(l, w) {
			return true
		}
	}
	return false
}

// connection takes a connection that carried nothing readable: a refused or
// unanswered one is an attempt of its own, an unreadable one is remembered.
func (l *Linker) connection(k *stack.Connection) {
	f := &k.Flow
	if k.Gaps > 0 {
		l.hole(span{instantOf(f.Start), instantOf(k.Ended.Time)}, f.Client.Addr(), f.Server)
	}
	var o Outcome
	switch {
	case k.How == decode.Refused:
		o = Refused
	case k.How == decode.Unanswered:
		o = Timeout
	case k.TLS != nil && k.TLS.Alert != "" && !k.TLS.Decrypted && k.Exchanges == 0:
		o = TLSError
	case k.Exchanges == 0 && (k.TLS != nil && !k.TLS.Decrypted && (k.TLS.HandshakeDone || k.TLS.Why != "") || k.Protocol == "unknown" || k.Gaps > 0):
		l.unreadable(k)
		return
	default:
		return
	}
	s := &supply{host: f.Client.Addr(), end: endpoint{addr: f.Server}, from: instantOf(f.Start), to: instantOf(k.Ended.Time), asked: "other", seen: l.clock,
		har: !f.Client.IsValid()} // a HAR does not say who connected
	s.Address, s.Outcome, s.Count = f.Server, o, -1
	s.First = decode.Mark{Frame: f.First, Time: f.Start}
	s.Last = k.Ended
	s.URL = f.Server.String()
	l.supplies = append(l.supplies, s)
	l.boundSupplies()
}

// A hole is the time of a connection or an exchange that is not whole in the
// capture: what is not seen then proves nothing.
type hole struct {
	span
	host   netip.Addr
	server netip.AddrPort
}

func (l *Linker) hole(s span, host netip.Addr, server netip.AddrPort) {
	l.holes = append(l.holes, hole{s, host, server})
	if len(l.holes) > l.lim.Attempts {
		l.holes = l.holes[len(l.holes)/2:]
	}
}
