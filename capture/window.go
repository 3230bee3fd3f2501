package capture

import (
	"io"
	"unicode/utf8"
)

// The sizes of a window's buffer. It starts small, so that a thousand rotated
// files can be open at once, and grows when a read fills it: a live pipe that
// hands over a packet at a time never pays for the large one.
const (
	smallBuffer = 16 << 10
	largeBuffer = 256 << 10 // stays within the second-level cache, where the packets are then decoded
)

// minRoom is the least that is asked of a reader at once: one that makes
// characters needs room for a whole one.
const minRoom = utf8.UTFMax

// A window is a stream of which the next bytes can be looked at in place.
// It asks for no more than is needed, so a record that has fully arrived is
// never held back by a pipe that has nothing more to say.
type window struct {
	r    io.Reader
	buf  []byte
	i, j int   // what was read and not skipped is buf[i:j]
	base int64 // offset of buf[0] in the stream
	err  error // sticky; io.EOF at the end
	full bool  // the last read filled the buffer
}

func newWindow(r io.Reader) *window { return &window{r: r} }

// peek returns the next n bytes without consuming them, fewer where the stream
// ends before. They are valid until the next call of peek or discard.
func (w *window) peek(n int) []byte {
	if w.j-w.i >= n {
		return w.buf[w.i : w.i+n : w.i+n]
	}
	return w.fill(n)
}

// skip consumes n bytes that were peeked.
func (w *window) skip(n int) { w.i += n }

// offset is the place of the next byte in the stream.
func (w *window) offset() int64 { return w.base + int64(w.i) }

// buffered returns what can be had without reading.
func (w *window) buffered() []byte { return w.buf[w.i:w.j] }

func (w *window) fill(n int) []byte {
	for w.j-w.i < n && w.err == nil {
		w.makeRoom()
		w.read()
	}
	end := min(w.j, w.i+n)
	return w.buf[w.i:end:end]
}

// makeRoom moves the unread bytes to the front, and grows the buffer by what
// has really arrived: a record that claims 16 MiB and brings ten bytes costs
// no 16 MiB.
func (w *window) makeRoom() {
	size := len(w.buf)
	switch {
	case size == 0:
		size = smallBuffer
	case w.j-w.i > size-minRoom:
		size *= 2
	case w.full && size < largeBuffer:
		size = largeBuffer
	}
	to := w.buf
	if size != len(w.buf) {
		to = make([]byte, size)
	}
	w.base += int64(w.i)
	w.j = copy(to, w.buf[w.i:w.j])
	w.i, w.buf = 0, to
}

func (w *window) read() {
	for range 100 {
		n, err := w.r.Read(w.buf[w.j:])
		w.j += n
		w.full = w.j == len(w.buf)
		w.err = err
		if n > 0 || err != nil {
			return
		}
	}
	w.err = io.ErrNoProgress
}

// discard consumes n bytes whether or not they fit the buffer, and returns how
// many there were.
func (w *window) discard(n int64) int64 {
	var done int64
	for done < n {
		have := int64(len(w.buffered()))
		if have == 0 {
			if have = int64(len(w.fill(1))); have == 0 {
				break
			}
			have = int64(len(w.buffered()))
		}
		have = min(have, n-done)
		w.skip(int(have))
		done += have
	}
	return done
}

// Read hands out what is buffered, and reads on when that is nothing.
func (w *window) Read(p []byte) (int, error) {
	if len(w.buffered()) == 0 && len(w.fill(1)) == 0 {
		return 0, w.err
	}
	n := copy(p, w.buffered())
	w.skip(n)
	return n, nil
}
