package redact

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/inet"
)

// A remake is a connection whose packets are made anew, because what it carries
// cannot be masked at its length: TLS that becomes clear text, HTTP/2, content
// codings.
//
// Each frame stays in its place with its time, its flags and its TCP options,
// and carries what its bytes brought to light: nothing, where a record is not
// whole yet, and the whole record where it is. So a message begins in the frame
// in which it was known before. What is more than fits, or is known when its
// frame was written already, gets a frame of its own behind the last one.
// Sequence and acknowledgment numbers are counted anew, holes stay holes.
type remake struct {
	p     *packets
	flow  decode.Flow
	sides [2]stream
	path  uint64
	top   *conn
	at    int  // number of the frame of what is told
	dirty bool // something is due that no frame waits for
	over  bool
}

// A stream is one direction of a remake. Positions count its new bytes, holes
// among them.
type stream struct {
	src, dst netip.AddrPort
	link     []byte // link header, as of the frame in hand
	kind     capture.LinkType
	iface    int
	window   uint16

	based bool
	next  uint32 // of the capture: the sequence number of the next byte to be told
	base  uint32 // sequence number of position 0
	pos   int64  // of the next new byte
	sent  int64  // up to where frames were written
	holed bool   // nothing came since the last hole of unknown size

	pieces []*piece          // what is in no frame yet, in order
	loose  []*piece          // of them: those that no frame waits for
	places []place           // where what may still be written stands
	full   int               // so many of them are worth a look
	open   map[*message]bool // contents that are held
	acks   []ack
	acked  int64 // position up to which the other side acknowledged
	heads  []begun
	ended  bool  // a FIN is due,
	end    *slot // in this frame; nil: in one of its own
	closed bool  // and was sent
}

// A piece is new bytes in a row, which go into one frame.
type piece struct {
	pos  int64
	b    []byte
	in   *slot // nil: one of its own
	gone bool
}

// An ack says up to where a stream is acknowledged by what acknowledges the
// captured one up to in.
type ack struct {
	in  uint32
	pos int64
}

// A begun is where the head of a request stands, and the frame in which it
// began before.
type begun struct {
	pos   int64
	frame int
}

const (
	mostPayload = 32 << 10 // of a new frame: the length of an IP packet has 16 bits
	mostAcks    = 1 << 12  // acknowledgments that are awaited; older ones are taken for given
	wideHole    = 1 << 19  // what a hole of unknown size becomes: more than what is left of any message, less than TCP takes for garbage
)

// newRemake begins a connection, told as the analysis did.
func newRemake(p *packets, f decode.Flow) *remake {
	r := &remake{p: p, flow: f}
	r.sides[decode.ToServer].src, r.sides[decode.ToServer].dst = f.Client, f.Server
	r.sides[decode.ToClient].src, r.sides[decode.ToClient].dst = f.Server, f.Client
	return r
}

// dir is the direction of a segment of the connection.
func (r *remake) dir(s *inet.Segment) decode.Dir {
	if s.Src == r.flow.Client {
		return decode.ToServer
	}
	return decode.ToClient
}

// Data, Gap and End make it a decode.Conn. It counts what of the captured
// streams was told, for acknowledgments.
func (r *remake) Data(d decode.Dir, at decode.Mark, b []byte) {
	r.layer().Data(d, at, b)
	s := &r.sides[d]
	if k := r.p.slot(at.Frame); k != nil && k.r == r && k.d == d {
		r.told(d, k.end-s.next)
	} else {
		r.told(d, uint32(len(b)))
	}
}

func (r *remake) Gap(d decode.Dir, at decode.Mark, n int) {
	r.layer().Gap(d, at, n)
	r.told(d, uint32(max(n, 0)))
}

func (r *remake) End(d decode.Dir, at decode.Mark, why decode.End) {
	r.layer().End(d, at, why)
	r.at = at.Frame
	if why == decode.Fin {
		r.fin(d)
	}
	if r.top.ended[0] && r.top.ended[1] {
		r.p.retire(r)
	}
}

// layer is what the connection carries. It is made late: only now it is known
// whether its begin was captured.
func (r *remake) layer() *conn {
	if r.top == nil {
		r.top = &conn{p: r.p, flow: r.flow, made: r}
	}
	return r.top
}

// told notes that n more bytes of a captured stream were told.
func (r *remake) told(d decode.Dir, n uint32) {
	s := &r.sides[d]
	s.next += n
	if len(s.acks) >= mostAcks {
		s.acked = s.acks[len(s.acks)/2].pos
		s.acks = s.acks[:copy(s.acks, s.acks[len(s.acks)/2:])]
	}
	s.acks = append(s.acks, ack{s.next, s.pos})
}

// soil notes that something is due that no frame waits for.
func (r *remake) soil() {
	if !r.dirty {
		r.dirty = true
		r.p.dirty = append(r.p.dirty, r)
	}
}

// slot is the frame that waits for what is told, nil if there is none.
func (r *remake) slot(d decode.Dir) *slot {
	if k := r.p.slot(r.at); k != nil && k.r == r && k.d == d {
		return k
	}
	return nil
}

// append puts masked bytes behind a stream and returns their position.
func (r *remake) append(d decode.Dir, b []byte) int64 {
	s := &r.sides[d]
	at := s.pos
	if len(b) == 0 || s.ended {
		return at
	}
	s.holed = false
	s.pos += int64(len(b))
	in := r.slot(d)
	if k := len(s.pieces) - 1; k >= 0 && s.pieces[k].in == in && s.pieces[k].pos+int64(len(s.pieces[k].b)) == at && len(s.pieces[k].b)+len(b) <= mostPayload {
		s.pieces[k].b = append(s.pieces[k].b, b...)
		r.p.waits += len(b)
		return at
	}
	for from := at; len(b) > 0; {
		n := min(len(b), mostPayload)
		k := &piece{from, slices.Clone(b[:n]), in, false}
		s.pieces = append(s.pieces, k)
		if r.p.waits += n; in != nil {
			in.pieces = append(in.pieces, k)
		} else {
			s.loose = append(s.loose, k)
			r.soil()
		}
		from, b = from+int64(n), b[n:]
	}
	return at
}

// blank puts n zeros behind a stream, to be written over.
func (r *remake) blank(d decode.Dir, n int) int64 {
	return r.append(d, make([]byte, n))
}

// skip makes a hole; n < 0: nobody knows how large.
func (r *remake) skip(d decode.Dir, n int) {
	s := &r.sides[d]
	if s.ended {
		return
	}
	if n < 0 {
		if s.holed {
			return
		}
		s.holed, n = true, wideHole
	}
	s.pos += int64(n)
}

// begins notes that the head of a request that is put next began in a frame.
func (r *remake) begins(d decode.Dir, frame int) {
	if d == decode.ToServer {
		r.sides[d].heads = append(r.sides[d].heads, begun{r.sides[d].pos, frame})
	}
}

// fin ends a stream.
func (r *remake) fin(d decode.Dir) {
	if s := &r.sides[d]; !s.ended {
		s.ended, s.end = true, r.slot(d)
		if s.end == nil {
			r.soil()
		}
	}
}

// open notes that a content is held, which is written later.
func (r *remake) open(d decode.Dir, m *message) {
	s := &r.sides[d]
	if s.open == nil {
		s.open = map[*message]bool{}
	}
	s.open[m] = true
}

// write fills in bytes that were blank.
func (r *remake) write(d decode.Dir, pos int64, b []byte) {
	s := &r.sides[d]
	r.p.fillIn(s.places, pos, b)
	i, _ := slices.BinarySearchFunc(s.pieces, pos, func(k *piece, pos int64) int {
		if k.pos+int64(len(k.b)) <= pos {
			return -1
		}
		return 1
	})
	for end := pos + int64(len(b)); i < len(s.pieces) && s.pieces[i].pos < end; i++ {
		k := s.pieces[i]
		if off := pos - k.pos; off >= 0 {
			copy(k.b[off:], b)
		} else {
			copy(k.b, b[-off:])
		}
	}
}

// release forgets where bytes stand that nobody will write to.
func (s *stream) release() {
	if len(s.places) < s.full {
		return
	}
	to := s.sent
	for m := range s.open {
		if len(m.parts) > 0 {
			to = min(to, m.parts[0].pos)
		}
	}
	k := 0
	for k < len(s.places) && s.places[k].pos+int64(s.places[k].n) <= to {
		k++
	}
	s.places = s.places[:copy(s.places, s.places[k:])]
	s.full = 2*len(s.places) + 16
}

// acknowledged returns the position that an acknowledgment number of the other
// side comes to, and whether it covers the end.
func (s *stream) acknowledged(n uint32) uint32 {
	k := 0
	for k < len(s.acks) && int32(s.acks[k].in-n) <= 0 {
		s.acked = s.acks[k].pos
		k++
	}
	if k > 0 {
		s.acks = s.acks[:copy(s.acks, s.acks[k:])]
	}
	v := s.base + uint32(s.acked)
	if s.closed && s.acked == s.pos && int32(n-s.next) >= 0 {
		v++
	}
	return v
}

// send writes a frame with what is due in it.
func (r *remake) send(k *slot) error {
	s, o := &r.sides[k.d], &r.sides[k.d.Other()]
	var ackNum uint32
	if k.flags&inet.ACK != 0 && (o.based || !k.extra) {
		if !o.based {
			o.based, o.base, o.next = true, k.ack, k.ack
		}
		if ackNum = o.acknowledged(k.ack); int32(k.ack-o.base) < 0 {
			ackNum = k.ack
		}
	}
	// What does not fit: a RST carries nothing, and behind the last bytes there
	// may be a hole before the FIN.
	pieces := k.pieces
	fin := s.ended && s.end == k
	if n := len(pieces); fin && n > 0 && pieces[n-1].pos+int64(len(pieces[n-1].b)) < s.pos {
		pieces = append(slices.Clip(pieces), nil)
	}
	var first *piece
	if len(pieces) > 0 && k.flags&inet.RST == 0 {
		first, pieces = pieces[0], pieces[1:]
	}
	if err := r.frame(k, first, fin && len(pieces) == 0, ackNum); err != nil {
		return err
	}
	for i, more := range pieces {
		if err := r.extra(k, more, fin && i == len(pieces)-1, ackNum); err != nil {
			return err
		}
	}
	return nil
}

// extra writes a frame that was not captured, behind k.
func (r *remake) extra(k *slot, p *piece, fin bool, ackNum uint32) error {
	r.p.numbers.inserted = append(r.p.numbers.inserted, k.num)
	e := *k
	e.options, e.flags = nil, inet.ACK
	return r.frame(&e, p, fin, ackNum)
}

// frame writes one frame, with a piece or without.
func (r *remake) frame(k *slot, piece *piece, fin bool, ackNum uint32) error {
	s, p := &r.sides[k.d], r.p
	flags, seq := k.flags, s.base+uint32(s.sent)
	if s.closed {
		seq++
	}
	if flags&inet.SYN != 0 {
		seq = s.base - 1
	}
	if flags&inet.RST != 0 && !(s.closed && k.stray == 1) {
		seq += k.stray // how far it was from where it should be decides what it means
	}
	var payload []byte
	pos := s.sent
	if piece != nil {
		pos, payload = piece.pos, piece.b
		if flags&inet.SYN == 0 {
			seq = s.base + uint32(pos)
		}
		s.sent = max(s.sent, pos+int64(len(payload)))
		flags |= inet.ACK | inet.PSH
		p.waits -= len(payload)
		piece.gone = true
		for len(s.pieces) > 0 && s.pieces[0].gone {
			s.pieces[0] = nil
			s.pieces = s.pieces[1:]
		}
	}
	if fin && flags&inet.RST == 0 {
		if piece == nil {
			seq = s.base + uint32(s.pos)
		}
		flags |= inet.FIN | inet.ACK
		s.closed, s.sent = true, s.pos
	}
	src, dst := s.src, s.dst
	if p.m.addr != nil {
		src, dst = netip.AddrPortFrom(p.m.addr.of(src.Addr()), src.Port()), netip.AddrPortFrom(p.m.addr.of(dst.Addr()), dst.Port())
	}
	head := 20 + len(k.options)
	p.data = append(p.data[:0], k.link...)
	if p.m.addr != nil && k.kind == capture.LinkEthernet {
		clear(p.data[:12])
	}
	p.data = ipHeader(p.data, src.Addr(), dst.Addr(), head+len(payload))
	at := len(p.data)
	var h [20]byte
	binary.BigEndian.PutUint16(h[0:], src.Port())
	binary.BigEndian.PutUint16(h[2:], dst.Port())
	binary.BigEndian.PutUint32(h[4:], seq)
	binary.BigEndian.PutUint32(h[8:], ackNum)
	h[12], h[13] = byte(head/4)<<4, flags
	binary.BigEndian.PutUint16(h[14:], k.window)
	p.data = append(append(p.data, h[:]...), k.options...)
	f := &frame{n: len(payload)}
	f.sum = pseudo(src.Addr(), dst.Addr(), head+len(payload))
	f.sum = sum(f.sum, p.data[at:], 0)
	f.sum = sum(f.sum, payload, 0)
	binary.BigEndian.PutUint16(p.data[at+16:], fold(f.sum))
	p.data = append(p.data, payload...)
	offset, err := p.record(k.time, k.kind, k.iface, len(p.data))
	if err != nil {
		return err
	}
	f.at, f.csum = offset+int64(at+head), offset+int64(at)+16
	if piece != nil {
		s.place(place{pos, len(payload), f, 0})
		s.heads = slices.DeleteFunc(s.heads, func(h begun) bool {
			if h.pos < pos || h.pos >= pos+int64(len(payload)) {
				return false
			}
			p.moved(h.frame)
			return true
		})
	}
	s.release()
	return nil
}

// place takes down where bytes stand, in order.
func (s *stream) place(k place) {
	i := len(s.places)
	for i > 0 && s.places[i-1].pos > k.pos { // frames out of order
		i--
	}
	s.places = slices.Insert(s.places, i, k)
}

// rest makes frames for what is due and no frame waits for.
func (r *remake) rest(num int, at time.Time) {
	r.dirty = false
	for d := range r.sides {
		s, o := &r.sides[d], &r.sides[1-d]
		if s.link == nil { // the other side alone was captured
			s.link, s.kind, s.iface = o.link, o.kind, o.iface
		}
		fresh := func() *slot {
			k := &slot{
				num: num, time: at, kind: s.kind, iface: s.iface, r: r, d: decode.Dir(d), extra: true,
				link: s.link, flags: inet.ACK, ack: o.next, window: s.window, end: s.next,
			}
			r.p.push(k)
			return k
		}
		for _, p := range s.loose {
			p.in = fresh()
			p.in.pieces = append(p.in.pieces, p)
		}
		s.loose = nil
		if s.ended && !s.closed && s.end == nil {
			s.end = fresh()
		}
	}
}

// pseudo is the sum of the pseudo header of a TCP segment (RFC 9293 section
// 3.1).
func pseudo(src, dst netip.Addr, n int) uint32 {
	v := sum(0, src.AsSlice(), 0)
	v = sum(v, dst.AsSlice(), 0)
	return v + 6 + uint32(n>>16) + uint32(n&0xffff)
}

// ipHeader appends the IP header of n bytes of TCP.
func ipHeader(b []byte, src, dst netip.Addr, n int) []byte {
	if !src.Is4() || !dst.Is4() {
		var h [40]byte
		h[0], h[6], h[7] = 0x60, 6, 64
		binary.BigEndian.PutUint16(h[4:], uint16(n))
		s, d := src.As16(), dst.As16()
		copy(h[8:], s[:])
		copy(h[24:], d[:])
		return append(b, h[:]...)
	}
	var h [20]byte
	h[0], h[6], h[8], h[9] = 0x45, 0x40, 64, 6
	binary.BigEndian.PutUint16(h[2:], uint16(20+n))
	s, d := src.As4(), dst.As4()
	copy(h[12:], s[:])
	copy(h[16:], d[:])
	binary.BigEndian.PutUint16(h[10:], fold(sum(0, h[:], 0)))
	return append(b, h[:]...)
}

// options returns the TCP options of a header that stay true: no sequence
// numbers stand in them (RFC 9293 section 3.1, RFC 7323).
func options(header []byte) []byte {
	if len(header) <= 20 {
		return nil
	}
	b := slices.Clone(header[20 : len(header)&^3])
	for i := 0; i < len(b); {
		n := 1
		switch kind := b[i]; {
		case kind == 0:
			clear(b[i:])
			return b
		case kind == 1:
		case i+1 >= len(b) || b[i+1] < 2 || i+int(b[i+1]) > len(b):
			clear(b[i:])
			return b
		default:
			n = int(b[i+1])
			if kind != 2 && kind != 3 && kind != 4 && kind != 8 {
				for k := range n {
					b[i+k] = 1
				}
			}
		}
		i += n
	}
	return b
}

// linkHeader returns the link header for a packet of that version of IP, made
// of the one that a captured packet has: tunnels are left out. False: that kind
// of link is not known here.
func linkHeader(k *capture.Packet, v4 bool) ([]byte, bool) {
	at := network(k.Link, k.Data)
	if at >= 0 && at < len(k.Data) && (k.Data[at]>>4 == 4) == v4 {
		return slices.Clone(k.Data[:at]), true
	}
	kind, ppp := uint16(0x86dd), byte(0x57)
	if v4 {
		kind, ppp = 0x0800, 0x21
	}
	switch {
	case k.Link == capture.LinkRaw:
		return []byte{}, true
	case k.Link == capture.LinkPPP:
		return []byte{0xff, 0x03, 0, ppp}, true
	case k.Link == capture.LinkEthernet && len(k.Data) >= 14:
		return binary.BigEndian.AppendUint16(slices.Clone(k.Data[:12]), kind), true
	case k.Link == capture.LinkLinuxSLL && len(k.Data) >= 16:
		return binary.BigEndian.AppendUint16(slices.Clone(k.Data[:14]), kind), true
	case k.Link == capture.LinkLinuxSLL2 && len(k.Data) >= 20:
		b := slices.Clone(k.Data[:20])
		binary.BigEndian.PutUint16(b, kind)
		return b, true
	}
	return nil, false
}
