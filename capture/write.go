package capture

import (
	"encoding/binary"
	"time"
)

// Codes of options that are written and not read: a comment on any block, what
// a section was written by, and of an interface its name and its filter.
const (
	optionComment     = 1
	optionApplication = 4
	optionName        = 2
	optionFilter      = 11
)

// CommentMost is how many bytes of a comment are written: Wireshark shows one
// in a line.
const CommentMost = 4096

// A Section writes the blocks of one section of a pcapng file, little-endian,
// with time stamps in nanoseconds. Each method appends whole blocks to b and
// returns it, so that a file of them is readable wherever it ends between two
// calls. The zero value is ready; a file may have several sections, each by a
// Section of its own.
type Section struct {
	interfaces uint32
}

var le = binary.LittleEndian

// Header is the first block of the section.
func (s *Section) Header(b []byte, application string) []byte {
	b, at := open(b, blockSection)
	b = le.AppendUint32(b, byteOrderMagic)
	b = le.AppendUint16(le.AppendUint16(b, 1), 0)
	b = le.AppendUint64(b, ^uint64(0)) // its length is not known
	b = option(b, optionApplication, application)
	return shut(le.AppendUint32(b, 0), at)
}

// Interface describes an interface, whose number in the section it returns.
// Name and filter may be empty; snap is the bytes kept of a packet, 0 for all.
func (s *Section) Interface(b []byte, link LinkType, name, filter string, snap int) ([]byte, uint32) {
	b, at := open(b, blockInterface)
	b = le.AppendUint16(le.AppendUint16(b, uint16(link)), 0)
	b = le.AppendUint32(b, uint32(snap))
	if name != "" {
		b = option(b, optionName, name)
	}
	b = option(b, optionResolution, "\x09")
	if filter != "" {
		b = option(b, optionFilter, "\x00"+filter) // 0: in tcpdump's language
	}
	s.interfaces++
	return shut(le.AppendUint32(b, 0), at), s.interfaces - 1
}

// Packet is a packet of an interface that was described, with comments.
func (s *Section) Packet(b []byte, number uint32, t time.Time, data []byte, length int, comments []string) []byte {
	b, at := open(b, blockEnhanced)
	b = stamp(le.AppendUint32(b, number), t)
	b = le.AppendUint32(le.AppendUint32(b, uint32(len(data))), uint32(length))
	b = pad(append(b, data...), len(data))
	for _, c := range comments {
		b = option(b, optionComment, c)
	}
	if len(comments) > 0 {
		b = le.AppendUint32(b, 0)
	}
	return shut(b, at)
}

// Secrets is lines of a TLS key log, which belong before the packets that they
// decrypt.
func (s *Section) Secrets(b []byte, lines []byte) []byte {
	b, at := open(b, blockSecrets)
	b = le.AppendUint32(le.AppendUint32(b, secretsTLS), uint32(len(lines)))
	return shut(pad(append(b, lines...), len(lines)), at)
}

// Dropped says how many packets of an interface were dropped by the system
// since the section began.
func (s *Section) Dropped(b []byte, number uint32, t time.Time, n uint64) []byte {
	b, at := open(b, blockStatistics)
	b = stamp(le.AppendUint32(b, number), t)
	b = option(b, optionSystemDrop, string(le.AppendUint64(nil, n)))
	return shut(le.AppendUint32(b, 0), at)
}

// open begins a block and returns where.
func open(b []byte, kind uint32) ([]byte, int) {
	at := len(b)
	return le.AppendUint32(le.AppendUint32(b, kind), 0), at
}

// shut ends the block that begins at.
func shut(b []byte, at int) []byte {
	n := uint32(len(b) - at + 4)
	le.PutUint32(b[at+4:], n)
	return le.AppendUint32(b, n)
}

// stamp appends a time as its two halves. One before 1970 is 1970.
func stamp(b []byte, t time.Time) []byte {
	ns := uint64(max(t.UnixNano(), 0))
	return le.AppendUint32(le.AppendUint32(b, uint32(ns>>32)), uint32(ns))
}

// option appends an option, of CommentMost bytes at most.
func option(b []byte, code uint16, v string) []byte {
	v = v[:min(len(v), CommentMost)]
	b = le.AppendUint16(le.AppendUint16(b, code), uint16(len(v)))
	return pad(append(b, v...), len(v))
}

// pad fills up to a multiple of four after n bytes.
func pad(b []byte, n int) []byte { return append(b, "\x00\x00\x00"[:-n&3]...) }
