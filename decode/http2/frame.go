package http2

import (
	"encoding/binary"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// The frame types (RFC 9113 section 6) and those of extensions that are seen.
const (
	frameData = iota
	frameHeaders
	framePriority
	frameReset
	frameSettings
	framePush
	framePing
	frameGoAway
	frameWindow
	frameContinuation
	frameAltSvc         = 0x0a // RFC 7838
	frameOrigin         = 0x0c // RFC 8336
	framePriorityUpdate = 0x10 // RFC 9218
)

// The flags.
const (
	flagEndStream  = 0x1 // DATA, HEADERS
	flagAck        = 0x1 // SETTINGS, PING
	flagEndHeaders = 0x4 // HEADERS, PUSH_PROMISE, CONTINUATION
	flagPadded     = 0x8 // DATA, HEADERS, PUSH_PROMISE
	flagPriority   = 0x20
)

// refusedStream is the error code of a request that was not looked at.
const refusedStream = 7

// header reads a frame header (RFC 9113 section 4.1).
func (c *Conn) header(s *side, at decode.Mark, p []byte) []byte {
	if s.n == 0 {
		s.begin = at
	}
	n := copy(s.hdr[s.n:], p)
	if s.n += n; s.n == len(s.hdr) {
		s.n = 0
		c.frame(s, at)
	}
	return p[n:]
}

func (s *side) readHeader() {
	h := &s.hdr
	s.left = int(h[0])<<16 | int(h[1])<<8 | int(h[2])
	s.typ, s.flags = h[3], h[4]
	s.id = binary.BigEndian.Uint32(h[5:]) & (1<<31 - 1)
}

// frame is at a whole frame header.
func (c *Conn) frame(s *side, at decode.Mark) {
	s.readHeader()
	if !s.believable() {
		switch {
		case s.holed:
			c.lose(s, at, false)
			return
		case !s.seen:
			c.kill(s, at)
			return
		}
		c.warn("http2/bad-frame", at, 0, "a frame is not as it should be")
	}
	s.seen = true
	c.continuity(s, at)
	if s.dir == decode.ToClient && s.typ == frameHeaders && c.waits(s.id) {
		s.held = true
		return
	}
	c.enter(s, at)
}

// continuity sees to it that nothing comes between the frames of a header
// block (RFC 9113 section 6.10).
func (c *Conn) continuity(s *side, at decode.Mark) {
	b := &s.block
	next := s.typ == frameContinuation && s.id == b.on
	switch {
	case b.open && !next:
		c.warn("http2/bad-frame", at, 0, "a header block is not continued")
		b.broken = true
		c.finish(s, at, nil)
	case !b.open && s.typ == frameContinuation:
		// What it would have put into the table is older than what comes next.
		c.warn("http2/bad-frame", at, 0, "a continuation of no header block")
		s.table.forget()
	}
}

// enter begins with what is behind the frame header.
func (c *Conn) enter(s *side, at decode.Mark) {
	s.need, s.n, s.pad = 0, 0, 0
	padded := s.flags & flagPadded >> 3
	switch s.typ {
	case frameData:
		s.need = int(padded)
	case frameHeaders:
		s.need = int(padded + s.flags&flagPriority>>5*5)
		s.block = heading{open: true, from: s.begin, id: s.id, on: s.id, end: s.flags&flagEndStream != 0, buf: s.block.buf[:0]}
	case framePush:
		s.need = int(padded + 4)
		s.block = heading{open: true, from: s.begin, on: s.id, push: true, buf: s.block.buf[:0]}
	case frameReset:
		s.need = 4
	case frameGoAway:
		s.need = 8
	}
	if s.need > s.left {
		c.warn("http2/bad-frame", at, 0, "a frame is too short")
		s.block.broken = true
		s.need = 0
		if s.typ == frameReset || s.typ == frameGoAway {
			s.typ = frameWindow // means nothing
		}
	}
	s.state = prefix
	c.proceed(s, at)
}

// proceed goes on to the part of the frame that has the next byte.
func (c *Conn) proceed(s *side, at decode.Mark) {
	if s.state == prefix && s.n == s.need {
		c.afterPrefix(s, at)
	}
	if s.state == payload && s.left == 0 {
		if s.open() && s.flags&flagEndHeaders != 0 {
			c.finish(s, at, s.block.buf)
		}
		s.state = padding
	}
	if s.state == padding && s.pad == 0 {
		s.state, s.n = header, 0
		if s.typ == frameData && s.flags&flagEndStream != 0 {
			c.endData(s, at)
		}
	}
}

// open reports whether the frame in hand is part of the header block in hand.
func (s *side) open() bool {
	return s.block.open && (s.typ == frameHeaders || s.typ == framePush || s.typ == frameContinuation)
}

func (c *Conn) prefix(s *side, at decode.Mark, p []byte) []byte {
	n := copy(s.pre[s.n:s.need], p)
	s.n += n
	s.left -= n
	c.proceed(s, at)
	return p[n:]
}

// afterPrefix reads what stands before the payload proper.
func (c *Conn) afterPrefix(s *side, at decode.Mark) {
	s.state = payload
	pre := s.pre[:s.need]
	if s.flags&flagPadded != 0 && len(pre) > 0 && s.typ <= framePush && s.typ != frameReset {
		if s.pad = int(pre[0]); s.pad > s.left {
			// RFC 9113 section 6.1: an error. What is there is taken for padding.
			c.warn("http2/bad-frame", at, 0, "padding is longer than its frame")
			s.pad = s.left
		}
		s.left -= s.pad
		pre = pre[1:]
	}
	switch s.typ {
	case framePush:
		if len(pre) == 4 {
			s.block.id = binary.BigEndian.Uint32(pre) & (1<<31 - 1)
		}
	case frameReset:
		c.reset(s, at, binary.BigEndian.Uint32(pre))
	case frameGoAway:
		if s.dir == decode.ToClient {
			c.goAway(at, binary.BigEndian.Uint32(pre)&(1<<31-1))
		}
	}
}

// payload takes what p holds of the payload proper.
func (c *Conn) payload(s *side, at decode.Mark, p []byte) []byte {
	n := min(len(p), s.left)
	s.left -= n
	switch {
	case s.typ == frameData:
		c.data(s, at, p[:n])
	case s.open():
		b := &s.block
		if s.left == 0 && s.flags&flagEndHeaders != 0 && len(b.buf) == 0 && n <= c.lim.Head {
			c.finish(s, at, p[:n])
			break
		}
		room := c.lim.Head - len(b.buf)
		b.long = b.long || n > room
		b.buf = append(b.buf, p[:min(n, room)]...)
	}
	c.proceed(s, at)
	return p[n:]
}

// data tells a piece of content.
func (c *Conn) data(s *side, at decode.Mark, p []byte) {
	if x := c.dataStream(s, at); x != nil {
		e := c.event(httpmsg.Body, s.dir, x.id, at)
		e.Data = p
		c.emit(e)
	}
}

// dataStream returns the stream that the DATA frame in hand is for, if its
// message is under way. A head that was lost is told as one that cannot be
// read.
func (c *Conn) dataStream(s *side, at decode.Mark) *stream {
	x := c.streams[s.id]
	if x == nil && s.dir == decode.ToClient && s.holed && c.unseen(s.id) {
		x = c.orphan(s.id, at)
	}
	if x == nil {
		return nil
	}
	if s.dir == decode.ToClient && x.half[s.dir] == none {
		c.head = head{fields: c.head.fields[:0]}
		c.respond(s, x, s.begin, at, false)
		c.hole(x, s.dir, at, -1)
	}
	if x.half[s.dir] != begun {
		return nil
	}
	c.use(x, s.dir)
	return x
}

func (c *Conn) endData(s *side, at decode.Mark) {
	if x := c.dataStream(s, at); x != nil {
		c.done(x, s.dir, at)
	}
}

// gap is Gap for a direction that does not wait.
func (c *Conn) gap(s *side, at decode.Mark, n int) {
	switch s.state {
	case dead:
	case prefix:
		if n < 0 || n > s.left {
			c.lose(s, at, true)
			return
		}
		// Where content begins and ends within the frame is lost with its prefix.
		c.gapContent(s, at, -1)
		s.state, s.pad, s.left, s.flags = payload, s.left-n, 0, s.flags&^flagPadded
		c.proceed(s, at)
	case payload, padding:
		c.gapWithin(s, at, n)
	default:
		c.lose(s, at, true)
	}
}

// gapWithin bridges a hole of n bytes that begins within a frame.
func (c *Conn) gapWithin(s *side, at decode.Mark, n int) {
	if n < 0 {
		c.lose(s, at, true)
		return
	}
	if m := min(n, s.left); m > 0 {
		c.gapContent(s, at, m)
		s.left -= m
		n -= m
	}
	m := min(n, s.pad)
	s.pad -= m
	n -= m
	c.proceed(s, at)
	if n > 0 {
		c.lose(s, at, true)
	}
}

// gapContent says that n bytes of the payload proper are missing.
func (c *Conn) gapContent(s *side, at decode.Mark, n int) {
	switch s.typ {
	case frameData:
		if x := c.dataStream(s, at); x != nil {
			c.hole(x, s.dir, at, n)
		}
	case frameReset:
		if s.state == prefix {
			c.reset(s, at, 0)
		}
	default:
		s.block.broken = true
	}
}
