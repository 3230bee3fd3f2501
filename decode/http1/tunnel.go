package http1

import (
	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// An outcome is what became of a request for another protocol.
type outcome uint8

const (
	unknown outcome = iota // the response was not seen
	refused
)

// changes looks for the end of HTTP on this connection in a final response to
// p, and enters the tunnel.
func (c *Conn) changes(p *pending, at decode.Mark) bool {
	m := &c.msg
	u := Upgrade{ID: httpmsg.ID{Flow: c.flow.First, Stream: p.id}, Target: p.target}
	switch {
	case m.status == 101:
		u.Protocol = lower(m.upgrade)
	case p.method == "CONNECT" && 200 <= m.status && m.status < 300:
		// RFC 9110 section 9.3.6: Content-Length and Transfer-Encoding mean nothing here.
		u.Protocol = "connect"
	default:
		if m.status >= 200 {
			c.resolved(p.id, refused)
		}
		return false
	}
	c.enter(u)
	return true
}

// enter hands the connection over. The server's side follows when its response
// is done, and the client's when its request is.
func (c *Conn) enter(u Upgrade) {
	c.switched = true
	if c.Tunnel != nil {
		c.inner = c.Tunnel(u)
	}
	s := &c.sides[decode.ToServer]
	s.wants = 0
	switch {
	case s.state == held:
		s.after, s.release = tunnel, true
	case s.active:
	default:
		first := s.buf
		if s.state != head {
			first = nil
		}
		s.state = tunnel
		c.through(s, s.from, first)
	}
}

// resolved tells the client's side what became of its exchange id. When nobody
// knows, what it sent next does: HTTP, or something else.
func (c *Conn) resolved(id uint32, o outcome) {
	s := &c.sides[decode.ToServer]
	if id == 0 || s.wants != id {
		return
	}
	s.wants = 0
	if s.state != held {
		return
	}
	s.after, s.release = start, true
	if o == unknown && len(s.kept) > 0 && s.kept[0].p != nil && Sniff(decode.ToServer, s.kept[0].p) == decode.No {
		c.enter(Upgrade{ID: httpmsg.ID{Flow: c.flow.First, Stream: id}})
		if r := &c.sides[decode.ToClient]; !r.active && r.state != dead {
			r.state = tunnel
		}
	}
}

// guess lets a client go on that waits for an answer which a hole may have
// hidden, when what it sent next is HTTP.
func (c *Conn) guess() {
	s := &c.sides[decode.ToServer]
	if s.state == held && len(s.kept) > 0 && s.kept[0].p != nil && Sniff(decode.ToServer, s.kept[0].p) == decode.Yes {
		c.resolved(s.wants, unknown)
	}
}

// through hands bytes to the other protocol.
func (c *Conn) through(s *side, at decode.Mark, p []byte) {
	switch {
	case len(p) == 0:
	case c.inner != nil:
		c.inner.Data(s.dir, at, p)
	default:
		c.dropped += int64(len(p))
	}
}
