package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
	"time"
)

// The magic numbers of a pcap file (draft-ietf-opsawg-pcap, section 4). The
// third is that of Kuznetzov's patched libpcap of the 1990s, whose packet
// headers are 8 bytes longer.
const (
	magicMicro    = 0xa1b2c3d4
	magicNano     = 0xa1b23c4d
	magicModified = 0xa1b2cd34
)

const pcapHeader = 24 // bytes

// A pcap reads pcap files of all ages. Its packets lie in the window's buffer.
type pcap struct {
	in     *input
	swap   bool   // the numbers are big-endian
	unit   uint32 // nanoseconds of one unit of the fraction of a second
	head   int    // bytes of a packet header
	order  lengthOrder
	link   LinkType
	used   int // bytes of the window that the last record was made of
	ended  bool
	packet Packet
}

// A lengthOrder says which of a packet header's two lengths comes first.
type lengthOrder int

const (
	capturedFirst lengthOrder = iota
	originalFirst             // before version 2.3
	shorterFirst              // version 2.3, and 543.0 of DG/UX: writers did both, and what was captured is never longer
)

func newPcap(in *input) (Source, error) {
	p := &pcap{in: in}
	h := in.peek(pcapHeader)
	if len(h) < pcapHeader {
		return nil, in.cutHeader("pcap", len(h), pcapHeader)
	}
	p.header(h)
	in.skip(pcapHeader)
	return p, nil
}

// cutHeader is the error for an input that ends within its file header.
func (in *input) cutHeader(kind string, n, want int) error {
	if in.raw.err != nil {
		return systemError(in.name, in.raw.err)
	}
	return &Error{Name: in.name, Text: fmt.Sprintf("%s header cut short: %d of %d bytes", kind, n, want),
		Hint: "record or copy it again", Err: ErrDamaged}
}

// header takes the file's parameters from its first 24 bytes. The snap length
// is not among them: writers put 0 and nonsense there.
func (p *pcap) header(h []byte) {
	p.swap = h[0] == 0xa1
	p.unit, p.head, p.order = 1000, 16, capturedFirst
	switch p.u32(h) {
	case magicNano:
		p.unit = 1
	case magicModified:
		p.head = 24
	}
	switch major, minor := p.u16(h[4:]), p.u16(h[6:]); {
	case major == 543, major == 2 && minor == 3:
		p.order = shorterFirst
	case major == 2 && minor < 3:
		p.order = originalFirst
	case major != 2:
		p.in.warn("pcap/version", 0, "pcap version %d.%d is unknown, read as 2.4", major, minor)
	}
	p.link = linkType(uint16(p.u32(h[20:])))
}

// linkType undoes the one confusion of link types that is common: raw IP, for
// which some writers use their system's own DLT_RAW. The upper 16 bits of the
// field, which tell of a frame check sequence, were left out before.
func linkType(t uint16) LinkType {
	switch t {
	case 12, 14:
		return LinkRaw
	}
	return LinkType(t)
}

func (p *pcap) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if p.swap {
		return bits.ReverseBytes32(v)
	}
	return v
}

func (p *pcap) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if p.swap {
		return bits.ReverseBytes16(v)
	}
	return v
}

func (p *pcap) Next() (Record, error) {
	for {
		p.in.skip(p.used)
		p.used = 0
		h := p.in.peek(p.head)
		if len(h) < p.head {
			return p.end(len(h))
		}
		sec, frac, captured, original := p.u32(h), p.u32(h[4:]), p.u32(h[8:]), p.u32(h[12:])
		if p.order == originalFirst || p.order == shorterFirst && captured > original {
			captured, original = original, captured
		}
		if captured == 0 && p.joined() {
			continue
		}
		if captured > uint32(p.in.opt.MaxPacket) {
			return p.bad(captured)
		}
		size := p.head + int(captured)
		b := p.in.peek(size)
		if len(b) < size {
			return p.end(len(b))
		}
		p.in.frames++
		p.used = size
		p.packet = Packet{Link: p.link, Length: int(max(original, captured)), Data: b[p.head:]}
		at := time.Unix(int64(sec), int64(frac)*int64(p.unit)).UTC()
		return Record{Num: p.in.frames, Time: at, Packet: &p.packet}, nil
	}
}

// joined notices the header of another pcap file in place of a packet: rotated
// files were joined with cat. It reads as an empty packet of the year 2055, so
// the version must fit as well.
func (p *pcap) joined() bool {
	h := p.in.peek(p.head)
	if version := string(h[4:8]); sniffPcap(h) != yes || version != "\x02\x00\x04\x00" && version != "\x00\x02\x00\x04" {
		return false
	}
	if h = p.in.peek(pcapHeader); len(h) < pcapHeader {
		return false
	}
	p.in.warn("pcap/joined", 0, "another pcap header at offset %d: files were joined with cat", p.in.offset())
	p.header(h)
	p.in.skip(pcapHeader)
	return true
}

// end is the end of the file, perhaps within a packet.
func (p *pcap) end(left int) (Record, error) {
	if left > 0 && !p.ended {
		p.in.lost("pcap/cut-packet", left, "the last packet, at offset %d, is cut short: its %d bytes are left out", p.in.offset(), left)
	}
	p.ended = true
	return Record{}, io.EOF
}

// bad ends the reading at a packet header that cannot be one: without its
// length there is no way to find the next.
func (p *pcap) bad(length uint32) (Record, error) {
	if !p.ended {
		p.in.lost("pcap/bad-record", 0, "damaged at offset %d: a packet of %d bytes; the rest of the file is left out", p.in.offset(), length)
	}
	p.ended = true
	return Record{}, io.EOF
}

func (p *pcap) Close() error { return nil }
