package stack

import (
	"mcp401/decode"
	"mcp401/decode/http1"
	"mcp401/decode/http2"
	"mcp401/decode/httpmsg"
	"mcp401/decode/tls"
)

// A protocol is what a layer may speak.
type protocol struct {
	name  string
	sniff func(decode.Dir, []byte) decode.Verdict
	open  func(*layer) decode.Conn
}

// protocols is what is told apart by the first bytes of a layer. To add a
// stream protocol, write its folder with Sniff and New, and put it here before
// those that would take it for theirs.
var protocols = []protocol{
	{"http2", http2.Sniff, (*layer).http2},
	{"http1", http1.Sniff, (*layer).http1},
	{"tls", tls.Sniff, (*layer).tls},
}

// unknown is what is spoken when nothing else is.
var unknown = protocol{name: "unknown"}

// A conn is one TCP connection: it counts, and hands on to a layer.
type conn struct {
	d    *Decoder
	flow decode.Flow
	top  layer
	tls  *tls.Conn // the outermost one
	dark bool      // it was told that it cannot be read

	ended     [2]bool
	exchanges int
	bytes     [2]int64
	gaps      int
	lost      int64
}

func (d *Decoder) open(f decode.Flow) decode.Conn {
	c := &conn{d: d, flow: f}
	c.top = layer{c: c, scheme: "http", depth: 1}
	return c
}

func (c *conn) Data(d decode.Dir, at decode.Mark, p []byte) {
	c.bytes[d] += int64(len(p))
	c.top.Data(d, at, p)
	if c.tls != nil && !c.dark && c.tls.Info().Why != "" {
		c.dark = true
		c.tell(at, 0)
	}
}

func (c *conn) Gap(d decode.Dir, at decode.Mark, n int) {
	c.gaps++
	c.lost += int64(max(n, 0))
	if c.gaps == 1 {
		c.tell(at, 0)
	}
	c.top.Gap(d, at, n)
}

func (c *conn) End(d decode.Dir, at decode.Mark, why decode.End) {
	if c.ended[d] {
		return
	}
	c.ended[d] = true
	c.top.End(d, at, why)
	if c.ended[d.Other()] {
		c.tell(at, why)
		c.top.free()
	}
}

// tell emits what the connection came to: at its end, and before it what may
// not wait.
func (c *conn) tell(at decode.Mark, why decode.End) {
	k := &Connection{
		Flow: c.flow, How: why, Ended: at, Protocol: c.top.proto, Exchanges: c.exchanges,
		ToServer: c.bytes[decode.ToServer], ToClient: c.bytes[decode.ToClient], Gaps: c.gaps, Lost: c.lost,
	}
	if c.tls != nil {
		k.TLS = shown(c.tls.Info())
	}
	c.d.emit(Event{At: at, Flow: c.flow.First, Connection: k})
}

// hello is Config.Hello for this connection, nil for none.
func (c *conn) hello() func([32]byte) {
	if c.d.cfg.Hello == nil {
		return nil
	}
	return func(random [32]byte) { c.d.cfg.Hello(c.flow.First, random) }
}

// shown copies what a TLS connection shows.
func shown(i *tls.Info) *TLS {
	t := &TLS{
		ServerName: i.ServerName, ALPN: i.ALPN, Version: i.Version, Suite: i.Suite, Subject: i.Subject,
		HandshakeDone: i.HandshakeDone, Decrypted: i.Decrypted, Why: i.Why, Alert: i.Alert,
	}
	for _, s := range i.Shape {
		t.Shape = append(t.Shape, Record{Dir: s.Dir, At: s.At, Size: s.N})
	}
	return t
}

// A layer finds out what a stream of bytes speaks, and hands on: the bytes of
// a TCP connection, those that came out of TLS, those of a tunnel.
type layer struct {
	c      *conn
	scheme string
	after  uint32 // exchanges of the connection before this layer
	depth  int    // of tunnels within tunnels

	inner decode.Conn // nil: not known yet, or not readable
	http  bool        // inner is HTTP
	proto string
	known bool

	early []early // what came before it was known
	size  int
	first [2][]byte // the first bytes of each direction
	holed bool
	ended [2]bool
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

// tunnels bounds how often a connection may turn into another: HTTP through
// TLS through a proxy takes three.
const tunnels = 4

func (l *layer) http1() decode.Conn {
	d := l.c.d
	var h *http1.Conn
	if n := len(d.spare); n > 0 {
		h = d.spare[n-1]
		d.spare = d.spare[:n-1]
		h.Reset(l.c.flow, l.scheme, l.event)
	} else {
		h = http1.New(l.c.flow, l.scheme, d.lim, l.event, d.note)
	}
	h.After, h.Tunnel, l.http = l.after, l.tunnel, true
	return h
}

func (l *layer) http2() decode.Conn {
	h := http2.New(l.c.flow, l.scheme, l.c.d.lim, l.event, l.c.d.note)
	h.After, l.http = l.after, true
	return h
}

func (l *layer) tls() decode.Conn {
	d := l.c.d
	t := tls.New(tls.Config{
		Limits: d.lim, Flow: l.c.flow, Keys: d.keys, Note: d.note, Hello: l.c.hello(),
		Inner: func(i *tls.Info) decode.Conn {
			in := l.below("https", l.after)
			if i.ALPN == "h2" && in != nil {
				in.speak(&protocol{name: "http2", open: (*layer).http2}, decode.Mark{})
			}
			return in.conn()
		},
		Plain: func() decode.Conn {
			// The answer to what the server took for bad HTTP: it has no request.
			in := l.below(l.scheme, l.after)
			if in != nil {
				in.speak(&protocol{name: "http1", open: (*layer).http1}, decode.Mark{})
				in.inner.End(decode.ToServer, decode.Mark{}, decode.Fin)
			}
			return in.conn()
		},
	})
	if l.c.tls == nil {
		l.c.tls = t
	}
	return t
}

// tunnel is the decoder of what a connection turned into.
func (l *layer) tunnel(u http1.Upgrade) decode.Conn {
	switch u.Protocol {
	case "h2c":
		in := l.below(l.scheme, u.ID.Stream-1)
		if in == nil {
			return nil
		}
		in.speak(&protocol{name: "http2", open: func(l *layer) decode.Conn {
			h := l.http2().(*http2.Conn)
			h.Upgraded = true
			return h
		}}, decode.Mark{})
		return in
	case "connect", "tls/1.0", "tls/1.2", "tls/1.3":
		return l.below(l.scheme, u.ID.Stream).conn()
	}
	return nil
}

// below is a layer for what this one carries; nil: it is nested too deep.
func (l *layer) below(scheme string, after uint32) *layer {
	if l.depth >= tunnels {
		return nil
	}
	return &layer{c: l.c, scheme: scheme, after: after, depth: l.depth + 1}
}

// conn is the layer as a decode.Conn, nil for none.
func (l *layer) conn() decode.Conn {
	if l == nil {
		return nil
	}
	return l
}

// event hands an HTTP event on.
func (l *layer) event(e *httpmsg.Event) {
	c := l.c
	if e.Kind == httpmsg.Head && e.Dir == decode.ToServer {
		c.exchanges++
	}
	if c.d.cfg.Messages {
		c.d.message(&c.flow, l.after, e)
	}
	if c.d.cfg.HTTP != nil {
		c.d.cfg.HTTP(&c.flow, e)
	}
	c.d.mcp.Event(&c.flow, l.scheme == "https", false, e)
}

func (l *layer) Data(d decode.Dir, at decode.Mark, p []byte) {
	switch {
	case l.inner != nil:
		l.inner.Data(d, at, p)
	case !l.known:
		if len(l.early) == 0 && l.speaksAtOnce(d, at, p) {
			return
		}
		l.keep(early{dir: d, at: at, p: append([]byte{}, p...)})
		if n := sniffBytes - len(l.first[d]); n > 0 {
			l.first[d] = append(l.first[d], p[:min(n, len(p))]...)
		}
		l.sniff(d, at)
	}
}

func (l *layer) Gap(d decode.Dir, at decode.Mark, n int) {
	switch {
	case l.inner != nil:
		l.inner.Gap(d, at, n)
	case !l.known:
		l.holed = true
		l.keep(early{dir: d, at: at, n: n})
	}
}

func (l *layer) End(d decode.Dir, at decode.Mark, why decode.End) {
	if l.ended[d] {
		return
	}
	l.ended[d] = true
	if !l.known && len(l.early) > 0 && l.ended[d.Other()] {
		l.speak(&unknown, at)
	}
	if l.inner != nil {
		l.inner.End(d, at, why)
	}
	if l.http {
		l.c.d.mcp.End(&l.c.flow, d, at, why)
	}
}

// free gives up what a layer that is over holds.
func (l *layer) free() {
	l.early, l.first = nil, [2][]byte{}
	if h, ok := l.inner.(*http1.Conn); ok && len(l.c.d.spare) < 256 {
		l.c.d.spare = append(l.c.d.spare, h)
	}
	l.inner, l.known = nil, true
}

func (l *layer) keep(e early) {
	l.early = append(l.early, e)
	l.size += len(e.p) + 64
}

// speaksAtOnce is sniff for the usual case: the first bytes tell, and nothing
// has to be kept.
func (l *layer) speaksAtOnce(d decode.Dir, at decode.Mark, p []byte) bool {
	for i := range protocols {
		switch protocols[i].sniff(d, p[:min(len(p), sniffBytes)]) {
		case decode.Yes:
			l.speak(&protocols[i], at)
			l.inner.Data(d, at, p)
			return true
		case decode.More:
			return false
		}
	}
	return false
}

// sniff asks each protocol whether the stream is its. One that began before
// the capture, or with a hole, may begin in the middle of a message: what is
// not TLS may still be HTTP further on.
func (l *layer) sniff(d decode.Dir, at decode.Mark) {
	more := false
	for i := range protocols {
		p := &protocols[i]
		switch p.sniff(d, l.first[d]) {
		case decode.Yes:
			l.speak(p, at)
			return
		case decode.More:
			more = true
		}
	}
	if (l.c.flow.Mid || l.holed) && len(l.first[d]) > 8 && !more {
		p := protocol{name: "http1", open: (*layer).http1}
		if http2.SniffMid(d, l.first[d]) == decode.Yes {
			p = protocol{name: "http2", open: (*layer).http2}
		}
		l.speak(&p, at)
		return
	}
	// What a server says first, or says oddly, settles nothing.
	if !more && d == decode.ToServer || l.size > sniffBytes {
		l.speak(&unknown, at)
	}
}

// speak settles what is spoken and hands on what was kept.
func (l *layer) speak(p *protocol, at decode.Mark) {
	l.known, l.proto = true, p.name
	kept := l.early
	l.early, l.first = nil, [2][]byte{}
	if p.open == nil {
		if l.depth == 1 {
			l.c.tell(at, 0)
		}
		return
	}
	l.inner = p.open(l)
	for _, e := range kept {
		if e.p != nil {
			l.inner.Data(e.dir, e.at, e.p)
		} else {
			l.inner.Gap(e.dir, e.at, e.n)
		}
	}
}
