package tls

import "mcp401/decode"

// Types of handshake messages (RFC 9846 section 4, RFC 5246 section 7.4).
const (
	clientHello         = 1
	serverHello         = 2
	newSessionTicket    = 4
	endOfEarlyData      = 5
	encryptedExtensions = 8
	certificate         = 11
	finished            = 20
	keyUpdate           = 24
	compressedCert      = 25
)

// hand returns the handshake that a direction is in.
func (c *Conn) hand(s *side) *handshake {
	h := &c.hands[s.num&1]
	if h.num != s.num {
		*h = handshake{num: s.num}
	}
	return h
}

// handshake reads messages, which share records and span them.
func (c *Conn) handshake(s *side, at decode.Mark, p []byte) {
	if s.holed && len(s.msg) == 0 && s.msgLeft == 0 && s.opener == nil && !looksClear(p) {
		return
	}
	phase := s.phase
	for len(p) > 0 && !s.over && s.phase == phase {
		switch {
		case s.msgLeft > 0:
			n := min(s.msgLeft, len(p))
			p = p[n:]
			if s.msgLeft -= n; s.msgLeft == 0 {
				c.message(s, at, s.msgType, nil)
			}
		case len(s.msg) > 0 || missing(p) > 0:
			p = c.piece(s, at, p)
		default:
			b := p[:4+length24(p)]
			p = p[len(b):]
			c.message(s, at, b[0], reader(b[4:]))
		}
	}
	// RFC 9846 section 5.1: a message before a change of keys ends its record.
}

// piece puts a message together that comes in pieces, and returns what is not
// part of it.
func (c *Conn) piece(s *side, at decode.Mark, p []byte) []byte {
	n := min(missing(s.msg), len(p))
	s.msg = append(s.msg, p[:n]...)
	p = p[n:]
	if len(s.msg) < 4 {
		return p
	}
	b := s.msg
	switch n := missing(b); {
	case n == 0:
		s.msg = nil
		c.message(s, at, b[0], reader(b[4:]))
	case !kept(b[0]) || len(b)+n > c.lim.Handshake:
		s.msg, s.msgType, s.msgLeft = nil, b[0], n
	}
	return p
}

func length24(b []byte) int { return int(b[1])<<16 | int(b[2])<<8 | int(b[3]) }

// missing is how many bytes a message still needs: of its header, then of all.
func missing(b []byte) int {
	if len(b) < 4 {
		return 4 - len(b)
	}
	return max(0, 4+length24(b)-len(b))
}

// kept reports whether the content of a message matters.
func kept(typ byte) bool {
	switch typ {
	case clientHello, serverHello, newSessionTicket, encryptedExtensions, certificate:
		return true
	}
	return false
}

// message reads one message. Its content is nil when it was not kept.
func (c *Conn) message(s *side, at decode.Mark, typ byte, b reader) {
	h := c.hand(s)
	toClient := s.dir == decode.ToClient
	switch {
	case typ == clientHello && !toClient:
		c.parseClientHello(h, b)
	case typ == serverHello && toClient:
		c.parseServerHello(h, b)
	case typ == certificate:
		c.certificates(s, h, b)
	case typ == compressedCert && !toClient:
		c.info.ClientCert = true
	case typ == finished && s.phase == handshakePhase:
		if toClient || !h.earlyOK {
			s.gap = 0 // what was lost was of the handshake
		}
		c.nextPhase(s, appPhase)
	case typ == newSessionTicket && toClient && h.version < version13:
		b.uint(4)
		h.newTicket = sessionName(b.vec(2))
	case s.opener == nil || !s.opener.v13:
	case typ == encryptedExtensions && toClient:
		c.agreed(s, h, b)
	case typ == endOfEarlyData && s.phase == earlyPhase:
		c.nextPhase(s, handshakePhase)
	case typ == keyUpdate && s.phase >= appPhase:
		c.nextPhase(s, s.phase+1)
	}
}

// agreed reads EncryptedExtensions (RFC 9846 section 4.3.1).
func (c *Conn) agreed(s *side, h *handshake, r reader) {
	s.agreed = true
	for exts := r.vec(2); len(exts) >= 4; {
		id, b := exts.uint(2), reader(nil)
		b = exts.vec(2)
		switch id {
		case extALPN:
			list := b.vec(2)
			c.info.ALPN = printable(list.vec(1))
		case extEarlyData:
			h.earlyOK = true
		}
	}
}

func (c *Conn) certificates(s *side, h *handshake, b reader) {
	der := leaf(h.version, b)
	switch {
	case s.dir == decode.ToClient:
		h.cert = true
		if c.info.Subject == "" && c.info.Names == nil && len(der) > 0 {
			sub := c.keys.subject(der)
			c.info.Subject, c.info.Names = sub.name, sub.alts
		}
	case len(der) > 0 || b == nil:
		c.info.ClientCert = true
	}
}

// torn reads what there is of a hello whose rest was not captured: its begin
// is enough to find the keys.
func (c *Conn) torn(s *side, at decode.Mark, p []byte) {
	b := append(append([]byte(nil), s.msg...), p...)
	if s.msgLeft == 0 && len(b) > 4 && b[0] == helloOf(s.dir) && missing(b) > 0 {
		s.begun = true
		c.message(s, at, b[0], b[4:])
	}
}

// alert reads an alert (RFC 9846 section 6).
func (c *Conn) alert(s *side, at decode.Mark, p []byte) {
	if len(p) != 2 {
		return
	}
	level, what := p[0], p[1]
	v13 := s.opener != nil && s.opener.v13
	switch {
	case what == closeNotify:
		c.close(s, at, decode.Fin)
	case c.info.Alert == "" && (level == 2 || v13 && what != userCanceled):
		c.info.Alert, c.info.AlertFrom = alertName(what), s.dir
	}
}
