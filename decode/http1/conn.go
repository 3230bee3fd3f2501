// Package http1 turns the bytes of one HTTP/1.0 or HTTP/1.1 connection
// (RFC 9112) into httpmsg events and pairs each response with its request.
//
// It reads framing and start lines and leaves fields and content to others:
// no content coding is undone, no cookie or URL understood. Trailer fields are
// read over. HTTP/0.9 and whatever is no HTTP at all end in a
// "http1/not-http" note. What follows a 101 or a 2xx to CONNECT goes to the
// decoder that Conn.Tunnel names.
//
// The one trick: a head that arrives whole is parsed where it lies, a head in
// pieces is kept until it is whole, and content is never looked at, only
// counted, so that a large body costs nothing per byte.
//
// # Holes
//
// A hole within content of known length, within a chunk of known size or in
// content that ends with the connection is a Hole event, and the message goes
// on. Any other hole cuts the message, and the decoder looks for the next start
// line: a request line or status line with a version of HTTP/1 that is followed
// by an empty line or by something like a header field. It may stand anywhere,
// not only at the begin of a segment, so that the same bytes give the same
// events however they are cut.
//
// # Pairing
//
// While both directions are whole the n-th final response answers the n-th
// request, in whatever order the two directions are told; a response that is
// told before its request waits for it. After a hole the marks decide: a
// response that began after one request was captured and before the next one
// belongs to the former, and the requests before that one have lost theirs.
// On a connection where requests were pipelined that cannot be told: then
// responses stay without a request until the client again waits for one before
// it asks.
package http1

import (
	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// A state says what the next byte of a direction is part of.
type state uint8

const (
	prefix    state = iota // perhaps a PROXY protocol header
	start                  // empty lines before a start line
	head                   // a message head that is not whole yet
	length                 // content of known length
	chunkSize              // the digits of a chunk-size line
	chunkExt               // the rest of a chunk-size line
	chunkData              // content within a chunk
	chunkEnd               // the line end after chunk data
	trailer                // trailer fields
	toClose                // content that ends with the connection
	peek                   // content, unless it turns out to be the next head
	lost                   // anything: looking for a start line
	held                   // kept until the other direction says what it is
	tunnel                 // another protocol
	dead                   // not HTTP/1: ignored
)

// A side is one direction of a connection.
type side struct {
	dir   decode.Dir
	state state
	ended bool
	seen  bool // a head was read in this direction

	id     uint32      // the exchange of the message in hand
	active bool        // its Head was told, its Done or Cut was not
	head   decode.Mark // where its head ended
	last   decode.Mark // where the message before it ended
	body   state       // peek: what the content is if it is content
	left   int64       // bytes to come: of content, or of a chunk
	line   int         // bytes of the current chunk-size or trailer line, of all lines within bounds
	empty  bool        // trailer: the current line has no byte but CR
	cr     bool        // trailer, chunkEnd: a CR was just seen

	from decode.Mark // the first byte of the head in hand
	buf  []byte      // head, peek, prefix, lost: bytes kept
	scan int         // bytes of buf that need not be searched again
	sure bool        // head: the start line was found good

	places  []place // lost: where the bytes of buf were captured
	skipped int     // lost: bytes passed over
	junk    bool    // lost: by bad bytes and not by a hole, so that there is a bound

	wants   uint32 // client: the exchange that asked for another protocol, and is not answered
	connect bool   // client: it did so with CONNECT

	kept    []item // held
	size    int    // held: bytes kept, with their overhead
	release bool   // held: go on
	over    bool   // held: its end is among kept, nothing comes after it
	after   state  // held: as what
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

// An Upgrade says what a connection turned into.
type Upgrade struct {
	ID       httpmsg.ID // of the exchange that did it. Later exchanges number on from here
	Protocol string     // lower-case Upgrade token of the response ("h2c", "websocket"); "connect" for a tunnel; empty when a hole hid the response
	Target   string     // the request target, empty when the request was not seen
}

// A Conn decodes one HTTP/1 connection. It implements decode.Conn.
type Conn struct {
	// Tunnel, if set, is called when the connection turns into something else:
	// after a 101, or a 2xx to CONNECT. What follows in both directions goes to
	// the Conn that it returns; with nil it is counted and dropped.
	//
	// A 101 to "h2c" with a non-nil Conn is an interim response: the final one
	// comes from that Conn, on stream 1 (RFC 7540 section 3.2).
	Tunnel func(Upgrade) decode.Conn

	// After is added to the number of each exchange. It keeps the exchanges of a
	// Conn within a tunnel apart from those before it. Set it before the first
	// Data.
	After uint32

	flow   decode.Flow
	scheme string
	most   bounds
	emit   func(*httpmsg.Event)
	note   func(decode.Note)

	sides [2]side
	count uint32 // exchanges so far
	queue queue

	holed     bool   // framing was lost in some direction: marks pair, and nothing waits
	doubt     bool   // responses may have been lost since the queue was last empty
	missed    bool   // requests may have been lost since the last one
	pipelines bool   // the client asks before it is answered
	unsure    bool   // answers to requests given up may still come
	orphan    uint32 // the exchange of interim responses to an unseen request
	overflow  int    // requests beyond Limits.Pipelined whose answer has not come

	inner    decode.Conn
	switched bool  // there is a tunnel
	dropped  int64 // tunnel bytes that nobody wanted

	msg       message
	ev        httpmsg.Event
	target    string // the last one, so that the next equal one costs nothing
	authority string
}

// bounds holds the few of the Limits that matter here: there are many Conns.
type bounds struct{ head, fields, pipelined int }

// New returns a decoder for one connection. Events and notes are given to emit
// and note while Data, Gap and End run; an Event and all that it points to is
// valid until emit returns. scheme is "https" when the bytes came out of TLS,
// else "http".
func New(flow decode.Flow, scheme string, lim decode.Limits, emit func(*httpmsg.Event), note func(decode.Note)) *Conn {
	lim = lim.WithDefaults()
	c := &Conn{note: note, most: bounds{lim.Head, lim.Fields, lim.Pipelined}}
	c.Reset(flow, scheme, emit)
	return c
}

// Reset makes c the decoder of another connection, as New would, with the
// buffers that it has. The one before must be over.
func (c *Conn) Reset(flow decode.Flow, scheme string, emit func(*httpmsg.Event)) {
	*c = Conn{
		flow: flow, scheme: scheme, emit: emit, note: c.note, most: c.most,
		sides:  [2]side{{buf: spare(c.sides[0].buf)}, {buf: spare(c.sides[1].buf)}},
		queue:  queue{all: c.queue.all[:0]},
		msg:    message{fields: c.msg.fields[:0]},
		target: c.target, authority: c.authority,
	}
	c.sides[decode.ToClient].dir = decode.ToClient
	c.sides[decode.ToClient].state = start
	if flow.Mid {
		c.holed, c.missed = true, true
		c.sides[0].state, c.sides[1].state = lost, lost
	}
}

// spare returns a buffer to be used again, unless it is a large one.
func spare(b []byte) []byte {
	if cap(b) > 4096 {
		return nil
	}
	return b[:0]
}

// Data decodes the next bytes of one direction. Nothing of p is kept or
// changed.
func (c *Conn) Data(d decode.Dir, at decode.Mark, p []byte) {
	s := &c.sides[d]
	if s.ended || s.over {
		return
	}
	if rest := c.run(s, at, p); len(rest) > 0 {
		c.keep(s, item{at: at, p: append([]byte(nil), rest...)})
	}
	c.settle()
}

// Gap says that n bytes were never captured; n < 0: nobody knows how many.
func (c *Conn) Gap(d decode.Dir, at decode.Mark, n int) {
	s := &c.sides[d]
	if s.ended || s.over || n == 0 {
		return
	}
	if s.state == held {
		c.keep(s, item{at: at, n: n})
	} else {
		c.gap(s, at, n)
	}
	c.settle()
}

// End says that a direction is over. An end other than Fin is the end of both.
func (c *Conn) End(d decode.Dir, at decode.Mark, why decode.End) {
	if why == decode.Fin {
		s := &c.sides[d]
		if s.ended || s.over {
			return
		}
		if s.state == held {
			s.over = true
			c.keep(s, item{at: at, end: why})
		} else {
			c.end(s, at, why)
		}
		c.settle()
		return
	}
	c.unhold()
	c.settle()
	c.end(&c.sides[decode.ToServer], at, why)
	c.settle()
	c.end(&c.sides[decode.ToClient], at, why)
	c.settle()
}

// run decodes p until it is used up or the rest has to wait, and returns the
// rest. What the other direction waited for it gets at once: at the end of p
// would be another order for every other cut.
func (c *Conn) run(s *side, at decode.Mark, p []byte) []byte {
	o := &c.sides[s.dir.Other()]
	for len(p) > 0 && s.state != held {
		p = c.step(s, at, p)
		if o.release && o.state == held && s.state != held {
			c.replay(o)
		}
	}
	return p
}

// feed decodes bytes that were kept.
func (c *Conn) feed(s *side, at decode.Mark, p []byte) {
	if rest := c.run(s, at, p); len(rest) > 0 {
		c.keep(s, item{at: at, p: rest})
	}
}

// step decodes some bytes of p and returns the others.
func (c *Conn) step(s *side, at decode.Mark, p []byte) []byte {
	switch s.state {
	case length, chunkData, toClose:
		return c.content(s, at, p)
	case start:
		return c.begin(s, at, p)
	case head:
		return c.more(s, at, p)
	case chunkSize:
		return c.chunkSize(s, at, p)
	case chunkExt:
		return c.chunkExt(s, at, p)
	case chunkEnd:
		return c.chunkEnd(s, at, p)
	case trailer:
		return c.trailer(s, at, p)
	case peek:
		return c.peek(s, at, p)
	case prefix:
		return c.prefix(s, at, p)
	case lost:
		return c.hunt(s, at, p)
	case tunnel:
		c.through(s, at, p)
	}
	return nil
}

// gap is Gap for a direction that does not wait.
func (c *Conn) gap(s *side, at decode.Mark, n int) {
	switch s.state {
	case dead:
	case tunnel:
		if c.inner != nil {
			c.inner.Gap(s.dir, at, n)
		}
	case peek:
		c.skipPeek(s, at)
		c.gap(s, at, n)
	case toClose:
		c.hole(s, at, n)
	case length, chunkData:
		c.gapWithin(s, at, n)
	default:
		c.lose(s, at)
	}
}

// gapWithin bridges a hole in content whose length is known.
func (c *Conn) gapWithin(s *side, at decode.Mark, n int) {
	if n < 0 || int64(n) > s.left && s.state == chunkData {
		c.lose(s, at)
		return
	}
	m := int(min(int64(n), s.left))
	c.hole(s, at, m)
	c.take(s, at, int64(m))
	if n > m {
		c.lose(s, at)
	}
}

// end is End for a direction that does not wait.
func (c *Conn) end(s *side, at decode.Mark, why decode.End) {
	if s.ended {
		return
	}
	if s.state == peek && s.body == toClose {
		c.unpeek(s, at)
	}
	s.ended = true
	switch {
	case s.state == tunnel:
		if c.inner != nil {
			c.inner.End(s.dir, at, why)
		} else if s.dir == decode.ToClient && c.dropped > 0 {
			c.warn("http1/tunnel", at, int(c.dropped), "bytes of another protocol were passed over")
		}
	case s.active && s.state == toClose && s.dir == decode.ToClient && why == decode.Fin:
		// RFC 9112 section 6.3, case 8: the close is the end of the content.
		c.done(s, at)
	case s.active:
		c.cut(s, at, why)
	case s.state == head:
		c.warn("http1/cut-head", at, len(s.buf), "the connection ended within a message head")
	}
	if s.dir == decode.ToClient {
		if s.state == lost {
			why = 0
		}
		c.giveUp(at, why)
		return
	}
	c.sides[decode.ToClient].release = true
}

// lose is for a hole across framing: the message in hand is cut and the
// decoder looks for the next start line.
func (c *Conn) lose(s *side, at decode.Mark) {
	if s.active {
		c.cut(s, at, 0)
	}
	c.holed = true
	c.sides[decode.ToClient].release = true
	if s.dir == decode.ToClient {
		c.doubt = true
		c.queue.hide()
	} else {
		c.missed = true
	}
	s.state, s.junk = lost, false
	s.buf, s.places, s.scan, s.skipped = s.buf[:0], s.places[:0], 0, 0
}

// derail is for bytes that are not HTTP where a message should be.
func (c *Conn) derail(s *side, at decode.Mark) {
	first := !s.seen
	c.lose(s, at)
	s.junk = true
	if first && s.dir == decode.ToClient {
		c.kill(s, at)
	}
}

// kill gives a direction up for good.
func (c *Conn) kill(s *side, at decode.Mark) {
	c.warn("http1/not-http", at, 0, "the bytes "+s.dir.String()+" are not HTTP/1")
	s.state, s.buf, s.places = dead, nil, nil
	if s.dir == decode.ToClient {
		c.giveUp(at, 0)
	}
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
	if s.size > c.most.head {
		c.warn("limit/head", it.at, 0, "bytes waited too long for the other direction")
		c.unhold()
	}
}

// unhold lets both directions go on without what they waited for.
func (c *Conn) unhold() {
	c.holed = true
	for i := range c.sides {
		s := &c.sides[i]
		if s.state == held && s.dir == decode.ToServer {
			c.resolved(s.wants, unknown)
		}
		s.release = true
	}
}

// settle replays what waited and may go on now. Replaying in one direction can
// free the other, so it goes round until nothing moves.
func (c *Conn) settle() {
	if c.doubt {
		c.guess()
	}
	for {
		switch {
		case c.sides[0].state == held && c.sides[0].release:
			c.replay(&c.sides[0])
		case c.sides[1].state == held && c.sides[1].release:
			c.replay(&c.sides[1])
		default:
			return
		}
	}
}

func (c *Conn) replay(s *side) {
	kept := s.kept
	s.kept, s.size, s.release, s.state = nil, 0, false, s.after
	for i := range kept {
		it := &kept[i]
		if s.state != held {
			switch {
			case it.p != nil:
				it.p = c.run(s, it.at, it.p)
			case it.n != 0:
				c.gap(s, it.at, it.n)
			case it.end != 0:
				c.end(s, it.at, it.end)
			}
			if s.state != held || len(it.p) == 0 {
				continue
			}
		}
		for _, it := range kept[i:] {
			s.size += len(it.p) + itemCost
		}
		s.kept = append(s.kept, kept[i:]...)
		return
	}
}

// event returns the cleared event that all emits share.
func (c *Conn) event(k httpmsg.Kind, d decode.Dir, id uint32, at decode.Mark) *httpmsg.Event {
	c.ev = httpmsg.Event{Kind: k, ID: httpmsg.ID{Flow: c.flow.First, Stream: id}, Dir: d, At: at}
	return &c.ev
}

func (c *Conn) done(s *side, at decode.Mark) {
	s.active, s.state, s.last = false, start, at
	if c.switched {
		s.state = tunnel
	}
	c.emit(c.event(httpmsg.Done, s.dir, s.id, at))
}

func (c *Conn) cut(s *side, at decode.Mark, why decode.End) {
	s.active = false
	c.cutExchange(s.dir, s.id, at, why)
}

func (c *Conn) cutExchange(d decode.Dir, id uint32, at decode.Mark, why decode.End) {
	e := c.event(httpmsg.Cut, d, id, at)
	e.Why = why
	c.emit(e)
}

func (c *Conn) hole(s *side, at decode.Mark, n int) {
	e := c.event(httpmsg.Hole, s.dir, s.id, at)
	e.N = n
	c.emit(e)
}

func (c *Conn) warn(code string, at decode.Mark, n int, text string) {
	c.note(decode.Note{Code: code, At: at, Flow: c.flow.First, N: n, Text: text})
}
