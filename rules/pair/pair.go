package pair

import (
	"net/netip"
	"slices"
	"time"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/mcp"
)

// A Pairer turns exchanges into calls. Begin and End are called for each call
// once and in this order, with the same *Call, which the Pairer changes in
// between and keeps nothing of after End.
type Pairer struct {
	Limits decode.Limits
	Begin  func(*Call)
	End    func(*Call)
	Note   func(decode.Note) // may be nil

	open    map[httpmsg.ID]*exchange
	waiting map[channel][]*Call // answered 202, or on a stream that can be resumed
	calls   int
	order   []*exchange // in order of their requests, for eviction; may hold closed ones
	parked  []*Call     // all of waiting, oldest first; may hold answered ones
	live    int         // how many of them wait
}

// An exchange is one HTTP exchange whose calls are not all decided.
type exchange struct {
	id    httpmsg.ID
	calls []*Call
	event bool // an SSE event id was seen: the answer may come on a resumed stream
}

// A channel is where the answer to a call may come on another connection.
type channel struct {
	server  netip.AddrPort
	client  netip.Addr
	session string
}

// Exchange takes the next exchange, in any phase.
func (p *Pairer) Exchange(at decode.Mark, x *mcp.Exchange) {
	switch x.Phase {
	case mcp.Asked:
		p.asked(x)
	case mcp.Told:
		p.told(x)
	case mcp.Closed:
		p.told(x)
		p.closed(at, x)
	}
}

func (p *Pairer) asked(x *mcp.Exchange) {
	e := &exchange{id: x.ID}
	add := func(method string, m *mcp.Message) {
		e.calls = append(e.calls, &Call{Asked: x, Request: m, Method: method, Session: x.Session})
	}
	switch x.Kind {
	case mcp.RPC:
		for i := range x.Requests {
			if m := &x.Requests[i]; m.Kind == mcp.Request {
				add(m.Method, m)
			}
		}
		if len(x.Requests) == 0 {
			// The body was not seen. In revision 2026-07-28 the method stands in a field.
			add(x.Headers["mcp-method"], nil)
		}
	case mcp.RESTList:
		add("tools/list", nil)
	case mcp.RESTCall:
		add("tools/call", nil)
	case mcp.RESTTest:
		add("test", nil)
	case mcp.Health:
		add("health", nil)
	case mcp.LLM:
		add("llm", nil)
	case mcp.Stream:
		add("GET", nil)
	case mcp.Token:
		add("token", nil)
	}
	if len(e.calls) == 0 {
		return
	}
	if p.open == nil {
		p.open, p.waiting = map[httpmsg.ID]*exchange{}, map[channel][]*Call{}
		p.Limits = p.Limits.WithDefaults()
	}
	p.open[x.ID] = e
	p.order = append(p.order, e)
	p.calls += len(e.calls)
	for _, c := range e.calls {
		p.Begin(c)
	}
	p.bound(x)
}

// bound gives up the oldest calls beyond Limits.OpenCalls: they are unseen.
func (p *Pairer) bound(x *mcp.Exchange) {
	if len(p.order) > 2*len(p.open)+64 {
		kept := p.order[:0]
		for _, e := range p.order {
			if p.open[e.id] == e {
				kept = append(kept, e)
			}
		}
		clear(p.order[len(kept):])
		p.order = kept
	}
	for p.calls > p.Limits.OpenCalls {
		e := p.oldest()
		if e == nil {
			return
		}
		if p.Note != nil {
			p.Note(decode.Note{Code: "limit/open-calls", At: x.Asked, Flow: x.Flow.First, N: len(e.calls), Text: "calls without an answer were given up"})
		}
		for _, c := range e.calls {
			p.decide(c, Unseen, nil, nil, x.Asked)
		}
	}
}

// oldest takes the exchange that has waited longest out of the books.
func (p *Pairer) oldest() *exchange {
	if len(p.parked) > 0 {
		c := p.parked[0]
		p.parked = p.parked[1:]
		if c.Outcome != Open {
			return &exchange{}
		}
		p.unpark(c)
		return &exchange{calls: []*Call{c}}
	}
	for len(p.order) > 0 {
		e := p.order[0]
		p.order = p.order[1:]
		if p.open[e.id] == e {
			delete(p.open, e.id)
			return e
		}
	}
	return nil
}

// told gives each answer of x to the call that asked for it.
func (p *Pairer) told(x *mcp.Exchange) {
	e := p.open[x.ID]
	for i := range x.Answers {
		m := &x.Answers[i]
		if e != nil && m.EventID != "" {
			e.event = true
		}
		if m.Kind != mcp.Result && m.Kind != mcp.Error {
			continue
		}
		if c := e.find(m, x.Hole); c != nil {
			p.decide(c, Answered, x, m, m.At)
		} else if c := p.elsewhere(x, m); c != nil {
			p.decide(c, Answered, x, m, m.At)
		}
	}
}

// find is the call of this exchange that m answers: by id, or the only one
// there is, because some servers answer with a null id or a number of their
// own. Where bytes are missing only the id tells: the answer may be another's.
func (e *exchange) find(m *mcp.Message, hole bool) *Call {
	if e == nil {
		return nil
	}
	var only *Call
	n := 0
	for _, c := range e.calls {
		if c.Request == nil && c.Asked.Kind != mcp.RPC || c.Outcome != Open {
			continue
		}
		if c.Request != nil && c.Request.ID == m.ID {
			return c
		}
		only = c
		n++
	}
	if n == 1 && only.Asked.Kind == mcp.RPC && (!hole || only.Request == nil) {
		return only
	}
	return nil
}

// elsewhere is the call of another exchange that m, on the stream x, answers:
// of the same session where it is known, else of the same client and server.
func (p *Pairer) elsewhere(x *mcp.Exchange, m *mcp.Message) *Call {
	if x.Kind != mcp.Stream || x.Method != "GET" || m.ID == "" || m.ID == "null" {
		return nil // an answer whose request was not seen may be anybody's
	}
	for _, ch := range []channel{{x.Flow.Server, netip.Addr{}, x.Session}, {x.Flow.Server, x.Flow.Client.Addr(), ""}} {
		if ch.session == "" && !ch.client.IsValid() {
			continue
		}
		for _, c := range p.waiting[ch] {
			if c.Outcome == Open && c.Request != nil && c.Request.ID == m.ID {
				return c
			}
		}
	}
	// The answer may overtake the 202 of its own request.
	for i := len(p.order) - 1; i >= 0 && i >= len(p.order)-64; i-- {
		e := p.order[i]
		if p.open[e.id] != e {
			continue
		}
		for _, c := range e.calls {
			if c.Outcome == Open && c.Request != nil && c.Request.ID == m.ID && c.Asked.Flow.Server == x.Flow.Server &&
				(x.Session != "" && c.Session == x.Session || x.Session == "" && c.Asked.Flow.Client.Addr() == x.Flow.Client.Addr()) {
				return c
			}
		}
	}
	return nil
}

// closed decides the calls of x that no message answered.
func (p *Pairer) closed(at decode.Mark, x *mcp.Exchange) {
	e := p.open[x.ID]
	if e == nil {
		return
	}
	delete(p.open, x.ID)
	end := x.Ended
	if end.Frame == 0 {
		end = at
	}
	for _, c := range e.calls {
		if c.Outcome != Open {
			continue
		}
		switch {
		case x.Status == 202 && c.Request != nil, x.Status == 200 && e.event && !x.Hole:
			p.park(c)
		case x.Status == 304: // what it stands for is in the client's cache (RFC 9110 section 15.4.5)
			p.decide(c, Unseen, x, nil, end)
		case x.Status >= 300:
			var m *mcp.Message
			if len(x.Answers) > 0 {
				m = &x.Answers[len(x.Answers)-1]
			}
			p.decide(c, Refused, x, m, end)
		case x.Status >= 200 && (x.REST != nil || c.Method == "GET" || c.Method == "health" || c.Method == "token"):
			p.decide(c, Answered, x, nil, end)
		case x.Hole || x.How == 0 || x.How == decode.Evicted || x.Answer.Unkept && !page(x) || x.Answer.Absent && x.Status >= 200:
			p.decide(c, Unseen, x, nil, end)
		case x.Status >= 200 && x.Answer.Whole:
			p.decide(c, Refused, x, nil, end)
		default:
			c.How = x.How
			p.decide(c, Unanswered, x, nil, end)
		}
	}
}

// page reports whether an answer is a whole page for people: it need not be
// kept to know that no message is in it.
func page(x *mcp.Exchange) bool { return x.Answer.Whole && x.Answer.HTML }

// park keeps a call whose answer may come on another connection.
func (p *Pairer) park(c *Call) {
	for _, ch := range c.channels() {
		p.waiting[ch] = append(p.waiting[ch], c)
	}
	c.parked = true
	p.live++
	p.parked = append(p.parked, c)
	if len(p.parked) > 2*p.live+64 {
		p.parked = slices.DeleteFunc(p.parked, func(c *Call) bool { return c.Outcome != Open })
	}
}

func (c *Call) channels() []channel {
	chs := []channel{{c.Asked.Flow.Server, c.Asked.Flow.Client.Addr(), ""}}
	if c.Session != "" {
		chs = append(chs, channel{c.Asked.Flow.Server, netip.Addr{}, c.Session})
	}
	return chs
}

func (p *Pairer) unpark(c *Call) {
	if !c.parked {
		return
	}
	c.parked = false
	p.live--
	for _, ch := range c.channels() {
		w := p.waiting[ch]
		if i := slices.Index(w, c); i >= 0 {
			w = slices.Delete(w, i, i+1)
		}
		if len(w) == 0 {
			delete(p.waiting, ch)
		} else {
			p.waiting[ch] = w
		}
	}
}

func (p *Pairer) decide(c *Call, o Outcome, x *mcp.Exchange, m *mcp.Message, at decode.Mark) {
	if c.Outcome != Open {
		return
	}
	p.unpark(c)
	c.Outcome, c.Exchange, c.Answer, c.At = o, x, m, at
	if c.Session == "" && x != nil {
		c.Session = x.Session
	}
	p.calls--
	p.End(c)
}

// Tick gives up the calls that have waited for Limits.Window.
func (p *Pairer) Tick(now time.Time) {
	for len(p.parked) > 0 {
		c := p.parked[0]
		if c.Outcome == Open && now.Sub(c.Start()) < p.Limits.Window {
			return
		}
		p.parked = p.parked[1:]
		c.How = decode.Timeout
		p.decide(c, Unanswered, nil, nil, decode.Mark{Frame: c.Asked.AskedEnd.Frame, Time: now})
	}
}

// Close decides every call that is still open: the capture ended at that mark.
func (p *Pairer) Close(at decode.Mark) {
	for {
		e := p.oldest()
		if e == nil {
			return
		}
		for _, c := range e.calls {
			c.How = decode.Cut
			p.decide(c, Unanswered, nil, nil, at)
		}
	}
}
