package http2

import (
	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// A head is what the header block in hand says. It is reused.
type head struct {
	method    string
	path      string
	authority string
	scheme    string
	status    int
	fields    httpmsg.Header

	pseudo  bool // it has a pseudo-header field
	unknown bool // it has a field that is not known
	bad     bool // it is no header block
	many    bool // fields were left out
	large   bool // fields were left out because of their size
	size    int

	crumbs int // cookie fields
	cookie int // place of the first
}

// finish ends the header block in hand: b is all of it.
func (c *Conn) finish(s *side, at decode.Mark, b []byte) {
	k := &s.block
	k.open = false
	c.read(s, b)
	c.say(s, at)
	id, dir := k.id, s.dir
	switch {
	case k.push:
		c.pushed(s, at)
	case dir == decode.ToServer:
		c.request(s, at, id)
	default:
		c.response(s, at, id)
	}
	if cap(k.buf) > 1<<16 {
		k.buf = nil // that is rare, and must not stay
	}
}

// read decodes a header block. It does so for blocks of any stream: all change
// the table (RFC 9113 section 4.3).
func (c *Conn) read(s *side, b []byte) {
	h := &c.head
	*h = head{fields: h.fields[:0], scheme: c.scheme}
	if s.block.broken {
		h.unknown = true
		s.table.forget()
		return
	}
	k := block{t: &s.table, b: b, text: c.text[:0]}
	for {
		name, value, f := k.next()
		switch f {
		case field:
			c.field(name, value)
			continue
		case unknown:
			h.unknown = true
			continue
		case bad:
			h.bad = !s.block.long
		}
		break
	}
	if s.block.long || h.bad {
		h.unknown = true
		s.table.forget()
	}
	if c.text = k.text; cap(c.text) > 1<<16 {
		c.text = nil
	}
	c.joinCookies()
}

// say notes what is wrong with the head in hand.
func (c *Conn) say(s *side, at decode.Mark) {
	h := &c.head
	switch {
	case h.bad:
		c.warn("http2/bad-block", at, 0, "a header block is not one")
	case s.block.long:
		c.warn("limit/head", at, len(s.block.buf), "a header block is cut off")
	case s.block.broken:
	case h.unknown && !c.told:
		c.told = true
		c.warn("http2/unknown-index", at, 0, "header fields refer to others that were not captured")
	}
	if h.many {
		c.warn("limit/fields", at, 0, "header fields are left out")
	}
	if h.large {
		c.warn("limit/head", at, h.size, "header fields are left out")
	}
}

// field takes one field of the block.
func (c *Conn) field(name, value []byte) {
	h := &c.head
	if len(name) > 0 && name[0] == ':' {
		c.pseudo(name, value)
		return
	}
	// A block of one byte references to a long entry is a bomb.
	h.size += len(name) + len(value)
	switch {
	case h.size > c.lim.Head:
		h.large = true
		return
	case string(name) == "cookie":
		if h.crumbs++; h.crumbs == 1 {
			h.cookie = len(h.fields)
		} else {
			// RFC 9113 section 8.2.3.
			if h.crumbs == 2 {
				c.cookie = append(c.cookie[:0], h.fields[h.cookie].Value...)
			}
			c.cookie = append(append(c.cookie, "; "...), value...)
			return
		}
	}
	if len(h.fields) >= c.lim.Fields {
		h.many = true
		if h.crumbs == 1 && string(name) == "cookie" {
			h.crumbs = 0
		}
		return
	}
	h.fields = append(h.fields, httpmsg.Field{Name: name, Value: value})
}

func (c *Conn) joinCookies() {
	if h := &c.head; h.crumbs > 1 {
		h.fields[h.cookie].Value = c.cookie
	}
}

// pseudo takes a pseudo-header field (RFC 9113 section 8.3).
func (c *Conn) pseudo(name, value []byte) {
	h := &c.head
	h.pseudo = true
	switch string(name) {
	case ":method":
		h.method = c.names.str(value)
	case ":path":
		h.path = c.names.str(value)
	case ":authority":
		h.authority = c.names.str(value)
	case ":scheme":
		h.scheme = c.names.str(value)
	case ":status":
		if len(value) != 3 {
			return
		}
		n := 0
		for _, d := range value {
			if d < '0' || d > '9' {
				return
			}
			n = n*10 + int(d-'0')
		}
		h.status = n
	}
}

// request is at a header block from the client: a request, or trailer fields.
func (c *Conn) request(s *side, at decode.Mark, id uint32) {
	x := c.streams[id]
	if x == nil && id&1 == 1 && id > c.highest {
		c.highest = id
		if !s.block.broken && !c.wasClosed(id) {
			if x = c.ask(s, at, id); x == nil {
				return
			}
		} else {
			s.holed = true // there was a request, of which nothing is known
		}
	}
	if x == nil || x.half[decode.ToServer] != begun {
		return
	}
	c.use(x, decode.ToServer)
	if s.block.end {
		c.done(x, decode.ToServer, at)
	}
}

// ask tells the head of a request. It returns nil when there is none.
func (c *Conn) ask(s *side, at decode.Mark, id uint32) *stream {
	h := &c.head
	if !h.pseudo && !h.unknown {
		c.warn("http2/bad-head", at, 0, "a request without a method")
		return nil
	}
	x := c.open(id, at)
	x.method, x.half[decode.ToServer] = h.method, begun
	c.tell(decode.ToServer, x, s.block.from, at)
	r := &c.sides[decode.ToClient]
	switch {
	case r.ended:
		c.cut(x, decode.ToClient, at, decode.Fin)
	case r.state == dead:
		c.cut(x, decode.ToClient, at, 0)
	case id > c.refused:
		c.cut(x, decode.ToClient, at, decode.Refused)
	}
	return x
}

// pushed is at the end of a PUSH_PROMISE (RFC 9113 section 8.4).
func (c *Conn) pushed(s *side, at decode.Mark) {
	id := s.block.id
	if s.dir == decode.ToServer || s.block.broken || id == 0 || id&1 == 1 || c.streams[id] != nil || c.wasClosed(id) {
		return
	}
	c.promised = max(c.promised, id)
	x := c.open(id, at)
	x.method, x.half[decode.ToServer] = c.head.method, begun
	c.tell(decode.ToServer, x, s.block.from, at)
	c.done(x, decode.ToServer, at)
}

// response is at a header block from the server: a response, interim or final,
// or trailer fields.
func (c *Conn) response(s *side, at decode.Mark, id uint32) {
	x := c.streams[id]
	if x == nil && c.unseen(id) {
		x = c.orphan(id, at)
	}
	if x == nil {
		return
	}
	c.use(x, decode.ToClient)
	if x.half[decode.ToClient] == none {
		c.respond(s, x, s.block.from, at, s.block.end)
	}
	if s.block.end && x.half[decode.ToClient] == begun {
		c.done(x, decode.ToClient, at)
	}
}

// respond tells the head of a response.
func (c *Conn) respond(s *side, x *stream, from, at decode.Mark, end bool) {
	h := &c.head
	interim := 100 <= h.status && h.status < 200 && !end
	if !interim {
		x.half[s.dir] = begun
	}
	c.tell(s.dir, x, from, at)
}

// tell emits the head in hand.
func (c *Conn) tell(d decode.Dir, x *stream, from, at decode.Mark) {
	h := &c.head
	e := c.event(httpmsg.Head, d, x.id, at)
	e.From, e.Proto, e.Header, e.Method = from, "2", h.fields, x.method
	if d == decode.ToServer {
		e.Target, e.Authority, e.Scheme = h.path, h.authority, h.scheme
		if e.Authority == "" {
			e.Authority = c.host()
		}
	} else {
		e.Status, e.Interim = h.status, x.half[d] == none
	}
	c.emit(e)
}

// host is what a request names that a gateway made of an HTTP/1 request (RFC
// 9113 section 8.3.1).
func (c *Conn) host() string {
	for _, f := range c.head.fields {
		if string(f.Name) == "host" {
			return c.names.str(f.Value)
		}
	}
	return ""
}

// words makes strings of bytes. The same few come again and again on one
// connection, and cost nothing then.
type words [32]string

func (w *words) str(b []byte) string {
	h := uint32(2166136261)
	for _, c := range b[:min(len(b), 64)] {
		h = (h ^ uint32(c)) * 16777619
	}
	h ^= uint32(len(b))
	p := &w[(h^h>>15)%uint32(len(w))]
	if *p != string(b) {
		*p = string(b)
	}
	return *p
}
