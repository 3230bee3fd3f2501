package capturetest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"mcp401/capture"
)

// A Compression is around a whole file.
type Compression uint8

// The compressions.
const (
	Plain Compression = iota
	Gzip
	Zstd
)

// A File says how records are written. The zero value is little-endian,
// microseconds in pcap and nanoseconds in pcapng, and not compressed.
type File struct {
	BigEndian bool
	Nano      bool // pcap only
	Snaplen   int  // as the header claims; 0: 262144
	Compress  Compression
	Link      capture.LinkType // of a pcap without packets, or of pcapng's first interface
}

func (o File) order() binary.AppendByteOrder {
	if o.BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

func (o File) snaplen() uint32 {
	if o.Snaplen > 0 {
		return uint32(o.Snaplen)
	}
	return 262144
}

// WritePcap writes the packets among the records as a pcap file. It panics if
// they have more than one link type, which pcap cannot say.
func WritePcap(records []capture.Record, o File) []byte {
	link, first := o.Link, true
	bo := o.order()
	var body []byte
	for _, r := range records {
		if r.Packet == nil {
			continue
		}
		if !first && r.Packet.Link != link {
			panic("capturetest: a pcap file has one link type")
		}
		link, first = r.Packet.Link, false
		fraction := r.Time.Nanosecond()
		if !o.Nano {
			fraction /= 1000
		}
		for _, v := range []uint32{uint32(r.Time.Unix()), uint32(fraction), uint32(len(r.Packet.Data)), uint32(r.Packet.Length)} {
			body = bo.AppendUint32(body, v)
		}
		body = append(body, r.Packet.Data...)
	}
	magic := uint32(0xa1b2c3d4)
	if o.Nano {
		magic = 0xa1b23c4d
	}
	head := bo.AppendUint32(nil, magic)
	head = bo.AppendUint16(bo.AppendUint16(head, 2), 4)
	for _, v := range []uint32{0, 0, o.snaplen(), uint32(link)} {
		head = bo.AppendUint32(head, v)
	}
	return pack(append(head, body...), o.Compress)
}

// WritePcapng writes records as a pcapng file of one section: an interface for
// each link type, packets with nanoseconds, secrets as Decryption Secrets
// Blocks, losses as Interface Statistics Blocks. HAR entries are left out.
func WritePcapng(records []capture.Record, o File) []byte {
	w := ngWriter{File: o, ids: map[ngInterface]uint32{}, dropped: map[uint32]uint64{}}
	bo := o.order()
	section := bo.AppendUint32(nil, 0x1a2b3c4d)
	section = bo.AppendUint16(bo.AppendUint16(section, 1), 0)
	w.block(0x0a0d0d0a, bo.AppendUint64(section, ^uint64(0)))
	for _, r := range records {
		w.record(r)
	}
	return pack(w.out, o.Compress)
}

type ngInterface struct {
	link   capture.LinkType
	number int
}

type ngWriter struct {
	File
	out     []byte
	ids     map[ngInterface]uint32
	dropped map[uint32]uint64 // running total, as the format wants it
}

func (w *ngWriter) record(r capture.Record) {
	bo := w.order()
	switch {
	case r.Packet != nil:
		id := w.iface(ngInterface{r.Packet.Link, r.Packet.Interface})
		b := w.stamp(bo.AppendUint32(nil, id), r.Time)
		b = bo.AppendUint32(b, uint32(len(r.Packet.Data)))
		b = bo.AppendUint32(b, uint32(r.Packet.Length))
		w.block(6, pad(append(b, r.Packet.Data...)))
	case r.Secret != nil:
		b := bo.AppendUint32(nil, 0x544c534b) // TLS Key Log
		b = bo.AppendUint32(b, uint32(len(r.Secret.Lines)))
		w.block(10, pad(append(b, r.Secret.Lines...)))
	case r.Loss != nil:
		id := w.interfaceOf(r.Loss.Interface)
		w.dropped[id] += r.Loss.Packets
		b := w.stamp(bo.AppendUint32(nil, id), r.Time)
		b = bo.AppendUint16(bo.AppendUint16(b, 5), 8) // isb_ifdrop
		b = bo.AppendUint64(b, w.dropped[id])
		w.block(5, bo.AppendUint32(b, 0))
	}
}

// stamp appends the two halves of a time in nanoseconds.
func (w *ngWriter) stamp(b []byte, t time.Time) []byte {
	ns := uint64(t.UnixNano())
	return w.order().AppendUint32(w.order().AppendUint32(b, uint32(ns>>32)), uint32(ns))
}

// interfaceOf is the interface of that number, whatever its link type.
func (w *ngWriter) interfaceOf(number int) uint32 {
	for k, id := range w.ids {
		if k.number == number {
			return id
		}
	}
	return w.iface(ngInterface{w.Link, number})
}

func (w *ngWriter) iface(k ngInterface) uint32 {
	id, ok := w.ids[k]
	if !ok {
		id = uint32(len(w.ids))
		w.ids[k] = id
		bo := w.order()
		b := bo.AppendUint16(bo.AppendUint16(nil, uint16(k.link)), 0)
		b = bo.AppendUint32(b, w.snaplen())
		b = bo.AppendUint16(bo.AppendUint16(b, 9), 1) // if_tsresol: 10^-9
		b = append(b, 9, 0, 0, 0)
		w.block(1, bo.AppendUint32(b, 0))
	}
	return id
}

func (w *ngWriter) block(kind uint32, body []byte) {
	bo, n := w.order(), uint32(12+len(body))
	w.out = bo.AppendUint32(bo.AppendUint32(w.out, kind), n)
	w.out = bo.AppendUint32(append(w.out, body...), n)
}

func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

// pack compresses a file.
func pack(b []byte, c Compression) []byte {
	var buf bytes.Buffer
	var w io.WriteCloser
	switch c {
	case Gzip:
		w = gzip.NewWriter(&buf)
	case Zstd:
		z, err := zstd.NewWriter(&buf, zstd.WithEncoderConcurrency(1))
		must(0, err)
		w = z
	default:
		return b
	}
	must(w.Write(b))
	must(0, w.Close())
	return buf.Bytes()
}
