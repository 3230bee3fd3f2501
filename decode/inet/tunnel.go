package inet

import (
	"encoding/binary"
	"net/netip"
)

// inner enters a tunnel between the addresses of the IP header read last.
// They become part of the path in whatever order, so that both directions of
// an inner connection are one flow.
func (d *Decoder) inner(l *layer) bool {
	if !d.deeper(l) {
		return false
	}
	d.miss = notIP
	l.path = mix(l.path, pathOuter, fold(d.outer[0])^fold(d.outer[1]))
	return true
}

// fold hashes an address.
func fold(a netip.Addr) uint64 {
	b := a.As16()
	h := binary.BigEndian.Uint64(b[:])*0x9e3779b97f4a7c15 ^ binary.BigEndian.Uint64(b[8:])
	h = (h ^ h>>29) * 0xbf58476d1ce4e5b9
	return h ^ h>>32
}

// gre reads RFC 2784, the key and sequence number of RFC 2890, and the
// acknowledgment number of RFC 2637 (PPTP).
func (d *Decoder) gre(l layer) bool {
	b := l.b
	if len(b) < 4 {
		return d.fail(truncated)
	}
	flags, t := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	const checksum, routing, key, sequence, acknowledgment = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080
	size := 4
	if flags&(checksum|routing) != 0 {
		size += 4
	}
	keyAt := size
	if flags&key != 0 {
		size += 4
	}
	if flags&sequence != 0 {
		size += 4
	}
	pptp := flags&7 == 1
	if pptp && flags&acknowledgment != 0 {
		size += 4
	}
	if len(b) < size || flags&routing != 0 { // source routes are deprecated since RFC 2784
		return d.fail(truncated)
	}
	if !d.inner(&l) {
		return false
	}
	if flags&key != 0 && !pptp { // PPTP's call id differs by direction
		l.path = mix(l.path, pathGRE, uint64(binary.BigEndian.Uint32(b[keyAt:])))
	}
	l = l.skip(size)
	switch t {
	case typeERSP2:
		if flags&sequence == 0 { // ERSPAN I has no header of its own
			return d.ethernet(l)
		}
		return d.erspan(l, 8)
	case typeERSP3:
		return d.erspan(l, 12)
	}
	return d.ether(t, l)
}

// erspan reads the mirroring header, types II and III.
func (d *Decoder) erspan(l layer, size int) bool {
	if len(l.b) < size {
		return d.fail(truncated)
	}
	l.path = mix(l.path, pathERSPAN, uint64(binary.BigEndian.Uint16(l.b[2:])&0x3ff))
	if size == 12 && l.b[11]&1 != 0 { // a platform specific subheader
		size += 8
		if len(l.b) < size {
			return d.fail(truncated)
		}
	}
	return d.ethernet(l.skip(size))
}

// Ports of tunnels in UDP.
const (
	portVXLAN    = 4789 // RFC 7348
	portVXLANold = 8472 // Linux before the port was assigned
	portVXLANgpe = 4790
	portGeneve   = 6081 // RFC 8926
	portGTP      = 2152 // 3GPP TS 29.281
	portTeredo   = 3544 // RFC 4380
	portAYIYA    = 5072
	portQUIC     = 443 // HTTP/3
)

func (d *Decoder) udp(l layer) bool {
	if len(l.b) < 8 {
		return d.fail(truncated)
	}
	src, dst := binary.BigEndian.Uint16(l.b), binary.BigEndian.Uint16(l.b[2:])
	l = l.skip(8)
	d.miss = notTCP
	switch {
	case dst == portVXLAN || dst == portVXLANold || dst == portVXLANgpe:
		return d.vxlan(l, dst == portVXLANgpe)
	case dst == portGeneve:
		return d.geneve(l)
	case dst == portGTP || src == portGTP:
		return d.gtp(l)
	case dst == portTeredo || src == portTeredo:
		return d.teredo(l)
	case dst == portAYIYA || src == portAYIYA:
		return d.ayiya(l)
	case dst == portQUIC && d.QUIC != nil:
		d.QUIC(d.at, l.b)
	}
	return d.fail(notTCP)
}

func (d *Decoder) vxlan(l layer, gpe bool) bool {
	if len(l.b) < 8 || l.b[0]&8 == 0 { // without the I flag it is something else
		return d.fail(notTCP)
	}
	next := l.b[3]
	vni := binary.BigEndian.Uint32(l.b[4:]) >> 8
	l = l.skip(8)
	if !d.inner(&l) {
		return false
	}
	l.path = mix(l.path, pathVXLAN, uint64(vni))
	if gpe && next != 3 {
		return d.ip(l)
	}
	return d.ethernet(l)
}

func (d *Decoder) geneve(l layer) bool {
	if len(l.b) < 8 || l.b[0]>>6 != 0 {
		return d.fail(notTCP)
	}
	size := 8 + int(l.b[0]&0x3f)*4
	if len(l.b) < size {
		return d.fail(truncated)
	}
	t, vni := binary.BigEndian.Uint16(l.b[2:]), binary.BigEndian.Uint32(l.b[4:])>>8
	l = l.skip(size)
	if !d.inner(&l) {
		return false
	}
	l.path = mix(l.path, pathGeneve, uint64(vni))
	return d.ether(t, l)
}

// gtp reads a G-PDU. Its tunnel endpoint is not part of the path: the two
// directions have different ones.
func (d *Decoder) gtp(l layer) bool {
	b := l.b
	if len(b) < 8 || b[0]&0xf0 != 0x30 || b[1] != 255 { // version 1, GTP and not GTP', user data
		return d.fail(notTCP)
	}
	size := 8
	if b[0]&7 != 0 { // sequence number, N-PDU number and extension type are there together
		if size = 12; len(b) < size {
			return d.fail(truncated)
		}
		next := byte(0)
		if b[0]&4 != 0 {
			next = b[11]
		}
		for next != 0 {
			if len(b) <= size || b[size] == 0 || len(b) < size+int(b[size])*4 {
				return d.fail(truncated)
			}
			size += int(b[size]) * 4
			next = b[size-1]
		}
	}
	l = l.skip(size)
	return d.inner(&l) && d.ip(l)
}

// teredo skips the authentication and origin indications (RFC 4380 section
// 5.1.1). The outer addresses are not part of the path: the directions may go
// by different relays, and the inner addresses are globally unique.
func (d *Decoder) teredo(l layer) bool {
	for range 2 {
		if len(l.b) < 4 {
			return d.fail(notTCP)
		}
		switch binary.BigEndian.Uint16(l.b) {
		case 0: // origin
			if len(l.b) < 8 {
				return d.fail(truncated)
			}
			l = l.skip(8)
		case 1: // authentication: two lengths, then the fields and nine more bytes
			size := 13 + int(l.b[2]) + int(l.b[3])
			if len(l.b) < size {
				return d.fail(truncated)
			}
			l = l.skip(size)
		}
	}
	return d.maybeIPv6(l)
}

// maybeIPv6 enters an IPv6 packet if it is one in all likelihood.
func (d *Decoder) maybeIPv6(l layer) bool {
	if !plausibleIP(l) || l.b[0]>>4 != 6 {
		return d.fail(notTCP)
	}
	return d.deeper(&l) && d.ip(l)
}

// ayiya skips the header of draft-massar-v6ops-ayiya.
func (d *Decoder) ayiya(l layer) bool {
	if len(l.b) < 8 {
		return d.fail(notTCP)
	}
	const forward = 1
	size := 8 + 1<<(l.b[0]>>4) + int(l.b[1]>>4)*4
	if l.b[2]&15 != forward || l.b[3] != protoIPv6 || len(l.b) < size {
		return d.fail(notTCP)
	}
	return d.maybeIPv6(l.skip(size))
}
