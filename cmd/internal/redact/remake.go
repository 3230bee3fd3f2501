package redact

import (
	"encoding/binary"
	"net/netip"
	"slices"

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
// in which it was known before. What is more than fits, or is known when
// another connection's frame is in hand, gets a frame of its own behind it.
// Sequence and acknowledgment numbers are counted anew, holes stay holes.
type remake struct {
	p     *packets
	flow  decode.Flow
	sides [2]stream
	path  uint64
	top   *conn
	dirty bool // something is due
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
	sent  int64  // everything before stands in frames
	holed bool   // nothing came since the last hole of unknown size

	pieces []piece           // what is in no frame yet
	places []place           // where what may still be written stands
	full   int               // so many of them are worth a look
	open   map[*message]bool // contents that are held
	acks   []ack
	acked  int64 // position up to which the other side acknowledged
	heads  []begun
	ended  bool // a FIN is due
	closed bool // and was sent
}

// A piece is new bytes in a row.
type piece struct {
	pos int64
	b   []byte
}

// An ack says up to where a stream is acknowledged by what acknowledges the
// captured one up to in.
type ack struct {
	in  uint32
	pos int64
}

// A begun is where the head of a message stands, and the frame in which it
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
	r.told(d, len(b))
}

func (r *remake) Gap(d decode.Dir, at decode.Mark, n int) {
	r.layer().Gap(d, at, n)
	if n < 0 {
		n = 0
	}
	r.told(d, n)
}

func (r *remake) End(d decode.Dir, at decode.Mark, why decode.End) {
	r.layer().End(d, at, why)
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
func (r *remake) told(d decode.Dir, n int) {
	s := &r.sides[d]
	s.next += uint32(n)
	if len(s.acks) >= mostAcks {
		s.acked = s.acks[len(s.acks)/2].pos
		s.acks = s.acks[:copy(s.acks, s.acks[len(s.acks)/2:])]
	}
	s.acks = append(s.acks, ack{s.next, s.pos})
}

func (r *remake) soil() {
	if !r.dirty {
		r.dirty = true
		r.p.dirty = append(r.p.dirty, r)
	}
}

// append puts masked bytes behind a stream.
func (r *remake) append(d decode.Dir, b []byte) int64 {
	s := &r.sides[d]
	at := s.pos
	if len(b) == 0 || s.ended {
		return at
	}
	r.soil()
	s.holed = false
	s.pos += int64(len(b))
	if k := len(s.pieces); k > 0 && s.pieces[k-1].pos+int64(len(s.pieces[k-1].b)) == at {
		s.pieces[k-1].b = append(s.pieces[k-1].b, b...)
		return at
	}
	s.pieces = append(s.pieces, piece{at, slices.Clone(b)})
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
	if !r.sides[d].ended {
		r.sides[d].ended = true
		r.soil()
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
	for i := range s.pieces {
		k := &s.pieces[i]
		if off := pos - k.pos; off >= 0 && off < int64(len(k.b)) {
			n := copy(k.b[off:], b)
			pos, b = pos+int64(n), b[n:]
		} else if off < 0 && off+int64(len(b)) > 0 {
			copy(k.b, b[-off:])
			b = b[:-off]
		}
	}
	r.p.fillIn(s.places, pos, b)
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
	s.acks = s.acks[:copy(s.acks, s.acks[k:])]
	v := s.base + uint32(s.acked)
	if s.closed && s.acked == s.pos && int32(n-s.next) >= 0 {
		v++
	}
	return v
}

// segment writes a frame of the connection, after it was told to the table.
func (r *remake) segment(rec capture.Record, g *inet.Segment, d decode.Dir, stray uint32, in []byte) error {
	s, o := &r.sides[d], &r.sides[d.Other()]
	flags := g.Flags &^ (inet.FIN | inet.PSH)
	seq := s.base + uint32(s.sent)
	switch {
	case flags&inet.SYN != 0:
		seq = s.base - 1
	case s.closed:
		seq++
	}
	if flags&inet.RST != 0 && !(s.closed && stray == 1) {
		seq += stray // how far it was from where it should be decides what it means
	}
	var n uint32
	if flags&inet.ACK != 0 {
		if !o.based {
			o.based, o.base, o.next = true, g.Ack, g.Ack
		}
		if n = o.acknowledged(g.Ack); int32(g.Ack-o.base) < 0 {
			n = g.Ack
		}
	}
	return r.frame(rec, d, options(in), seq, n, flags, g.Window)
}

// frame writes a frame with what is due in a direction, as much as fits.
func (r *remake) frame(rec capture.Record, d decode.Dir, options []byte, seq, ackNum uint32, flags uint8, window uint16) error {
	s := &r.sides[d]
	var payload []byte
	pos := s.sent
	if len(s.pieces) > 0 && flags&inet.RST == 0 {
		k := &s.pieces[0]
		pos = k.pos
		payload = k.b[:min(len(k.b), mostPayload)]
		k.b, k.pos = k.b[len(payload):], k.pos+int64(len(payload))
		if flags&inet.SYN == 0 {
			seq = s.base + uint32(pos)
		}
		if len(k.b) == 0 {
			s.pieces = s.pieces[1:]
		}
		s.sent = pos + int64(len(payload))
		flags |= inet.ACK | inet.PSH
	}
	if s.ended && !s.closed && len(s.pieces) == 0 && flags&(inet.RST|inet.SYN) == 0 {
		if len(payload) == 0 {
			seq = s.base + uint32(s.pos)
		}
		flags |= inet.FIN | inet.ACK
		s.closed, s.sent = true, s.pos
	}
	p := r.p
	src, dst := s.src, s.dst
	if p.m.addr != nil {
		src, dst = netip.AddrPortFrom(p.m.addr.of(src.Addr()), src.Port()), netip.AddrPortFrom(p.m.addr.of(dst.Addr()), dst.Port())
	}
	head := 20 + len(options)
	p.data = append(p.data[:0], s.link...)
	if p.m.addr != nil && s.kind == capture.LinkEthernet {
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
	binary.BigEndian.PutUint16(h[14:], window)
	p.data = append(append(p.data, h[:]...), options...)
	f := &frame{n: len(payload)}
	f.sum = pseudo(src.Addr(), dst.Addr(), head+len(payload))
	f.sum = sum(f.sum, p.data[at:], 0)
	f.sum = sum(f.sum, payload, 0)
	binary.BigEndian.PutUint16(p.data[at+16:], fold(f.sum))
	p.data = append(p.data, payload...)
	offset, err := p.record(capture.Record{Num: rec.Num, Time: rec.Time, Packet: &capture.Packet{Link: s.kind, Interface: s.iface, Length: len(p.data)}})
	if err != nil {
		return err
	}
	f.at, f.csum = offset+int64(at+head), offset+int64(at)+16
	if len(payload) > 0 {
		s.places = append(s.places, place{pos, len(payload), f, 0})
		for len(s.heads) > 0 && s.heads[0].pos < s.sent {
			p.moved(s.heads[0].frame)
			s.heads = s.heads[1:]
		}
	}
	s.release()
	return nil
}

// rest writes what is still due, in frames of their own.
func (r *remake) rest(rec capture.Record) error {
	r.dirty = false
	for d := range r.sides {
		s, o := &r.sides[d], &r.sides[1-d]
		for len(s.pieces) > 0 || s.ended && !s.closed {
			if s.link == nil { // the other side alone was captured
				s.link, s.kind, s.iface, s.window = o.link, o.kind, o.iface, o.window
			}
			r.p.numbers.inserted = append(r.p.numbers.inserted, rec.Num)
			if err := r.frame(rec, decode.Dir(d), nil, s.base+uint32(s.sent), o.base+uint32(o.acked), inet.ACK, s.window); err != nil {
				return err
			}
		}
	}
	return nil
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
// of the one that a captured packet has; false: its kind is not known here.
func linkHeader(k *capture.Packet, v4 bool) ([]byte, bool) {
	at := network(k.Link, k.Data)
	if at < 0 || at > len(k.Data) {
		return nil, false
	}
	b := slices.Clone(k.Data[:at])
	same := at < len(k.Data) && (k.Data[at]>>4 == 4) == v4
	if same {
		return b, true
	}
	kind := uint16(0x86dd)
	if v4 {
		kind = 0x0800
	}
	switch k.Link {
	case capture.LinkEthernet, capture.LinkLinuxSLL:
		binary.BigEndian.PutUint16(b[at-2:], kind)
	case capture.LinkLinuxSLL2:
		binary.BigEndian.PutUint16(b, kind)
	case capture.LinkRaw:
	default:
		return nil, false
	}
	return b, true
}
