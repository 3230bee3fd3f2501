package tls

import (
	"encoding/binary"

	"mcp401/decode"
)

const (
	headerLen = 5
	maxBody   = 1<<14 + 2048 // RFC 5246 section 6.2.3
	minBody   = 1            // of records that are found after a hole

	// tryCost is how many bytes may be decrypted in vain for each byte that
	// comes, and tryMost how many of them can be saved up: what a hole may cost.
	tryCost = 64
	tryMost = 8 << 20

	// huntMost bounds what is passed over in search of a record.
	huntMost = 1 << 20

	// stride bounds what is copied at once in search of a record.
	stride = 4 << 10
)

// Types of records (RFC 9846 section 5.1).
const (
	changeCipherSpec = 20
	alertRecord      = 21
	handshakeRecord  = 22
	applicationData  = 23
)

// plausible says whether b begins with the header of a record.
func plausible(b []byte) decode.Verdict {
	switch n := len(b); {
	case n > 0 && (b[0] < changeCipherSpec || b[0] > applicationData),
		n > 1 && b[1] != 3,
		n > 2 && b[2] > 4,
		n >= headerLen && int(binary.BigEndian.Uint16(b[3:])) > maxBody:
		return decode.No
	case n < headerLen:
		return decode.More
	}
	return decode.Yes
}

// Sniff says whether p, the first bytes of one direction, is the begin of TLS.
func Sniff(_ decode.Dir, p []byte) decode.Verdict {
	v := plausible(p)
	switch {
	case v != decode.Yes:
		return v
	case p[3] == 0 && p[4] == 0 && p[0] != applicationData,
		p[0] == changeCipherSpec && p[4] != 1 && p[3] == 0 && p[4] < 16,
		p[0] == alertRecord && p[3] != 0:
		return decode.No
	}
	return decode.Yes
}

// step decodes some bytes of p and returns the others.
func (c *Conn) step(s *side, at decode.Mark, p []byte) []byte {
	switch {
	case s.plain:
		if c.plain != nil {
			c.plain.Data(s.dir, at, p)
		}
		return nil
	case s.over:
		return nil
	case s.hunt:
		return c.search(s, at, p)
	}
	return c.frame(s, at, p)
}

// frame reads records where they are expected. A record that lies whole in p
// is not copied.
func (c *Conn) frame(s *side, at decode.Mark, p []byte) []byte {
	if s.nhdr < headerLen {
		n := copy(s.hdr[s.nhdr:], p)
		if plausible(s.hdr[:s.nhdr+n]) == decode.No {
			c.derail(s, at)
			return p
		}
		s.nhdr += n
		p = p[n:]
		if s.nhdr < headerLen {
			return nil
		}
		s.left = int(binary.BigEndian.Uint16(s.hdr[3:]))
		s.skip = !c.wanted(s)
	}
	n := min(s.left, len(p))
	s.left -= n
	switch {
	case s.skip:
		if s.left == 0 {
			c.passed(s, at)
		}
	case s.left == 0 && len(s.buf) == 0:
		c.record(s, at, p[:n])
	default:
		if s.buf == nil {
			s.buf = c.keys.take()
		}
		s.buf = append(s.buf, p[:n]...)
		if s.left == 0 {
			b := s.buf
			s.buf = nil
			c.record(s, at, b)
			c.keys.give(b)
		}
	}
	return p[n:]
}

// length is the length of the body of the record in hand.
func (s *side) length() int { return int(binary.BigEndian.Uint16(s.hdr[3:])) }

// forget gives up the record in hand.
func (c *Conn) forget(s *side) {
	if s.buf != nil {
		c.keys.give(s.buf)
		s.buf = nil
	}
	s.nhdr, s.left, s.skip = 0, 0, false
}

// wanted reports whether the body of the record in hand is needed.
func (c *Conn) wanted(s *side) bool {
	switch typ := s.hdr[0]; {
	case c.helpless:
		return !s.secured && typ != applicationData
	case s.opener != nil:
		return true
	case s.secured:
		return false
	case len(s.queue) > 0 || typ == applicationData && c.starving && c.starved == c.keys.gen:
		return !c.keyless && !c.full && c.held+s.length()+itemCost <= c.lim.Ciphertext
	}
	return true
}

// record takes a whole record.
func (c *Conn) record(s *side, at decode.Mark, body []byte) {
	c.arrived(s, at)
	it := item{at: at, hdr: s.hdr, body: body}
	s.nhdr = 0
	c.input(s, &it)
}

// passed takes a record whose body is not there.
func (c *Conn) passed(s *side, at decode.Mark) {
	c.arrived(s, at)
	it := item{kind: hole, at: at, hdr: s.hdr, lo: 1, hi: 1, one: true}
	if !s.holed && c.keyless {
		// There is nothing to come back to.
		s.nhdr = 0
		return
	}
	s.nhdr, s.skip = 0, false
	c.input(s, &it)
}

// drop gives up a record of which something is missing.
func (c *Conn) drop(s *side, at decode.Mark) {
	if s.nhdr == headerLen && s.hdr[0] == handshakeRecord && !s.secured && len(s.queue) == 0 {
		c.torn(s, at, s.buf)
	}
	c.forget(s)
}

// derail is for bytes that are no record where one is expected.
func (c *Conn) derail(s *side, at decode.Mark) {
	first := append([]byte(nil), s.hdr[:s.nhdr]...)
	c.forget(s)
	if s.dir == decode.ToClient && !s.any && !s.holed {
		s.plain = true
		c.giveUp(at, "tls/not-tls", 0, "the server does not answer in TLS")
		if c.cfg.Plain != nil {
			c.plain = c.cfg.Plain()
		}
		if c.plain != nil && len(first) > 0 {
			c.plain.Data(s.dir, at, first)
		}
		c.advance(at)
		return
	}
	c.note(at, "tls/bad-record", 0, "bytes %s are no TLS record", s.dir)
	c.input(s, &item{kind: hole, at: at, hi: window})
	c.startHunt(s)
	if len(first) > 0 {
		c.search(s, at, first)
	}
}

// miss is a hole of n bytes.
func (c *Conn) miss(s *side, at decode.Mark, n int) {
	if s.hunt {
		c.settle(s, at)
		if s.hunt {
			c.input(s, &item{kind: hole, at: at, hi: recordsIn(n)})
			return
		}
	}
	it := item{kind: hole, at: at}
	if s.nhdr > 0 {
		it.lo, it.hi = 1, 1
		if s.nhdr == headerLen && n >= 0 && n <= s.left {
			// The next record is where it was expected.
			left := s.left - n
			if !s.skip {
				c.drop(s, at)
			}
			s.nhdr, s.left, s.skip = headerLen, left, true
			if left == 0 {
				c.passed(s, at)
			}
			return
		}
		if n >= 0 && s.nhdr == headerLen {
			n -= s.left
		}
		c.drop(s, at)
	}
	if n > 0 {
		it.lo += uint64(n / (maxBody + headerLen))
		if s.size > 0 {
			it.guess = uint64(n / (s.size + headerLen))
		}
	}
	it.hi += recordsIn(n)
	c.input(s, &it)
	c.startHunt(s)
}

// recordsIn is how many records may have been in n bytes, the pieces of two
// others aside.
func recordsIn(n int) uint64 {
	const least = headerLen + 16
	if n < 0 {
		return 4 * window
	}
	return uint64(n/least) + 1
}

// A place says where the bytes of a pile from off on were captured.
type place struct {
	off int
	at  decode.Mark
}

func (c *Conn) startHunt(s *side) {
	s.hunt, s.pile, s.where, s.scan, s.past = true, nil, nil, 0, 0
}

// search looks for the next record. It may begin anywhere, not only at the
// begin of a segment, so that the same bytes give the same however they are
// cut.
func (c *Conn) search(s *side, at decode.Mark, p []byte) []byte {
	n := min(len(p), stride)
	old := len(s.pile)
	s.where = append(s.where, place{old, at})
	s.pile = append(s.pile, p[:n]...)
	i, v := c.candidate(s, false)
	if v == decode.Yes {
		c.found(s, at, i, old)
		return p[max(0, i-old):]
	}
	s.shift(i)
	if s.past > huntMost {
		c.note(at, "tls/lost", s.past, "no record was found %s after a hole", s.dir)
		c.close(s, at, decode.Cut)
		s.pile, s.where = nil, nil
		c.advance(at)
	}
	return p[n:]
}

// candidate looks for a record in the pile. With Yes it begins at i; otherwise
// the search goes on there. last is set when no more bytes come for now.
func (c *Conn) candidate(s *side, last bool) (i int, v decode.Verdict) {
	for i = s.scan; i < len(s.pile); i++ {
		b := s.pile[i:]
		switch plausible(b) {
		case decode.No:
			continue
		case decode.Yes:
			v = c.judge(s, b, last)
		case decode.More:
			v = decode.More
			if last {
				v = decode.No
			}
		}
		if v != decode.No {
			return i, v
		}
	}
	return i, decode.No
}

// judge says whether a record begins at b, which has a plausible header: by
// its tag if there are keys, else by the header behind it.
func (c *Conn) judge(s *side, b []byte, last bool) decode.Verdict {
	n := int(binary.BigEndian.Uint16(b[3:]))
	short := decode.More
	if last {
		short = decode.No
	}
	switch {
	case n < minBody, s.min != 0 && b[2] != s.min,
		b[0] == changeCipherSpec && n != 1 && n < 16,
		b[0] == alertRecord && n > 128:
		return decode.No
	case len(b) < headerLen+n:
		return short
	}
	hdr, body, rest := [headerLen]byte(b), b[headerLen:headerLen+n], b[headerLen+n:]
	if b[0] == changeCipherSpec && n == 1 && body[0] == 1 || isHello(s.dir, b[0], body) {
		return decode.Yes
	}
	if s.opener != nil && len(s.queue) == 0 && (s.secured || b[0] == applicationData) {
		buf := c.keys.room()
		defer c.keys.give(buf)
		if _, _, ok := c.locate(s, buf, &hdr, body); ok {
			return decode.Yes
		}
		return decode.No
	}
	v := plausible(rest)
	if v == decode.More && last && len(rest) == 0 {
		return decode.Yes
	}
	if v == decode.More {
		return short
	}
	return v
}

// isHello reports whether a record holds a hello from its begin on.
func isHello(d decode.Dir, typ byte, body []byte) bool {
	return typ == handshakeRecord && len(body) > 38 && body[0] == helloOf(d) && body[1] == 0 && body[4] == 3
}

func helloOf(d decode.Dir) byte {
	if d == decode.ToServer {
		return clientHello
	}
	return serverHello
}

// shift drops the begin of the pile, up to i.
func (s *side) shift(i int) {
	s.scan = i
	if i == 0 {
		return
	}
	s.past += i
	s.scan = 0
	s.pile = s.pile[:copy(s.pile, s.pile[i:])]
	k := 0
	for k+1 < len(s.where) && s.where[k+1].off <= i {
		k++
	}
	s.where = s.where[:copy(s.where, s.where[k:])]
	for j := range s.where {
		s.where[j].off = max(0, s.where[j].off-i)
	}
	if len(s.pile) == 0 {
		s.where = s.where[:0]
	}
}

// found goes on with a record at i of the pile. The bytes of the pile from old
// on are decoded by the caller.
func (c *Conn) found(s *side, at decode.Mark, i, old int) {
	pile, where := s.pile[:old], s.where
	if n := s.past + i; n > 0 {
		c.note(at, "tls/skipped", n, "bytes before the next record were passed over")
	}
	s.hunt, s.pile, s.where, s.scan, s.past = false, nil, nil, 0, 0
	for k, pl := range where {
		end := old
		if k+1 < len(where) {
			end = min(old, where[k+1].off)
		}
		for b := pile[min(max(pl.off, i), end):end]; len(b) > 0; {
			b = c.step(s, pl.at, b)
		}
	}
}

// settle decides on what is in the pile when nothing follows it.
func (c *Conn) settle(s *side, at decode.Mark) {
	for s.hunt && !s.over {
		i, v := c.candidate(s, true)
		if v != decode.Yes {
			break
		}
		c.found(s, at, i, len(s.pile))
	}
	if s.hunt {
		s.past += len(s.pile)
		s.pile, s.where, s.scan = s.pile[:0], s.where[:0], 0
	}
}

// arrived takes down what a record shows of itself.
func (c *Conn) arrived(s *side, at decode.Mark) {
	typ, n := s.hdr[0], s.length()
	s.any, s.min, s.size = true, s.hdr[2], n
	h := c.hand(s)
	switch {
	case typ == changeCipherSpec:
		s.ccs = true
		return
	case typ != applicationData:
		return
	case h.version == version13:
		if !c.past13(s, n) {
			return
		}
		n -= 17
	case h.known && h.params.kind == chacha:
		n -= 16
	case h.known && h.params.mac == nil:
		n -= 8 + h.params.tag
	case h.known:
		n -= h.params.blockSize() + h.params.tag
	}
	c.info.HandshakeDone = true
	c.info.Records++
	if len(c.info.Shape) < c.lim.Shape && n > 0 && !c.info.Decrypted {
		c.info.Shape = append(c.info.Shape, Size{s.dir, at, n})
	}
}

// past13 reports whether a record of TLS 1.3 stands behind the handshake, as
// far as its size tells: the client's handshake ends with a Finished, whose
// size is known, and the server then speaks again.
func (c *Conn) past13(s *side, n int) bool {
	const finished256, finished384 = 4 + 32 + 17, 4 + 48 + 17
	if c.said {
		return true
	}
	if s.dir == decode.ToServer {
		c.said = n == finished256 || n == finished384
		c.clientUp = c.clientUp || n >= finished256
		if c.said {
			c.info.HandshakeDone = true
		}
		return false
	}
	c.said = c.clientUp && !c.info.Early
	return c.said
}
