package tcp

import (
	"time"

	"mcp401/decode"
	"mcp401/decode/inet"
)

// Flags of a segment.
const (
	FIN = inet.FIN
	SYN = inet.SYN
	RST = inet.RST
	ACK = inet.ACK
)

// A kind is the list that a flow is in, which is its state too.
type kind uint8

const (
	fresh  kind = iota // a SYN without an answer
	quiet              // answered, or of unknown beginning; no byte of data yet
	busy               // told to open
	closed             // over; remembered to absorb what trails
	lists
)

// Bits of a half.
const (
	known    = 1 << iota // next is valid
	soft                 // next was taken from an ACK and may still move down
	synSeen              // isn came with a SYN
	hasAck               // ack is valid
	finKnown             // fin is valid
	ended                // its FIN was reached
	carried              // a byte or a hole was delivered
	lostFin              // the last number before next was acknowledged and never seen: most likely a FIN
)

// A half is one direction of a connection: what one side sends.
type half struct {
	next uint32 // the first byte not delivered
	isn  uint32 // next at the start, less one
	ack  uint32 // the highest acknowledgment number in what this side sends
	fin  uint32 // number of the FIN
	bits uint16
}

func (h *half) is(bits uint16) bool { return h.bits&bits != 0 }

// A flow is one connection. Sides are numbered as in its key.
type flow struct {
	key     key
	half    [2]half
	plain   bool // the fast path may be tried
	decided bool // client is valid
	mid     bool // no SYN was seen
	opened  bool
	strays  bool // stray is valid
	client  uint8
	list    kind
	thrower uint8  // the side that sent stray
	ref     uint32 // in the index
	stray   uint32 // acknowledgment number of a RST that belonged to nothing known
	hash    uint64
	conn    decode.Conn
	wait    *waiting // what is held, or missing; nil: nothing
	listed  int64    // when it came to the back of its list, at most refresh before its last segment
	prev    *flow
	next    *flow
	first   int
	start   time.Time
}

func (f *flow) dir(side int) decode.Dir { return decode.Dir(uint8(side) ^ f.client) }

func (f *flow) side(d decode.Dir) int { return int(uint8(d) ^ f.client) }

// A list holds the flows of one state, longest idle first.
type list struct {
	ring flow
	len  int
}

func (l *list) init() { l.ring.prev, l.ring.next = &l.ring, &l.ring }

func (l *list) oldest() *flow {
	if l.ring.next == &l.ring {
		return nil
	}
	return l.ring.next
}

func (t *Table) unlist(f *flow) {
	f.prev.next, f.next.prev = f.next, f.prev
	t.lists[f.list].len--
}

// list puts a flow at the back of a list.
func (t *Table) list(f *flow, k kind) {
	if f.prev != nil {
		t.unlist(f)
	}
	l := &t.lists[k]
	f.list, f.listed = k, t.now
	f.prev, f.next = l.ring.prev, &l.ring
	f.prev.next, f.next.prev = f, f
	l.len++
}

func (t *Table) remove(f *flow) {
	t.drop(f)
	t.unlist(f)
	t.flows.remove(f)
}

// begin takes the first segment of a connection not in the table.
func (t *Table) begin(k *key, h uint64, side int, s *inet.Segment) {
	t.last = 0
	if s.Flags&RST != 0 {
		// Kept in case its SYN is stored behind it.
		if s.Flags&ACK != 0 {
			f := t.flows.add(h, k)
			f.first, t.last = t.at.Frame, t.at.Frame
			f.strays, f.stray, f.thrower = true, s.Ack, uint8(side)
			t.linger(f)
		}
		return
	}
	t.room()
	f := t.flows.add(h, k)
	f.first, f.start, t.last = t.at.Frame, t.at.Time, t.at.Frame
	switch s.Flags & (SYN | ACK) {
	case SYN:
		t.list(f, fresh)
		f.client, f.decided = uint8(side), true
	case SYN | ACK:
		t.list(f, quiet)
		f.client, f.decided = uint8(side^1), true
	default:
		t.list(f, quiet)
		f.mid = true
	}
	t.slow(f, side, s)
}

// room keeps within the bounds on flows.
func (t *Table) room() {
	for t.lists[fresh].len+t.lists[quiet].len >= t.lim.HalfOpen {
		f := t.lists[fresh].oldest()
		if f == nil {
			f = t.lists[quiet].oldest()
		}
		t.dropHalfOpen(f)
	}
	for t.lists[fresh].len+t.lists[quiet].len+t.lists[busy].len >= t.lim.Flows {
		f := t.lists[busy].oldest()
		for _, k := range [...]kind{quiet, fresh} {
			if g := t.lists[k].oldest(); g != nil && (f == nil || g.listed < f.listed) {
				f = g
			}
		}
		if f.list != busy {
			t.dropHalfOpen(f)
			continue
		}
		t.stats.Evicted++
		t.note(decode.Note{Code: "limit/flows", At: t.at, Flow: f.first, N: 1, Text: "longest idle connection given up"})
		t.finish(f, decode.Evicted, t.at)
	}
}

// dropHalfOpen gives up a connection without data, or tells that of one whose
// beginning is still waited for.
func (t *Table) dropHalfOpen(f *flow) {
	t.note(decode.Note{Code: "limit/half-open", At: t.at, Flow: f.first, N: 1, Text: "connection without data given up, or told before its beginning is sure"})
	if w := f.wait; w != nil && len(w.held[0])+len(w.held[1]) > 0 {
		if w.hasReset {
			t.finish(f, decode.Reset, w.resetAt)
			return
		}
		t.flush(f)
		if f.list != quiet && f.list != fresh {
			f.fast()
			return
		}
	}
	t.stats.HalfOpenDropped++
	t.remove(f)
}

// slow takes every segment that the fast path does not.
func (t *Table) slow(f *flow, side int, s *inet.Segment) {
	if f.list == closed {
		t.trailing(f, side, s)
		return
	}
	if w := f.wait; w != nil {
		w.segs[0]++
		w.segs[1]++
	}
	seq := s.Seq
	if s.Flags&SYN != 0 {
		if !t.syn(f, side, s) {
			return
		}
		seq++
	}
	if s.Flags&RST != 0 {
		t.rst(f, side, s)
		return
	}
	if s.Flags&ACK != 0 {
		t.acked(f, side, s.Ack)
	}
	if x := &f.half[side]; !x.is(known) && f.mid && len(s.Payload) == 0 && s.Missing == 0 {
		x.next, x.isn, x.bits = seq, seq-1, x.bits|known|soft
	}
	if len(s.Payload) > 0 || s.Missing > 0 {
		t.payload(f, side, seq, s)
	}
	if s.Flags&FIN != 0 && f.list != closed {
		t.fin(f, side, seq+uint32(len(s.Payload)+s.Missing), s)
	}
	t.settle(f)
}

// fast decides whether the fast path may be tried with the next segment.
func (f *flow) fast() {
	f.plain = f.list == busy && f.wait == nil && f.decided && f.half[0].is(known) && f.half[1].is(known)
}

// syn takes a SYN and reports whether the rest of the segment counts.
func (t *Table) syn(f *flow, side int, s *inet.Segment) bool {
	x, y := &f.half[side], &f.half[side^1]
	first := s.Seq + 1
	answer := s.Flags&ACK != 0
	switch {
	case x.is(synSeen) && x.isn == s.Seq, x.is(carried) && x.isn == s.Seq:
		x.bits |= synSeen
		return true
	case answer && y.is(synSeen) && uint32(s.Ack-y.isn-1) > window:
		// An answer to another SYN: of an incarnation whose SYN is missing,
		// or astray.
		if f.list == busy && !plausible(s.Ack, y.next) {
			t.reuse(f, side, s)
		}
		return false
	case x.is(synSeen):
		if !answer {
			t.reuse(f, side, s)
		}
		return false
	case !f.fits(side, first):
		t.reuse(f, side, s)
		return false
	}
	x.isn, x.next = s.Seq, first
	x.bits = x.bits&^soft | synSeen | known
	if !f.decided {
		f.client = uint8(side)
		if answer {
			f.client ^= 1
		}
		f.decided = true
	}
	f.mid = false
	if answer && f.list == fresh {
		t.list(f, quiet)
	}
	return true
}

// fits reports whether a stream that begins at first agrees with what was
// seen of the side.
func (f *flow) fits(side int, first uint32) bool {
	x := &f.half[side]
	if w := f.wait; w != nil && len(w.held[side]) > 0 && w.held[side][0].seq-first > window {
		return false
	}
	return !x.is(known) || x.next == first || x.is(soft) && !x.is(carried) && x.next-first <= window
}

func plausible(a, b uint32) bool { return a-b+window <= 2*window }

// reuse begins a new connection under the key of an old one.
func (t *Table) reuse(f *flow, side int, s *inet.Segment) {
	if f.list != closed {
		t.finish(f, decode.Reset, t.at)
	}
	k, h := f.key, f.hash
	// A RST that was stored before the SYN it answers.
	refused := f.strays && s.Flags&(SYN|ACK) == SYN && int(f.thrower) != side && f.stray == s.Seq+1
	if f.list == closed && f.ref != 0 && f.key == k {
		t.remove(f)
	}
	t.begin(&k, h, side, s)
	if refused {
		if f := t.flows.find(h, &k); f != nil {
			t.finish(f, decode.Refused, t.at)
		}
	}
}

// trailing takes what comes after the end.
func (t *Table) trailing(f *flow, side int, s *inet.Segment) {
	x, y := &f.half[side], &f.half[side^1]
	t.stats.Late++
	switch {
	case s.Flags&RST != 0:
		if s.Flags&ACK != 0 {
			f.strays, f.stray, f.thrower = true, s.Ack, uint8(side)
		}
	case !x.is(known) && !y.is(known): // nothing but a RST was seen before
		t.reuse(f, side, s)
	case s.Flags&SYN != 0:
		again := x.is(known) && x.isn == s.Seq || x.is(synSeen) && s.Flags&ACK != 0 && s.Ack == y.isn+1
		if !again {
			t.reuse(f, side, s)
		}
	case len(s.Payload) > 0 && x.is(known) && !plausible(s.Seq, x.next):
		t.reuse(f, side, s)
	}
}

// acked notes an acknowledgment that one side sent.
func (t *Table) acked(f *flow, side int, ack uint32) {
	x, y := &f.half[side], &f.half[side^1]
	switch {
	case !y.is(known):
		// What came before is not missing: it came before the capture, or
		// is a SYN.
		y.next, y.isn, y.bits = ack, ack-1, y.bits|known|soft
	case y.is(soft) && !y.is(carried) && int32(ack-y.next) < 0 && y.next-ack <= window:
		y.next, y.isn = ack, ack-1
	}
	if int32(ack-y.next) > near {
		t.stats.OutOfWindow++
		return
	}
	if !x.is(hasAck) || int32(ack-x.ack) > 0 {
		x.ack, x.bits = ack, x.bits|hasAck
		if int32(ack-y.next) > 0 {
			t.waiting(f).proof[side^1] = t.at
		}
	}
}

// payload takes the bytes of a segment.
func (t *Table) payload(f *flow, side int, seq uint32, s *inet.Segment) {
	x := &f.half[side]
	p, missing := s.Payload, s.Missing
	if !f.decided || !x.is(known) {
		t.hold(f, side, seq, p, missing, s)
		return
	}
	n := len(p) + missing
	if old := int32(x.next - seq); old > 0 {
		switch {
		case x.is(soft) && !x.is(carried) && n > 1 && old <= window:
			x.next, x.isn = seq, seq-1
		case int(old) >= n: // a repetition, a keep-alive probe
			t.stats.Repeated++
			return
		default:
			seq = x.next
			p, missing = cutFront(p, missing, int(old))
		}
	} else if old < -near {
		t.stats.OutOfWindow++
		return
	}
	ahead := f.wait != nil && len(f.wait.held[side]) > 0 && int32(seq+uint32(len(p)+missing)-f.wait.held[side][0].seq) > 0
	if seq == x.next && !ahead && !x.is(finKnown|ended) && f.heard(side, s.Flags&ACK != 0, s.Ack) {
		t.deliver(f, side, t.at, p, missing)
		return
	}
	t.hold(f, side, seq, p, missing, s)
}

// cutFront drops n bytes, of those seen first.
func cutFront(p []byte, missing, n int) ([]byte, int) {
	if n <= len(p) {
		return p[n:], missing
	}
	return nil, missing - (n - len(p))
}

// heard reports whether everything that an acknowledgment of the side covers
// was delivered.
func (f *flow) heard(side int, has bool, ack uint32) bool {
	y := &f.half[side^1]
	d := int32(ack - y.next)
	return !has || !y.is(known) || y.is(ended) || d <= 0 || d > near
}

// fin takes a FIN.
func (t *Table) fin(f *flow, side int, seq uint32, s *inet.Segment) {
	x := &f.half[side]
	if x.is(finKnown | ended) {
		return
	}
	if x.is(known) && f.decided {
		switch d := int32(seq - x.next); {
		case d == -1 && x.is(lostFin):
		case d < 0, d > near: // from before data that was delivered; garbage
			return
		case d > 0 || f.wait != nil || !f.heard(side, s.Flags&ACK != 0, s.Ack):
			x.fin, x.bits = seq, x.bits|finKnown
			t.waiting(f).fins[side] = held{at: t.at, ack: s.Ack, hasAck: s.Flags&ACK != 0}
			return
		}
		x.fin, x.bits = seq, x.bits|finKnown
		t.shut(f, side, t.at)
		return
	}
	x.fin, x.bits = seq, x.bits|finKnown
	t.waiting(f).fins[side] = held{at: t.at, ack: s.Ack, hasAck: s.Flags&ACK != 0}
}

// rst takes a RST.
func (t *Table) rst(f *flow, side int, s *inet.Segment) {
	x, y := &f.half[side], &f.half[side^1]
	switch {
	case f.list == fresh:
		t.unmade(f, side, s)
		return
	case x.is(known) && !plausible(s.Seq, x.next):
		t.stats.StrayResets++
		t.note(decode.Note{Code: "tcp/stray-reset", At: t.at, Flow: f.first, N: 1, Text: "reset outside the window ignored"})
		return
	}
	if s.Flags&ACK != 0 && int32(s.Ack-y.next) <= window {
		t.acked(f, side, s.Ack)
	}
	// Data that was on its way may be stored behind, so the end is told later.
	if w := t.waiting(f); !w.hasReset {
		w.hasReset, w.resetAt, w.resetter = true, t.at, side
		w.since[side], w.segs[side], w.count[side] = t.now, 0, t.count
	}
	t.settle(f)
}

// unmade takes a RST when there was only a SYN.
func (t *Table) unmade(f *flow, side int, s *inet.Segment) {
	y := &f.half[side^1]
	switch {
	case side == int(f.client):
		t.finish(f, decode.Reset, t.at)
	case s.Flags&ACK == 0 || s.Ack-y.isn-1 <= window:
		t.finish(f, decode.Refused, t.at)
	default:
		t.stats.StrayResets++
		t.note(decode.Note{Code: "tcp/stray-reset", At: t.at, Flow: f.first, N: 1, Text: "reset outside the window ignored"})
	}
}

// printed is how many of the first bytes are part of Flow.Print: fewer than the
// first segment of any request has, as captures of one connection may join
// segments differently.
const printed = 48

// print hashes (FNV-1a) what is the same of a connection wherever it was
// captured: its sequence numbers, which address translation leaves alone, and
// its first bytes.
func (f *flow) print(p []byte) uint64 {
	c, s := f.half[f.client].isn, f.half[f.client^1].isn
	if c == 0 && s == 0 {
		return 0
	}
	h := (14695981039346656037 ^ uint64(c)<<32 ^ uint64(s)) * 1099511628211
	for _, b := range p[:min(len(p), printed)] {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// tell opens a flow. p is its first bytes.
func (t *Table) tell(f *flow, p []byte) {
	if f.opened {
		return
	}
	f.opened = true
	t.stats.Flows++
	if f.mid {
		t.stats.Mid++
	}
	f.conn = t.open(decode.Flow{
		First: f.first, Start: f.start, Mid: f.mid, Print: f.print(p),
		Client: f.key.endpoint(int(f.client)), Server: f.key.endpoint(int(f.client ^ 1)),
	})
	if f.list != busy {
		t.list(f, busy)
	}
	// A FIN that alone did not make it worth telling.
	for side := range f.half {
		if f.half[side].is(ended) && f.conn != nil {
			f.conn.End(f.dir(side), t.at, decode.Fin)
		}
	}
}

// deliver hands on bytes, and the hole behind them that the snap length cut.
func (t *Table) deliver(f *flow, side int, at decode.Mark, p []byte, missing int) {
	t.tell(f, p)
	x := &f.half[side]
	if x.is(lostFin) {
		x.bits &^= lostFin
		t.hole(f, side, at, 1)
	}
	x.next += uint32(len(p) + missing)
	x.bits = x.bits&^soft | carried
	if f.conn != nil && len(p) > 0 {
		f.conn.Data(f.dir(side), at, p)
	}
	if missing > 0 {
		t.hole(f, side, at, missing)
	}
}

// hole tells bytes that were never seen.
func (t *Table) hole(f *flow, side int, at decode.Mark, n int) {
	t.tell(f, nil)
	t.stats.Gaps++
	t.stats.GapBytes += int64(n)
	f.half[side].bits |= carried
	if f.conn != nil {
		f.conn.Gap(f.dir(side), at, n)
	}
}

// shut ends one direction in order.
func (t *Table) shut(f *flow, side int, at decode.Mark) {
	x := &f.half[side]
	if !f.mid {
		t.tell(f, nil)
	}
	x.next, x.bits = x.fin+1, x.bits&^soft|ended
	if f.conn != nil {
		f.conn.End(f.dir(side), at, decode.Fin)
	}
	switch y := &f.half[side^1]; {
	case y.is(ended):
		t.over(f)
	case y.is(lostFin):
		y.fin, y.bits = y.next-1, y.bits|finKnown
		t.shut(f, side^1, at)
	}
}

// finish ends what is left of a connection.
func (t *Table) finish(f *flow, why decode.End, at decode.Mark) {
	if w := f.wait; w != nil && w.hasReset {
		why, at = decode.Reset, w.resetAt
	}
	t.flush(f)
	if f.list == closed { // the last FIN was among what was held
		return
	}
	if !f.mid {
		t.tell(f, nil)
	}
	if !f.opened {
		t.stats.Silent++
	}
	if f.conn != nil {
		for _, d := range [...]decode.Dir{decode.ToServer, decode.ToClient} {
			if side := f.side(d); !f.half[side].is(ended) {
				f.conn.End(d, at, why)
			}
		}
	}
	if why == decode.Reset || why == decode.Refused {
		t.over(f)
		return
	}
	t.remove(f)
}

// over keeps the small part of a flow for a while.
func (t *Table) over(f *flow) {
	t.drop(f)
	f.conn, f.plain = nil, false
	t.linger(f)
}

func (t *Table) linger(f *flow) {
	t.list(f, closed)
	if t.lists[closed].len > t.lim.Lingering {
		t.remove(t.lists[closed].oldest())
	}
}
