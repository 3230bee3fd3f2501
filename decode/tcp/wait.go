package tcp

import (
	"bytes"
	"slices"

	"mcp401/decode"
	"mcp401/decode/inet"
)

// An item is a piece of a stream that could not be delivered when it came.
type item struct {
	held
	seq  uint32
	n    uint32 // bytes, of which data is the beginning; the rest was cut off by the snap length
	data []byte
}

func (i *item) end() uint32 { return i.seq + i.n }

type held struct {
	at     decode.Mark
	ack    uint32
	hasAck bool
}

// waiting is what a flow keeps while something is missing. The pieces of a
// side are in order and apart.
type waiting struct {
	held       [2][]*item
	cost       [2]int
	fins       [2]held        // of halves whose FIN is known
	proof      [2]decode.Mark // the frame that acknowledged most of a side
	since      [2]int64       // when a side began to miss something, or went on last
	segs       [2]int         // segments of the flow since then
	count      [2]int         // Table.count then
	at         [2]uint32      // next of the side then
	hasReset   bool           // a RST came, perhaps too early
	resetAt    decode.Mark
	resetter   int
	filed      int64
	prev, next *flow
}

// waitList holds the flows that wait, the one looked at longest ago first.
type waitList struct{ ring flow }

func (l *waitList) init() {
	l.ring.wait = &waiting{prev: &l.ring, next: &l.ring}
}

func (l *waitList) oldest() *flow {
	if f := l.ring.wait.next; f != &l.ring {
		return f
	}
	return nil
}

// file puts a flow at the back.
func (l *waitList) file(f *flow, now int64) {
	w := f.wait
	if w.prev != nil {
		l.unfile(f)
	}
	w.filed = now
	w.prev, w.next = l.ring.wait.prev, &l.ring
	w.prev.wait.next, w.next.wait.prev = f, f
}

func (l *waitList) unfile(f *flow) {
	w := f.wait
	w.prev.wait.next, w.next.wait.prev = w.next, w.prev
}

// waiting returns what a flow keeps, and begins it.
func (t *Table) waiting(f *flow) *waiting {
	if f.wait == nil {
		f.wait = &waiting{since: [2]int64{t.now, t.now}, count: [2]int{t.count, t.count}, at: [2]uint32{f.half[0].next, f.half[1].next}}
		f.plain = false
		t.waits.file(f, t.now)
	}
	return f.wait
}

// drop forgets what a flow keeps.
func (t *Table) drop(f *flow) {
	w := f.wait
	if w == nil {
		return
	}
	for side := range w.held {
		for _, it := range w.held[side] {
			t.spare(it)
		}
		t.buffered -= w.cost[side]
	}
	t.waits.unfile(f)
	f.wait = nil
}

func (t *Table) spare(it *item) {
	if len(t.items) < spareMax && cap(it.data) <= spareSize {
		*it = item{data: it.data[:0]}
		t.items = append(t.items, it)
	}
}

func (t *Table) item(data []byte) *item {
	it := &item{}
	if n := len(t.items); n > 0 && len(data) <= spareSize {
		it, t.items = t.items[n-1], t.items[:n-1]
	}
	it.data = append(it.data[:0], data...)
	return it
}

// hold keeps what is new of a segment. Of bytes that come twice the first copy
// stays.
func (t *Table) hold(f *flow, side int, seq uint32, p []byte, missing int, s *inet.Segment) {
	t.stats.Held++
	w := t.waiting(f)
	q := w.held[side]
	end := seq + uint32(len(p)+missing)
	if len(q) > 0 && seq-q[0].seq+near > 2*near {
		t.stats.OutOfWindow++
		return
	}
	// The pieces from i on end behind seq; most segments go to the back.
	i := len(q)
	for i > 0 && int32(q[i-1].end()-seq) > 0 {
		i--
	}
	put := func(upto uint32) {
		if int32(upto-seq) <= 0 {
			return
		}
		n := upto - seq
		it := t.item(p[:min(len(p), int(n))])
		it.held = held{at: t.at, ack: s.Ack, hasAck: s.Flags&ACK != 0}
		it.seq, it.n = seq, n
		cost := cap(it.data) + itemCost
		w.cost[side] += cost
		t.buffered += cost
		w.held[side] = slices.Insert(w.held[side], i, it)
		i++
		p, _ = cutFront(p, missing, min(len(p), int(n)))
		seq = upto
	}
	conflict := false
	for ; i < len(w.held[side]) && int32(w.held[side][i].seq-end) < 0; i++ {
		it := w.held[side][i]
		if int32(it.seq-seq) > 0 {
			put(it.seq)
		}
		have := it.data[min(len(it.data), int(seq-it.seq)):]
		k := min(len(have), len(p))
		if !bytes.Equal(have[:k], p[:k]) {
			conflict = true
		}
		if int32(end-it.end()) <= 0 {
			seq = end
			break
		}
		p = p[min(len(p), int(it.end()-seq)):]
		seq = it.end()
	}
	put(end)
	if conflict {
		t.stats.Conflicts++
		t.note(decode.Note{Code: "tcp/overlap-conflict", At: t.at, Flow: f.first, N: 1, Text: "segment differs from an earlier copy, which is taken"})
	}
}

// take removes the first piece of a side.
func (t *Table) take(w *waiting, side int) *item {
	it := w.held[side][0]
	w.held[side][0] = nil
	w.held[side] = w.held[side][1:]
	cost := cap(it.data) + itemCost
	w.cost[side] -= cost
	t.buffered -= cost
	return it
}

// settle goes on as far as it can with what a flow waits for, and gives up
// what has been missing for too long.
func (t *Table) settle(f *flow) {
	for f.wait != nil {
		if f.decided {
			t.drain(f)
		}
		w := f.wait
		if w == nil {
			break
		}
		if !f.pending() {
			t.drop(f)
			break
		}
		t.measure(f)
		if !t.overdue(f) {
			break
		}
	}
	if f.list != closed {
		f.fast()
	}
	t.fit()
}

// pending reports whether there is anything to wait for.
func (f *flow) pending() bool {
	return f.misses(0) || f.misses(1) || f.wait.hasReset
}

// misses reports whether a side has something that is held or known to be
// missing.
func (f *flow) misses(side int) bool {
	return len(f.wait.held[side]) > 0 || f.half[side].bits&(finKnown|ended) == finKnown || f.proven(side)
}

// proven reports whether the other side acknowledged more than was delivered.
func (f *flow) proven(side int) bool {
	x, y := &f.half[side], &f.half[side^1]
	return x.is(known) && !x.is(ended) && y.is(hasAck) && int32(y.ack-x.next) > 0 && int32(y.ack-x.next) <= near
}

// measure restarts the patience with a side that went on.
func (t *Table) measure(f *flow) {
	w := f.wait
	for side := range f.half {
		if x := &f.half[side]; w.at[side] != x.next || !f.misses(side) && !(w.hasReset && w.resetter == side) {
			w.at[side], w.since[side], w.segs[side], w.count[side] = x.next, t.now, 0, t.count
		}
	}
}

// overdue gives up one thing that has been waited for long enough, and
// reports whether it did.
func (t *Table) overdue(f *flow) bool {
	w := f.wait
	for side := range f.half {
		if w.cost[side] > t.lim.OutOfOrder {
			t.note(decode.Note{Code: "limit/out-of-order", At: t.at, Flow: f.first, N: 1, Text: "hole given up: too much is held behind it"})
			t.giveUp(f, t.culprit(f, side))
			return true
		}
	}
	for side := range f.half {
		switch {
		case !t.late(w, side) || !f.misses(side):
		case !f.decided, !f.half[side].is(known):
			t.decide(f)
			return true
		case f.proven(side) || t.now-w.since[side] >= int64(t.lim.Hole):
			t.giveUp(f, t.culprit(f, side))
			return true
		}
	}
	if w.hasReset && t.late(w, w.resetter) {
		t.finish(f, decode.Reset, w.resetAt)
		return true
	}
	return false
}

// late reports whether what a side lacks can no longer be expected. Some
// frames must have come as well as time have passed, because one frame that
// stands too early may make the clock jump.
func (t *Table) late(w *waiting, side int) bool {
	return t.now-w.since[side] >= int64(t.lim.Disorder) && t.count-w.count[side] >= crowd || w.segs[side] >= patience
}

// culprit returns the side whose hole a side waits for: its own, or the other
// one's when it only acknowledges too much.
func (t *Table) culprit(f *flow, side int) int {
	if f.ripe(side) && f.misses(side^1) && !f.ripe(side^1) {
		return side ^ 1
	}
	return side
}

// ripe reports whether what a side waits with is in order, so that only what
// it acknowledges keeps it.
func (f *flow) ripe(side int) bool {
	x, q := &f.half[side], f.wait.held[side]
	switch {
	case !x.is(known):
		return false
	case len(q) > 0:
		return int32(q[0].seq-x.next) <= 0
	}
	return x.bits&(finKnown|ended) == finKnown && int32(x.fin-x.next) <= 0
}

// needs returns what the next piece of a side acknowledges, if it is ripe.
func (f *flow) needs(side int) (ack uint32, at decode.Mark) {
	w := f.wait
	h := w.fins[side]
	if q := w.held[side]; len(q) > 0 {
		h = q[0].held
	}
	if !f.ripe(side) || !h.hasAck {
		return f.half[side^1].next, decode.Mark{}
	}
	return h.ack, h.at
}

// drain delivers what is in order, and no answer before what it acknowledges.
func (t *Table) drain(f *flow) {
	for moved := true; moved && f.wait != nil; {
		moved = false
		for side := range f.half {
			if f.wait != nil && t.drainSide(f, side) {
				moved = true
			}
		}
	}
}

func (t *Table) drainSide(f *flow, side int) (moved bool) {
	x, w := &f.half[side], f.wait
	if !x.is(known) {
		return false
	}
	for len(w.held[side]) > 0 {
		it := w.held[side][0]
		if x.is(finKnown) && int32(it.seq-x.fin) >= 0 || int32(it.end()-x.next) <= 0 {
			t.spare(t.take(w, side))
			continue
		}
		if int32(it.seq-x.next) > 0 || !f.heard(side, it.hasAck, it.ack) {
			break
		}
		t.next(f, side)
		moved = true
	}
	if fin := &w.fins[side]; x.bits&(finKnown|ended) == finKnown && int32(x.fin-x.next) <= 0 && f.heard(side, fin.hasAck, fin.ack) {
		t.shut(f, side, fin.at)
		moved = true
	}
	return moved
}

// next delivers the first piece of a side, which is in order.
func (t *Table) next(f *flow, side int) {
	x := &f.half[side]
	it := t.take(f.wait, side)
	p, missing := it.data, int(it.n)-len(it.data)
	if old := x.next - it.seq; old > 0 {
		p, missing = cutFront(p, missing, int(old))
	}
	if x.is(finKnown) {
		if over := int32(it.end() - x.fin); over > 0 { // bytes behind the FIN never count
			k := min(int(over), missing)
			missing -= k
			p = p[:len(p)-(int(over)-k)]
		}
	}
	t.deliver(f, side, it.at, p, missing)
	t.spare(it)
}

// giveUp goes over the first hole of a side, or no longer minds what its next
// piece acknowledges.
func (t *Table) giveUp(f *flow, side int) {
	x, w := &f.half[side], f.wait
	if !f.decided || !x.is(known) {
		t.decide(f)
		return
	}
	q, isFin := w.held[side], x.bits&(finKnown|ended) == finKnown
	var to uint32
	var at decode.Mark
	switch {
	case len(q) > 0 && int32(q[0].seq-x.next) <= 0:
		t.next(f, side)
		return
	case len(q) > 0:
		to, at = q[0].seq, q[0].at
	case isFin && int32(x.fin-x.next) <= 0:
		t.shut(f, side, w.fins[side].at)
		return
	case isFin:
		to, at = x.fin, w.fins[side].at
	}
	acked := f.half[side^1].ack
	only := len(q) == 0 && !isFin
	switch {
	case only && !f.proven(side):
		panic("internal error: tcp: nothing to give up")
	case only, f.proven(side) && int32(acked-to) < 0:
		to, at = acked, w.proof[side]
	}
	// No further than the other side's next piece knew, so that what is lost
	// stands in its place among the answers.
	if knew, mark := f.needs(side ^ 1); int32(knew-x.next) > 0 && int32(knew-to) < 0 {
		to, at = knew, mark
	}
	if only && to == acked && to-x.next == 1 && !x.is(lostFin) {
		// A FIN takes a number as well and leaves nothing behind it.
		x.next, x.bits = to, x.bits|lostFin
		return
	}
	n := to - x.next
	if x.is(lostFin) {
		n++
	}
	x.next, x.bits = to, x.bits&^(soft|lostFin)
	t.hole(f, side, at, int(n))
}

// decide fixes where the sides of a flow begin, and which is the client.
func (t *Table) decide(f *flow) {
	for side := range f.half {
		x, q := &f.half[side], f.wait.held[side]
		if len(q) > 0 && (!x.is(known) || x.is(soft) && !x.is(carried) && int32(q[0].seq-x.next) < 0) {
			x.next, x.bits = q[0].seq, x.bits|known
			if f.mid && q[0].n == 1 && len(q[0].data) == 1 && q[0].data[0] == 0 {
				x.next++ // a keep-alive probe is the first that was seen
			}
		}
		if x.is(finKnown) && !x.is(known) {
			x.next, x.bits = x.fin, x.bits|known
		}
		if !x.is(synSeen) {
			x.isn = x.next - 1
		}
		x.bits &^= soft
	}
	if !f.decided {
		f.client = uint8(guess(f))
		f.decided = true
	}
}

// flush tells all that is held of a flow, and all holes.
func (t *Table) flush(f *flow) {
	w := f.wait
	if w == nil {
		return
	}
	w.hasReset = false
	for f.wait != nil {
		if !f.decided {
			t.decide(f)
		}
		t.drain(f)
		if f.wait == nil {
			return
		}
		side, frame := -1, 0
		for s := range f.half {
			if n := f.foremost(s); f.misses(s) && (side < 0 || n < frame) {
				side, frame = s, n
			}
		}
		if side < 0 {
			t.drop(f)
			return
		}
		t.giveUp(f, t.culprit(f, side))
	}
}

// foremost returns the frame of what a side waits with.
func (f *flow) foremost(side int) int {
	w := f.wait
	switch {
	case len(w.held[side]) > 0:
		return w.held[side][0].at.Frame
	case f.half[side].bits&(finKnown|ended) == finKnown:
		return w.fins[side].at.Frame
	}
	return w.proof[side].Frame
}

// fit keeps within the bound on all that is held.
func (t *Table) fit() {
	for t.buffered > t.lim.Buffered {
		f := t.waits.oldest()
		t.note(decode.Note{Code: "limit/buffered", At: t.at, Flow: f.first, N: 1, Text: "holes given up: too much is held over all connections"})
		if f.wait.hasReset {
			t.finish(f, decode.Reset, f.wait.resetAt)
			continue
		}
		t.flush(f)
		if f.list != closed {
			f.fast()
		}
	}
}
