package httpmsg

import (
	"bufio"
	"errors"
	"io"
	"iter"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"

	"mcp401/decode"
)

// codings lists the content codings of RFC 9110 section 8.4.1 that are undone,
// with RFC 7932 (br) and RFC 8878 (zstd). To add one, add a line: its names,
// and a reader that gives out what it can before it reads on.
var codings = [...]struct {
	names []string
	open  func(*bufio.Reader) (io.Reader, error)
}{
	{[]string{"gzip", "x-gzip"}, openGzip},
	{[]string{"deflate"}, openDeflate},
	{[]string{"br"}, openBrotli},
	{[]string{"zstd"}, openZstd},
}

// Codes that Content.Err returns.
const (
	CodingUnknown  = "httpmsg/unknown-coding" // not in the table, or more than Limits.Codings of them
	CodingDamaged  = "httpmsg/coding-damaged" // the bytes are not of that coding
	LimitExpansion = "limit/expansion"        // Limits.Expansion or Limits.Inflated was passed
)

// A Content undoes the content codings of one body, piece by piece: what was
// flushed by the sender is given out as soon as it was written, which is what
// server-sent events need. The nil *Content is a body without a coding: it gives
// out what is written to it.
//
// The libraries that know the codings read from an io.Reader. They run in a
// coroutine (iter.Pull) whose reader yields to Write when it has no more bytes,
// so that all is done within Write on the caller's goroutine and in a fixed
// order. Close must be called on every path, or the coroutine stays.
type Content struct {
	next func() ([]byte, bool)
	stop func()

	in    []byte // of the Write in progress
	ended bool   // no more will be written
	fed   int64
	given int64
	ratio int64
	most  int64
	err   string
}

// NewContent returns a decoder for the value of Content-Encoding, of several
// lines joined with commas. It is nil when there is nothing to undo. When a
// coding is not known it returns false and a Content that gives out nothing;
// its Err says why.
func NewContent(encoding string, lim decode.Limits) (*Content, bool) {
	lim = lim.WithDefaults()
	var open []func(*bufio.Reader) (io.Reader, error)
	for name := range strings.SplitSeq(encoding, ",") {
		name = strings.ToLower(strings.Trim(name, " \t"))
		if name == "" || name == "identity" {
			continue
		}
		f := find(name)
		if f == nil || len(open) == lim.Codings {
			return &Content{err: CodingUnknown}, false
		}
		open = append(open, f)
	}
	if open == nil {
		return nil, true
	}
	c := &Content{ratio: int64(lim.Expansion), most: int64(lim.Inflated)}
	c.next, c.stop = iter.Pull(func(yield func([]byte) bool) { c.run(open, yield) })
	return c, true
}

func find(name string) func(*bufio.Reader) (io.Reader, error) {
	for _, c := range codings {
		for _, n := range c.names {
			if n == name {
				return c.open
			}
		}
	}
	return nil
}

// Write takes the next bytes of the body and gives emit what they decode to.
// The slice is valid until emit returns. Nothing of p is kept.
func (c *Content) Write(p []byte, emit func([]byte)) {
	switch {
	case c == nil:
		if len(p) > 0 {
			emit(p)
		}
	case c.err == "" && len(p) > 0:
		c.in = p
		c.fed += int64(len(p))
		c.pump(emit)
		c.in = nil
	}
}

// End says that the body is over, and gives out what was decoded and not
// flushed. A body that ends early is no error: its capture may have been cut.
// Content is closed then.
func (c *Content) End(emit func([]byte)) {
	if c == nil {
		return
	}
	if c.err == "" {
		c.ended = true
		c.pump(emit)
	}
	c.Close()
}

// Close frees what the decoder holds. It may be called again.
func (c *Content) Close() {
	if c != nil && c.stop != nil {
		c.stop()
		c.next, c.stop = nil, nil
	}
}

// Err returns why nothing more is given out, as the code of a note, or "".
func (c *Content) Err() string {
	if c == nil {
		return ""
	}
	return c.err
}

// floor is what a body may grow to whatever its compressed size: a short text
// of equal letters is no bomb.
const floor = 1 << 20

// pump lets the coroutine go on until it is out of input.
func (c *Content) pump(emit func([]byte)) {
	for c.next != nil {
		p, ok := c.next()
		if !ok {
			c.Close()
			return
		}
		if len(p) == 0 {
			return
		}
		c.given += int64(len(p))
		if c.beyond(c.given) {
			c.err = LimitExpansion
			c.Close()
			return
		}
		emit(p)
	}
}

// errClosed is what the coroutine reads when nobody wants its output anymore.
var errClosed = errors.New("closed")

// A source is where the coroutine reads from. It yields when it is dry.
type source struct {
	c     *Content
	yield func([]byte) bool
}

func (s source) Read(p []byte) (int, error) {
	for len(s.c.in) == 0 {
		if s.c.ended {
			return 0, io.EOF
		}
		if !s.yield(nil) {
			return 0, errClosed
		}
	}
	n := copy(p, s.c.in)
	s.c.in = s.c.in[n:]
	return n, nil
}

// errBomb is what the coroutine reads when a coding below the last one gives
// too much.
var errBomb = errors.New("too large")

// A between counts what one coding gives to the next. Without it a small body
// could grow without bound to something that decodes to nothing.
type between struct {
	r io.Reader
	c *Content
	n int64
}

func (b *between) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.n += int64(n)
	if b.c.beyond(b.n) {
		return 0, errBomb
	}
	return n, err
}

// beyond reports whether a body of n bytes so far is a bomb.
func (c *Content) beyond(n int64) bool {
	return n > floor && n > c.fed*c.ratio || n > c.most
}

// run is the coroutine. It yields decoded bytes, and nothing when it needs
// more.
func (c *Content) run(open []func(*bufio.Reader) (io.Reader, error), yield func([]byte) bool) {
	var r io.Reader = source{c, yield}
	for i := len(open) - 1; i >= 0; i-- {
		var err error
		if i < len(open)-1 {
			r = &between{r: r, c: c}
		}
		if r, err = open[i](bufio.NewReader(r)); err != nil {
			c.fail(err)
			return
		}
		if z, ok := r.(io.Closer); ok {
			defer z.Close()
		}
	}
	buf := make([]byte, 16<<10)
	for idle := 0; ; {
		n, err := r.Read(buf)
		if n > 0 && !yield(buf[:n]) {
			return
		}
		if idle++; n > 0 {
			idle = 0
		}
		if idle > 100 && err == nil {
			err = io.ErrNoProgress // as bufio does with such a reader
		}
		if err != nil {
			c.fail(err)
			return
		}
	}
}

// fail notes why decoding ended, unless it ended as it should or early.
func (c *Content) fail(err error) {
	if c.ended && errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF || errors.Is(err, errClosed) {
		return
	}
	c.err = CodingDamaged
	if errors.Is(err, errBomb) {
		c.err = LimitExpansion
	}
}

// A members reads the members of a gzip stream (RFC 1952 section 2.2). What is
// behind the last one is left out, as gzip itself does.
type members struct {
	src *bufio.Reader
	z   *gzip.Reader
}

func openGzip(src *bufio.Reader) (io.Reader, error) {
	z, err := gzip.NewReader(src)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	return &members{src, z}, nil
}

func (m *members) Read(p []byte) (int, error) {
	for {
		n, err := m.z.Read(p)
		if err != io.EOF {
			return n, err
		}
		if n > 0 {
			return n, nil // the EOF comes again
		}
		magic, err := m.src.Peek(2)
		if err != nil || magic[0] != 0x1f || magic[1] != 0x8b {
			return 0, io.EOF
		}
		if err := m.z.Reset(m.src); err != nil {
			return 0, err
		}
		m.z.Multistream(false)
	}
}

// openDeflate reads zlib data (RFC 1950), or DEFLATE data without that
// wrapping, which some servers send (RFC 9110 section 8.4.1.2).
func openDeflate(src *bufio.Reader) (io.Reader, error) {
	b, err := src.Peek(2)
	if err != nil {
		return nil, err
	}
	if b[0]&0x0f == 8 && (uint(b[0])<<8|uint(b[1]))%31 == 0 {
		return zlib.NewReader(src)
	}
	return flate.NewReader(src), nil
}

// A brotliStream reads one brotli stream and leaves out what is behind it.
type brotliStream struct{ z *brotli.Reader }

func openBrotli(src *bufio.Reader) (io.Reader, error) {
	return brotliStream{brotli.NewReader(src)}, nil
}

func (s brotliStream) Read(p []byte) (int, error) {
	n, err := s.z.Read(p)
	// The library says this behind the end, and also at the end where its last
	// bytes came one by one. It has no name for it.
	if err != nil && err.Error() == "brotli: excessive input" {
		err = io.EOF
	}
	return n, err
}

// openZstd reads with one thread of execution and no window beyond what RFC
// 9659 allows on the web.
func openZstd(src *bufio.Reader) (io.Reader, error) {
	z, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		return nil, err
	}
	return z.IOReadCloser(), nil
}
