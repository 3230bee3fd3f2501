package capture

import (
	"encoding/binary"
	"io"
	"math"
	"math/bits"
	"time"
)

// The block types and options of pcapng (draft-ietf-opsawg-pcapng) that are
// read; all others are skipped.
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockObsolete   = 2
	blockSimple     = 3
	blockStatistics = 5
	blockEnhanced   = 6
	blockSecrets    = 10

	optionEnd          = 0
	optionDropCount    = 4  // of an enhanced packet block
	optionReceivedDrop = 5  // of an interface statistics block: dropped by the interface
	optionSystemDrop   = 7  // of an interface statistics block: dropped by the system
	optionResolution   = 9  // of an interface description block
	optionOffset       = 14 // of an interface description block

	secretsTLS = 0x544c534b
)

const (
	byteOrderMagic = 0x1a2b3c4d
	minBlock       = 12
	minSection     = 28
)

// A pcapng reads pcapng files. Its packets lie in the window's buffer.
type pcapng struct {
	in         *input
	swap       bool // the section is big-endian
	interfaces []iface
	base       int       // interfaces of earlier sections
	last       time.Time // of the last packet, for those that have none
	used       int       // bytes of the window that the last record was made of
	ended      bool

	packet  Packet
	secret  Secret
	loss    Loss
	pending Record // to be returned by the next call: a packet behind its loss, a second loss
	next    Loss   // of pending
}

// An iface is what an interface description block says, and what was dropped.
type iface struct {
	link     LinkType
	snap     uint32
	unit     uint64 // parts of a second that the time stamps count
	offset   int64  // seconds
	told     uint64 // drops that packets told of since the last statistics
	hardware uint64 // running totals of the last statistics
	system   uint64
}

func newPcapng(in *input) (Source, error) {
	p := &pcapng{in: in}
	h := in.peek(minSection)
	if len(h) < minSection {
		return nil, in.cutHeader("pcapng", len(h), minSection)
	}
	if !p.byteOrder(h) {
		return nil, &Error{Name: in.name, Text: "damaged pcapng header: byte-order magic missing at offset 8", Hint: "record or copy it again", Err: ErrDamaged}
	}
	return p, nil
}

// byteOrder takes the section's byte order from the head of its first block.
func (p *pcapng) byteOrder(h []byte) bool {
	switch binary.LittleEndian.Uint32(h[8:]) {
	case byteOrderMagic:
		p.swap = false
	case bits.ReverseBytes32(byteOrderMagic):
		p.swap = true
	default:
		return false
	}
	return true
}

func (p *pcapng) u64(b []byte) uint64 {
	v := binary.LittleEndian.Uint64(b)
	if p.swap {
		return bits.ReverseBytes64(v)
	}
	return v
}

func (p *pcapng) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if p.swap {
		return bits.ReverseBytes32(v)
	}
	return v
}

func (p *pcapng) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if p.swap {
		return bits.ReverseBytes16(v)
	}
	return v
}

func (p *pcapng) Next() (Record, error) {
	if rec := p.pending; rec.Packet != nil || rec.Loss != nil {
		p.pending = Record{}
		return rec, nil
	}
	for !p.ended {
		p.in.skip(p.used)
		p.used = 0
		kind, b := p.block()
		if b == nil {
			continue
		}
		rec, ok := p.record(kind, b)
		if ok {
			return rec, nil
		}
	}
	return Record{}, io.EOF
}

func (p *pcapng) Close() error { return nil }

// block returns the type and the body of the next block, nil where there is no
// more or it was left out.
func (p *pcapng) block() (kind uint32, body []byte) {
	h := p.in.peek(minBlock)
	if len(h) < minBlock {
		p.cut(len(h))
		return 0, nil
	}
	if binary.LittleEndian.Uint32(h) == blockSection && !p.byteOrder(h) {
		p.stop("at offset %d: byte-order magic of the section missing", p.in.offset())
		return 0, nil
	}
	kind, length := p.u32(h), int64(p.u32(h[4:]))
	size := (length + 3) &^ 3
	switch {
	case length < minBlock:
		p.stop("block at offset %d: length %d is less than %d", p.in.offset(), length, minBlock)
		return 0, nil
	case size > int64(p.in.opt.MaxPacket):
		p.tooBig(kind, size)
		return 0, nil
	case size != length:
		var ok bool
		if size, ok = p.unaligned(length); !ok {
			return 0, nil
		}
	}
	b := p.in.peek(int(size))
	if len(b) < int(size) {
		p.cut(len(b))
		return 0, nil
	}
	p.used = int(size)
	if trailer := p.u32(b[size-4:]); int64(trailer) != length {
		p.warn("pcapng/bad-block", 0, "block at offset %d: its lengths differ, %d and %d; the first is used", p.in.offset(), length, trailer)
	}
	return kind, b[8 : size-4]
}

// unaligned finds the size of a block whose length is not a multiple of 4, as
// the format demands: the length as it is or rounded up, whichever has the same
// length at its end.
func (p *pcapng) unaligned(length int64) (int64, bool) {
	up := (length + 3) &^ 3
	b := p.in.peek(int(up))
	for _, size := range [2]int64{length, up} {
		if int64(len(b)) >= size && int64(p.u32(b[size-4:])) == length {
			p.warn("pcapng/bad-block", 0, "block at offset %d: length %d is not a multiple of 4", p.in.offset(), length)
			return size, true
		}
	}
	p.stop("block at offset %d: length %d is not a multiple of 4", p.in.offset(), length)
	return 0, false
}

// tooBig skips a block over the bound without holding it.
func (p *pcapng) tooBig(kind uint32, size int64) {
	at := p.in.offset()
	n := p.in.discard(size)
	if n < size {
		p.ended = true
		p.in.lost("pcapng/cut-block", int(n), "block at offset %d claims %d bytes and the file has %d more, left out", at, size, n)
		return
	}
	p.warn("pcapng/big-block", int(min(n, math.MaxInt32)), "block of type %d at offset %d has %d bytes, left out", kind, at, n)
}

// cut is the end of the file, perhaps within a block.
func (p *pcapng) cut(left int) {
	p.ended = true
	if left > 0 {
		p.in.lost("pcapng/cut-block", left, "the last block, at offset %d, is cut short: its %d bytes are left out", p.in.offset(), left)
	}
}

// stop ends the reading where the next block cannot be found.
func (p *pcapng) stop(text string, args ...any) {
	p.ended = true
	p.in.lost("pcapng/bad-block", 0, "pcapng "+text+"; the rest of the file is left out", args...)
}

func (p *pcapng) warn(code string, n int, text string, args ...any) {
	p.in.warn(code, n, "pcapng "+text, args...)
}

// record makes a record of a block, if it holds one.
func (p *pcapng) record(kind uint32, b []byte) (Record, bool) {
	switch kind {
	case blockEnhanced:
		return p.enhanced(b)
	case blockSection:
		p.section(b)
	case blockInterface:
		p.description(b)
	case blockSimple:
		return p.simple(b)
	case blockObsolete:
		return p.obsolete(b)
	case blockStatistics:
		return p.statistics(b)
	case blockSecrets:
		return p.secrets(b)
	}
	return Record{}, false
}

// section begins a section: interfaces are numbered anew.
func (p *pcapng) section(b []byte) {
	if len(b) >= 8 && p.u16(b[4:]) != 1 {
		p.warn("pcapng/version", 0, "version %d.%d at offset %d is unknown, read as 1.0", p.u16(b[4:]), p.u16(b[6:]), p.in.offset())
	}
	p.base += len(p.interfaces)
	p.interfaces = p.interfaces[:0]
}

// description adds an interface. Over the bound there is only damage.
func (p *pcapng) description(b []byte) {
	if len(b) < 8 {
		p.short("interface description")
		return
	}
	if len(p.interfaces) >= maxInterfaces {
		p.warn("limit/interfaces", 1, "more than %d interfaces, at offset %d", maxInterfaces, p.in.offset())
		return
	}
	i := iface{link: linkType(p.u16(b)), snap: p.u32(b[4:]), unit: 1e6}
	for o := options(b[8:]); ; {
		code, v, ok := p.option(&o)
		if !ok {
			break
		}
		switch {
		case code == optionResolution && len(v) >= 1:
			i.unit = p.resolution(v[0])
		case code == optionOffset && len(v) >= 8:
			i.offset = int64(p.u64(v))
		}
	}
	p.interfaces = append(p.interfaces, i)
}

// resolution is the number of time units in a second: a power of ten, or of
// two when the top bit is set.
func (p *pcapng) resolution(v byte) uint64 {
	n := uint(v & 0x7f)
	switch {
	case v&0x80 != 0 && n < 64:
		return 1 << n
	case v&0x80 == 0 && n < 20:
		unit := uint64(1)
		for range n {
			unit *= 10
		}
		return unit
	}
	p.warn("pcapng/bad-resolution", 0, "interface at offset %d counts time in units too small, microseconds are assumed", p.in.offset())
	return 1e6
}

// time makes a time of a stamp in the interface's units.
func (i *iface) time(stamp uint64) time.Time {
	var sec, nsec uint64
	switch i.unit {
	case 1e6:
		sec, nsec = stamp/1e6, stamp%1e6*1e3
	case 1e9:
		sec, nsec = stamp/1e9, stamp%1e9
	default:
		sec = stamp / i.unit
		hi, lo := bits.Mul64(stamp%i.unit, 1e9)
		nsec, _ = bits.Div64(hi, lo, i.unit)
	}
	return time.Unix(int64(sec)+i.offset, int64(nsec)).UTC()
}

// enhanced reads an enhanced packet block: the hot path.
func (p *pcapng) enhanced(b []byte) (Record, bool) {
	if len(b) < 20 {
		return p.short("packet")
	}
	id, n := p.u32(b), p.u32(b[12:])
	if int(id) >= len(p.interfaces) {
		return p.stray(id)
	}
	if int64(n) > int64(len(b)-20) {
		return p.short("packet")
	}
	i := &p.interfaces[id]
	at := i.time(uint64(p.u32(b[4:]))<<32 | uint64(p.u32(b[8:])))
	rec := p.deliver(int(id), at, p.u32(b[16:]), b[20:20+n:20+n])
	for o := options(b[min(len(b), 20+int(n+3)&^3):]); len(o) > 4; {
		code, v, ok := p.option(&o)
		if !ok {
			break
		}
		if code == optionDropCount && len(v) >= 8 {
			return p.dropped(int(id), p.u64(v), rec), true
		}
	}
	return rec, true
}

// simple reads a simple packet block: the first interface, no time.
func (p *pcapng) simple(b []byte) (Record, bool) {
	if len(b) < 4 {
		return p.short("packet")
	}
	if len(p.interfaces) == 0 {
		return p.stray(0)
	}
	original := p.u32(b)
	n := min(uint64(original), uint64(len(b)-4))
	if snap := p.interfaces[0].snap; snap != 0 {
		n = min(n, uint64(snap))
	}
	return p.deliver(0, p.last, original, b[4:4+n:4+n]), true
}

// obsolete reads a packet block of pcapng's first drafts.
func (p *pcapng) obsolete(b []byte) (Record, bool) {
	if len(b) < 20 {
		return p.short("packet")
	}
	id, drops, n := p.u16(b), p.u16(b[2:]), p.u32(b[12:])
	if int(id) >= len(p.interfaces) {
		return p.stray(uint32(id))
	}
	if int64(n) > int64(len(b)-20) {
		return p.short("packet")
	}
	at := p.interfaces[id].time(uint64(p.u32(b[4:]))<<32 | uint64(p.u32(b[8:])))
	rec := p.deliver(int(id), at, p.u32(b[16:]), b[20:20+n:20+n])
	if drops != 0xffff { // unknown
		rec = p.dropped(int(id), uint64(drops), rec)
	}
	return rec, true
}

func (p *pcapng) deliver(id int, at time.Time, original uint32, data []byte) Record {
	p.in.frames++
	p.last = at
	i := &p.interfaces[id]
	p.packet = Packet{Link: i.link, Interface: p.base + id, Length: max(int(original), len(data)), Data: data}
	return Record{Num: p.in.frames, Time: at, Packet: &p.packet}
}

// dropped returns the loss that a packet tells of, and the packet next.
func (p *pcapng) dropped(id int, n uint64, packet Record) Record {
	if n == 0 {
		return packet
	}
	p.interfaces[id].told += n
	p.loss = Loss{Packets: n, Interface: p.base + id, Reason: "interface"}
	p.pending = packet
	return Record{Num: packet.Num - 1, Time: packet.Time, Loss: &p.loss}
}

// statistics makes losses of the growth of an interface's running totals, less
// what its packets have told already.
func (p *pcapng) statistics(b []byte) (Record, bool) {
	if len(b) < 12 {
		p.short("interface statistics")
		return Record{}, false
	}
	id := p.u32(b)
	if int(id) >= len(p.interfaces) {
		return p.stray(id)
	}
	i := &p.interfaces[id]
	at := i.time(uint64(p.u32(b[4:]))<<32 | uint64(p.u32(b[8:])))
	hardware, system := i.hardware, i.system
	for o := options(b[12:]); ; {
		code, v, ok := p.option(&o)
		if !ok {
			break
		}
		switch {
		case code == optionReceivedDrop && len(v) >= 8:
			hardware = p.u64(v)
		case code == optionSystemDrop && len(v) >= 8:
			system = p.u64(v)
		}
	}
	p.loss = Loss{Packets: i.grown(&i.hardware, hardware), Interface: p.base + int(id), Reason: "interface"}
	p.next = Loss{Packets: i.grown(&i.system, system), Interface: p.base + int(id), Reason: "kernel"}
	i.told = 0
	switch {
	case p.loss.Packets > 0 && p.next.Packets > 0:
		p.pending = Record{Num: p.in.frames, Time: at, Loss: &p.next}
	case p.next.Packets > 0:
		p.loss = p.next
	case p.loss.Packets == 0:
		return Record{}, false
	}
	return Record{Num: p.in.frames, Time: at, Loss: &p.loss}, true
}

// grown returns by how much a running total grew and has not been told. A total
// that shrank was begun anew.
func (i *iface) grown(total *uint64, now uint64) uint64 {
	was := *total
	if *total = now; now < was {
		was = 0
	}
	n := now - was
	known := min(n, i.told)
	i.told -= known
	return n - known
}

// secrets reads a decryption secrets block; only a TLS key log is of use.
func (p *pcapng) secrets(b []byte) (Record, bool) {
	if len(b) < 8 {
		p.short("decryption secrets")
		return Record{}, false
	}
	kind, n := p.u32(b), p.u32(b[4:])
	if int64(n) > int64(len(b)-8) {
		p.short("decryption secrets")
		return Record{}, false
	}
	if kind != secretsTLS {
		p.warn("pcapng/unknown-secrets", 0, "secrets at offset %d are of type %#08x, not a TLS key log", p.in.offset(), kind)
		return Record{}, false
	}
	p.secret = Secret{Lines: b[8 : 8+n : 8+n]}
	return Record{Num: p.in.frames, Time: p.last, Secret: &p.secret}, true
}

// short says that a block is too short for what it must hold.
func (p *pcapng) short(what string) (Record, bool) {
	p.warn("pcapng/bad-block", 0, "%s block at offset %d is too short for its contents, left out", what, p.in.offset())
	return Record{}, false
}

// stray says that a block belongs to an interface that was never described.
func (p *pcapng) stray(id uint32) (Record, bool) {
	p.warn("pcapng/unknown-interface", 1, "block at offset %d is of interface %d, which is not described; left out", p.in.offset(), id)
	return Record{}, false
}

// options are the options at the end of a block.
type options []byte

// option takes the first option off; ok is false at their end.
func (p *pcapng) option(o *options) (code uint16, value []byte, ok bool) {
	b := *o
	if len(b) < 4 {
		return 0, nil, false
	}
	code, n := p.u16(b), int(p.u16(b[2:]))
	if code == optionEnd || n > len(b)-4 {
		return 0, nil, false
	}
	*o = b[min(len(b), 4+(n+3)&^3):]
	return code, b[4 : 4+n], true
}
