package inet

import (
	"encoding/binary"
	"net/netip"
)

// icmp turns an error that refuses a connection (RFC 792, RFC 4443, as RFC 1122
// section 4.2.3.9 reads them) into the reset that it stands for: of the quoted
// segment, from the side that it was sent to. A connection that is open already
// does not believe it, because its sequence number is 0.
func (d *Decoder) icmp(proto byte, l layer) bool {
	quote, ok := refusal(proto, l.b)
	if !ok {
		return d.fail(notTCP)
	}
	src, dst, tcp, ok := quoted(quote)
	if !ok {
		return d.fail(notTCP)
	}
	d.seg = Segment{
		Src: netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:])), Dst: netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp)),
		Path: l.path, Ack: binary.BigEndian.Uint32(tcp[4:]) + 1, Flags: RST | ACK,
	}
	return true
}

// In a browser the library of icmp_gopacket.go is left out: it is a third of
// the program that is sent there. These two say the same, which is tested.

// plainRefusal returns the packet that is quoted by an ICMP error that refuses
// a connection.
func plainRefusal(proto byte, b []byte) (quote []byte, ok bool) {
	if len(b) < 8 {
		return nil, false
	}
	if proto != protoICMP {
		return b[8:], b[0] == 1 // destination unreachable, RFC 4443 section 3.1
	}
	switch b[1] {
	case 0, 1, 2, 3, 9, 10, 13: // net, host, protocol, port; administratively prohibited
		return b[8:], b[0] == 3 // destination unreachable, RFC 792
	}
	return nil, false
}

// plainQuoted returns the addresses of a quoted packet and the begin of its TCP
// header, of which an ICMP error need not hold more than eight bytes.
func plainQuoted(p []byte) (src, dst netip.Addr, tcp []byte, ok bool) {
	if len(p) == 0 {
		return
	}
	switch p[0] >> 4 {
	case 4:
		if tcp, ok = plainIPv4(p); !ok {
			return
		}
		src, dst = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
	case 6:
		if len(p) < 40 || p[6] != protoTCP {
			return
		}
		n := int(binary.BigEndian.Uint16(p[4:]))
		if n == 0 { // a jumbogram has a header of its own before TCP
			return
		}
		src, dst = netip.AddrFrom16([16]byte(p[8:24])).Unmap(), netip.AddrFrom16([16]byte(p[24:40])).Unmap()
		tcp = p[40:min(len(p), 40+n)]
	}
	return src, dst, tcp, len(tcp) >= 8
}

// plainIPv4 returns what an IPv4 header is followed by, if it is TCP and no
// later fragment.
func plainIPv4(p []byte) ([]byte, bool) {
	if len(p) < 20 || p[9] != protoTCP || binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
		return nil, false
	}
	n, head := int(binary.BigEndian.Uint16(p[2:])), int(p[0]&15)*4
	if n == 0 { // left to the network card
		n = len(p)
	}
	if n < 20 || head < 20 || head > n || head > len(p) {
		return nil, false
	}
	// Options that do not fill their header well make it a damaged one.
	for opt := p[20:head]; len(opt) > 0 && opt[0] != 0; {
		if opt[0] == 1 {
			opt = opt[1:]
			continue
		}
		if len(opt) < 2 || opt[1] < 2 || int(opt[1]) > len(opt) {
			return nil, false
		}
		opt = opt[opt[1]:]
	}
	return p[head:min(n, len(p))], true
}
