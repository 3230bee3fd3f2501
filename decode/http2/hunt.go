package http2

import (
	"bytes"

	"mcp401/decode"
)

const (
	// usualFrame is the largest frame that may be sent unless the receiver
	// allowed more (RFC 9113 section 4.2). None larger is believed after a hole.
	usualFrame = 16384

	// ahead is how far the number of a stream may be beyond the last one that
	// was seen. More requests do not fit into a hole that a connection survives.
	ahead = 2048
)

// hunt looks for the next frame header. All that are believed begin with a zero
// byte, which text does not hold.
func (c *Conn) hunt(s *side, at decode.Mark, p []byte) []byte {
	edge := s.edge || at != s.last
	s.last, s.edge = at, false
	for i := 0; i < len(p); {
		if s.tails == 0 {
			j := bytes.IndexByte(p[i:], 0)
			if j < 0 {
				s.skip += len(p) - i
				return nil
			}
			edge = edge && j == 0
			s.skip += j
			i += j
			if len(p)-i >= len(s.hdr) {
				copy(s.hdr[:], p[i:])
				if c.found(s, at, at, edge) {
					return p[i+len(s.hdr):]
				}
				s.skip++
				i++
				edge = false
				continue
			}
		}
		if s.tails < len(s.tail) {
			s.tail[s.tails] = spot{p[i], edge, at}
			s.tails++
			i++
			edge = false
			continue
		}
		for k, x := range s.tail {
			s.hdr[k] = x.b
		}
		s.hdr[8] = p[i]
		switch {
		case c.found(s, s.tail[0].at, at, s.tail[0].edge):
			return p[i+1:]
		case i >= len(s.tail):
			// The tail lies in p, where looking is cheaper.
			s.tails = 0
			s.skip++
			i -= len(s.tail) - 1
		default:
			s.forget()
		}
	}
	return nil
}

// forget drops the begin of the tail up to the next byte that a frame header
// may begin with.
func (s *side) forget() {
	n := 1
	for n < len(s.tail) && s.tail[n].b != 0 {
		n++
	}
	s.skip += n
	s.tails = copy(s.tail[:], s.tail[n:])
}

// found reports whether hdr, which begins at from, is a frame header, and goes
// on with it.
func (c *Conn) found(s *side, from, at decode.Mark, edge bool) bool {
	if s.hdr[0] != 0 || s.hdr[5]&0x80 != 0 {
		return false
	}
	s.readHeader()
	if !s.believable() || !c.expected(s, edge) {
		return false
	}
	s.begin = from
	if s.skip > 0 {
		c.warn("http2/skipped", at, s.skip, "bytes before the next frame were passed over")
	}
	s.tails, s.skip = 0, 0
	// What was asked meanwhile may have been answered in what was passed over.
	for x := c.last; x != nil && x.used > s.lost; x = x.prev {
		x.hidden[s.dir] = true
	}
	s.lost = c.clock
	s.state = header
	c.frame(s, at)
	return true
}

// believable reports whether the frame header in hand is that of a frame which
// may exist.
func (s *side) believable() bool {
	n, conn := s.left, s.id == 0
	switch s.typ {
	case frameData, frameHeaders, frameContinuation:
		return !conn
	case framePriority:
		return !conn && n == 5
	case frameReset:
		return !conn && n == 4
	case frameSettings:
		return conn && n%6 == 0 && (n == 0 || s.flags&flagAck == 0)
	case framePush:
		return !conn && n >= 4 && s.dir == decode.ToClient
	case framePing:
		return conn && n == 8
	case frameGoAway:
		return conn && n >= 8
	case frameWindow:
		return n == 4
	}
	// Of unknown types all is allowed (RFC 9113 section 4.1), but what is no
	// HTTP/2 at all looks like one of them.
	return n <= usualFrame || s.seen && !s.holed
}

// expected reports whether the frame header in hand, after a hole, is one that
// may come here. edge says that it stands where a packet or record begins.
func (c *Conn) expected(s *side, edge bool) bool {
	if s.left > usualFrame {
		return false
	}
	x := c.streams[s.id]
	switch s.typ {
	case frameData:
		if s.flags&^(flagEndStream|flagPadded) != 0 || s.left == 0 && s.flags != flagEndStream {
			return false
		}
		// Elsewhere a row of zeros with a few small numbers is enough.
		return edge && (x != nil && x.half[s.dir] != whole || c.near(s))
	case frameHeaders:
		if s.flags&^(flagEndStream|flagEndHeaders|flagPadded|flagPriority) != 0 || s.left == 0 {
			return false
		}
		return x != nil && x.half[s.dir] != whole || (edge || s.flags&flagEndHeaders != 0) && c.near(s)
	case frameContinuation:
		return s.flags&^flagEndHeaders == 0 && edge && c.near(s)
	case framePush:
		return s.flags&^(flagEndHeaders|flagPadded) == 0 && edge && c.near(s)
	case frameSettings:
		return s.flags == 0 && s.left <= 20*6 || s.flags == flagAck && s.left == 0
	case framePing:
		return s.flags&^flagAck == 0
	case frameGoAway:
		return s.flags == 0
	case framePriority, frameReset, frameWindow:
		return s.flags == 0 && (s.id == 0 || x != nil || c.near(s))
	case frameAltSvc, frameOrigin, framePriorityUpdate:
		return edge && s.flags == 0 && s.left <= 1024
	}
	return false
}

// near reports whether the number of the stream in hand may be that of a stream
// that was not seen, or of one that is over.
func (c *Conn) near(s *side) bool {
	r := &c.sides[decode.ToServer]
	switch {
	case s.id&1 == 0:
		// Hardly anybody pushes, and the half of a frame header that follows a
		// hole often looks like one of a stream with an even number.
		return s.dir == decode.ToClient && s.id <= c.promised
	case s.dir == decode.ToClient && !r.holed && !c.nowait:
		return s.id <= c.highest // other requests would have been seen
	case c.highest == 0:
		return s.id < 1<<24
	}
	return s.id <= c.highest+ahead
}
