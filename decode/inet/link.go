package inet

import (
	"encoding/binary"
	"fmt"

	"mcp401/capture"
	"mcp401/decode"
)

// EtherTypes.
const (
	typeIPv4  = 0x0800
	typeIPv6  = 0x86dd
	typeVLAN  = 0x8100 // IEEE 802.1Q
	typeQinQ  = 0x88a8 // IEEE 802.1ad
	typeQinQ1 = 0x9100 // QinQ before its standard
	typeQinQ2 = 0x9200
	typeMPLS  = 0x8847
	typeMPLSm = 0x8848
	typePPPoE = 0x8864 // RFC 2516, session stage
	typePPP   = 0x880b
	typeTEB   = 0x6558 // transparent Ethernet bridging
	typeERSP2 = 0x88be
	typeERSP3 = 0x22eb
	typeLLC   = 0x0004 // in Linux cooked captures: IEEE 802.2 frames
)

// Kinds of path elements; part of the hash, so that VLAN 5 is not VNI 5.
const (
	pathVLAN = iota + 1
	pathPPPoE
	pathGRE
	pathERSPAN
	pathVXLAN
	pathGeneve
	pathOuter
)

// mix adds an element of the way to the hash (FNV-1a by words, then a
// finalizer, so that small identifiers spread).
func mix(path uint64, kind, value uint64) uint64 {
	h := path ^ 0xcbf29ce484222325
	h = (h ^ kind) * 0x100000001b3
	h = (h ^ value) * 0x9e3779b97f4a7c15
	h ^= h >> 32
	if h == 0 {
		h = 1
	}
	return h
}

// link reads the link header. To decode one more link type, add its case here
// and drop its name from linkNames.
func (d *Decoder) link(t capture.LinkType, l layer) bool {
	switch t {
	case capture.LinkEthernet:
		return d.ethernet(l)
	case capture.LinkNull, capture.LinkLoop:
		return d.loopback(l, t == capture.LinkLoop)
	case capture.LinkRaw, 12, 14: // 12 and 14: LINKTYPE_RAW as some systems wrote their own DLT_RAW
		return d.ip(l)
	case capture.LinkIPv4, capture.LinkIPv6:
		return d.ip(l)
	case capture.LinkLinuxSLL:
		return d.cooked(l, 16, 14)
	case capture.LinkLinuxSLL2:
		return d.cooked(l, 20, 0)
	case capture.LinkPPP, 50: // 50: PPP in HDLC-like framing
		return d.ppp(l)
	case 51: // PPPoE without its Ethernet header
		return d.pppoe(l)
	case 104: // Cisco HDLC: address, control, EtherType
		return d.cooked(l, 4, 2)
	case 129: // ARCNET as Linux delivers it: source, destination, offset
		return d.arcnet(l, 4)
	case 7: // ARCNET as BSD delivers it
		return d.arcnet(l, 2)
	case 219: // MPLS with the label stack first
		return d.mpls(l)
	case capture.LinkIEEE80211:
		return d.wlan(l, false)
	case capture.LinkRadiotap:
		return d.radiotap(l)
	case 119: // Prism monitor mode header
		return d.prism(l)
	case 163: // AVS monitor mode header
		return d.avs(l)
	case capture.LinkPPI:
		return d.ppi(l)
	case capture.LinkNFLog:
		return d.nflog(l)
	case 149, 258: // Apple packet tap: as DLT_USER2, and registered
		return d.pktap(l)
	}
	d.unknown(t)
	return d.fail(linkType)
}

// linkNames names link types that captures are likely to have and that hold
// no TCP that can be followed.
var linkNames = map[capture.LinkType]string{
	6: "token ring", 8: "SLIP", 10: "FDDI", 100: "ATM", 107: "frame relay", 114: "LocalTalk", 117: "pf log", 122: "IP over fibre channel",
	138: "IP over FireWire", 143: "DOCSIS", 147: "private use 0", 148: "private use 1", 165: "BACnet MS/TP", 177: "LAPD", 187: "Bluetooth HCI H4",
	189: "USB, Linux", 190: "CAN", 195: "IEEE 802.15.4", 197: "Endace ERF", 201: "Bluetooth HCI H4 with direction", 209: "IPMB", 220: "USB, Linux mmapped",
	224: "fibre channel", 227: "CAN, SocketCAN", 230: "IEEE 802.15.4 without FCS", 231: "D-Bus", 242: "IP over InfiniBand", 243: "MPEG transport stream",
	245: "NFC LLCP", 247: "InfiniBand", 248: "SCTP", 249: "USB, USBPcap", 251: "Bluetooth low energy", 252: "Wireshark upper PDU", 253: "netlink",
	254: "Bluetooth, Linux monitor", 256: "Bluetooth low energy with RF info", 266: "USB, macOS", 272: "nordic BLE", 283: "IEEE 802.15.4 TAP", 288: "USB 2.0",
}

func (d *Decoder) unknown(t capture.LinkType) {
	if d.told[t] {
		return
	}
	d.told[t] = true
	name := linkNames[t]
	if name == "" {
		name = "unknown"
	}
	d.note(decode.Note{Code: "inet/link-type", At: d.at, N: int(t), Text: fmt.Sprintf("packets of link type %d (%s) are not decoded", t, name)})
}

func (d *Decoder) ethernet(l layer) bool {
	if len(l.b) < 14 {
		return d.fail(truncated)
	}
	return d.ether(binary.BigEndian.Uint16(l.b[12:]), l.skip(14))
}

// ether goes on behind an EtherType.
func (d *Decoder) ether(t uint16, l layer) bool {
	for {
		switch t {
		case typeIPv4, typeIPv6:
			return d.ip(l)
		case typeVLAN, typeQinQ, typeQinQ1, typeQinQ2:
			if len(l.b) < 4 {
				return d.fail(truncated)
			}
			if !d.deeper(&l) {
				return false
			}
			// VLAN 0 is a bare priority mark.
			if id := binary.BigEndian.Uint16(l.b) & 0xfff; id != 0 {
				l.path = mix(l.path, pathVLAN, uint64(id))
			}
			t, l = binary.BigEndian.Uint16(l.b[2:]), l.skip(4)
			continue
		case typeMPLS, typeMPLSm:
			return d.mpls(l)
		case typePPPoE:
			return d.pppoe(l)
		case typePPP:
			return d.ppp(l)
		case typeTEB:
			return d.ethernet(l)
		}
		if t == typeLLC || t < 0x600 {
			return d.llc(l)
		}
		return d.fail(notIP)
	}
}

// llc reads IEEE 802.2 with a SNAP header (RFC 1042).
func (d *Decoder) llc(l layer) bool {
	b := l.b
	if len(b) < 8 || b[0] != 0xaa || b[1] != 0xaa || b[2] != 3 {
		return d.fail(notIP)
	}
	t := binary.BigEndian.Uint16(b[6:])
	if t < 0x600 {
		return d.fail(notIP)
	}
	return d.ether(t, l.skip(8))
}

// loopback reads the address family of BSD's loopback. NULL has it in the byte
// order of the machine that wrote the file, LOOP in network order.
func (d *Decoder) loopback(l layer, network bool) bool {
	if len(l.b) < 4 {
		return d.fail(truncated)
	}
	family := binary.BigEndian.Uint32(l.b)
	if !network && family > 0xffff {
		family = binary.LittleEndian.Uint32(l.b)
	}
	switch family {
	case 2, 10, 24, 28, 30: // IPv4; IPv6 as Linux, NetBSD, FreeBSD and macOS number it
		return d.ip(l.skip(4))
	}
	return d.fail(notIP)
}

// cooked reads a header of fixed size with an EtherType in it.
func (d *Decoder) cooked(l layer, size, at int) bool {
	if len(l.b) < size {
		return d.fail(truncated)
	}
	return d.ether(binary.BigEndian.Uint16(l.b[at:]), l.skip(size))
}

// arcnet reads RFC 1201 headers; exceptions and split packets are left out.
func (d *Decoder) arcnet(l layer, at int) bool {
	if len(l.b) < at+4 {
		return d.fail(truncated)
	}
	switch l.b[at] {
	case 0xd4, 0xc4: // IPv4, IPv6
		if l.b[at+1] == 0 {
			return d.ip(l.skip(at + 4))
		}
	case 0xf0: // IPv4 after RFC 1051, without a split flag
		return d.ip(l.skip(at + 1))
	}
	return d.fail(notIP)
}

// ppp reads the protocol field, compressed or not, behind address and control
// octets if they are there (RFC 1661 section 2, RFC 1662 section 3.1).
func (d *Decoder) ppp(l layer) bool {
	if len(l.b) >= 2 && l.b[0] == 0xff && l.b[1] == 3 {
		l = l.skip(2)
	}
	if len(l.b) < 2 {
		return d.fail(truncated)
	}
	proto, n := uint16(l.b[0]), 1
	if proto&1 == 0 {
		proto, n = binary.BigEndian.Uint16(l.b), 2
	}
	l = l.skip(n)
	switch proto {
	case 0x21, 0x57:
		return d.ip(l)
	case 0x281, 0x283:
		return d.mpls(l)
	}
	return d.fail(notIP)
}

func (d *Decoder) pppoe(l layer) bool {
	if len(l.b) < 6 {
		return d.fail(truncated)
	}
	if l.b[1] != 0 { // a discovery packet
		return d.fail(notIP)
	}
	if !d.deeper(&l) {
		return false
	}
	l.path = mix(l.path, pathPPPoE, uint64(binary.BigEndian.Uint16(l.b[2:])))
	return d.ppp(l.skip(6))
}

// mpls skips the label stack (RFC 3032). Nothing tells what follows: it is IP
// by its version nibble, else an Ethernet pseudowire, whose control word
// begins with a zero nibble (RFC 4385, RFC 4928). Labels are not part of the
// path, because the two directions of a flow have different ones.
func (d *Decoder) mpls(l layer) bool {
	for {
		if len(l.b) < 5 {
			return d.fail(truncated)
		}
		last := l.b[2]&1 != 0
		if l = l.skip(4); last {
			break
		}
	}
	if !d.deeper(&l) {
		return false
	}
	switch l.b[0] >> 4 {
	case 4, 6:
		// A pseudowire without control word to a station whose address
		// begins with 4 or 6 looks the same; a known EtherType tells it.
		if !plausibleIP(l) && len(l.b) >= 14 && knownEther(binary.BigEndian.Uint16(l.b[12:])) {
			return d.ethernet(l)
		}
		return d.ip(l)
	case 0:
		if len(l.b) >= 18 && knownEther(binary.BigEndian.Uint16(l.b[16:])) {
			return d.ethernet(l.skip(4))
		}
	}
	return d.ethernet(l)
}

func knownEther(t uint16) bool {
	switch t {
	case typeIPv4, typeIPv6, typeVLAN, typeQinQ, typeQinQ1, typeMPLS, typePPPoE:
		return true
	}
	return false
}

// plausibleIP reports whether an IP header agrees with the bytes behind it.
func plausibleIP(l layer) bool {
	have := len(l.b) + l.cut
	switch {
	case len(l.b) >= 20 && l.b[0]>>4 == 4:
		n := int(binary.BigEndian.Uint16(l.b[2:]))
		return l.b[0]&15 >= 5 && n <= have && n >= 20
	case len(l.b) >= 40 && l.b[0]>>4 == 6:
		return int(binary.BigEndian.Uint16(l.b[4:])) <= have-40
	}
	return false
}

// wlan reads an IEEE 802.11 data frame in clear text.
func (d *Decoder) wlan(l layer, padded bool) bool {
	b := l.b
	if len(b) < 24 {
		return d.fail(truncated)
	}
	// Data frames are type 2; subtype bit 2 means that there is no data.
	if b[0]&0x0f != 0x08 || b[0]&0x40 != 0 || b[1]&0x40 != 0 {
		return d.fail(notIP)
	}
	size := 24
	if b[1]&3 == 3 { // a fourth address between access points
		size += 6
	}
	aggregate := false
	if b[0]&0x80 != 0 { // QoS control
		if len(b) < size+2 {
			return d.fail(truncated)
		}
		aggregate = b[size]&0x80 != 0
		size += 2
		if b[1]&0x80 != 0 { // HT control
			size += 4
		}
	}
	if padded {
		size = (size + 3) &^ 3
	}
	if aggregate { // the first subframe of an A-MSDU: two addresses and a length
		size += 14
	}
	if len(b) < size {
		return d.fail(truncated)
	}
	return d.llc(l.skip(size))
}

// radiotap skips its header; the flags field tells whether the frame header is
// padded to four bytes.
func (d *Decoder) radiotap(l layer) bool {
	b := l.b
	if len(b) < 8 {
		return d.fail(truncated)
	}
	size := int(binary.LittleEndian.Uint16(b[2:]))
	if size < 8 || size > len(b) {
		return d.fail(truncated)
	}
	present, at := binary.LittleEndian.Uint32(b[4:]), 8
	for more := present; more&(1<<31) != 0; at += 4 {
		if at+4 > size {
			return d.fail(truncated)
		}
		more = binary.LittleEndian.Uint32(b[at:])
	}
	if present&1 != 0 { // TSFT, aligned to eight bytes
		at = (at+7)&^7 + 8
	}
	padded := present&2 != 0 && at < size && b[at]&0x20 != 0
	return d.wlan(l.skip(size), padded)
}

func (d *Decoder) prism(l layer) bool {
	b := l.b
	if len(b) < 8 {
		return d.fail(truncated)
	}
	if binary.BigEndian.Uint32(b)&^3 == 0x80211000 { // an AVS header under the link type of Prism
		return d.avs(l)
	}
	size := binary.LittleEndian.Uint32(b[4:])
	if size > 0xffff {
		size = binary.BigEndian.Uint32(b[4:])
	}
	if size < 8 || int64(size) > int64(len(b)) {
		return d.fail(truncated)
	}
	return d.wlan(l.skip(int(size)), false)
}

func (d *Decoder) avs(l layer) bool {
	if len(l.b) < 8 {
		return d.fail(truncated)
	}
	size := binary.BigEndian.Uint32(l.b[4:])
	if size < 8 || int64(size) > int64(len(l.b)) {
		return d.fail(truncated)
	}
	return d.wlan(l.skip(int(size)), false)
}

// ppi skips Per-Packet Information; the link type inside stands in its header.
func (d *Decoder) ppi(l layer) bool {
	if len(l.b) < 8 {
		return d.fail(truncated)
	}
	size := int(binary.LittleEndian.Uint16(l.b[2:]))
	inner := binary.LittleEndian.Uint32(l.b[4:])
	if size < 8 || size > len(l.b) {
		return d.fail(truncated)
	}
	return d.inside(inner, l.skip(size))
}

// pktap skips the header of Apple's packet tap: its length, a record type, and
// the link type inside.
func (d *Decoder) pktap(l layer) bool {
	if len(l.b) < 12 {
		return d.fail(truncated)
	}
	size := binary.LittleEndian.Uint32(l.b)
	inner := binary.LittleEndian.Uint32(l.b[8:])
	if size < 12 || int64(size) > int64(len(l.b)) {
		return d.fail(truncated)
	}
	return d.inside(inner, l.skip(int(size)))
}

// inside goes on with a link type that stood in a header.
func (d *Decoder) inside(t uint32, l layer) bool {
	if t > 0xffff {
		return d.fail(notIP)
	}
	if !d.deeper(&l) {
		return false
	}
	return d.link(capture.LinkType(t), l)
}

// nflog looks for the payload among the attributes of a netfilter log message.
// Their lengths and types are in the byte order of the machine that wrote them.
func (d *Decoder) nflog(l layer) bool {
	if len(l.b) < 4 {
		return d.fail(truncated)
	}
	l = l.skip(4)
	for len(l.b) >= 4 {
		n, t := int(binary.LittleEndian.Uint16(l.b)), binary.LittleEndian.Uint16(l.b[2:])
		if n > len(l.b)+l.cut || t > 0xff {
			n, t = int(binary.BigEndian.Uint16(l.b)), binary.BigEndian.Uint16(l.b[2:])
		}
		const payload = 9
		switch {
		case n < 4 || n > len(l.b)+l.cut:
			return d.fail(truncated)
		case t&0x7fff == payload:
			return d.ip(l.skip(4))
		}
		n = (n + 3) &^ 3
		if n > len(l.b) {
			return d.fail(truncated)
		}
		l = l.skip(n)
	}
	return d.fail(notIP)
}
