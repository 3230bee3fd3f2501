package stack

import (
	"mcp401/decode"
	"mcp401/decode/http1"
	"mcp401/decode/httpmsg"
)

// A protocol is what a connection may speak.
type protocol struct {
	name  string
	sniff func(decode.Dir, []byte) decode.Verdict
	open  func(*conn) decode.Conn // nil: it is known by name and cannot be read
}

// protocols is what is told apart by the first bytes of a connection. To add a
// stream protocol, write its folder with Sniff and New, and put it here before
// those that would take it for theirs.
var protocols = []protocol{
	{"http2", sniffPreface, nil},
	{"http1", http1.Sniff, (*conn).http1},
	{"tls", sniffTLS, nil},
}

// preface is what an HTTP/2 client sends first (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

func sniffPreface(d decode.Dir, p []byte) decode.Verdict {
	n := min(len(p), len(preface))
	if d == decode.ToClient || string(p[:n]) != preface[:n] {
		return decode.No
	}
	if n < len(preface) {
		return decode.More
	}
	return decode.Yes
}

// sniffTLS knows a TLS record header (RFC 9846 section 5.1).
func sniffTLS(_ decode.Dir, p []byte) decode.Verdict {
	if p[0] < 20 || p[0] > 23 || len(p) > 1 && p[1] != 3 || len(p) > 2 && p[2] > 4 {
		return decode.No
	}
	if len(p) < 3 {
		return decode.More
	}
	return decode.Yes
}

// A conn is one TCP connection: it finds out what is spoken and hands on.
type conn struct {
	d     *Decoder
	flow  decode.Flow
	inner decode.Conn // nil: not known yet, or not readable
	proto string
	known bool

	early []early // what came before it was known
	size  int
	first [2][]byte // the first bytes of each direction
	holed bool

	ended     [2]bool
	exchanges int
	bytes     [2]int64
	gaps      int
	lost      int64
}

// An early is a call of Data or Gap that waits.
type early struct {
	dir decode.Dir
	at  decode.Mark
	p   []byte // nil: a gap
	n   int
}

// sniffBytes is how much is kept while nobody knows what is spoken: more than
// any PROXY protocol header and request line in use.
const sniffBytes = 4096

func (d *Decoder) open(f decode.Flow) decode.Conn { return &conn{d: d, flow: f} }

func (c *conn) http1() decode.Conn {
	d := c.d
	if n := len(d.spare); n > 0 {
		h := d.spare[n-1]
		d.spare = d.spare[:n-1]
		h.Reset(c.flow, "http", c.event)
		return h
	}
	return http1.New(c.flow, "http", d.lim, c.event, d.note)
}

// event hands an HTTP event on.
func (c *conn) event(e *httpmsg.Event) {
	if e.Kind == httpmsg.Head && e.Dir == decode.ToServer {
		c.exchanges++
	}
	if c.d.cfg.Messages {
		c.d.message(&c.flow, e)
	}
	c.d.mcp.Event(&c.flow, false, false, e)
}

func (c *conn) Data(d decode.Dir, at decode.Mark, p []byte) {
	c.bytes[d] += int64(len(p))
	switch {
	case c.inner != nil:
		c.inner.Data(d, at, p)
	case !c.known:
		if len(c.early) == 0 && c.speaksAtOnce(d, at, p) {
			return
		}
		c.keep(early{dir: d, at: at, p: append([]byte{}, p...)})
		if n := sniffBytes - len(c.first[d]); n > 0 {
			c.first[d] = append(c.first[d], p[:min(n, len(p))]...)
		}
		c.sniff(d, at)
	}
}

func (c *conn) Gap(d decode.Dir, at decode.Mark, n int) {
	c.gaps++
	c.lost += int64(max(n, 0))
	if c.gaps == 1 {
		c.tell(at, 0)
	}
	switch {
	case c.inner != nil:
		c.inner.Gap(d, at, n)
	case !c.known:
		c.holed = true
		c.keep(early{dir: d, at: at, n: n})
	}
}

func (c *conn) keep(e early) {
	c.early = append(c.early, e)
	c.size += len(e.p) + 64
}

// speaksAtOnce is sniff for the usual case: the first bytes tell, and nothing
// has to be kept.
func (c *conn) speaksAtOnce(d decode.Dir, at decode.Mark, p []byte) bool {
	for i := range protocols {
		switch protocols[i].sniff(d, p[:min(len(p), sniffBytes)]) {
		case decode.Yes:
			c.speak(&protocols[i], at)
			if c.inner != nil {
				c.inner.Data(d, at, p)
			}
			return true
		case decode.More:
			return false
		}
	}
	return false
}

// sniff asks each protocol whether the connection is its. One that began
// before the capture, or with a hole, may begin in the middle of a message:
// what is not TLS may still be HTTP further on.
func (c *conn) sniff(d decode.Dir, at decode.Mark) {
	more := false
	for i := range protocols {
		p := &protocols[i]
		switch p.sniff(d, c.first[d]) {
		case decode.Yes:
			c.speak(p, at)
			return
		case decode.More:
			more = true
		}
	}
	if (c.flow.Mid || c.holed) && len(c.first[d]) > 8 && !more {
		c.speak(&protocol{name: "http1", open: (*conn).http1}, at)
		return
	}
	if !more && (len(c.first[decode.ToServer]) > 0 || d == decode.ToServer) || c.size > sniffBytes {
		c.speak(&protocol{name: "unknown"}, at)
	}
}

// speak settles what the connection speaks and hands on what was kept.
func (c *conn) speak(p *protocol, at decode.Mark) {
	c.known, c.proto = true, p.name
	early := c.early
	c.early, c.first = nil, [2][]byte{}
	if p.open == nil {
		c.tell(at, 0)
		return
	}
	c.inner = p.open(c)
	for _, e := range early {
		if e.p != nil {
			c.inner.Data(e.dir, e.at, e.p)
		} else {
			c.inner.Gap(e.dir, e.at, e.n)
		}
	}
}

func (c *conn) End(d decode.Dir, at decode.Mark, why decode.End) {
	if c.ended[d] {
		return
	}
	c.ended[d] = true
	if !c.known && len(c.early) > 0 && c.ended[d.Other()] {
		c.speak(&protocol{name: "unknown"}, at)
	}
	if c.inner != nil {
		c.inner.End(d, at, why)
		c.d.mcp.End(&c.flow, d, at, why)
	}
	if c.ended[d.Other()] {
		c.early, c.first = nil, [2][]byte{}
		c.tell(at, why)
		if h, ok := c.inner.(*http1.Conn); ok && len(c.d.spare) < 256 {
			c.d.spare = append(c.d.spare, h)
		}
		c.inner = nil
	}
}

// tell emits what the connection came to: at its end, and before it what may
// not wait.
func (c *conn) tell(at decode.Mark, why decode.End) {
	k := &Connection{
		Flow: c.flow, How: why, Ended: at, Protocol: c.proto, Exchanges: c.exchanges,
		ToServer: c.bytes[decode.ToServer], ToClient: c.bytes[decode.ToClient], Gaps: c.gaps, Lost: c.lost,
	}
	if c.proto == "tls" {
		k.TLS = &TLS{Why: "tls/no-key"}
	}
	c.d.emit(Event{At: at, Flow: c.flow.First, Connection: k})
}
