package capturetest

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"mcp401/capture"
)

// A packer writes the packets of a conversation.
type packer struct {
	wrap  Wrap
	start time.Time
	now   time.Duration // never goes back
	ends  map[netip.AddrPort]netip.AddrPort
	conns map[*conn]*ends
	ident uint16
	out   []capture.Record
	keys  []byte // key log
	// first packet of each expectation, by index plus one
	marks map[int]*capture.Packet
}

// ends is the TCP state of both sides of a connection, by the direction in
// which each side sends.
type ends struct {
	addr [2]netip.AddrPort // of the side that sends in that direction
	seq  [2]uint32         // of its next byte
}

const (
	fin = 0x01
	syn = 0x02
	rst = 0x04
	psh = 0x08
	ack = 0x10

	apart      = 10 * time.Microsecond // between two packets
	defaultMSS = 1448                  // Ethernet with TCP timestamps
)

func (p *packer) side(c *conn) *ends {
	e := p.conns[c]
	if e == nil {
		n := uint32(len(p.conns))
		e = &ends{addr: [2]netip.AddrPort{p.ends[c.client], p.ends[c.server]}, seq: [2]uint32{0x1000_0000 + n<<16, 0x7000_0000 + n<<16}}
		if p.wrap.SeqWrap {
			e.seq = [2]uint32{0xffff_ff80 - n, 0xffff_ff00 - n}
		}
		p.conns[c] = e
	}
	return e
}

// fly writes the packets of one flight.
func (p *packer) fly(f flight) {
	p.now = max(p.now, f.at)
	switch f.kind {
	case doOpen:
		lost := p.wrap.MidStream
		p.segment(f.conn, toServer, syn, nil, lost)
		p.segment(f.conn, toClient, syn|ack, nil, lost)
		p.segment(f.conn, toServer, ack, nil, lost)
	case doRaw:
		p.bytes(f)
	case doGap:
		p.side(f.conn).seq[f.dir] += uint32(f.n)
		p.segment(f.conn, f.dir.other(), ack, nil, f.lost) // proves the hole
	case doFin:
		p.segment(f.conn, f.dir, fin|ack, nil, f.lost)
		p.segment(f.conn, f.dir.other(), ack, nil, f.lost)
	case doReset:
		p.segment(f.conn, f.dir, rst|ack, nil, f.lost)
	case doRefused:
		p.segment(f.conn, toServer, syn, nil, f.lost)
		p.segment(f.conn, toClient, rst|ack, nil, f.lost)
	case doUnanswered:
		for range 3 {
			p.segment(f.conn, toServer, syn, nil, f.lost)
			p.side(f.conn).seq[toServer]--
			p.now += time.Second
		}
	case doDrops:
		p.out = append(p.out, capture.Record{Time: p.time(), Loss: &capture.Loss{Packets: uint64(f.n), Reason: "interface"}})
	}
}

// bytes sends data in segments; every second one and the last are acknowledged.
func (p *packer) bytes(f flight) {
	mss := p.wrap.MSS
	if mss <= 0 {
		mss = defaultMSS
	}
	data := f.data
	for i := 0; len(data) > 0; i++ {
		n := min(mss, len(data))
		flags := byte(ack)
		if n == len(data) {
			flags |= psh
		}
		pkt := p.segment(f.conn, f.dir, flags, data[:n], f.lost)
		if i == 0 && pkt != nil {
			for _, e := range f.expect {
				p.marks[e] = pkt
			}
		}
		if data = data[n:]; i%2 == 1 || len(data) == 0 {
			p.segment(f.conn, f.dir.other(), ack, nil, f.lost)
		}
	}
}

// segment writes one TCP segment. It returns nil where the capture lost it.
func (p *packer) segment(c *conn, d dir, flags byte, data []byte, lost bool) *capture.Packet {
	e := p.side(c)
	seq := e.seq[d]
	e.seq[d] += uint32(len(data))
	if flags&(syn|fin) != 0 {
		e.seq[d]++
	}
	p.now += apart
	if lost {
		return nil
	}
	tcp := make([]byte, 20, 24+len(data))
	binary.BigEndian.PutUint16(tcp[0:], e.addr[d].Port())
	binary.BigEndian.PutUint16(tcp[2:], e.addr[d.other()].Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	if flags&ack != 0 {
		binary.BigEndian.PutUint32(tcp[8:], e.seq[d.other()])
	}
	if flags&syn != 0 {
		tcp = append(tcp, 2, 4, defaultMSS>>8, defaultMSS&0xff)
	}
	tcp[12], tcp[13] = byte(len(tcp)/4)<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 65535)
	return p.packet(e.addr[d].Addr(), e.addr[d.other()].Addr(), protoTCP, append(tcp, data...), 16, d)
}

const (
	protoTCP = 6
	protoUDP = 17
)

// packet writes an IP packet with its link layer. sum is where the checksum
// stands in the payload. Of several fragments it returns the one that stands
// last, which completes it.
func (p *packer) packet(from, to netip.Addr, proto byte, payload []byte, sum int, d dir) *capture.Packet {
	p.ident++
	ip := ipHeader(from, to, proto, p.ident, len(payload))
	binary.BigEndian.PutUint16(payload[sum:], checksum(payload, pseudoSum(from, to, proto, len(payload))))
	b := append(ip, payload...)
	c := carriers[p.wrap.Tunnel]
	if c.ip != nil {
		b = c.ip(p, b, d)
	}
	parts := fragments(b, p.wrap.Fragment, p.ident)
	if p.wrap.Scatter {
		slices.Reverse(parts)
	}
	var last *capture.Packet
	for _, b := range parts {
		if c.frame != nil {
			last = p.frame(append(c.frame(b, d), b...))
		} else {
			last = p.frame(append(linkHeader(p.wrap.Link, etherOf(b), d), b...))
		}
	}
	return last
}

// frame records a frame of the wrapping's link type.
func (p *packer) frame(b []byte) *capture.Packet {
	pkt := &capture.Packet{Link: p.wrap.linkType(), Length: len(b), Data: b}
	if n := p.wrap.Snaplen; n > 0 && n < len(b) {
		pkt.Data = b[:n:n]
	}
	p.out = append(p.out, capture.Record{Time: p.time(), Packet: pkt})
	return pkt
}

func (p *packer) time() time.Time { return p.start.Add(p.now) }

func ipHeader(from, to netip.Addr, proto byte, ident uint16, n int) []byte {
	if from.Is6() {
		h := make([]byte, 40)
		h[0] = 0x60
		binary.BigEndian.PutUint16(h[4:], uint16(n))
		h[6], h[7] = proto, 64
		copy(h[8:], from.AsSlice())
		copy(h[24:], to.AsSlice())
		return h
	}
	h := make([]byte, 20)
	h[0], h[6], h[8], h[9] = 0x45, 0x40, 64, proto
	binary.BigEndian.PutUint16(h[2:], uint16(20+n))
	binary.BigEndian.PutUint16(h[4:], ident)
	copy(h[12:], from.AsSlice())
	copy(h[16:], to.AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h, 0))
	return h
}

// pseudoSum begins the checksum of TCP and UDP (RFC 9293 section 3.1, RFC 8200
// section 8.1).
func pseudoSum(from, to netip.Addr, proto byte, n int) uint32 {
	s := uint32(proto) + uint32(n)
	for _, a := range []netip.Addr{from, to} {
		b := a.AsSlice()
		for i := 0; i < len(b); i += 2 {
			s += uint32(b[i])<<8 | uint32(b[i+1])
		}
	}
	return s
}

func checksum(b []byte, s uint32) uint16 {
	for i := 0; i+1 < len(b); i += 2 {
		s += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		s += uint32(b[len(b)-1]) << 8
	}
	for s>>16 != 0 {
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}
