package capture

import (
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
	r, err := gzip.NewReader(in.window)
	if err != nil {
		return in.unpackError("gzip", err)
	}
	in.unwrap("gzip", r)
	return nil
}

func unpackZstd(in *input) error {
	r, err := zstd.NewReader(in.window, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return in.unpackError("zstd", err)
	}
	in.unwrap("zstd", r)
	return nil
}

func unpackZlib(in *input) error {
	r, err := zlib.NewReader(in.window)
	if err != nil {
		return in.unpackError("zlib", err)
	}
	in.unwrap("zlib", r)
	return nil
}

func unpackUTF16(in *input) error {
	in.window = newWindow(&utf16Reader{w: in.window})
	return nil
}

// unwrap lets the input be read from what r makes of it.
func (in *input) unwrap(kind string, r io.Reader) {
	in.window = newWindow(&unpacked{r: r, kind: kind, in: in})
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
	r    io.Reader
	kind string
	in   *input
	n    int64
}

func (u *unpacked) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	u.n += int64(n)
	if err == nil || err == io.EOF || u.in.raw.err != nil {
		return n, err
	}
	done := u.in.raw.n.Load()
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		u.in.lost(u.kind+"/truncated", 0, "the %s data end too early, after %d bytes (%d decompressed)", u.kind, done, u.n)
	case errors.Is(err, gzip.ErrHeader) && u.n > 0:
		u.in.warn(u.kind+"/trailing", 0, "something that is not %s follows the data near byte %d, ignored", u.kind, done)
	default:
		u.in.lost(u.kind+"/damaged", 0, "damaged %s data near byte %d (%d decompressed): %s", u.kind, done, u.n, unpackProblem(err))
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
