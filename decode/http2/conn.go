// Package http2 turns the bytes of one HTTP/2 connection (RFC 9113) into
// httpmsg events: each stream is an exchange.
//
// It reads frames and header blocks (RFC 7541) and leaves fields and content to
// others. Trailer fields, settings, priorities and flow control are read over,
// and so are frames of unknown types; a content-length means nothing here. The
// request that a PUSH_PROMISE brings is told as an exchange of its own, towards
// the server although the server sent it.
//
// The one trick: a frame that arrives whole is read where it lies, and content
// is never kept, so that a frame of any size passes through piece by piece,
// each with its own mark.
//
// # What is not known
//
// A capture that begins in mid-connection, and any hole across a header block,
// leaves parts of a dynamic table unseen. Indexes count from the newest entry,
// so that whatever was inserted since is known again. A field that is not known
// is left out, a status that is not known is 0, and "http2/unknown-index" says
// so once per connection.
//
// # Holes
//
// A hole of known size within one frame leaves the frames in step: in DATA it is
// a Hole event, in a header block it hides the fields, elsewhere it means
// nothing. After any other hole each message under way gets a Hole of unknown
// size, and the decoder looks for the next frame header: nine bytes that are
// those of a frame which could come here, on a stream that is open or could be.
// DATA is believed only where a packet or record begins.
//
// # Order
//
// A response that is told before its request waits for it while the client's
// side is whole. A RST_STREAM ends both messages of its stream when it is told.
package http2

import (
	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// preface is what a client sends first (RFC 9113 section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Sniff says whether p, the first bytes of one direction, is the begin of
// HTTP/2 with prior knowledge. Only the client's side shows it for sure.
func Sniff(d decode.Dir, p []byte) decode.Verdict {
	n := min(len(p), len(preface))
	switch {
	case d == decode.ToClient || string(p[:n]) != preface[:n]:
		return decode.No
	case n < len(preface):
		return decode.More
	}
	return decode.Yes
}

// SniffMid says whether p, the first bytes of one direction that were captured
// of a connection which began before, is the begin of an HTTP/2 frame. Yes is a
// good guess and no more: ask what else it may be first.
func SniffMid(d decode.Dir, p []byte) decode.Verdict {
	c := Conn{nowait: true}
	s := side{dir: d}
	n := copy(s.hdr[:], p)
	switch {
	case n > 0 && p[0] != 0 || n > 1 && p[1] > usualFrame>>8:
		return decode.No
	case n < len(s.hdr):
		return decode.More
	}
	s.readHeader()
	if s.hdr[5]&0x80 != 0 || !s.believable() || !c.expected(&s, true) {
		return decode.No
	}
	return decode.Yes
}

// A state says what the next byte of a direction is part of.
type state uint8

const (
	header state = iota // a frame header
	start               // the client's preface
	prefix              // what stands before the payload proper: pad length, priority, numbers
	payload
	padding
	lost // anything: looking for a frame header
	dead // not HTTP/2: ignored
)

// A side is one direction of a connection.
type side struct {
	dir   decode.Dir
	state state
	ended bool
	seen  bool // a frame header was read
	holed bool // frames of this direction were lost

	hdr   [9]byte
	n     int         // bytes of hdr, of pre, or of the preface that are here
	begin decode.Mark // of the first byte of hdr
	typ   byte
	flags byte
	id    uint32 // stream
	left  int    // bytes of the frame behind those that are here
	pre   [10]byte
	need  int // bytes of pre that this frame has
	pad   int // bytes of padding

	table table
	block heading

	tail  [8]spot // lost: the last bytes
	tails int
	last  decode.Mark // lost: of the byte before
	edge  bool        // lost: the next byte begins a packet or record
	skip  int         // lost: bytes passed over
	lost  uint64      // the clock when frames were last lost

	held bool // the frame in hdr waits for the request of its stream
	kept []item
	size int // bytes kept, with their overhead
}

// A heading is the header block in hand.
type heading struct {
	open   bool // HEADERS or PUSH_PROMISE came, END_HEADERS did not
	broken bool // a hole is in it
	long   bool // it is beyond the bound
	from   decode.Mark
	id     uint32 // of the stream that it is about
	on     uint32 // of the stream that it came on
	push   bool
	end    bool // END_STREAM
	buf    []byte
}

// A spot is a byte and where it was captured.
type spot struct {
	b    byte
	edge bool // a packet or record begins here
	at   decode.Mark
}

// An item is one call of Data, Gap or End that waits.
type item struct {
	at  decode.Mark
	p   []byte     // Data
	n   int        // Gap
	end decode.End // End
}

// itemCost stands for the memory that an item takes beside its bytes.
const itemCost = 96

// A Conn decodes one HTTP/2 connection. It implements decode.Conn.
type Conn struct {
	// After is added to the number of each stream. It keeps the exchanges of a
	// Conn within a tunnel apart from those before it. Set it before the first
	// Data.
	After uint32

	// Upgraded says that the connection comes out of an upgrade to h2c (RFC 7540
	// section 3.2): the request of stream 1 was told elsewhere, as exchange
	// After+1, and its response comes here. Set it before the first Data.
	Upgraded bool

	flow   decode.Flow
	scheme string
	lim    decode.Limits
	emit   func(*httpmsg.Event)
	note   func(decode.Note)

	sides  [2]side
	begun  bool
	nowait bool // no response waits for its request
	told   bool // "http2/unknown-index" was said

	streams     map[uint32]*stream
	first, last *stream // by use, the one not used for longest first
	spare       []*stream
	clock       uint64
	highest     uint32     // of the streams that the client opened
	promised    uint32     // the highest of the streams that the server opened
	refused     uint32     // streams above it will not be answered (GOAWAY)
	closed      [64]uint32 // the streams that were closed last
	closes      int

	head   head
	ev     httpmsg.Event
	names  words
	cookie []byte
	text   []byte
}

// New returns a decoder for one connection. Events and notes are given to emit
// and note while Data, Gap and End run; an Event and all that it points to is
// valid until emit returns. scheme is what a request has whose :scheme is not
// known: "https" when the bytes came out of TLS, else "http". Where the begin of
// the connection is not among the bytes, set flow.Mid.
func New(flow decode.Flow, scheme string, lim decode.Limits, emit func(*httpmsg.Event), note func(decode.Note)) *Conn {
	c := &Conn{flow: flow, scheme: scheme, lim: lim.WithDefaults(), emit: emit, note: note, streams: map[uint32]*stream{}, refused: ^uint32(0)}
	c.sides[decode.ToServer].state = start
	c.sides[decode.ToClient].dir = decode.ToClient
	for i := range c.sides {
		t := &c.sides[i].table
		t.keep = c.lim.HeaderTable
		t.most = min(usual, t.keep)
		if flow.Mid {
			t.forget()
		}
	}
	if flow.Mid {
		c.nowait = true
		c.sides[decode.ToServer].holed, c.sides[decode.ToClient].holed = true, true
		c.sides[decode.ToClient].state, c.sides[decode.ToClient].edge = lost, true
	}
	return c
}

// upgrade opens stream 1, once.
func (c *Conn) upgrade(at decode.Mark) {
	if c.begun {
		return
	}
	c.begun = true
	if c.Upgraded {
		c.highest = 1
		c.open(1, at).half[decode.ToServer] = whole
	}
}

// Data decodes the next bytes of one direction. Nothing of p is kept or
// changed.
func (c *Conn) Data(d decode.Dir, at decode.Mark, p []byte) {
	c.upgrade(at)
	s := &c.sides[d]
	if s.ended {
		return
	}
	if rest := c.run(s, at, p); len(rest) > 0 {
		c.keep(s, item{at: at, p: append([]byte(nil), rest...)})
	}
	c.settle()
}

// Gap says that n bytes were never captured; n < 0: nobody knows how many.
func (c *Conn) Gap(d decode.Dir, at decode.Mark, n int) {
	c.upgrade(at)
	s := &c.sides[d]
	if s.ended || n == 0 {
		return
	}
	if s.held {
		c.keep(s, item{at: at, n: n})
	} else {
		c.gap(s, at, n)
	}
	c.settle()
}

// End says that a direction is over. An end other than Fin is the end of both.
func (c *Conn) End(d decode.Dir, at decode.Mark, why decode.End) {
	c.upgrade(at)
	s := &c.sides[d]
	switch {
	case s.ended:
		return
	case why == decode.Fin && s.held:
		c.keep(s, item{at: at, end: why})
	case why == decode.Fin:
		c.end(s, at, why)
	default:
		c.nowait = true
		c.settle()
		c.end(&c.sides[decode.ToServer], at, why)
		c.end(&c.sides[decode.ToClient], at, why)
	}
	c.settle()
}

// run decodes p until it is used up or the rest has to wait, and returns the
// rest. What the other direction waited for it gets at once: at the end of p
// would be another order for every other cut.
func (c *Conn) run(s *side, at decode.Mark, p []byte) []byte {
	for len(p) > 0 && !s.held {
		p = c.step(s, at, p)
		if s.dir == decode.ToServer && c.sides[decode.ToClient].held {
			c.settle()
		}
	}
	return p
}

// step decodes some bytes of p and returns the others.
func (c *Conn) step(s *side, at decode.Mark, p []byte) []byte {
	switch s.state {
	case header:
		return c.header(s, at, p)
	case prefix:
		return c.prefix(s, at, p)
	case payload:
		return c.payload(s, at, p)
	case padding:
		n := min(len(p), s.pad)
		s.pad -= n
		c.proceed(s, at)
		return p[n:]
	case start:
		return c.preface(s, at, p)
	case lost:
		return c.hunt(s, at, p)
	}
	return nil
}

// preface reads over the client's preface.
func (c *Conn) preface(s *side, at decode.Mark, p []byte) []byte {
	n := 0
	for n < len(p) && s.n < len(preface) && p[n] == preface[s.n] {
		n, s.n = n+1, s.n+1
	}
	switch {
	case s.n == len(preface):
		s.n, s.state = 0, header
		s.holed, s.table.part, s.table.most = false, false, min(usual, s.table.keep)
	case n < len(p):
		skipped := s.n
		if !c.flow.Mid {
			c.warn("http2/no-preface", at, 0, "the client does not begin as HTTP/2 does")
		}
		s.n = 0
		c.lose(s, at, skipped == 0)
		s.skip = skipped
	}
	return p[n:]
}

// end is End for a direction that does not wait.
func (c *Conn) end(s *side, at decode.Mark, why decode.End) {
	if s.ended {
		return
	}
	s.ended = true
	if s.block.open || s.state != header && s.state != lost && (s.typ == frameHeaders || s.typ == framePush) && s.seen && s.state != dead {
		c.warn("http2/cut-head", at, 0, "the connection ended within a header block")
	}
	s.block = heading{}
	for x := c.first; x != nil; {
		next := x.next
		if h := x.half[s.dir]; h == begun || s.dir == decode.ToClient && h == none {
			c.cut(x, s.dir, at, why)
		}
		x = next
	}
}

// lose is for a hole across frames. edge says that what comes next begins a
// packet or record.
func (c *Conn) lose(s *side, at decode.Mark, edge bool) {
	if s.state != lost {
		s.skip = 0
	}
	s.holed, s.edge = true, edge
	s.state, s.n, s.tails, s.last = lost, 0, 0, at
	s.block = heading{buf: s.block.buf[:0]}
	s.table.forget()
	// Streams that were not used since the last hole know already.
	for x := c.last; x != nil && x.used > s.lost; x = x.prev {
		if x.half[s.dir] == begun && !x.hidden[s.dir] {
			c.hole(x, s.dir, at, -1)
		}
		x.hidden[s.dir] = true
	}
	s.lost = c.clock
}

// kill gives a direction up for good.
func (c *Conn) kill(s *side, at decode.Mark) {
	c.warn("http2/not-http2", at, 0, "the bytes "+s.dir.String()+" are not HTTP/2")
	s.state = dead
	for x := c.first; x != nil; {
		next := x.next
		if x.half[s.dir] != whole {
			c.cut(x, s.dir, at, 0)
		}
		x = next
	}
}

// waits reports whether a frame to the client on that stream has to wait for
// the request, which exists but was not told yet.
func (c *Conn) waits(id uint32) bool {
	s := &c.sides[decode.ToServer]
	return !c.nowait && id&1 == 1 && id > c.highest && !s.ended && !s.holed && s.state != lost && s.state != dead
}

// keep makes a direction's input wait, within bounds.
func (c *Conn) keep(s *side, it item) {
	if n := len(s.kept); n > 0 && it.p != nil && s.kept[n-1].p != nil && s.kept[n-1].at == it.at {
		s.kept[n-1].p = append(s.kept[n-1].p, it.p...)
		s.size -= itemCost
	} else {
		s.kept = append(s.kept, it)
	}
	s.size += len(it.p) + itemCost
	if s.size > c.lim.Head {
		c.warn("limit/head", it.at, 0, "bytes waited too long for the other direction")
		c.nowait = true
	}
}

// settle replays what waited and may go on now.
func (c *Conn) settle() {
	s := &c.sides[decode.ToClient]
	for s.held && !c.waits(s.id) {
		kept := s.kept
		s.kept, s.size, s.held = nil, 0, false
		c.enter(s, s.begin)
		for i, it := range kept {
			if s.held {
				for _, it := range kept[i:] {
					c.keep(s, it)
				}
				break
			}
			switch {
			case it.p != nil:
				if rest := c.run(s, it.at, it.p); len(rest) > 0 {
					c.keep(s, item{at: it.at, p: rest})
				}
			case it.n != 0:
				c.gap(s, it.at, it.n)
			case it.end != 0:
				c.end(s, it.at, it.end)
			}
		}
	}
}

// event returns the cleared event that all emits share.
func (c *Conn) event(k httpmsg.Kind, d decode.Dir, id uint32, at decode.Mark) *httpmsg.Event {
	c.ev = httpmsg.Event{Kind: k, ID: httpmsg.ID{Flow: c.flow.First, Stream: id + c.After}, Dir: d, At: at}
	return &c.ev
}

func (c *Conn) warn(code string, at decode.Mark, n int, text string) {
	c.note(decode.Note{Code: code, At: at, Flow: c.flow.First, N: n, Text: text})
}
