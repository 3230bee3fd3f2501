package inet

import (
	"encoding/binary"
	"net/netip"
)

// IP protocol numbers, and IPv6 extension headers among them.
const (
	protoHop      = 0
	protoIPv4     = 4
	protoTCP      = 6
	protoUDP      = 17
	protoICMP     = 1
	protoICMPv6   = 58
	protoIPv6     = 41
	protoRouting  = 43
	protoFragment = 44
	protoGRE      = 47
	protoAH       = 51
	protoDest     = 60
	protoEtherIP  = 97
	protoMPLS     = 137
	protoMobility = 135
	protoHIP      = 139
	protoShim6    = 140
)

// ip tells the version by the first nibble, whatever the header before said.
func (d *Decoder) ip(l layer) bool {
	if len(l.b) == 0 {
		return d.fail(truncated)
	}
	switch l.b[0] >> 4 {
	case 4:
		return d.ipv4(l)
	case 6:
		return d.ipv6(l)
	}
	return d.fail(notIP)
}

// trim cuts a layer to the n bytes that a length field claims. What was
// captured beyond is padding; what the claim has beyond was cut off.
func (l *layer) trim(n int) {
	if n <= len(l.b) {
		l.b, l.cut = l.b[:n], 0
		return
	}
	l.cut = n - len(l.b)
}

func (d *Decoder) ipv4(l layer) bool {
	b := l.b
	if len(b) < 20 {
		return d.fail(truncated)
	}
	size, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if size < 20 || size > len(b) {
		return d.fail(truncated)
	}
	switch {
	case total == 0: // segmentation offload: the packet was longer than the field can say
	case total < size:
		return d.fail(truncated)
	default:
		l.trim(total)
	}
	src := netip.AddrFrom4([4]byte(b[12:16]))
	dst := netip.AddrFrom4([4]byte(b[16:20]))
	proto := b[9]
	if flags := binary.BigEndian.Uint16(b[6:]); flags&0x3fff != 0 {
		id := uint32(binary.BigEndian.Uint16(b[4:]))
		l = l.skip(size)
		var ok bool
		l, ok = d.frags.add(d, l, fragmentKey{src, dst, l.path, id, proto}, int(flags&0x1fff)*8, flags&0x2000 != 0)
		if !ok {
			return d.fail(fragment)
		}
		return d.transport(proto, l, src, dst)
	}
	l = l.skip(size)
	if proto == protoTCP {
		return d.tcp(l, src, dst)
	}
	return d.transport(proto, l, src, dst)
}

func (d *Decoder) ipv6(l layer) bool {
	b := l.b
	if len(b) < 40 {
		return d.fail(truncated)
	}
	src := netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	dst := netip.AddrFrom16([16]byte(b[24:40])).Unmap()
	total, next := int(binary.BigEndian.Uint16(b[4:])), b[6]
	l = l.skip(40)
	if total != 0 { // 0: a jumbogram (RFC 2675) or segmentation offload
		l.trim(total)
	}
	if next == protoTCP {
		return d.tcp(l, src, dst)
	}
	return d.extensions(next, l, src, dst)
}

// extensions walks the chain of IPv6 extension headers (RFC 8200 section 4).
// Each is at least eight bytes long, which bounds the walk.
func (d *Decoder) extensions(next byte, l layer, src, dst netip.Addr) bool {
	for {
		var size int
		switch next {
		case protoHop, protoRouting, protoDest, protoMobility, protoHIP, protoShim6:
			if len(l.b) < 8 {
				return d.fail(truncated)
			}
			size = int(l.b[1])*8 + 8
		case protoAH: // RFC 4302: its length is in other units
			if len(l.b) < 8 {
				return d.fail(truncated)
			}
			size = int(l.b[1])*4 + 8
		case protoFragment:
			return d.fragment6(l, src, dst)
		default:
			return d.transport(next, l, src, dst)
		}
		if size > len(l.b) {
			return d.fail(truncated)
		}
		if next == protoHop {
			l = jumbo(l, size)
		}
		next, l = l.b[0], l.skip(size)
	}
}

// jumbo applies the jumbo payload option (RFC 2675) of a hop-by-hop header.
// Its length counts from the hop-by-hop header on and is believed only as far
// as the packet on the wire was long.
func jumbo(l layer, size int) layer {
	opts := l.b[2:size]
	for len(opts) >= 2 {
		if opts[0] == 0 { // Pad1
			opts = opts[1:]
			continue
		}
		n := int(opts[1]) + 2
		if n > len(opts) {
			return l
		}
		if opts[0] == 0xc2 && n == 6 {
			if total := int64(binary.BigEndian.Uint32(opts[2:])); total >= int64(size) && total < int64(len(l.b)+l.cut) {
				l.trim(int(total))
			}
			return l
		}
		opts = opts[n:]
	}
	return l
}

func (d *Decoder) fragment6(l layer, src, dst netip.Addr) bool {
	if len(l.b) < 8 {
		return d.fail(truncated)
	}
	next, place, id := l.b[0], binary.BigEndian.Uint16(l.b[2:]), binary.BigEndian.Uint32(l.b[4:])
	l = l.skip(8)
	if place&^6 != 0 { // else an atomic fragment: whole in itself (RFC 6946)
		var ok bool
		l, ok = d.frags.add(d, l, fragmentKey{src, dst, l.path, id, protoFragment}, int(place&^7), place&1 != 0)
		if !ok {
			return d.fail(fragment)
		}
	}
	// A second fragment header inside is read again, but never loops: it is
	// eight bytes further.
	return d.extensions(next, l, src, dst)
}

// transport goes on behind IP.
func (d *Decoder) transport(proto byte, l layer, src, dst netip.Addr) bool {
	d.outer = [2]netip.Addr{src, dst}
	switch proto {
	case protoTCP:
		return d.tcp(l, src, dst)
	case protoUDP:
		return d.udp(l)
	case protoICMP, protoICMPv6:
		return d.icmp(proto, l)
	case protoIPv4, protoIPv6:
		return d.inner(&l) && d.ip(l)
	case protoGRE:
		return d.gre(l)
	case protoEtherIP: // RFC 3378: two bytes, then a frame
		if len(l.b) < 2 {
			return d.fail(truncated)
		}
		l = l.skip(2)
		return d.inner(&l) && d.ethernet(l)
	case protoMPLS:
		return d.inner(&l) && d.mpls(l)
	case protoAH:
		if len(l.b) < 8 || int(l.b[1])*4+8 > len(l.b) {
			return d.fail(truncated)
		}
		return d.extensions(l.b[0], l.skip(int(l.b[1])*4+8), src, dst)
	}
	return d.fail(notTCP)
}
