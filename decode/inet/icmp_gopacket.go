//go:build !js

package inet

import (
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// refusal returns the packet that is quoted by an ICMP error that refuses a
// connection.
func refusal(proto byte, b []byte) (quote []byte, ok bool) {
	if proto == protoICMP {
		var m layers.ICMPv4
		if m.DecodeFromBytes(b, gopacket.NilDecodeFeedback) != nil || m.TypeCode.Type() != layers.ICMPv4TypeDestinationUnreachable {
			return nil, false
		}
		switch m.TypeCode.Code() {
		case layers.ICMPv4CodeNet, layers.ICMPv4CodeHost, layers.ICMPv4CodeProtocol, layers.ICMPv4CodePort,
			layers.ICMPv4CodeNetAdminProhibited, layers.ICMPv4CodeHostAdminProhibited, layers.ICMPv4CodeCommAdminProhibited:
			return m.Payload, true
		}
		return nil, false
	}
	var m layers.ICMPv6
	if m.DecodeFromBytes(b, gopacket.NilDecodeFeedback) != nil || m.TypeCode.Type() != layers.ICMPv6TypeDestinationUnreachable || len(m.Payload) < 4 {
		return nil, false
	}
	return m.Payload[4:], true // behind four unused bytes
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
