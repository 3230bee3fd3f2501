package filter

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"

	"mcp401/capture"
)

// A frame says where the parts of a packet lie in what a program sees.
type frame struct {
	family     family
	proto      uint32 // offset of the EtherType
	net        uint32 // offset of the network header
	tagOutside bool   // the outermost VLAN tag is not in the bytes
}

// A family is how a frame tells its network protocol.
type family uint8

const (
	byType    family = iota // an EtherType in the bytes
	byVersion               // the first nibble of the packet
	byKernel                // the kernel's word for it
)

var frames = map[capture.LinkType]frame{
	capture.LinkEthernet:  {byType, 12, 14, false},
	capture.LinkRaw:       {byVersion, 0, 0, false},
	capture.LinkIPv4:      {byVersion, 0, 0, false},
	capture.LinkIPv6:      {byVersion, 0, 0, false},
	capture.LinkLinuxSLL:  {byType, 14, 16, false},
	capture.LinkLinuxSLL2: {byType, 0, 20, false},
}

var kernel = map[capture.LinkType]frame{
	capture.LinkEthernet:  {byType, 12, 14, false},
	capture.LinkLinuxSLL2: {byKernel, 0, 0, false},
}

// EtherTypes and IP protocol numbers of the IEEE and IANA registries.
const (
	etherIPv4, etherARP, etherRARP, etherIPv6 = 0x0800, 0x0806, 0x8035, 0x86dd
	protoTCP, protoUDP, protoSCTP             = 6, 17, 132
	protoFragment                             = 44 // RFC 8200, 4.5
)

// A node is a part of an expression. It writes code that ends by jumping to
// one of the labels. Names of addresses are those of the registries.
type node interface {
	emit(c *code, f frame, yes, no label)
}

type (
	not    struct{ x node }
	both   struct{ a, b node }
	either struct{ a, b node }

	// A vlan holds when there is a tag, the depth'th from outside.
	vlan struct {
		depth int
		id    int // -1: any
	}
	// A leaf is a test of the packet behind depth VLAN tags.
	leaf struct {
		depth int
		write func(c *code, f frame, yes, no label)
	}
)

func (n not) emit(c *code, f frame, yes, no label) { n.x.emit(c, f, no, yes) }

func (n both) emit(c *code, f frame, yes, no label) {
	if c.full() {
		return
	}
	next := c.label()
	n.a.emit(c, f, next, no)
	c.place(next)
	n.b.emit(c, f, yes, no)
}

func (n either) emit(c *code, f frame, yes, no label) {
	if c.full() {
		return
	}
	next := c.label()
	n.a.emit(c, f, yes, next)
	c.place(next)
	n.b.emit(c, f, yes, no)
}

func (n leaf) emit(c *code, f frame, yes, no label) {
	if !c.full() {
		n.write(c, f.behind(n.depth), yes, no)
	}
}

func (n vlan) emit(c *code, f frame, yes, no label) {
	switch {
	case c.full():
	case f.family == byVersion:
		c.jump(no)
	case f.tagOutside && n.depth == 0:
		if n.id < 0 {
			c.jump(yes)
			return
		}
		load := []bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtVLANTag}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfff}}
		c.test(test{load, bpf.JumpEqual, uint32(n.id)}, yes, no)
	default:
		f = f.behind(n.depth)
		id := c.label()
		for _, tpid := range []uint32{0x8100, 0x88a8, 0x9100} {
			next := c.label()
			c.test(test{f.loadProto(), bpf.JumpEqual, tpid}, id, next)
			c.place(next)
		}
		c.jump(no)
		c.place(id)
		if n.id < 0 {
			c.jump(yes)
			return
		}
		load := []bpf.Instruction{bpf.LoadAbsolute{Off: f.net, Size: 2}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xfff}}
		c.test(test{load, bpf.JumpEqual, uint32(n.id)}, yes, no)
	}
}

func usesVLAN(n node) bool {
	switch n := n.(type) {
	case vlan:
		return true
	case not:
		return usesVLAN(n.x)
	case both:
		return usesVLAN(n.a) || usesVLAN(n.b)
	case either:
		return usesVLAN(n.a) || usesVLAN(n.b)
	}
	return false
}

// behind is the frame behind so many VLAN tags: each is four bytes, of which
// the last two are the next EtherType (IEEE 802.1Q, 9.3).
func (f frame) behind(tags int) frame {
	if f.tagOutside && tags > 0 {
		tags--
	}
	if tags > 0 && f.family != byVersion {
		f.family = byType
		f.proto = f.net + 4*uint32(tags) - 2
		f.net += 4 * uint32(tags)
	}
	return f
}

func (f frame) loadProto() []bpf.Instruction {
	if f.family == byKernel {
		return []bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtProto}}
	}
	return []bpf.Instruction{bpf.LoadAbsolute{Off: f.proto, Size: 2}}
}

// is tests the network protocol.
func (f frame) is(c *code, ether uint32, yes, no label) {
	if f.family != byVersion {
		c.test(test{f.loadProto(), bpf.JumpEqual, ether}, yes, no)
		return
	}
	version := map[uint32]uint32{etherIPv4: 0x40, etherIPv6: 0x60}[ether]
	if version == 0 {
		c.jump(no)
		return
	}
	load := []bpf.Instruction{bpf.LoadAbsolute{Off: f.net, Size: 1}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0}}
	c.test(test{load, bpf.JumpEqual, version}, yes, no)
}

func network(depth int, ether uint32) node {
	return leaf{depth, func(c *code, f frame, yes, no label) { f.is(c, ether, yes, no) }}
}

// bytesAt tests a part of the network packet, with a mask where it is not
// all ones.
func bytesAt(depth int, off uint32, size int, mask uint32, cond bpf.JumpTest, val uint32) node {
	return leaf{depth, func(c *code, f frame, yes, no label) {
		load := []bpf.Instruction{bpf.LoadAbsolute{Off: f.net + off, Size: size}}
		if mask != 0xffffffff {
			load = append(load, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask})
		}
		c.test(test{load, cond, val}, yes, no)
	}}
}

// length tests the length on the wire as the program is told it.
func length(cond bpf.JumpTest, val uint32) node {
	return leaf{0, func(c *code, _ frame, yes, no label) {
		c.test(test{[]bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtLen}}, cond, val}, yes, no)
	}}
}

// direction joins a test of the source and one of the destination.
func direction(d dir, src, dst node) node {
	switch d {
	case srcOnly:
		return src
	case dstOnly:
		return dst
	case srcAndDst:
		return both{src, dst}
	}
	return either{src, dst}
}

// ip4Proto holds for a packet of IPv4 with this protocol, every fragment too.
func ip4Proto(depth int, proto uint32) node {
	return both{network(depth, etherIPv4), bytesAt(depth, 9, 1, ^uint32(0), bpf.JumpEqual, proto)}
}

// ip6Proto looks behind a fragment header and, as libpcap, behind no other.
func ip6Proto(depth int, proto uint32) node {
	next := bytesAt(depth, 6, 1, ^uint32(0), bpf.JumpEqual, proto)
	fragment := both{
		bytesAt(depth, 6, 1, ^uint32(0), bpf.JumpEqual, protoFragment),
		bytesAt(depth, 40, 1, ^uint32(0), bpf.JumpEqual, proto),
	}
	return both{network(depth, etherIPv6), either{next, fragment}}
}

// ports holds for first fragments with a port in [lo, hi]; over IPv6 the
// transport header must follow at once, as libpcap has it.
func ports(depth int, protos []uint32, d dir, lo, hi uint32) node {
	over6 := leaf{depth, func(c *code, f frame, yes, no label) {
		at := func(off uint32) node { return between(bpf.LoadAbsolute{Off: f.net + off, Size: 2}, lo, hi) }
		both{oneOf(bpf.LoadAbsolute{Off: f.net + 6, Size: 1}, protos), direction(d, at(40), at(42))}.emit(c, f, yes, no)
	}}
	over4 := leaf{depth, func(c *code, f frame, yes, no label) {
		at := func(off uint32) node { return between(bpf.LoadIndirect{Off: f.net + off, Size: 2}, lo, hi) }
		first := leaf{0, func(c *code, _ frame, yes, no label) {
			c.test(test{[]bpf.Instruction{bpf.LoadAbsolute{Off: f.net + 6, Size: 2}}, bpf.JumpBitsNotSet, 0x1fff}, yes, no)
		}}
		header := leaf{0, func(c *code, _ frame, yes, _ label) {
			c.steps = append(c.steps, step{in: bpf.LoadMemShift{Off: f.net}})
			c.jump(yes)
		}}
		both{oneOf(bpf.LoadAbsolute{Off: f.net + 9, Size: 1}, protos), both{first, both{header, direction(d, at(0), at(2))}}}.emit(c, f, yes, no)
	}}
	return either{both{network(depth, etherIPv6), over6}, both{network(depth, etherIPv4), over4}}
}

func oneOf(load bpf.Instruction, values []uint32) node {
	var n node
	for _, v := range values {
		one := leaf{0, func(c *code, _ frame, yes, no label) {
			c.test(test{[]bpf.Instruction{load}, bpf.JumpEqual, v}, yes, no)
		}}
		if n == nil {
			n = one
		} else {
			n = either{n, one}
		}
	}
	return n
}

func between(load bpf.Instruction, lo, hi uint32) node {
	loads := []bpf.Instruction{load}
	if lo == hi {
		return leaf{0, func(c *code, _ frame, yes, no label) { c.test(test{loads, bpf.JumpEqual, lo}, yes, no) }}
	}
	return leaf{0, func(c *code, _ frame, yes, no label) {
		next := c.label()
		c.test(test{loads, bpf.JumpGreaterOrEqual, lo}, next, no)
		c.place(next)
		c.test(test{nil, bpf.JumpLessOrEqual, hi}, yes, no)
	}}
}

// addresses tests the addresses of a packet against a prefix. Without a
// network protocol IPv4 stands for ARP and RARP too, as in libpcap.
func addresses(depth int, ether uint32, d dir, p netip.Prefix) node {
	if p.Addr().Is6() {
		return both{network(depth, etherIPv6), direction(d, prefix6(depth, 8, p), prefix6(depth, 24, p))}
	}
	in := func(ether, src, dst uint32) node {
		return both{network(depth, ether), direction(d, prefix4(depth, src, p), prefix4(depth, dst, p))}
	}
	ip, arp, rarp := in(etherIPv4, 12, 16), in(etherARP, 14, 24), in(etherRARP, 14, 24)
	switch ether {
	case etherIPv4:
		return ip
	case etherARP:
		return arp
	case etherRARP:
		return rarp
	}
	return either{ip, either{arp, rarp}}
}

func prefix4(depth int, off uint32, p netip.Prefix) node {
	if p.Bits() == 0 {
		return always{}
	}
	a := p.Addr().As4()
	return bytesAt(depth, off, 4, ^uint32(0)<<(32-p.Bits()), bpf.JumpEqual, binary.BigEndian.Uint32(a[:]))
}

func prefix6(depth int, off uint32, p netip.Prefix) node {
	a := p.Addr().As16()
	var n node = always{}
	for i := 0; i*32 < p.Bits(); i++ {
		mask := ^uint32(0) << max(0, 32*(i+1)-p.Bits())
		n = both{n, bytesAt(depth, off+4*uint32(i), 4, mask, bpf.JumpEqual, binary.BigEndian.Uint32(a[4*i:]))}
	}
	return n
}

// always holds.
type always struct{}

func (always) emit(c *code, _ frame, yes, _ label) { c.jump(yes) }
