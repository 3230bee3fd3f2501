package redact

import (
	"os"
)

// A patched is a file that is written in order and changed behind: what a
// packet carries is known later than the packet. Its last part is held, so that
// most changes cost no system call.
type patched struct {
	f    *os.File
	buf  []byte
	base int64 // offset of buf in the file
	err  error // sticky
}

const patchWindow = 4 << 20

func newPatched(f *os.File) *patched { return &patched{f: f} }

// append writes b and returns its offset.
func (w *patched) append(b []byte) int64 {
	if len(w.buf)+len(b) > patchWindow && len(w.buf) > 0 {
		w.flush(len(w.buf) / 2)
	}
	at := w.base + int64(len(w.buf))
	w.buf = append(w.buf, b...)
	return at
}

func (w *patched) flush(n int) {
	if w.err == nil && n > 0 {
		_, w.err = w.f.WriteAt(w.buf[:n], w.base)
	}
	w.base += int64(n)
	w.buf = w.buf[:copy(w.buf, w.buf[n:])]
}

// patch writes b over what stands at offset.
func (w *patched) patch(at int64, b []byte) {
	if before := w.base - at; before > 0 {
		n := min(before, int64(len(b)))
		if w.err == nil {
			_, w.err = w.f.WriteAt(b[:n], at)
		}
		at, b = at+n, b[n:]
	}
	if len(b) == 0 {
		return
	}
	copy(w.buf[at-w.base:], b)
}

func (w *patched) close() error {
	w.flush(len(w.buf))
	return w.err
}
