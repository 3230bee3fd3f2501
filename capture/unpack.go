package capture

import (
	"bufio"
	"errors"
	"io"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

// The largest zstd window that is honoured; "zstd --long=27" needs 128 MiB,
// everything below level 20 eight at most.
const maxZstdWindow = 128 << 20

func unpackGzip(in *input) error {
	m := &members{in: in, packed: newPacked(in.window)}
	var err error
	if m.z, err = gzip.NewReader(m.packed); err != nil {
		return in.unpackError("gzip", err)
	}
	m.z.Multistream(false)
	in.unwrap("gzip", m, m.packed.offset)
	return nil
}

func unpackZlib(in *input) error {
	p := newPacked(in.window)
	r, err := zlib.NewReader(p)
	if err != nil {
		return in.unpackError("zlib", err)
	}
	in.unwrap("zlib", r, p.offset)
	return nil
}

func unpackZstd(in *input) error {
	w := in.window
	r, err := zstd.NewReader(w, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return in.unpackError("zstd", err)
	}
	in.unwrap("zstd", r, w.offset)
	return nil
}

// packed are compressed data, from which a decompressor takes single bytes.
type packed struct {
	*bufio.Reader
	w *window
}

func newPacked(w *window) *packed { return &packed{bufio.NewReader(w), w} }

// offset is the place of the next byte that was not taken.
func (p *packed) offset() int64 { return p.w.offset() - int64(p.Buffered()) }

// members reads the members of a gzip file one after the other (RFC 1952,
// section 2.2), and tells one that is cut from something else that follows.
type members struct {
	in     *input
	packed *packed
	z      *gzip.Reader
}

func (m *members) Read(p []byte) (int, error) {
	for {
		n, err := m.z.Read(p)
		if err != io.EOF {
			return n, err
		}
		if n > 0 {
			return n, nil // the end is told again
		}
		next, _ := m.packed.Peek(2)
		if string(next) != "\x1f\x8b"[:len(next)] {
			m.trailing()
			return 0, io.EOF
		}
		if err := m.z.Reset(m.packed); err != nil {
			return 0, err
		}
		m.z.Multistream(false)
	}
}

// trailing warns of what follows the last member, if it is not the zeros with
// which tapes and block devices are filled up.
func (m *members) trailing() {
	for {
		at := m.packed.offset()
		c, err := m.packed.ReadByte()
		if err != nil {
			return
		}
		if c != 0 {
			m.in.later("gzip/trailing", "something that is not gzip follows the data at byte %d, ignored", at)
			return
		}
	}
}

func unpackUTF16(in *input) error {
	in.window = newWindow(&utf16Reader{w: in.window})
	return nil
}

// unwrap lets the input be read from what r makes of it; offset tells how far r
// has read.
func (in *input) unwrap(kind string, r io.Reader, offset func() int64) {
	in.window = newWindow(&unpacked{in: in, kind: kind, r: r, offset: offset})
}

func (in *input) unpackError(kind string, err error) error {
	if in.raw.err != nil {
		return systemError(in.name, in.raw.err)
	}
	return &Error{Name: in.name, Text: "damaged " + kind + " data: " + unpackProblem(err), Hint: "copy it again", Err: ErrDamaged}
}

// unpacked is decompressed data. Damage ends it like the end of the file, and
// is said.
type unpacked struct {
	in     *input
	kind   string
	r      io.Reader
	offset func() int64
	n      int64 // bytes that came out
}

func (u *unpacked) Read(p []byte) (int, error) {
	if room := u.in.opt.Unpacked - u.n; room <= 0 {
		p = p[:min(len(p), 1)] // is there any more?
	} else {
		p = p[:min(int64(len(p)), room)]
	}
	n, err := u.r.Read(p)
	if n > 0 && u.n >= u.in.opt.Unpacked {
		u.in.damage = u.in.later("limit/unpacked", "the %s data are more than %d bytes when decompressed; what follows byte %d is left out", u.kind, u.n, u.offset())
		return 0, io.EOF
	}
	u.n += int64(n)
	if err == nil || err == io.EOF || u.in.raw.err != nil {
		return n, err
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		u.in.damage = u.in.later(u.kind+"/truncated", "the %s data end too early, at byte %d (%d decompressed)", u.kind, u.offset(), u.n)
	} else {
		u.in.damage = u.in.later(u.kind+"/damaged", "damaged %s data at byte %d (%d decompressed): %s", u.kind, u.offset(), u.n, unpackProblem(err))
	}
	return n, io.EOF
}

// unpackProblem is an error of a decompressor without its name, in our voice.
func unpackProblem(err error) string {
	switch {
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, zlib.ErrChecksum), errors.Is(err, zstd.ErrCRCMismatch):
		return "the checksum is wrong"
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, zlib.ErrHeader):
		return "the header is wrong"
	case errors.Is(err, zlib.ErrDictionary), errors.Is(err, zstd.ErrUnknownDictionary):
		return "it needs a dictionary"
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return "its window is over 128 MiB"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return "it does not decompress"
}

// A utf16Reader makes UTF-8 of UTF-16 in either byte order. The byte order mark
// tells, or the zero beside the first brace.
type utf16Reader struct {
	w     *window
	begun bool
	big   bool
}

func (u *utf16Reader) Read(p []byte) (int, error) {
	if !u.begun {
		u.begin()
	}
	if len(p) < utf8.UTFMax {
		return 0, io.ErrShortBuffer
	}
	if len(u.w.peek(2)) < 2 {
		return 0, u.w.err
	}
	n := 0
	for len(p)-n >= utf8.UTFMax && len(u.w.buffered()) >= 2 {
		r := rune(u.unit(u.w.buffered()))
		used := 2
		if utf16.IsSurrogate(r) {
			if b := u.w.peek(4); len(b) == 4 {
				if both := utf16.DecodeRune(r, rune(u.unit(b[2:]))); both != utf8.RuneError {
					r, used = both, 4
				}
			}
		}
		u.w.skip(used)
		n += utf8.EncodeRune(p[n:], r)
	}
	return n, nil
}

func (u *utf16Reader) begin() {
	u.begun = true
	b := u.w.peek(2)
	if len(b) < 2 {
		return
	}
	u.big = b[0] == 0xfe || b[0] == 0
	if b[0] >= 0xfe {
		u.w.skip(2)
	}
}

func (u *utf16Reader) unit(b []byte) uint16 {
	if u.big {
		return uint16(b[0])<<8 | uint16(b[1])
	}
	return uint16(b[1])<<8 | uint16(b[0])
}
