package http1

import (
	"bytes"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// content tells what p holds of content and returns what is behind it.
func (c *Conn) content(s *side, at decode.Mark, p []byte) []byte {
	n := len(p)
	if s.state != toClose && int64(n) > s.left {
		n = int(s.left)
	}
	e := c.event(httpmsg.Body, s.dir, s.id, at)
	e.Data = p[:n]
	c.emit(e)
	if s.state != toClose {
		c.take(s, at, int64(n))
	}
	return p[n:]
}

// take counts n bytes of content of known length.
func (c *Conn) take(s *side, at decode.Mark, n int64) {
	s.left -= n
	switch {
	case s.left > 0:
	case s.state == chunkData:
		s.state, s.cr = chunkEnd, false
	default:
		c.whole(s, at)
	}
}

// whole ends a message with content.
func (c *Conn) whole(s *side, at decode.Mark) {
	c.done(s, at)
	if s.dir == decode.ToServer && s.wants != 0 && s.connect && !c.switched {
		// What follows a CONNECT is the tunnel, or the next request if it is refused.
		s.state, s.after, s.release = held, start, false
	}
}

// startChunk expects a chunk-size line (RFC 9112 section 7.1).
func (c *Conn) startChunk(s *side) { s.state, s.left, s.line = chunkSize, 0, 0 }

// mostChunk bounds a chunk size far below the overflow of what is computed
// with it. No real chunk comes near.
const mostChunk = 1 << 52

func (c *Conn) chunkSize(s *side, at decode.Mark, p []byte) []byte {
	for i, b := range p {
		v := unhex(b)
		if v < 0 {
			if s.line == 0 {
				return c.badChunk(s, at, p, "http1/bad-chunk-size", "a chunk size is not a hexadecimal number")
			}
			s.state = chunkExt
			return p[i:]
		}
		s.line++
		s.left = s.left<<4 | int64(v)
		if s.left > mostChunk {
			return c.badChunk(s, at, p[i:], "http1/bad-chunk-size", "a chunk size is absurd")
		}
	}
	return nil
}

// chunkExt skips chunk extensions and the line end. Bad white space before
// them is allowed.
func (c *Conn) chunkExt(s *side, at decode.Mark, p []byte) []byte {
	i := bytes.IndexByte(p, '\n')
	n := i
	if i < 0 {
		n = len(p)
	}
	if room := c.most.head - s.line; n > room {
		return c.badChunk(s, at, p[max(room, 0):], "limit/head", "a chunk extension is too long")
	}
	s.line += n
	if i < 0 {
		return nil
	}
	s.state = chunkData
	if s.left == 0 {
		s.state, s.line, s.empty, s.cr = trailer, 0, true, false
	}
	return p[i+1:]
}

func (c *Conn) chunkEnd(s *side, at decode.Mark, p []byte) []byte {
	switch {
	case p[0] == '\n':
		c.startChunk(s)
	case p[0] == '\r' && !s.cr:
		s.cr = true
	default:
		return c.badChunk(s, at, p, "http1/bad-chunk-end", "chunk data is longer than its size")
	}
	return p[1:]
}

// badChunk gives up a message whose chunks cannot be told apart.
func (c *Conn) badChunk(s *side, at decode.Mark, rest []byte, code, text string) []byte {
	c.warn(code, at, 0, text)
	c.lose(s, at)
	s.junk = true
	return rest
}

// trailer reads over trailer fields (RFC 9112 section 7.1.2): they never
// change what the head said.
func (c *Conn) trailer(s *side, at decode.Mark, p []byte) []byte {
	i := bytes.IndexByte(p, '\n')
	line := p
	if i >= 0 {
		line = p[:i]
	}
	if room := c.most.head - s.line; len(line) > room {
		return c.badChunk(s, at, p[max(room, 0):], "limit/head", "trailer fields are too long")
	}
	s.line += len(line) + 1
	for _, b := range line {
		if b != '\r' || s.cr {
			s.empty = false
			break
		}
		s.cr = true
	}
	switch {
	case i < 0:
		s.line--
		return nil
	case s.empty:
		c.whole(s, at)
	default:
		s.empty, s.cr = true, false
	}
	return p[i+1:]
}

// peek decides whether content follows at all. It does not when a head is
// there instead: after a response to what must have been a HEAD, or after a
// request that expected 100-continue and was refused (RFC 9110 section
// 10.1.1).
func (c *Conn) peek(s *side, at decode.Mark, p []byte) []byte {
	old := len(s.buf)
	s.buf = append(s.buf, p[:min(len(p), mostLine)]...)
	b := s.buf
	if s.body == length && int64(len(b)) >= s.left {
		b = b[:s.left]
	}
	v := decode.Yes
	if s.dir == decode.ToServer {
		v = startLine(s.dir, b, 0)
	} else if n := min(len(b), len(version)); string(b[:n]) != version[:n] {
		v = decode.No
	} else if n < len(version) {
		v = decode.More
	}
	if v == decode.More && len(s.buf) < mostLine && (s.body != length || int64(len(b)) < s.left) {
		return nil
	}
	s.buf = s.buf[:old]
	if v != decode.Yes {
		c.unpeek(s, at)
		return p
	}
	if s.dir == decode.ToServer {
		c.cut(s, s.head, 0)
		s.state = start
	} else {
		c.done(s, s.head)
	}
	first := append([]byte(nil), s.buf...)
	c.feed(s, at, first)
	return p
}

// unpeek goes on with content, first with the bytes that were kept.
func (c *Conn) unpeek(s *side, at decode.Mark) {
	first := append([]byte(nil), s.buf...)
	s.buf, s.state = s.buf[:0], s.body
	c.feed(s, at, first)
}

// skipPeek goes on with content at a hole. What was kept may have been part of
// a head, so it is not told.
func (c *Conn) skipPeek(s *side, at decode.Mark) {
	n := len(s.buf)
	s.buf, s.state = s.buf[:0], s.body
	if n > 0 {
		c.gap(s, at, n)
	}
}

func unhex(b byte) int {
	switch {
	case isDigit(b):
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}
