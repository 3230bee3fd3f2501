// Package inet turns a packet of any link type into the TCP segment that it
// carries, if it carries one.
//
// It undoes link headers, VLAN tags, tunnels and IP fragmentation and cuts off
// what is not the segment's (Ethernet padding, trailers). It never verifies a
// checksum, because offloading leaves them unset in captures, and it knows
// nothing of connections. Everything that is not TCP is counted and dropped,
// but for ICMP errors that refuse a connection: they are told as the RST that
// they stand for.
//
// The one trick: a packet is walked once with a slice that only shrinks, and
// beside it goes the number of bytes behind it that the snap length cut off,
// so that the innermost length field and the capture's own lengths meet in
// Segment.Missing. What nearly all packets consist of is read by hand, because
// that takes half the time of gopacket's DecodingLayerParser (BenchmarkSegment),
// and because gopacket refuses headers behind a snap length and has no bounded
// defragmenter that keeps the capture's time; ICMP is gopacket's, but in a
// browser.
package inet

import (
	"encoding/binary"
	"net/netip"

	"mcp401/capture"
	"mcp401/decode"
)

// Stats counts the packets that a Decoder was given. Every packet without a
// segment is counted in exactly one of the other counters.
type Stats struct {
	Packets   int // all
	Segments  int // carried a TCP segment
	LinkType  int // of a link type that is not decoded
	NotIP     int // ARP, LLDP, encrypted 802.11, ...
	NotTCP    int // UDP, ICMP, ESP, ...
	Truncated int // a header was cut off or damaged
	Fragments int // fragments held, or dropped, without completing a datagram
	TooDeep   int // beyond Limits.Tunnels
}

// A Decoder finds the TCP segments in packets. It is for one goroutine.
type Decoder struct {
	// QUIC, if set, is given the payload of each datagram to UDP port 443, valid
	// until it returns.
	QUIC func(decode.Mark, []byte)

	lim   decode.Limits
	note  func(decode.Note)
	stats Stats
	frags fragments
	at    decode.Mark
	seg   Segment
	outer [2]netip.Addr // addresses of the IP header read last
	told  map[capture.LinkType]bool
	miss  miss
}

// miss says why a packet has no segment.
type miss uint8

const (
	notIP miss = iota
	notTCP
	truncated
	fragment
	tooDeep
	linkType
)

// A layer is what is left of a packet: the bytes of the next header on, how
// many more of them the snap length cut off, the hash of the way here, and how
// deep it is.
type layer struct {
	b     []byte
	cut   int
	path  uint64
	depth int
}

// skip drops n bytes that the caller has checked to be there.
func (l layer) skip(n int) layer { l.b = l.b[n:]; return l }

// New returns a decoder. Unknown link types and limits are said to note, which
// may be nil.
func New(lim decode.Limits, note func(decode.Note)) *Decoder {
	if note == nil {
		note = func(decode.Note) {}
	}
	d := &Decoder{lim: lim.WithDefaults(), note: note, told: make(map[capture.LinkType]bool)}
	d.frags.init(d.lim)
	return d
}

// Stats returns the counters so far.
func (d *Decoder) Stats() Stats { return d.stats }

// Pending reports whether the packet given to Segment last was a fragment of a
// datagram that is not whole yet.
func (d *Decoder) Pending() bool { return d.miss == fragment }

// Parts returns the frames of the fragments that made up the datagram of the
// last segment, but for the frame that completed it; none: it came whole. The
// list is the caller's.
func (d *Decoder) Parts() []int { return d.frags.parts }

// Segment returns the innermost TCP segment of a packet, and whether there is
// one. Its Payload is part of p.Data or, when it came in fragments, belongs to
// the Decoder and is valid until the next call.
func (d *Decoder) Segment(at decode.Mark, p *capture.Packet) (Segment, bool) {
	d.stats.Packets++
	d.miss, d.frags.parts = notIP, nil
	if p.Link == capture.LinkEthernet && d.plain(p.Data) {
		d.stats.Segments++
		return d.seg, true
	}
	d.at = at
	l := layer{b: p.Data}
	if p.Length > len(p.Data) {
		l.cut = p.Length - len(p.Data)
	}
	if d.link(p.Link, l) {
		d.stats.Segments++
		d.miss = notIP
		return d.seg, true
	}
	d.count()
	return Segment{}, false
}

func (d *Decoder) count() {
	switch d.miss {
	case notIP:
		d.stats.NotIP++
	case notTCP:
		d.stats.NotTCP++
	case truncated:
		d.stats.Truncated++
	case fragment:
		d.stats.Fragments++
	case tooDeep:
		d.stats.TooDeep++
	case linkType:
		d.stats.LinkType++
	}
}

func (d *Decoder) fail(why miss) bool {
	d.miss = why
	return false
}

// deeper enters a tag or tunnel and reports whether the bound allows it.
func (d *Decoder) deeper(l *layer) bool {
	if l.depth++; l.depth <= d.lim.Tunnels {
		return true
	}
	d.note(decode.Note{Code: "limit/tunnels", At: d.at, N: 1, Text: "packet with too many nested tunnels or tags"})
	return d.fail(tooDeep)
}

// plain reads a whole packet of Ethernet, perhaps with one VLAN tag, IPv4
// without options and TCP, which nearly all are. The rest is left to the walk.
func (d *Decoder) plain(b []byte) bool {
	if len(b) < 54 {
		return false
	}
	t, path := binary.BigEndian.Uint16(b[12:]), uint64(0)
	if b = b[14:]; t == typeVLAN {
		if id := binary.BigEndian.Uint16(b) & 0xfff; id != 0 {
			path = mix(0, pathVLAN, uint64(id))
		}
		t, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	if t != typeIPv4 || len(b) < 40 || b[0] != 0x45 || b[9] != protoTCP || b[6]&0x3f|b[7] != 0 {
		return false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 40 || n > len(b) {
		return false
	}
	head := b[20:n]
	size := int(head[12]>>4) * 4
	if size < 20 || size > len(head) {
		return false
	}
	s := &d.seg
	s.Payload, s.Missing, s.Path = head[size:], 0, path
	s.head(head, netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])))
	return true
}

// tcp reads the TCP header (RFC 9293 section 3.1).
func (d *Decoder) tcp(l layer, src, dst netip.Addr) bool {
	b := l.b
	if len(b) < 20 {
		return d.fail(truncated)
	}
	size := int(b[12]>>4) * 4
	s := &d.seg
	s.Payload, s.Missing = nil, l.cut
	switch {
	case size < 20 || size > len(b)+l.cut:
		return d.fail(truncated)
	case size > len(b): // the snap length fell into the options
		s.Missing = l.cut - (size - len(b))
	default:
		s.Payload = b[size:]
	}
	s.Path = l.path
	s.head(b, src, dst)
	return true
}

// head takes the fixed fields of a TCP header.
func (s *Segment) head(b []byte, src, dst netip.Addr) {
	b = b[:20]
	s.Src = netip.AddrPortFrom(src, binary.BigEndian.Uint16(b))
	s.Dst = netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:]))
	s.Seq = binary.BigEndian.Uint32(b[4:])
	s.Ack = binary.BigEndian.Uint32(b[8:])
	s.Flags = b[13] & (FIN | SYN | RST | PSH | ACK | URG)
	s.Window = binary.BigEndian.Uint16(b[14:])
	s.Urgent = 0
	if s.Flags&URG != 0 {
		s.Urgent = binary.BigEndian.Uint16(b[18:])
	}
}
