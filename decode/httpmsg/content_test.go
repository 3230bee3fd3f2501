package httpmsg

import (
	"bytes"
	stdflate "compress/flate"
	stdgzip "compress/gzip"
	stdzlib "compress/zlib"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"mcp401/decode"
)

type flusher interface {
	io.WriteCloser
	Flush() error
}

// coders compress with the standard library where it can.
var coders = []struct {
	name string
	make func(io.Writer) flusher
}{
	{"gzip", func(w io.Writer) flusher { return stdgzip.NewWriter(w) }},
	{"X-GZIP", func(w io.Writer) flusher { return stdgzip.NewWriter(w) }},
	{"deflate", func(w io.Writer) flusher { return stdzlib.NewWriter(w) }},
	{"deflate", func(w io.Writer) flusher { f, _ := stdflate.NewWriter(w, 9); return f }},
	{"br", func(w io.Writer) flusher { return brotli.NewWriter(w) }},
	{"zstd", func(w io.Writer) flusher { z, _ := zstd.NewWriter(w); return z }},
}

func encode(t testing.TB, make func(io.Writer) flusher, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := make(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// decodeAll writes body in pieces of the size given and returns what came out.
func decodeAll(encoding string, lim decode.Limits, body []byte, size int) (string, string) {
	c, _ := NewContent(encoding, lim)
	defer c.Close()
	var out []byte
	emit := func(p []byte) { out = append(out, p...) }
	for len(body) > 0 {
		n := min(size, len(body))
		piece := bytes.Clone(body[:n])
		c.Write(piece, emit)
		for i := range piece {
			piece[i] = 0xa5 // nothing of it may be kept
		}
		body = body[n:]
	}
	c.End(emit)
	return string(out), c.Err()
}

func longText() string {
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < 200_000 {
		fmt.Fprintf(&b, "data: {\"n\":%d}\n\n", r.IntN(1e6))
	}
	return b.String()
}

func TestEachCodingAtEachCut(t *testing.T) {
	text := longText()
	for _, c := range coders {
		body := encode(t, c.make, text)
		for _, size := range []int{1, 2, 7, 1000, len(body)} {
			if got, err := decodeAll(c.name, decode.Limits{}, body, size); got != text || err != "" {
				t.Errorf("%s in pieces of %d: %d bytes, err %q", c.name, size, len(got), err)
			}
		}
	}
}

// What the sender flushed comes out before anything else is written.
func TestFlushByFlush(t *testing.T) {
	for _, coder := range coders {
		var wire bytes.Buffer
		w := coder.make(&wire)
		c, ok := NewContent(coder.name, decode.Limits{})
		if !ok {
			t.Fatal(coder.name)
		}
		for i := range 20 {
			want := fmt.Sprintf("event: message\ndata: %d\n\n", i)
			io.WriteString(w, want)
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
			var got []byte
			c.Write(wire.Bytes(), func(p []byte) { got = append(got, p...) })
			wire.Reset()
			if string(got) != want {
				t.Fatalf("%s: flush %d gave %q", coder.name, i, got)
			}
		}
		c.Close()
		c.Close()
		c.Write([]byte("x"), func([]byte) { t.Error("told after Close") })
	}
}

// A body that the capture cut gives out all that it holds.
func TestTail(t *testing.T) {
	text := longText()
	for _, c := range coders[:4] {
		body := encode(t, c.make, text)
		got, err := decodeAll(c.name, decode.Limits{}, body[:len(body)/2], 100)
		if err != "" || !strings.HasPrefix(text, got) || len(got) < len(text)/3 {
			t.Errorf("%s: %d of %d bytes, err %q", c.name, len(got), len(text), err)
		}
	}
}

func TestIdentity(t *testing.T) {
	for _, e := range []string{"", "identity", " Identity , ", ","} {
		c, ok := NewContent(e, decode.Limits{})
		if c != nil || !ok {
			t.Errorf("%q: %v %v", e, c, ok)
		}
	}
	var c *Content
	var got string
	c.Write([]byte("as it is"), func(p []byte) { got += string(p) })
	c.Write(nil, func(p []byte) { t.Error("told nothing") })
	c.End(nil)
	c.Close()
	if got != "as it is" || c.Err() != "" {
		t.Errorf("got %q, err %q", got, c.Err())
	}
}

func TestUnknown(t *testing.T) {
	for _, e := range []string{"lzma", "gzip, compress", "dcb", "gzip,gzip,gzip,gzip,gzip"} {
		c, ok := NewContent(e, decode.Limits{})
		if ok || c.Err() != CodingUnknown {
			t.Errorf("%q: %v %q", e, ok, c.Err())
		}
		c.Write([]byte("x"), func([]byte) { t.Error("told something") })
		c.End(func([]byte) { t.Error("told something") })
	}
}

func TestStacked(t *testing.T) {
	inner := encode(t, coders[2].make, "twice")
	both := encode(t, coders[0].make, string(inner))
	if got, err := decodeAll("deflate, gzip", decode.Limits{}, both, 1); got != "twice" || err != "" {
		t.Errorf("got %q, err %q", got, err)
	}
	if _, err := decodeAll("gzip, deflate", decode.Limits{}, both, 1); err != CodingDamaged {
		t.Errorf("wrong order: err %q", err)
	}
}

// Codings on codings are undone flush by flush too, in any order.
func TestStackedFlushByFlush(t *testing.T) {
	for _, inner := range coders {
		for _, outer := range coders {
			name := strings.ToLower(inner.name + ", " + outer.name)
			var wire bytes.Buffer
			o := outer.make(&wire)
			i := inner.make(o)
			c, ok := NewContent(name, decode.Limits{})
			if !ok {
				t.Fatal(name)
			}
			for n := range 10 {
				want := fmt.Sprintf("data: {\"n\":%d}\n\n", n)
				io.WriteString(i, want)
				i.Flush()
				o.Flush()
				var got []byte
				for _, b := range wire.Bytes() {
					c.Write([]byte{b}, func(p []byte) { got = append(got, p...) })
				}
				wire.Reset()
				if string(got) != want || c.Err() != "" {
					t.Fatalf("%s: flush %d gave %q, err %q", name, n, got, c.Err())
				}
			}
			c.Close()
		}
	}
}

func TestMembers(t *testing.T) {
	a, b := encode(t, coders[0].make, "one "), encode(t, coders[0].make, "two")
	both := append(bytes.Clone(a), b...)
	for _, behind := range []string{"", "\x00\x00\x00", "garbage", "\x1f"} {
		if got, err := decodeAll("gzip", decode.Limits{}, append(bytes.Clone(both), behind...), 1); got != "one two" || err != "" {
			t.Errorf("%q behind: got %q, err %q", behind, got, err)
		}
	}
	if got, err := decodeAll("gzip", decode.Limits{}, append(bytes.Clone(a), "\x1f\x8b not gzip"...), 3); got != "one " || err != CodingDamaged {
		t.Errorf("a damaged second member: got %q, err %q", got, err)
	}
}

func TestDamage(t *testing.T) {
	for _, c := range coders {
		for _, body := range []string{"\xff\xff\xff\xff\xff plain text that is not compressed", strings.Repeat("\x07", 64)} {
			if got, err := decodeAll(c.name, decode.Limits{}, []byte(body), 5); err != CodingDamaged {
				t.Errorf("%s: got %q, err %q", c.name, got, err)
			}
		}
		// A body without a byte is what a HEAD or a 304 has.
		if got, err := decodeAll(c.name, decode.Limits{}, nil, 1); got != "" || err != "" {
			t.Errorf("%s, empty: got %q, err %q", c.name, got, err)
		}
	}
	body := encode(t, coders[0].make, longText())
	body[len(body)-6] ^= 1
	if _, err := decodeAll("gzip", decode.Limits{}, body, 100); err != CodingDamaged {
		t.Errorf("bad checksum: err %q", err)
	}
}

func TestBombs(t *testing.T) {
	zeros := strings.Repeat("\x00", 8<<20)
	once := encode(t, coders[0].make, zeros)
	twice := encode(t, coders[0].make, string(once))
	for _, x := range []struct {
		encoding string
		body     []byte
		lim      decode.Limits
		err      string
	}{
		{"gzip", once, decode.Limits{}, LimitExpansion},
		{"gzip", once, decode.Limits{Expansion: 2000}, ""},
		{"gzip", once, decode.Limits{Expansion: 2000, Inflated: 4 << 20}, LimitExpansion},
		{"gzip, gzip", twice, decode.Limits{Expansion: 2000}, LimitExpansion},
		{"gzip", encode(t, coders[0].make, zeros[:floor]), decode.Limits{Expansion: 1}, ""},
		{"br", encode(t, coders[4].make, zeros), decode.Limits{}, LimitExpansion},
		{"zstd", encode(t, coders[5].make, zeros), decode.Limits{}, LimitExpansion},
		{"deflate", encode(t, coders[3].make, zeros), decode.Limits{}, LimitExpansion},
		{"br, gzip", encode(t, coders[0].make, string(encode(t, coders[4].make, zeros))), decode.Limits{}, LimitExpansion},
		{"zstd, br", encode(t, coders[4].make, string(encode(t, coders[5].make, zeros))), decode.Limits{}, LimitExpansion},
	} {
		got, err := decodeAll(x.encoding, x.lim, x.body, 100)
		if err != x.err || len(got) > len(zeros) || err == "" && len(got) < floor {
			t.Errorf("%s %+v: %d bytes, err %q, want %q", x.encoding, x.lim, len(got), err, x.err)
		}
	}
}

// A body may grow to what decodes to nothing: that is bounded as well.
func TestBombOfNothing(t *testing.T) {
	empty := strings.Repeat(string(encode(t, coders[0].make, "")), 1<<20)
	body := encode(t, coders[4].make, empty)
	if got, err := decodeAll("gzip, br", decode.Limits{}, body, len(body)); got != "" || err != LimitExpansion {
		t.Errorf("%d bytes: %d bytes, err %q", len(body), len(got), err)
	}
	got, err := decodeAll("gzip, br", decode.Limits{Expansion: 1 << 20}, body, len(body))
	if got != "" || err != "" {
		t.Errorf("with room: %d bytes, err %q", len(got), err)
	}
}

// No window beyond 8 MiB is given room (RFC 9659).
func TestZstdWindow(t *testing.T) {
	for size, want := range map[int]string{8 << 20: "", 16 << 20: CodingDamaged} {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b, zstd.WithWindowSize(size), zstd.WithSingleSegment(false))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(z, "text")
		z.Flush()
		io.WriteString(z, "more")
		z.Close()
		if _, err := decodeAll("zstd", decode.Limits{}, b.Bytes(), 10); err != want {
			t.Errorf("window of %d: err %q, want %q", size, err, want)
		}
	}
}

func TestHeader(t *testing.T) {
	h := Header{{[]byte("Content-TYPE"), []byte("Text/HTML ; charset=x")}, {[]byte("A"), []byte("1")}, {[]byte("a"), []byte("2")}}
	if v, ok := h.Get("a"); v != "1" || !ok {
		t.Errorf("a: %q %v", v, ok)
	}
	if v, ok := h.Get("b"); v != "" || ok {
		t.Errorf("b: %q %v", v, ok)
	}
	v, _ := h.Get("content-type")
	if got := MediaType(v); got != "text/html" {
		t.Errorf("media type %q", got)
	}
	if h[0].Is("content-typo") {
		t.Error("another name of that length")
	}
}

func FuzzAnyCutSameContent(f *testing.F) {
	for i, c := range coders {
		f.Add(uint8(i), encode(f, c.make, "some text, some text"), 3)
	}
	f.Fuzz(func(t *testing.T, coder uint8, body []byte, size int) {
		name := coders[int(coder)%len(coders)].name
		lim := decode.Limits{Inflated: 1 << 20}
		whole, err := decodeAll(name, lim, body, max(1, len(body)))
		cut, cutErr := decodeAll(name, lim, body, 1+int(uint(size)%64))
		// How much comes out before a bound or damage may differ by a buffer.
		if err != cutErr || err == "" && whole != cut {
			t.Errorf("%s: whole %d bytes %q, cut %d bytes %q", name, len(whole), err, len(cut), cutErr)
		}
	})
}

func BenchmarkGzip(b *testing.B) {
	text := longText()
	body := encode(b, coders[0].make, text)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		c, _ := NewContent("gzip", decode.Limits{})
		for p := body; len(p) > 0; {
			n := min(1448, len(p))
			c.Write(p[:n], func([]byte) {})
			p = p[n:]
		}
		c.End(func([]byte) {})
	}
}
