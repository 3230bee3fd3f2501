package tls

import (
	"mcp401/decode"
)

// The phases of TLS 1.3, each with keys of its own (RFC 9846 section 7.1).
// Every KeyUpdate begins one more.
const (
	earlyPhase = iota
	handshakePhase
	appPhase
)

// window is how many sequence numbers are tried at each end of the range that
// is possible, and around the likely one.
const window = 64

// giveUpAfter is how many records may fail before a direction is given up.
const giveUpAfter = 64

// An ahead is a phase that may have begun unseen.
type ahead struct {
	phase  int
	secret []byte
	opener *opener
}

// A spot is where a record was found to belong.
type spot struct {
	ahead
	seq uint64
}

// masterOf looks for the master secret of a handshake of TLS up to 1.2.
func (c *Conn) masterOf(h *handshake) bool {
	if h.master != nil {
		return true
	}
	if h.looked == c.keys.gen+1 {
		return false
	}
	h.looked = c.keys.gen + 1
	h.master = c.keys.find(&h.clientRandom).get(master)
	if h.master == nil && h.serverID != [32]byte{} && h.serverID == h.clientID {
		h.master = c.keys.session(h.serverID)
	}
	if h.master == nil && !h.cert {
		if h.master = c.keys.session(h.clientTicket); h.master != nil {
			c.info.Resumed = true
		}
	}
	return h.master != nil
}

// changeKeys is the ChangeCipherSpec of TLS up to 1.2. One that was lost had a
// Finished behind it.
func (c *Conn) changeKeys(s *side, lost bool) {
	h := c.hand(s)
	s.secured, s.seq, s.span, s.guess, s.msg, s.msgLeft = true, 0, 0, 0, nil, 0
	s.opener = nil
	if lost {
		s.span = s.lost + 2
	} else {
		s.gap = 0
	}
	s.lost = 0
	if h.master == nil || !h.known {
		return
	}
	if h.openers[0] == nil {
		h.openers[0], h.openers[1] = h.params.openers12(h.version, h.etm, h.master, h.clientRandom[:], h.serverRandom[:])
		c.keys.remember(h.serverID, h.master)
	}
	if s.dir == decode.ToClient {
		// A ticket comes right before the server's change of keys.
		c.keys.remember(h.newTicket, h.master)
	}
	s.opener = h.openers[s.dir]
	s.num++
}

// entryOf looks for the secrets of a connection of TLS 1.3.
func (c *Conn) entryOf(h *handshake) *entry {
	if h.entry == nil && h.client && h.looked != c.keys.gen+1 {
		h.looked = c.keys.gen + 1
		h.entry = c.keys.find(&h.clientRandom)
	}
	return h.entry
}

// start sees to it that a direction of TLS 1.3 has the keys of its phase. It
// reports whether the item can be processed.
func (c *Conn) start(s *side, h *handshake, it *item) bool {
	if c.entryOf(h) == nil && !c.guessEntry(s, h, it) {
		return c.starve()
	}
	if !c.ordered(s) {
		return false
	}
	if s.opener == nil && !c.enter(s, h) {
		return c.starve()
	}
	c.fed(it.at)
	return true
}

// enter begins the first phase whose secret there is.
func (c *Conn) enter(s *side, h *handshake) bool {
	from := max(s.phase, handshakePhase)
	early := s.phase < 0 && s.dir == decode.ToServer && h.early
	if early && !h.hrr && (h.earlyOK || !c.sides[decode.ToClient].agreed) {
		if h.earlyOK {
			s.addGap(-1)
		}
		from = earlyPhase
	}
	for phase := from; phase <= max(from, appPhase); phase++ {
		if secret := c.secret(s, h, phase); secret != nil {
			s.fresh = phase != from || early || s.lost > 0
			span, gap := s.lost, s.gap
			c.setPhase(s, h, ahead{phase: phase, secret: secret})
			if s.span, s.lost = span, 0; phase == earlyPhase {
				gap = 0
			}
			s.gap = gap
			return true
		}
	}
	return false
}

// secret returns the secret of a phase, or nil.
func (c *Conn) secret(s *side, h *handshake, phase int) []byte {
	var l label
	switch {
	case phase > appPhase && s.phase == phase-1 && s.secret != nil:
		return h.params.expand(s.secret, "traffic upd", len(s.secret))
	case phase > appPhase, phase == earlyPhase && s.dir == decode.ToClient:
		return nil
	default:
		l = [3][2]label{{clientEarly}, {clientHandshake, serverHandshake}, {clientTraffic, serverTraffic}}[phase][s.dir]
	}
	b := h.entry.get(l)
	if len(b) != h.params.prf().Size() {
		return nil // of another suite
	}
	return b
}

// setPhase begins a phase. Without its secret the direction waits for it.
func (c *Conn) setPhase(s *side, h *handshake, a ahead) {
	if a.opener == nil && a.secret != nil {
		a.opener = h.params.opener13(a.secret, h.bare)
	}
	s.phase, s.secret, s.opener = a.phase, a.secret, a.opener
	s.seq, s.span, s.guess, s.ahead, s.msg, s.msgLeft = 0, 0, 0, nil, nil, 0
}

// nextPhase is a change of keys of TLS 1.3.
func (c *Conn) nextPhase(s *side, phase int) {
	h := c.hand(s)
	c.setPhase(s, h, ahead{phase: phase, secret: c.secret(s, h, phase)})
	s.fresh = false
}

// aheads returns the phases that may have begun unseen.
func (c *Conn) aheads(s *side) []ahead {
	if !s.opener.v13 || !s.fresh && s.span == 0 {
		return nil
	}
	if s.ahead == nil {
		h := c.hand(s)
		s.ahead = []ahead{}
		for phase := s.phase + 1; phase <= max(appPhase, s.phase+1); phase++ {
			if b := c.secret(s, h, phase); b != nil {
				s.ahead = append(s.ahead, ahead{phase, b, h.params.opener13(b, h.bare)})
			}
		}
	}
	return s.ahead
}

// locate finds out where a record belongs, and decrypts it into buf. Nothing
// but the cost of it is taken down.
func (c *Conn) locate(s *side, buf []byte, hdr *[headerLen]byte, body []byte) (sp spot, p []byte, ok bool) {
	sp = spot{ahead{s.phase, s.secret, s.opener}, s.seq}
	if p, ok = s.opener.open(buf, s.seq, hdr, body); ok || s.span == 0 && !s.fresh {
		return sp, p, ok
	}
	if sp.seq, p, ok = c.tryRange(s, s.opener, buf, hdr, body, s.seq+1, s.seq+s.span, s.guess); ok {
		return sp, p, ok
	}
	for _, a := range c.aheads(s) {
		if sp.seq, p, ok = c.tryRange(s, a.opener, buf, hdr, body, 0, s.span, 0); ok {
			sp.ahead = a
			return sp, p, ok
		}
	}
	return sp, nil, false
}

// tryRange tries the sequence numbers from lo to hi: both ends of the range
// and those around lo+guess.
func (c *Conn) tryRange(s *side, o *opener, buf []byte, hdr *[headerLen]byte, body []byte, lo, hi, guess uint64) (uint64, []byte, bool) {
	try := func(from, to uint64) (uint64, []byte, bool) {
		for seq := from; seq <= to; seq++ {
			if s.paid -= len(body) + 64; s.paid < 0 {
				s.paid = 0
				return 0, nil, false
			}
			if p, ok := o.open(buf, seq, hdr, body); ok {
				return seq, p, true
			}
		}
		return 0, nil, false
	}
	if hi+1 <= lo {
		return 0, nil, false
	}
	if hi-lo < 2*window {
		return try(lo, hi)
	}
	if mid := lo + guess; guess > window && mid+window/2 <= hi {
		if seq, p, ok := try(mid-window/2, mid+window/2); ok {
			return seq, p, true
		}
	}
	if seq, p, ok := try(lo, lo+window-1); ok {
		return seq, p, true
	}
	return try(hi-window+1, hi)
}

// settleOn goes on from where a record was found to belong.
func (c *Conn) settleOn(s *side, sp spot) {
	if sp.phase != s.phase {
		c.setPhase(s, c.hand(s), sp.ahead)
	}
	s.seq, s.span, s.guess = sp.seq+1, 0, 0
	s.fresh, s.fails = false, 0
}

// guessEntry tries the newest secrets that belong to no connection seen: those
// of an encrypted ClientHello stand under a random that is not in clear text.
func (c *Conn) guessEntry(s *side, h *handshake, it *item) bool {
	if h.client && !h.ech || it.kind != record {
		return false
	}
	buf := c.keys.room()
	defer c.keys.give(buf)
	newest := h.searched
	for i, n := len(c.keys.order)-1, 0; i >= 0 && n < window; i-- {
		e := c.keys.order[i]
		if e.num < h.searched {
			break
		}
		newest = max(newest, e.num+1)
		if e.used || !e.tls13() {
			continue
		}
		n++
		h.entry = e
		if c.enter(s, h) {
			if _, _, ok := c.locate(s, buf, &it.hdr, it.body); ok {
				e.used = true
				if c.cfg.Hello != nil {
					c.cfg.Hello(e.random)
				}
				c.note(it.at, "tls/ech", 0, "secrets were found by trying: the true ClientHello is encrypted or was not captured")
				return true
			}
		}
		c.restart(s)
	}
	h.entry, h.searched = nil, newest
	return false
}

func (c *Conn) restart(s *side) {
	s.phase, s.secret, s.opener, s.ahead, s.fresh = -1, nil, nil, nil, false
	s.lost, s.span = max(s.lost, s.span), 0
}

// guessSuite is for a ServerHello that was not captured: only TLS 1.3 can do
// without, if one of its suites opens the record.
func (c *Conn) guessSuite(s *side, h *handshake, it *item) bool {
	if it.hdr[0] != applicationData {
		// In TLS 1.3 it does not matter, and else all is lost.
		return c.keys.done || c.entryOf(h) != nil
	}
	if !c.entryOf(h).tls13() {
		if c.starve() {
			c.giveUp(it.at, "tls/lost-handshake", 0, "the ServerHello was not captured")
			return true
		}
		return false
	}
	buf := c.keys.room()
	defer c.keys.give(buf)
	for id := uint16(0x1301); id <= 0x1305; id++ {
		h.suite, h.version = id, version13
		h.params, _ = suiteOf(id)
		if c.enter(s, h) {
			if _, _, ok := c.locate(s, buf, &it.hdr, it.body); ok {
				h.server, h.known = true, true
				c.info.Version, c.info.Suite = "1.3", suiteName(id)
				c.fed(it.at)
				return true
			}
		}
		c.restart(s)
	}
	h.suite, h.version, h.params = 0, 0, suite{}
	return true
}

// process goes on with an item that is ready.
func (c *Conn) process(s *side, it *item) {
	switch {
	case it.kind == end:
		c.close(s, it.at, it.why)
	case s.over:
	case it.kind == hole:
		c.holed(s, it)
	case c.helpless && (s.secured || it.hdr[0] == applicationData):
	case s.secured || it.hdr[0] == applicationData:
		if s.opener != nil {
			c.decrypt(s, it)
		} else {
			s.lost++
		}
	default:
		c.clear(s, it.at, it.hdr[0], it.body)
	}
}

// holed is for records that were lost.
func (c *Conn) holed(s *side, it *item) {
	s.holed = true
	s.msg, s.msgLeft = nil, 0
	n := -1
	switch typ := it.hdr[0]; {
	case it.one && !s.secured && typ != applicationData, it.one && typ == changeCipherSpec:
		return
	case it.one && typ != applicationData && s.opener != nil:
		n = 0
	case it.one && s.opener != nil && (!s.opener.v13 || !s.padded && s.phase >= appPhase && s.seq > 0 && len16(it.hdr) > 1024):
		// Messages behind the handshake are smaller, and who does not pad now
		// did not pad then.
		n = s.opener.lost(len16(it.hdr))
	case s.opener == nil && s.phase < 0 && it.one:
		n = 0
	}
	if n != 0 {
		s.addGap(n)
	}
	if s.opener == nil {
		s.lost += it.hi
		return
	}
	s.seq += it.lo
	s.span += it.hi - it.lo
	s.guess += it.guess
	s.opener.last = s.opener.last[:0]
}

func len16(hdr [headerLen]byte) int { return int(hdr[3])<<8 | int(hdr[4]) }

// decrypt goes on with a protected record.
func (c *Conn) decrypt(s *side, it *item) {
	buf := c.keys.room()
	defer c.keys.give(buf)
	sp, p, ok := c.locate(s, buf, &it.hdr, it.body)
	s.opener.passed(it.body)
	if !ok {
		c.failed(s, it)
		return
	}
	c.settleOn(s, sp)
	typ := it.hdr[0]
	if s.opener.v13 {
		n := len(p)
		for n > 0 && p[n-1] == 0 {
			n--
		}
		if n == 0 {
			return // RFC 9846 section 5.4: an error of the sender
		}
		s.padded = s.padded || n < len(p)
		typ, p = p[n-1], p[:n-1]
	}
	c.clear(s, it.at, typ, p)
}

// failed is for a record that does not verify.
func (c *Conn) failed(s *side, it *item) {
	if s.fresh {
		return
	}
	if s.span == 0 && !c.badTag && !s.holed {
		c.badTag = true
		c.note(it.at, "tls/bad-tag", 0, "a record %s does not verify", s.dir)
	}
	if !c.info.Decrypted {
		c.info.Why = "tls/bad-tag"
	}
	if it.hdr[0] == applicationData {
		s.addGap(-1)
	}
	s.span++
	if s.fails++; s.fails >= giveUpAfter {
		c.note(it.at, "tls/lost", s.fails, "records %s do not verify", s.dir)
		c.close(s, it.at, decode.Cut)
	}
}

// clear goes on with the content of a record, be it decrypted or not.
func (c *Conn) clear(s *side, at decode.Mark, typ byte, p []byte) {
	switch typ {
	case changeCipherSpec:
		if h := c.hand(s); h.version != version13 && len(p) == 1 {
			c.changeKeys(s, false)
		}
	case alertRecord:
		c.alert(s, at, p)
	case handshakeRecord:
		c.handshake(s, at, p)
	case applicationData:
		c.app(s, at, p)
	}
}
