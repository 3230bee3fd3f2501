// Package tcp turns segments into the byte streams of connections: every byte
// in order, once, with the mark of the frame that brought it, and holes told
// as holes.
//
// It is a passive observer and so differs from a TCP in what it must bear:
// frames that the capture lost, doubled, cut or stored in the wrong order,
// connections whose beginning or whose other direction was never captured.
// It keeps no copy of bytes that were delivered, so a later copy that differs
// is not noticed; a conflict with bytes that are still held is. It does not
// follow ICMP, window sizes or checksums.
//
// The one trick: the other side's acknowledgments are used as evidence. An
// ACK beyond the bytes seen proves that they were sent and received, hence
// lost by the capture and not by the network; a segment that acknowledges
// bytes not yet delivered was stored too early and is held until they are. A
// proof may itself be stored too early, so it counts only when the bytes have
// not come after Limits.Disorder on the capture's clock (and 16 segments of
// any kind), or after 32 more segments of the connection. A RST waits as long,
// for data that it overtook. What is in order costs one hash and no copy.
package tcp

import (
	"time"

	"mcp401/decode"
	"mcp401/decode/inet"
)

const (
	patience  = 32      // segments of the same connection that a frame may be behind its place
	crowd     = 16      // segments of any connection that it may be, however the clock jumps
	window    = 1 << 20 // sequence distance at which a segment still belongs to a connection
	near      = 1 << 30 // sequence distance beyond which a number is taken for garbage
	refresh   = int64(time.Second)
	granule   = int64(10 * time.Millisecond) // of looking at the clock
	itemCost  = 128                          // bytes that holding a segment takes beside its payload
	spareSize = 4096                         // payload buffers of held segments up to this size are used again
	spareMax  = 256
)

// Stats counts what a Table has seen.
type Stats struct {
	Flows           int   // connections told to open
	Mid             int   // of them: begun before the capture
	Gaps            int   // holes told
	GapBytes        int64 // their sizes
	Repeated        int   // segments that brought nothing new
	Held            int   // segments that waited for others
	Conflicts       int   // segments whose bytes differed from bytes held
	OutOfWindow     int   // segments with impossible sequence numbers, ignored
	StrayResets     int   // RSTs outside the window, ignored
	Late            int   // segments of connections that were over
	Evicted         int   // connections given up for Limits.Flows
	HalfOpenDropped int   // connections without data given up for Limits.HalfOpen
	Silent          int   // of unknown beginning and without a byte of data: not told to open
}

// A Table follows all connections of a capture. It is for one goroutine.
type Table struct {
	lim  decode.Limits
	open func(decode.Flow) decode.Conn
	note func(decode.Note)

	at    decode.Mark // of the segment in hand
	last  int         // first frame of the connection that it belongs to
	now   int64       // the capture's clock in ns: the latest time seen
	check int64       // nothing expires before
	count int         // segments so far; a tick counts as a crowd

	flows    index
	lists    [lists]list
	waits    waitList
	buffered int // bytes held out of order, with their cost
	items    []*item
	stats    Stats
}

// NewTable returns an empty table. It calls open when a connection carries its
// first byte or hole, or when one that carried nothing ends; open may return
// nil for one of no interest. A connection of which only bare acknowledgments
// and the like were seen, and not its beginning, is never told. note may be
// nil.
func NewTable(lim decode.Limits, open func(decode.Flow) decode.Conn, note func(decode.Note)) *Table {
	if note == nil {
		note = func(decode.Note) {}
	}
	t := &Table{lim: lim.WithDefaults(), open: open, note: note}
	t.flows.init()
	for i := range t.lists {
		t.lists[i].init()
	}
	t.waits.init()
	return t
}

// Stats returns the counters so far.
func (t *Table) Stats() Stats { return t.stats }

// Open returns how many connections are followed.
func (t *Table) Open() int { return t.flows.used }

// Last returns the first frame of the connection that the last segment given
// to Segment belongs to, also where it is over; 0: to none.
func (t *Table) Last() int { return t.last }

// Segment takes the next segment of the capture. Nothing of s is kept. What a
// Conn is told has the mark of the frame that brought it, which is earlier than
// at when it had to wait.
func (t *Table) Segment(at decode.Mark, s *inet.Segment) {
	t.at = at
	t.count++
	t.clock(at.Time)
	var k key
	side := k.set(s)
	h := t.flows.hash(&k)
	f := t.flows.find(h, &k)
	if f == nil {
		t.begin(&k, h, side, s)
		return
	}
	t.last = f.first
	if t.now-f.listed > refresh || f.list == fresh {
		t.list(f, f.list)
	}
	// In order, acknowledging nothing unseen, no flags: nearly all segments.
	if x, y := &f.half[side], &f.half[side^1]; f.plain && s.Flags&(ACK|SYN|FIN|RST) == ACK && int32(s.Ack-y.next) <= 0 && s.Missing == 0 {
		if len(s.Payload) == 0 {
			return
		}
		if s.Seq == x.next && x.bits&(ended|lostFin|finKnown) == 0 {
			x.next += uint32(len(s.Payload))
			x.bits |= carried
			if f.conn != nil {
				f.conn.Data(f.dir(side), at, s.Payload)
			}
			return
		}
	}
	t.slow(f, side, s)
}

// Pass says that a packet was captured which is none of this table's: it moves
// the clock and counts as a segment does, so that tables which share a capture
// give up waiting at the same places as one table would.
func (t *Table) Pass(now time.Time) {
	t.count++
	t.at.Time = now
	t.clock(now)
}

// Tick moves the capture's clock. It says as well that no frame from before
// now is still to come, Limits.Disorder apart.
func (t *Table) Tick(now time.Time) {
	t.at.Time = now
	t.count += crowd
	t.clock(now)
}

func (t *Table) clock(now time.Time) {
	if n := now.UnixNano(); n > t.now {
		t.now = n
	}
	if t.now >= t.check {
		t.expire()
		t.check = t.now + granule
	}
}

// expire ends what is over by the clock. All lists are in the order of time,
// so that this looks at nothing that stays, holes apart.
func (t *Table) expire() {
	for f := t.waits.oldest(); f != nil && t.now-f.wait.filed >= int64(t.lim.Disorder); f = t.waits.oldest() {
		t.waits.file(f, t.now)
		t.settle(f)
	}
	for f := t.lists[fresh].oldest(); f != nil && t.now-f.listed >= int64(t.lim.Connect); f = t.lists[fresh].oldest() {
		t.finish(f, decode.Unanswered, t.at)
	}
	for _, kind := range [...]kind{quiet, busy} {
		for f := t.lists[kind].oldest(); f != nil && t.now-f.listed >= int64(t.lim.Idle)+refresh; f = t.lists[kind].oldest() {
			t.finish(f, decode.Timeout, t.at)
		}
	}
	for f := t.lists[closed].oldest(); f != nil && t.now-f.listed >= int64(t.lim.Linger); f = t.lists[closed].oldest() {
		t.remove(f)
	}
}

// Close ends all connections, in the order in which they began.
func (t *Table) Close(at decode.Mark) {
	t.at = at
	t.clock(at.Time)
	for _, f := range t.flows.byFirst() {
		if f.prev != nil && f.list != closed { // without a list: removed meanwhile
			t.finish(f, decode.Cut, at)
		}
	}
	for f := t.lists[closed].oldest(); f != nil; f = t.lists[closed].oldest() {
		t.remove(f)
	}
}
