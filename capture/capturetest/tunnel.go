package capturetest

import (
	"encoding/binary"
	"net/netip"

	"mcp401/capture"
)

// A Tunnel is what every IP packet travels in.
type Tunnel uint8

// The tunnels. Those that go over IP go over IPv4, but for InIPv6.
const (
	NoTunnel    Tunnel = iota
	GRE                // with a key
	GREEthernet        // GRE with Ethernet inside
	ERSPAN             // type II: a mirror port
	InIPv4             // IP-in-IP; with Wrap.IPv6: 6in4
	InIPv6             // 4in6; with Wrap.IPv6: IPv6 in IPv6
	VXLAN
	Geneve // with an option
	GTP    // GTP-U with a sequence number
	Teredo // behind an origin indication; only of IPv6
	PPPoE
	PPP      // a link type
	MPLS     // two labels
	Radiotap // a link type: IEEE 802.11 data frames
	PPI      // a link type, with Ethernet inside
	NFLog    // a link type
	VXLANGRE // VXLAN in GRE
	tunnels
)

// Tunnels is all of them but NoTunnel, by name. Those that carry only one
// version of IP fit only Wraps that have it.
var Tunnels = map[string]Tunnel{
	"gre": GRE, "gre-ethernet": GREEthernet, "erspan": ERSPAN, "ip-in-ipv4": InIPv4, "ip-in-ipv6": InIPv6, "vxlan": VXLAN, "geneve": Geneve, "gtp-u": GTP,
	"teredo": Teredo, "pppoe": PPPoE, "ppp": PPP, "mpls": MPLS, "radiotap": Radiotap, "ppi": PPI, "nflog": NFLog, "vxlan-in-gre": VXLANGRE,
}

// A carrier is how a tunnel is written. Either part may be missing.
type carrier struct {
	ip    func(p *packer, b []byte, d dir) []byte // an IP packet in an IP packet
	frame func(b []byte, d dir) []byte            // what stands before an IP packet, in place of the wrapping's link
	link  capture.LinkType                        // of frame
}

// carriers says how the tunnels are written. To add one, put it here.
var carriers = [tunnels]carrier{
	GRE: {ip: func(p *packer, b []byte, d dir) []byte {
		return p.outer(protoGRE, append(be(0x2000, etherOf(b), 0, 7), b...), d)
	}},
	GREEthernet: {ip: func(p *packer, b []byte, d dir) []byte {
		return p.outer(protoGRE, append(be(0, 0x6558), inEthernet(b, d)...), d)
	}},
	ERSPAN: {ip: func(p *packer, b []byte, d dir) []byte {
		p.ident++
		header := be(0x1000, 0x88be, 0, p.ident, 0x1000, 5, 0, 0) // GRE with a sequence number; version 1, session 5
		return p.outer(protoGRE, append(header, inEthernet(b, d)...), d)
	}},
	InIPv4: {ip: func(p *packer, b []byte, d dir) []byte { return p.outer(protoOf(b), b, d) }},
	InIPv6: {ip: func(p *packer, b []byte, d dir) []byte {
		ends := [2]netip.Addr{netip.MustParseAddr("fd99::1"), netip.MustParseAddr("fd99::2")}
		return append(ipHeader(ends[d], ends[d.other()], protoOf(b), 0, len(b)), b...)
	}},
	VXLAN: {ip: vxlan},
	Geneve: {ip: func(p *packer, b []byte, d dir) []byte {
		return p.datagram(6081, append(be(0x0200, 0x6558, 0, 7<<8, 0x0102, 0x8001, 0, 9), inEthernet(b, d)...), d)
	}},
	GTP: {ip: func(p *packer, b []byte, d dir) []byte {
		return p.datagram(2152, append(be(0x32ff, uint16(4+len(b)), 0, uint16(d)+1, 1, 0), b...), d)
	}},
	Teredo:   {ip: func(p *packer, b []byte, d dir) []byte { return p.datagram(3544, append(be(0, 0, 0, 0), b...), d) }},
	VXLANGRE: {ip: func(p *packer, b []byte, d dir) []byte { return gre(p, vxlan(p, b, d), d) }},

	PPPoE: {link: capture.LinkEthernet, frame: func(b []byte, d dir) []byte {
		return append(linkHeader(Ethernet, 0x8864, d), be(0x1100, 5, uint16(2+len(b)), pppOf(b))...)
	}},
	PPP: {link: capture.LinkPPP, frame: func(b []byte, _ dir) []byte { return be(0xff03, pppOf(b)) }},
	MPLS: {link: capture.LinkEthernet, frame: func(_ []byte, d dir) []byte {
		return append(linkHeader(Ethernet, 0x8847, d), be(uint16(d)+1, 0x0040, 2, 0x0140)...)
	}},
	Radiotap: {link: capture.LinkRadiotap, frame: func(b []byte, d dir) []byte {
		h := []byte{0, 0, 8, 0, 0, 0, 0, 0, 8, byte(d) + 1, 0, 0} // no fields; a data frame to or from the distribution system
		h = append(h, 2, 0, 0, 0, 0, byte(d)+1, 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, byte(d)+1, 0, 0)
		return append(h, be(0xaaaa, 0x0300, 0, etherOf(b))...)
	}},
	PPI: {link: capture.LinkPPI, frame: func(b []byte, d dir) []byte {
		return append([]byte{0, 0, 8, 0, byte(capture.LinkEthernet), 0, 0, 0}, linkHeader(Ethernet, etherOf(b), d)...)
	}},
	NFLog: {link: capture.LinkNFLog, frame: func(b []byte, _ dir) []byte {
		h := []byte{2, 0, 0, 0, 5, 0, 10, 0, 0, 0, 0, 0} // an empty prefix, padded
		return append(binary.LittleEndian.AppendUint16(h, uint16(4+len(b))), 9, 0)
	}},
}

func vxlan(p *packer, b []byte, d dir) []byte {
	return p.datagram(4789, append(be(0x0800, 0, 0, 42<<8), inEthernet(b, d)...), d)
}

// gre is GRE without a key.
func gre(p *packer, b []byte, d dir) []byte {
	return p.outer(protoGRE, append(be(0, etherOf(b)), b...), d)
}

const protoGRE = 47

// outer puts an IPv4 header between the ends of the tunnel before b.
func (p *packer) outer(proto byte, b []byte, d dir) []byte {
	p.ident++
	ends := [2]netip.Addr{netip.AddrFrom4([4]byte{172, 16, 0, 1}), netip.AddrFrom4([4]byte{172, 16, 0, 2})}
	return append(ipHeader(ends[d], ends[d.other()], proto, p.ident, len(b)), b...)
}

// datagram is outer with UDP. It has no checksum, as tunnels do (RFC 7348).
func (p *packer) datagram(port uint16, b []byte, d dir) []byte {
	return p.outer(protoUDP, append(be(port, port, uint16(8+len(b)), 0), b...), d)
}

func inEthernet(b []byte, d dir) []byte { return append(linkHeader(Ethernet, etherOf(b), d), b...) }

// be is words in network order.
func be(words ...uint16) (out []byte) {
	for _, w := range words {
		out = binary.BigEndian.AppendUint16(out, w)
	}
	return out
}

// etherOf, protoOf and pppOf name the version of an IP packet.
func etherOf(b []byte) uint16 { return byVersion(b, uint16(etherIPv4), etherIPv6) }
func protoOf(b []byte) byte   { return byVersion(b, byte(4), 41) }
func pppOf(b []byte) uint16   { return byVersion(b, uint16(0x21), 0x57) }

func byVersion[T any](b []byte, four, six T) T {
	if b[0]>>4 == 6 {
		return six
	}
	return four
}

// fragments cuts an IP packet into fragments of at most n bytes of payload
// (RFC 791, RFC 8200 section 4.5).
func fragments(b []byte, n int, ident uint16) (out [][]byte) {
	size := byVersion(b, 20, 40)
	head, payload := b[:size], b[size:]
	if n &^= 7; n < 8 || len(payload) <= n {
		return [][]byte{b}
	}
	for at := 0; at < len(payload); at += n {
		end := min(at+n, len(payload))
		more := uint16(0)
		if end < len(payload) {
			more = 1
		}
		f := append([]byte{}, head...)
		if size == 40 {
			f[6] = 44
			f = append(f, be(uint16(head[6])<<8, uint16(at)|more, 0, ident)...)
			binary.BigEndian.PutUint16(f[4:], uint16(8+end-at))
		} else {
			binary.BigEndian.PutUint16(f[2:], uint16(20+end-at))
			binary.BigEndian.PutUint16(f[6:], uint16(at/8)|more<<13)
			binary.BigEndian.PutUint16(f[10:], 0)
			binary.BigEndian.PutUint16(f[10:], checksum(f, 0))
		}
		out = append(out, append(f, payload[at:end]...))
	}
	return out
}
