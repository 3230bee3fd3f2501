package capture

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// What is claimed costs nothing; what arrives does.
func TestWindowGrowsWithTheData(t *testing.T) {
	w := newWindow(strings.NewReader("ten bytes."))
	if b := w.peek(16 << 20); string(b) != "ten bytes." || len(w.buf) != smallBuffer || w.err != io.EOF {
		t.Errorf("%q, a buffer of %d, %v", b, len(w.buf), w.err)
	}
	w = newWindow(bytes.NewReader(make([]byte, 5<<20)))
	if b := w.peek(5<<20 - 1); len(b) != 5<<20-1 || len(w.buf) > 8<<20 {
		t.Errorf("%d bytes, a buffer of %d", len(b), len(w.buf))
	}
}

func TestWindowOffsets(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 20_000)
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(data), "halves": iotest.HalfReader(bytes.NewReader(data)), "end with the data": iotest.DataErrReader(bytes.NewReader(data)),
	} {
		w := newWindow(r)
		var at int64
		for n := 1; ; n = n*3 + 1 {
			if n > 70_000 {
				n = 1
			}
			if w.offset() != at {
				t.Fatalf("%s: offset %d, want %d", name, w.offset(), at)
			}
			b := w.peek(n)
			if len(b) < n && at+int64(len(b)) != int64(len(data)) || !bytes.Equal(b, data[at:at+int64(len(b))]) {
				t.Fatalf("%s: wrong bytes at %d", name, at)
			}
			if len(b) == 0 {
				break
			}
			if n%2 == 0 {
				at += w.discard(int64(len(b)) + 7)
			} else {
				w.skip(len(b))
				at += int64(len(b))
			}
		}
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

func TestWindowGivesUpOnAnIdleReader(t *testing.T) {
	if w := newWindow(idle{}); len(w.peek(1)) != 0 || w.err != io.ErrNoProgress {
		t.Errorf("got %v", w.err)
	}
}
