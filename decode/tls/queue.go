package tls

import "mcp401/decode"

// An item is what one direction brought: a record, a hole or the end.
type item struct {
	kind  itemKind
	order uint64
	at    decode.Mark
	hdr   [headerLen]byte
	body  []byte
	why   decode.End // end

	// hole: between lo and hi records are missing, perhaps lo+guess. one: it is
	// one, and hdr is its header.
	lo, hi, guess uint64
	one           bool
}

type itemKind uint8

const (
	record itemKind = iota
	hole
	end
)

// itemCost stands for the memory that an item takes beside its bytes.
const itemCost = 128

// input goes on with an item, or lets it wait.
func (c *Conn) input(s *side, it *item) {
	c.order++
	it.order = c.order
	if len(s.queue) > 0 || !c.ready(s, it) {
		c.enqueue(s, it)
		return
	}
	c.process(s, it)
	c.advance(it.at)
}

// enqueue lets an item wait. A record that cannot be held is a hole.
func (c *Conn) enqueue(s *side, it *item) {
	if c.elem == nil && !c.full {
		c.elem = c.keys.waiting.PushBack(c)
		c.keys.hold(c, connCost)
	}
	cost := len(it.body) + itemCost
	if it.kind == record && (c.full || c.held+cost > c.lim.Ciphertext) && it.hdr[0] != changeCipherSpec {
		it = &item{kind: hole, order: it.order, at: it.at, hdr: it.hdr, lo: 1, hi: 1, one: true}
	}
	if it.kind == hole && it.one {
		c.spilled += headerLen + int(it.hdr[3])<<8 + int(it.hdr[4])
	}
	if n := len(s.queue); n > 0 && it.kind == hole && s.queue[n-1].kind == hole {
		s.queue[n-1].merge(it)
		return
	}
	s.queue = append(s.queue, *it)
	last := &s.queue[len(s.queue)-1]
	last.body = append([]byte(nil), it.body...)
	if c.elem != nil {
		c.keys.hold(c, len(it.body)+itemCost)
	}
}

// connCost stands for the memory that a waiting connection takes.
const connCost = 2 << 10

func (it *item) merge(more *item) {
	it.guess += more.guess + (more.lo - min(more.lo, more.hi))
	it.lo += more.lo
	it.hi += more.hi
	it.one = false
	it.at = more.at
}

// shed gives up the bytes that are held, so that others may hold theirs. What
// is left is enough to go on with later records.
func (c *Conn) shed() {
	c.release()
	c.full = true
	var at decode.Mark
	for i := range c.sides {
		s := &c.sides[i]
		var kept []item
		for _, it := range s.queue {
			if it.kind == record && it.hdr[0] != changeCipherSpec {
				c.spilled += len(it.body) + headerLen
				it = item{kind: hole, order: it.order, at: it.at, hdr: it.hdr, lo: 1, hi: 1, one: true}
			}
			if n := len(kept); n > 0 && it.kind == hole && kept[n-1].kind == hole {
				kept[n-1].merge(&it)
				continue
			}
			kept = append(kept, it)
		}
		if s.queue = kept; len(kept) > 0 {
			at = kept[len(kept)-1].at
		}
	}
	// A connection that is over has nothing left to wait for.
	c.finish(at)
}

// release takes a connection out of those that wait.
func (c *Conn) release() {
	if c.elem != nil {
		c.keys.waiting.Remove(c.elem)
		c.elem = nil
		c.keys.held -= c.held
		c.held = 0
	}
}

// advance goes on with what waits, as far as it goes, in the order in which it
// was captured.
func (c *Conn) advance(at decode.Mark) {
	a, b := &c.sides[0], &c.sides[1]
	if len(a.queue) == 0 && len(b.queue) == 0 {
		return
	}
	for {
		first, second := a, b
		if len(a.queue) == 0 || len(b.queue) > 0 && b.queue[0].order < a.queue[0].order {
			first, second = b, a
		}
		if !c.pop(first) && !c.pop(second) {
			break
		}
	}
	if len(a.queue) == 0 && len(b.queue) == 0 {
		c.release()
		c.full = false
		if c.spilled > 0 && !c.keyless {
			c.note(at, "limit/ciphertext", c.spilled, "bytes were not held until they could be decrypted")
			c.spilled = 0
		}
	}
}

// pop goes on with the first item that waits.
func (c *Conn) pop(s *side) bool {
	if len(s.queue) == 0 || !c.ready(s, &s.queue[0]) {
		return false
	}
	it := s.queue[0]
	s.queue[0] = item{}
	if s.queue = s.queue[1:]; len(s.queue) == 0 {
		s.queue = nil
	}
	if c.elem != nil {
		n := len(it.body) + itemCost
		c.held -= n
		c.keys.held -= n
	}
	c.process(s, &it)
	return true
}

// ready reports whether the next item of a direction can be processed, be it
// that it is dropped.
func (c *Conn) ready(s *side, it *item) bool {
	if it.kind != record || s.over || c.helpless {
		return true
	}
	typ := it.hdr[0]
	if !s.begun {
		s.begun = true
		s.noHello = typ != alertRecord && !(typ == handshakeRecord && len(it.body) > 0 && it.body[0] == helloOf(s.dir))
	}
	switch {
	case s.secured:
		return s.opener == nil || typ != changeCipherSpec || c.keyed(s, it)
	case typ == handshakeRecord:
		// Until keys change it is in clear text; behind a hole it may be the
		// Finished of TLS 1.2.
		return !s.holed || looksClear(it.body) || c.keyed(s, it)
	case typ == alertRecord && len(it.body) == 2:
		return true
	case typ == applicationData && s.opener != nil:
		return c.ordered(s)
	}
	return c.keyed(s, it)
}

// looksClear reports whether a handshake record is in clear text.
func looksClear(b []byte) bool {
	return len(b) >= 4 && b[0] <= 24 && int(b[1])<<16|int(b[2])<<8|int(b[3]) < 1<<17
}

// silent reports whether the hello of a direction will not come anymore.
func (c *Conn) silent(d decode.Dir) bool {
	s := &c.sides[d]
	return s.ended && len(s.queue) == 0 || s.over || s.plain || s.holed || s.noHello ||
		c.sides[decode.ToServer].noHello && !c.sides[decode.ToServer].holed
}

// keyed sees to it that a direction has keys, if there are any. It reports
// whether the item can be processed, be it that it is dropped.
func (c *Conn) keyed(s *side, it *item) bool {
	h := c.hand(s)
	switch {
	case !h.server && !c.silent(decode.ToClient) || !h.client && !c.silent(decode.ToServer):
		return false
	case !h.server && !h.client:
		c.giveUp(it.at, "tls/mid-stream", 0, "the capture does not have the begin of the connection")
		return true
	case !h.server:
		return c.guessSuite(s, h, it)
	case !h.known:
		c.giveUp(it.at, "tls/unsupported", int(h.suite), "version %s, suite %s", c.info.Version, c.info.Suite)
		return true
	case h.version == version13:
		return it.hdr[0] != applicationData || c.start(s, h, it)
	case !h.client:
		c.giveUp(it.at, "tls/lost-handshake", 0, "the ClientHello was not captured")
		return true
	case !c.masterOf(h):
		return c.starve()
	}
	c.fed(it.at)
	if it.hdr[0] != changeCipherSpec && !s.secured && s.holed {
		// The change of keys was in the hole.
		c.changeKeys(s, true)
	}
	return true
}

// starve is for secrets that are missing. It reports whether that is for good.
func (c *Conn) starve() bool {
	c.starving, c.starved = true, c.keys.gen
	if !c.info.Decrypted {
		c.info.Why = noKey
	}
	c.keyless = c.keys.done
	return c.keyless
}

// fed is for secrets that are there.
func (c *Conn) fed(at decode.Mark) {
	if !c.starving {
		return
	}
	c.starving, c.keyless = false, false
	if c.info.Why == noKey {
		c.info.Why = ""
	}
	c.note(at, "tls/late-key", c.held, "secrets came after what they protect")
}

// ordered reports whether a direction may go on with records under the keys it
// has: what the client says in TLS 1.3 waits for the EncryptedExtensions, which
// say what it means.
func (c *Conn) ordered(s *side) bool {
	o := &c.sides[decode.ToClient]
	h := c.hand(s)
	return s.dir == decode.ToClient || o.agreed || o.holed || o.over || o.phase > handshakePhase ||
		o.ended && len(o.queue) == 0 || h.entry.get(serverHandshake) == nil
}
