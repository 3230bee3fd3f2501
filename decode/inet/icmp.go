package inet

import (
	"encoding/binary"
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// icmp turns an error that refuses a connection (RFC 792, RFC 4443, as RFC 1122
// section 4.2.3.9 reads them) into the reset that it stands for: of the quoted
// segment, from the side that it was sent to. A connection that is open already
// does not believe it, because its sequence number is 0.
func (d *Decoder) icmp(proto byte, l layer) bool {
	var quote []byte
	if proto == protoICMP {
		var m layers.ICMPv4
		if m.DecodeFromBytes(l.b, gopacket.NilDecodeFeedback) != nil || m.TypeCode.Type() != layers.ICMPv4TypeDestinationUnreachable {
			return d.fail(notTCP)
		}
		switch m.TypeCode.Code() {
		case layers.ICMPv4CodeNet, layers.ICMPv4CodeHost, layers.ICMPv4CodeProtocol, layers.ICMPv4CodePort,
			layers.ICMPv4CodeNetAdminProhibited, layers.ICMPv4CodeHostAdminProhibited, layers.ICMPv4CodeCommAdminProhibited:
			quote = m.Payload
		}
	} else {
		var m layers.ICMPv6
		if m.DecodeFromBytes(l.b, gopacket.NilDecodeFeedback) != nil || m.TypeCode.Type() != layers.ICMPv6TypeDestinationUnreachable || len(m.Payload) < 4 {
			return d.fail(notTCP)
		}
		quote = m.Payload[4:] // behind four unused bytes
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

// quoted returns the addresses of a quoted packet and the begin of its TCP
// header, of which an ICMP error need not hold more than eight bytes.
func quoted(p []byte) (src, dst netip.Addr, tcp []byte, ok bool) {
	if len(p) == 0 {
		return
	}
	switch p[0] >> 4 {
	case 4:
		var ip layers.IPv4
		if ip.DecodeFromBytes(p, gopacket.NilDecodeFeedback) != nil || ip.Protocol != layers.IPProtocolTCP || ip.FragOffset != 0 {
			return
		}
		src, _ = netip.AddrFromSlice(ip.SrcIP)
		dst, _ = netip.AddrFromSlice(ip.DstIP)
		tcp = ip.Payload
	case 6:
		var ip layers.IPv6
		if ip.DecodeFromBytes(p, gopacket.NilDecodeFeedback) != nil || ip.NextHeader != layers.IPProtocolTCP {
			return
		}
		src, _ = netip.AddrFromSlice(ip.SrcIP)
		dst, _ = netip.AddrFromSlice(ip.DstIP)
		tcp = ip.Payload
	}
	return src.Unmap(), dst.Unmap(), tcp, len(tcp) >= 8
}
