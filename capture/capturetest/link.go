package capturetest

import (
	"encoding/binary"

	"mcp401/capture"
)

// A Link is what stands in front of the IP header.
type Link uint8

// The links.
const (
	Ethernet Link = iota
	VLAN          // Ethernet with an 802.1Q tag
	QinQ          // Ethernet with an 802.1ad and an 802.1Q tag
	SLL           // Linux cooked v1, as "tcpdump -i any" once wrote
	SLL2          // Linux cooked v2
	Null          // BSD loopback, little-endian
	Loop          // OpenBSD loopback
	Raw           // nothing
)

// Type is the link type that captures of it have.
func (l Link) Type() capture.LinkType {
	switch l {
	case SLL:
		return capture.LinkLinuxSLL
	case SLL2:
		return capture.LinkLinuxSLL2
	case Null:
		return capture.LinkNull
	case Loop:
		return capture.LinkLoop
	case Raw:
		return capture.LinkRaw
	}
	return capture.LinkEthernet
}

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
)

// linkHeader is what stands before a packet of that EtherType.
func linkHeader(l Link, ether uint16, d dir) []byte {
	six := ether == etherIPv6
	be := binary.BigEndian.AppendUint16
	switch l {
	case SLL:
		h := []byte{0, sentOrReceived(d), 0, 1, 0, 6, 2, 0, 0, 0, 0, byte(d) + 1, 0, 0}
		return be(h, ether)
	case SLL2:
		return append(be(nil, ether), 0, 0, 0, 0, 0, 2, 0, 1, sentOrReceived(d), 6, 2, 0, 0, 0, 0, byte(d)+1, 0, 0)
	case Null:
		return binary.LittleEndian.AppendUint32(nil, family(six))
	case Loop:
		return binary.BigEndian.AppendUint32(nil, family(six))
	case Raw:
		return nil
	}
	h := []byte{2, 0, 0, 0, 0, byte(d.other()) + 1, 2, 0, 0, 0, 0, byte(d) + 1}
	if l == QinQ {
		h = be(be(h, 0x88a8), 200)
	}
	if l == QinQ || l == VLAN {
		h = be(be(h, 0x8100), 100)
	}
	return be(h, ether)
}

// sentOrReceived is the packet type of a cooked header (LINUX_SLL_OUTGOING or
// LINUX_SLL_HOST) as a host sees it that is the client.
func sentOrReceived(d dir) byte {
	if d == toServer {
		return 4
	}
	return 0
}

// family is AF_INET, or AF_INET6 as FreeBSD numbers it.
func family(six bool) uint32 {
	if six {
		return 28
	}
	return 2
}
