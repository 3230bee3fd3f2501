package http2

import (
	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// A half says how far one message of a stream is.
type half uint8

const (
	none  half = iota // its head was not told
	begun             // its head was told
	whole             // its Done or Cut was told
)

// A stream is one exchange that is not over.
type stream struct {
	id     uint32
	method string
	half   [2]half
	hidden [2]bool // a hole may hide the end of the message; nothing came since
	used   uint64  // the clock when a frame last came

	prev, next *stream
}

// open begins to track a stream. Beyond the bound the one that was not used
// for longest is given up.
func (c *Conn) open(id uint32, at decode.Mark) *stream {
	if len(c.streams) >= c.lim.Streams {
		c.warn("limit/streams", at, len(c.streams), "more streams are open at once than are tracked; the one not used for longest is given up")
		c.abandon(c.first, at, decode.Evicted)
	}
	var x *stream
	if n := len(c.spare); n > 0 {
		x, c.spare = c.spare[n-1], c.spare[:n-1]
	} else {
		x = new(stream)
	}
	x.id = id
	c.streams[id] = x
	c.link(x)
	return x
}

func (c *Conn) link(x *stream) {
	if x.prev = c.last; x.prev != nil {
		x.prev.next = x
	} else {
		c.first = x
	}
	c.last = x
	c.clock++
	x.used = c.clock
}

func (c *Conn) unlink(x *stream) {
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		c.first = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	} else {
		c.last = x.prev
	}
	x.prev, x.next = nil, nil
}

// use notes that a frame came on the stream.
func (c *Conn) use(x *stream, d decode.Dir) {
	x.hidden[d] = false
	if c.last != x {
		c.unlink(x)
		c.link(x)
		return
	}
	c.clock++
	x.used = c.clock
}

// over notes that a message is over, and forgets the stream when both are.
func (c *Conn) over(x *stream, d decode.Dir) {
	x.half[d] = whole
	if x.half[d.Other()] != whole {
		return
	}
	c.unlink(x)
	delete(c.streams, x.id)
	c.close(x.id)
	*x = stream{}
	c.spare = append(c.spare, x)
}

// close remembers the number of a stream that is over: frames that were under
// way may still come.
func (c *Conn) close(id uint32) {
	c.closed[c.closes%len(c.closed)] = id
	c.closes++
}

func (c *Conn) wasClosed(id uint32) bool {
	for _, x := range c.closed {
		if x == id {
			return true
		}
	}
	return false
}

// unseen reports whether a frame to the client on a stream that is not tracked
// may answer a request that was not seen.
func (c *Conn) unseen(id uint32) bool {
	s := &c.sides[decode.ToServer]
	if id&1 == 0 {
		s = &c.sides[decode.ToClient] // a push
	}
	return id > 0 && (id&1 == 1 && id > c.highest || s.holed) && !c.wasClosed(id)
}

// orphan opens a stream whose request was not seen.
func (c *Conn) orphan(id uint32, at decode.Mark) *stream {
	x := c.open(id, at)
	x.half[decode.ToServer] = whole
	return x
}

func (c *Conn) done(x *stream, d decode.Dir, at decode.Mark) {
	c.emit(c.event(httpmsg.Done, d, x.id, at))
	c.over(x, d)
}

func (c *Conn) hole(x *stream, d decode.Dir, at decode.Mark, n int) {
	e := c.event(httpmsg.Hole, d, x.id, at)
	e.N = n
	c.emit(e)
}

// cut ends a message early.
func (c *Conn) cut(x *stream, d decode.Dir, at decode.Mark, why decode.End) {
	if x.hidden[d] || c.sides[d].state == lost {
		why = 0
	}
	e := c.event(httpmsg.Cut, d, x.id, at)
	e.Why = why
	c.emit(e)
	c.over(x, d)
}

// abandon ends what is not over of a stream.
func (c *Conn) abandon(x *stream, at decode.Mark, why decode.End) {
	id := x.id
	for _, d := range []decode.Dir{decode.ToServer, decode.ToClient} {
		if x.id == id && x.half[d] != whole {
			c.cut(x, d, at, why)
		}
	}
}

// reset is a RST_STREAM (RFC 9113 section 6.4).
func (c *Conn) reset(s *side, at decode.Mark, code uint32) {
	x := c.streams[s.id]
	switch {
	case x == nil:
		if !c.wasClosed(s.id) {
			c.close(s.id) // what is under way answers nothing anymore
		}
	case s.dir == decode.ToServer:
		// The client wants no answer anymore. With code 8 (CANCEL) that is how
		// clients leave an event stream.
		if x.half[decode.ToServer] == begun {
			c.cut(x, decode.ToServer, at, decode.Reset)
		}
		if x.id == s.id && x.half[decode.ToClient] != whole {
			e := c.event(httpmsg.Cut, decode.ToClient, x.id, at)
			e.Why, e.Aborted = decode.Fin, true
			c.emit(e)
			c.over(x, decode.ToClient)
		}
	case code == refusedStream && x.half[decode.ToClient] == none:
		c.abandon(x, at, decode.Refused)
	default:
		c.abandon(x, at, decode.Reset)
	}
}

// goAway is a GOAWAY of the server: requests on streams above last were not
// and will not be looked at (RFC 9113 section 6.8).
func (c *Conn) goAway(at decode.Mark, last uint32) {
	c.refused = last
	for x := c.first; x != nil; {
		next := x.next
		if x.id&1 == 1 && x.id > last && x.half[decode.ToClient] == none {
			c.abandon(x, at, decode.Refused)
		}
		x = next
	}
}
