package redact

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"mcp401/decode"
	"mcp401/decode/http1"
	"mcp401/decode/http2"
	"mcp401/decode/httpmsg"
	"mcp401/decode/tls"
)

// A conn is one connection whose streams are masked, or what a connection that
// is made anew carries in TLS or in a tunnel. HTTP/1 is decoded by its decoder,
// which is given one line at a time, each with a number in place of a frame: so
// its events tell which bytes of the stream they are made of.
type conn struct {
	p     *packets
	flow  decode.Flow
	made  *remake // nil: it is masked where it stands
	sides [2]side
	http  *http1.Conn
	inner decode.Conn // made anew: what is neither HTTP/1 nor unknown
	depth int         // of layers within layers
	known bool
	tls   bool
	holed bool
	early []early
	size  int
	ended [2]bool
}

// An early is what came before it was known what is spoken.
type early struct {
	dir decode.Dir
	at  decode.Mark
	p   []byte
	n   int // a gap
}

// A side is one direction. Positions count the bytes of its stream.
type side struct {
	pos    int64
	base   uint32 // sequence number of position 0
	based  bool
	raw    []byte  // bytes that are not claimed yet
	rawAt  int64   // position of raw[0]
	places []place // where the bytes from the first open one on stand
	lines  []line  // what was given to the decoder, from the first open one on
	done   int64   // everything before is claimed
	first  []byte

	msg     *message
	chunked bool

	record record // TLS, where host names are hidden
}

// A record is where in a TLS record a stream is.
type record struct {
	next int64 // position of the first byte not seen
	head int   // bytes of the header that were seen
	kind byte
	left int // bytes of its content to come
	lost bool
}

// records blanks the handshakes in a stream of TLS records: their clear part
// names the host, and before TLS 1.3 holds certificates. Behind a hole nothing
// stays.
func (s *side) records(pos int64, b []byte) {
	r := &s.record
	r.lost = r.lost || pos != r.next
	r.next = pos + int64(len(b))
	if r.lost {
		clear(b)
		return
	}
	for len(b) > 0 {
		if r.head == 5 {
			n := min(r.left, len(b))
			if r.kind == 22 {
				clear(b[:n])
			}
			b, r.left = b[n:], r.left-n
			if r.left == 0 {
				r.head = 0
			}
			continue
		}
		switch r.head {
		case 0:
			r.kind = b[0]
		case 3:
			r.left = int(b[0]) << 8
		case 4:
			r.left |= int(b[0])
		}
		b = b[1:]
		if r.head++; r.head == 5 && r.left == 0 {
			r.head = 0
		}
	}
}

// A place says where bytes of a stream were captured.
type place struct {
	pos  int64
	n    int
	f    *frame
	from int
}

// A line is one call of the decoder.
type line struct {
	num   int
	pos   int64
	n     int
	frame int // that brought it
}

// A message is the content in hand.
type message struct {
	media  string
	status int
	drop   bool // it cannot be masked, or is too long
	buf    []byte
	parts  []part

	// Made anew: a content coding is undone.
	coder *httpmsg.Content
	coded bool
	chunk bool // what it gives is sent in chunks
}

// A part is a range of a stream.
type part struct {
	pos int64
	n   int
}

// The bounds of what is held, those of the decoders that read it next.
var (
	limits   = decode.Limits{}.WithDefaults()
	mostRaw  = 4 * limits.Head
	mostHeld = limits.Bodies
)

const sniffBytes = 4096

func (p *packets) open(f decode.Flow) decode.Conn {
	if r := p.remakes[f.First]; r != nil {
		r.flow = f
		return r
	}
	return &conn{p: p, flow: f}
}

func (c *conn) Data(d decode.Dir, at decode.Mark, b []byte) {
	if c.made != nil {
		c.made.at = at.Frame
		c.sides[d].pos += int64(len(b))
	} else {
		c.locate(d, at, b)
	}
	if c.known {
		c.give(d, at, b)
		return
	}
	s := &c.sides[d]
	c.early = append(c.early, early{dir: d, at: at, p: bytes.Clone(b)})
	c.size += len(b) + 64
	s.first = append(s.first, b[:min(len(b), max(0, sniffBytes-len(s.first)))]...)
	c.sniff(d)
}

// locate notes where the next bytes of a stream were captured.
func (c *conn) locate(d decode.Dir, at decode.Mark, b []byte) {
	s := &c.sides[d]
	f := c.p.frame(at.Frame)
	if f != nil {
		if !s.based {
			// The first bytes of a stream may be the end of a segment, of which
			// a probe was cut off, but not its middle.
			s.based, s.base = true, f.seq+uint32(f.n-len(b))-uint32(s.pos)
		}
		from := int(int32(s.base + uint32(s.pos) - f.seq))
		if from < 0 || from+len(b) > f.n {
			f = nil
		} else {
			s.places = append(s.places, place{s.pos, len(b), f, from})
		}
	}
	s.pos += int64(len(b))
}

func (c *conn) Gap(d decode.Dir, at decode.Mark, n int) {
	s := &c.sides[d]
	if c.made != nil {
		c.made.at = at.Frame
	}
	if n < 0 {
		s.based = false
		s.pos++
	} else {
		s.pos += int64(n)
	}
	if !c.known {
		c.holed = true
		c.early = append(c.early, early{dir: d, at: at, n: n})
		c.size += 64
		return
	}
	c.gap(d, at, n)
}

func (c *conn) gap(d decode.Dir, at decode.Mark, n int) {
	if c.inner != nil {
		c.inner.Gap(d, at, n)
		return
	}
	c.giveUp(d)
	if c.made != nil {
		c.made.skip(d, n)
	}
	if c.http == nil {
		return
	}
	c.p.pieces++
	c.http.Gap(d, decode.Mark{Frame: c.p.pieces, Time: at.Time}, n)
}

func (c *conn) End(d decode.Dir, at decode.Mark, why decode.End) {
	if c.ended[d] {
		return
	}
	c.ended[d] = true
	if c.made != nil {
		c.made.at = at.Frame
	}
	if !c.known && c.ended[d.Other()] {
		c.speak("")
	}
	if c.http != nil {
		c.p.pieces++
		c.http.End(d, decode.Mark{Frame: c.p.pieces, Time: at.Time}, why)
	}
	if c.inner != nil {
		c.inner.End(d, at, why)
	}
	c.giveUp(d)
	if c.made != nil && c.known && c.inner == nil && why == decode.Fin {
		c.made.fin(d)
	}
	if c.ended[d.Other()] {
		for i := range c.sides {
			c.finish(decode.Dir(i))
			c.sides[i] = side{}
		}
	}
}

// giveUp settles what nobody claimed: line ends stay, all else is blanked.
func (c *conn) giveUp(d decode.Dir) {
	s := &c.sides[d]
	b := s.raw
	if len(b) == 0 {
		return
	}
	for i, v := range b {
		if v != '\r' && v != '\n' {
			b[i] = 0
		}
	}
	c.put(d, s.rawAt, b)
	s.claim(s.rawAt + int64(len(b)))
}

// sniff finds out what is spoken, as the analysis does.
func (c *conn) sniff(d decode.Dir) {
	s := &c.sides[d]
	h2, h1, tls := http2.Sniff(d, s.first), http1.Sniff(d, s.first), records(s.first)
	more := h2 == decode.More || h1 == decode.More || tls == decode.More
	switch {
	case h2 == decode.Yes:
		c.speak("http2")
	case h1 == decode.Yes:
		c.speak("http1")
	case tls == decode.Yes:
		c.speak("tls")
	case more && c.size <= sniffBytes:
	case c.made != nil && (c.flow.Mid || c.holed) && http2.SniffMid(d, s.first) == decode.Yes:
		c.speak("http2")
	case (c.flow.Mid || c.holed) && len(s.first) > 8:
		c.speak("http1")
	case len(c.sides[decode.ToServer].first) > 0, c.size > sniffBytes:
		c.speak("")
	}
}

// records knows the header of a TLS record (RFC 9846 section 5.1).
func records(b []byte) decode.Verdict {
	switch {
	case b[0] < 20 || b[0] > 23 || len(b) > 1 && b[1] != 3 || len(b) > 2 && b[2] > 4:
		return decode.No
	case len(b) < 3:
		return decode.More
	}
	return decode.Yes
}

// speak settles what is spoken; "" is nothing that can be masked.
func (c *conn) speak(protocol string) {
	c.known = true
	early := c.early
	c.early = nil
	for i := range c.sides {
		c.sides[i].first = nil
	}
	switch {
	case protocol == "http1":
		c.http = http1.New(c.flow, "http", decode.Limits{}, c.event, func(decode.Note) {})
		if c.made != nil {
			c.http.Tunnel = c.tunnel
		}
	case protocol == "http2" && c.made != nil:
		c.inner = newHTTP2(c, false)
	case protocol == "tls" && c.made != nil && c.p.keys != nil && c.depth < tunnels:
		c.inner = tls.New(tls.Config{Flow: c.flow, Keys: c.p.keys, Inner: func(i *tls.Info) decode.Conn {
			c.p.opened++
			in := c.below()
			if i.ALPN == "h2" {
				in.speak("http2")
			}
			return in
		}})
	case protocol == "tls":
		c.tls = true
		c.p.encrypted++
	default:
		if c.sides[0].pos+c.sides[1].pos > 0 {
			c.p.blanked++
		}
	}
	var at [2]int64
	for _, e := range early {
		s := &c.sides[e.dir]
		end := s.pos
		if e.p == nil {
			s.pos = at[e.dir] + int64(max(e.n, 1))
			c.gap(e.dir, e.at, e.n)
		} else {
			s.pos = at[e.dir] + int64(len(e.p))
			c.give(e.dir, e.at, e.p)
		}
		at[e.dir], s.pos = s.pos, end
	}
}

// tunnels bounds how often a connection may turn into another.
const tunnels = 4

// below is a layer for what this one carries.
func (c *conn) below() *conn {
	return &conn{p: c.p, flow: c.flow, made: c.made, depth: c.depth + 1}
}

// tunnel is what a connection that is made anew turned into.
func (c *conn) tunnel(u http1.Upgrade) decode.Conn {
	in := c.below()
	switch {
	case in.depth > tunnels:
		return nil
	case u.Protocol == "h2c":
		in.known, in.inner = true, newHTTP2(in, true)
	case u.Protocol != "connect" && !strings.HasPrefix(u.Protocol, "tls/"):
		in.speak("")
		c.p.blanked++
	}
	return in
}

// give hands on bytes that end at the position of their side.
func (c *conn) give(d decode.Dir, at decode.Mark, b []byte) {
	s := &c.sides[d]
	pos := s.pos - int64(len(b))
	switch {
	case c.inner != nil:
		c.inner.Data(d, at, b)
		return
	case c.tls:
		if c.p.m.cfg.Hosts {
			b = bytes.Clone(b)
			s.records(pos, b)
		}
		if c.made != nil {
			c.made.append(d, b)
			return
		}
		c.write(s, pos, b)
		s.release(s.pos)
		return
	case c.http == nil:
		if c.made != nil {
			c.made.blank(d, len(b))
		}
		s.release(s.pos)
		return
	}
	if len(s.raw) == 0 || s.rawAt+int64(len(s.raw)) != pos {
		// A hole: what stands before it and is not claimed is lost.
		s.raw, s.rawAt = s.raw[:0], pos
	}
	s.raw = append(s.raw, b...)
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 {
			n = len(b)
		}
		c.p.pieces++
		s.lines = append(s.lines, line{c.p.pieces, pos, n, at.Frame})
		c.http.Data(d, decode.Mark{Frame: c.p.pieces, Time: at.Time}, b[:n])
		pos += int64(n)
		b = b[n:]
	}
	if extra := len(s.raw) - mostRaw; extra > mostRaw {
		if c.made != nil {
			c.made.blank(d, extra)
		}
		s.claim(s.rawAt + int64(extra)) // nobody knows what this is
	}
	s.tidy()
}

// write fills in the bytes at a position.
func (c *conn) write(s *side, pos int64, b []byte) { c.p.fillIn(s.places, pos, b) }

// fillIn fills in the bytes at a position of a stream.
func (p *packets) fillIn(places []place, pos int64, b []byte) {
	i, _ := slices.BinarySearchFunc(places, pos, func(p place, pos int64) int {
		if p.pos+int64(p.n) <= pos {
			return -1
		}
		return 1
	})
	for ; i < len(places) && len(b) > 0; i++ {
		k := &places[i]
		if k.pos > pos {
			skip := min(k.pos-pos, int64(len(b)))
			pos, b = pos+skip, b[skip:]
		}
		off := int(pos - k.pos)
		n := min(k.n-off, len(b))
		if n > 0 {
			p.fill(k.f, k.from+off, b[:n])
			pos, b = pos+int64(n), b[n:]
		}
	}
}

// claim says that everything before a position is settled.
func (s *side) claim(to int64) {
	if to <= s.done {
		return
	}
	s.done = to
	if n := min(to-s.rawAt, int64(len(s.raw))); n > 0 {
		s.raw, s.rawAt = s.raw[n:], s.rawAt+n
	}
}

// tidy forgets what is settled.
func (s *side) tidy() {
	open := s.done
	if s.msg != nil && len(s.msg.parts) > 0 {
		open = s.msg.parts[0].pos
	}
	if len(s.raw) == 0 {
		s.lines = s.lines[:0]
	} else {
		k := 0
		for k < len(s.lines) && s.lines[k].pos+int64(s.lines[k].n) <= s.done {
			k++
		}
		s.lines = s.lines[:copy(s.lines, s.lines[k:])]
	}
	s.release(open)
}

func (s *side) release(to int64) {
	k := 0
	for k < len(s.places) && s.places[k].pos+int64(s.places[k].n) <= to {
		k++
	}
	if k > 0 {
		s.places = s.places[:copy(s.places, s.places[k:])]
	}
}

// line finds what was given to the decoder under a number.
func (s *side) line(num int) (line, bool) {
	i, ok := slices.BinarySearchFunc(s.lines, num, func(l line, num int) int { return l.num - num })
	if !ok {
		return line{}, false
	}
	return s.lines[i], true
}

// bytes returns the bytes of a range that are not claimed, nil where they are
// not all there.
func (s *side) bytes(from, to int64) []byte {
	if from < s.rawAt || to > s.rawAt+int64(len(s.raw)) || from > to {
		return nil
	}
	return s.raw[from-s.rawAt : to-s.rawAt]
}

// put writes masked bytes that stood at a position and are whole.
func (c *conn) put(d decode.Dir, pos int64, b []byte) {
	if c.made != nil {
		c.made.append(d, b)
		return
	}
	c.write(&c.sides[d], pos, b)
}

// event takes an event of the HTTP decoder.
func (c *conn) event(e *httpmsg.Event) {
	s := &c.sides[e.Dir]
	switch e.Kind {
	case httpmsg.Head:
		c.head(s, e)
	case httpmsg.Body:
		c.body(s, e)
	case httpmsg.Hole:
		if s.msg != nil && s.msg.media == "text/event-stream" {
			c.flush(e.Dir, s.msg, len(s.msg.buf))
		}
	case httpmsg.Done, httpmsg.Cut:
		if l, ok := s.line(e.At.Frame); ok && s.chunked && e.Kind == httpmsg.Done {
			c.framing(e.Dir, l.pos+int64(l.n))
		}
		if m := s.msg; m != nil && m.coded {
			m.coder.End(func(b []byte) { c.piece(e.Dir, m, b) })
			if m.chunk && e.Kind == httpmsg.Done {
				c.made.append(e.Dir, []byte("0\r\n\r\n"))
			}
		}
		c.finish(e.Dir)
	}
}

func (c *conn) head(s *side, e *httpmsg.Event) {
	c.finish(e.Dir)
	from, ok := s.line(e.From.Frame)
	to, ok2 := s.line(e.At.Frame)
	if !ok || !ok2 {
		return
	}
	begin, end := max(from.pos, s.done), to.pos+int64(to.n)
	c.framing(e.Dir, begin)
	b := s.bytes(begin, end)
	if b == nil {
		return
	}
	media, _ := e.Header.Get("content-type")
	encoding, _ := e.Header.Get("transfer-encoding")
	length, sized := e.Header.Get("content-length")
	m := &message{media: httpmsg.MediaType(media), status: e.Status}
	if coding := codings(e.Header); coding != "" && !bodiless(e) {
		m.drop = true
		if c.made != nil && (encoding == "" || strings.EqualFold(encoding, "chunked")) && length != "0" {
			m.coder, m.coded = httpmsg.NewContent(coding, decode.Limits{})
			m.drop, m.chunk = !m.coded, encoding != "" || sized
		}
	}
	c.p.m.head(b, e.Dir == decode.ToServer)
	s.claim(end)
	if m.coded {
		b = recoded(b, m.chunk && encoding == "")
	}
	if c.made != nil {
		c.made.begins(e.Dir, from.frame)
	}
	c.put(e.Dir, begin, b)
	if e.Interim {
		return
	}
	s.chunked, s.msg = encoding != "", m
}

// codings returns the content codings of a message, "" where there is none.
func codings(h httpmsg.Header) string {
	all := ""
	for _, f := range h {
		if v := strings.TrimSpace(string(f.Value)); f.Is("content-encoding") && v != "" && !strings.EqualFold(v, "identity") {
			all += "," + v
		}
	}
	return strings.TrimPrefix(all, ",")
}

// bodiless reports whether a head is that of a response without content,
// whatever its fields say (RFC 9112 section 6.3).
func bodiless(e *httpmsg.Event) bool {
	return e.Dir == decode.ToClient && (e.Method == "HEAD" || e.Status < 200 || e.Status == 204 || e.Status == 304)
}

// recoded returns a head without the fields that are not true anymore when a
// content coding is undone, and with chunks in place of a length.
func recoded(head []byte, chunk bool) []byte {
	var out []byte
	gone := false
	for len(head) > 0 {
		n := bytes.IndexByte(head, '\n') + 1
		if n == 0 {
			n = len(head)
		}
		line := head[:n]
		head = head[n:]
		if line[0] != ' ' && line[0] != '\t' {
			name, _, _ := bytes.Cut(line, []byte(":"))
			gone = bytes.EqualFold(name, []byte("content-encoding")) || chunk && bytes.EqualFold(name, []byte("content-length"))
		}
		if len(bytes.TrimRight(line, "\r\n")) == 0 && chunk && len(out) > 0 {
			out = append(out, "Transfer-Encoding: chunked\r\n"...)
			chunk = false
		}
		if !gone {
			out = append(out, line...)
		}
	}
	return out
}

// framing settles the bytes before a position that are no content: sizes of
// chunks, trailer fields, empty lines. What is none of them stays blank.
func (c *conn) framing(d decode.Dir, to int64) {
	s := &c.sides[d]
	if s.msg != nil && s.msg.coded {
		s.claim(to) // its chunks are others
		return
	}
	if b := s.bytes(s.done, to); len(b) > 0 {
		n := 0
		if s.done == 0 && c.p.m.addr == nil {
			n, _ = http1.ProxyHeader(b)
		}
		c.p.m.framing(b[n:])
		c.put(d, s.done, b)
	}
	s.claim(to)
}

// framing masks what stands between the pieces of content.
func (m *Masker) framing(b []byte) {
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 {
			n = len(b)
		}
		line := bytes.TrimRight(b[:n], "\r\n")
		b = b[n:]
		i := 0
		for i < len(line) && unhex(line[i]) >= 0 {
			i++
		}
		switch {
		case i == len(line) && i <= 13:
		case i > 0 && i <= 13 && (line[i] == ';' || line[i] == ' '):
			m.blank(line[i:]) // a chunk extension
		case bytes.IndexByte(line, ':') > 0:
			m.fieldLine(line)
		default:
			clear(line)
		}
	}
}

// body takes a piece of content.
func (c *conn) body(s *side, e *httpmsg.Event) {
	at := s.done
	if l, ok := s.line(e.At.Frame); ok {
		at = max(at, l.pos)
	}
	if b := s.bytes(at, at+int64(len(e.Data))); !bytes.Equal(b, e.Data) {
		at = s.done // it waited for the decoder to make up its mind
		if b = s.bytes(at, at+int64(len(e.Data))); !bytes.Equal(b, e.Data) {
			return
		}
	}
	c.framing(e.Dir, at)
	s.claim(at + int64(len(e.Data)))
	switch m := s.msg; {
	case c.made == nil:
		if m != nil && !m.drop {
			c.hold(e.Dir, m, e.Data, at)
		}
	case m == nil:
		c.made.blank(e.Dir, len(e.Data))
	case m.coded:
		m.coder.Write(e.Data, func(b []byte) { c.piece(e.Dir, m, b) })
	default:
		c.hold(e.Dir, m, e.Data, c.made.blank(e.Dir, len(e.Data)))
	}
}

// piece takes what a content coding gave.
func (c *conn) piece(d decode.Dir, m *message, b []byte) {
	if m.chunk {
		c.made.append(d, fmt.Appendf(nil, "%x\r\n", len(b)))
	}
	c.hold(d, m, b, c.made.blank(d, len(b)))
	if m.chunk {
		c.made.append(d, []byte("\r\n"))
	}
}

// hold keeps content, which belongs to a position, until it can be masked.
func (c *conn) hold(d decode.Dir, m *message, b []byte, at int64) {
	if m.drop {
		return
	}
	m.buf = append(m.buf, b...)
	if k := len(m.parts); k > 0 && m.parts[k-1].pos+int64(m.parts[k-1].n) == at {
		m.parts[k-1].n += len(b)
	} else {
		m.parts = append(m.parts, part{at, len(b)})
	}
	c.p.held += len(b)
	if c.made != nil {
		c.made.open(d, m)
	}
	if m.media == "text/event-stream" {
		c.events(d, m, len(m.buf)-len(b))
	}
	if len(m.buf) > limits.Body || c.p.held > mostHeld {
		c.drop(m)
	}
}

// drop gives a content up: it stays blank.
func (c *conn) drop(m *message) {
	c.p.held -= len(m.buf)
	m.drop, m.buf, m.parts = true, nil, nil
}

// events masks the events of a stream that are whole: up to the last empty
// line. What stands before old was searched before.
func (c *conn) events(d decode.Dir, m *message, old int) {
	b := m.buf
	end := 0
	for i := len(b) - 1; i >= max(old, 1); i-- {
		if c := b[i]; c == '\n' && (b[i-1] == '\n' || i > 1 && b[i-1] == '\r' && b[i-2] == '\n') || c == '\r' && b[i-1] == '\r' {
			end = i + 1
			break
		}
	}
	c.flush(d, m, end)
}

// flush masks the first n bytes of a content.
func (c *conn) flush(d decode.Dir, m *message, n int) {
	if n == 0 {
		return
	}
	b := m.buf[:n]
	c.p.m.body(m.media, m.status, b)
	c.p.held -= n
	left := n
	for left > 0 {
		p := &m.parts[0]
		k := min(p.n, left)
		if c.made != nil {
			c.made.write(d, p.pos, b[n-left:n-left+k])
		} else {
			c.write(&c.sides[d], p.pos, b[n-left:n-left+k])
		}
		p.pos, p.n, left = p.pos+int64(k), p.n-k, left-k
		if p.n == 0 {
			m.parts = m.parts[1:]
		}
	}
	m.buf = m.buf[:copy(m.buf, m.buf[n:])]
}

// finish ends a content.
func (c *conn) finish(d decode.Dir) {
	s := &c.sides[d]
	c.end(d, s.msg)
	s.msg, s.chunked = nil, false
}

func (c *conn) end(d decode.Dir, m *message) {
	if m == nil {
		return
	}
	if m.drop {
		c.p.blanked++
	} else {
		c.flush(d, m, len(m.buf))
	}
	m.coder.Close()
	if c.made != nil {
		delete(c.made.sides[d].open, m)
	}
}
