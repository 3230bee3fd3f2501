package web

import (
	"crypto/rand"
	"fmt"
	"io"
	"mcp401/capture"
	"net/http"
	"os"
	"path/filepath"
)

// folders is how the names of folders for temporary files begin. They are where
// os.TempDir says, for this user alone.
const folders = "mcp401-serve-"

const roomHint = "free some space, or start mcp401 serve with TMPDIR set to a folder on a larger disk"

// A files is the folder for temporary files. Files in it lose their name as
// soon as they are open, or, where that cannot be, when they are closed, so
// that a process that is killed leaves an empty folder. The next one takes it
// away.
type files struct {
	dir  string
	lock *os.File // held while the folder is in use
	free int64    // bytes to be left on the disk
}

func newFiles(free int64) (*files, error) {
	sweep()
	for try := 0; ; try++ {
		dir, err := os.MkdirTemp("", folders)
		if err != nil {
			return nil, fmt.Errorf("no folder for temporary files: %w", err)
		}
		lock, err := takeLock(filepath.Join(dir, "lock"))
		if err == nil {
			if _, err = os.Stat(lock.Name()); err == nil {
				return &files{dir, lock, free}, nil
			}
			lock.Close()
		}
		os.RemoveAll(dir)
		if try == 2 { // a process that starts now may have taken it for a dead one's
			return nil, fmt.Errorf("no folder for temporary files: %w", err)
		}
	}
}

// sweep removes the folders of this user's processes that are no more: a lock
// that is in use is held.
func sweep() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), folders+"*")) // the pattern is well formed
	for _, dir := range dirs {
		if info, err := os.Lstat(dir); err != nil || !info.IsDir() || !owned(info) {
			continue
		}
		if lock, err := takeLock(filepath.Join(dir, "lock")); err == nil {
			lock.Close()
			os.RemoveAll(dir)
		}
	}
}

func (f *files) close() error {
	f.lock.Close()
	return os.RemoveAll(f.dir)
}

// room returns a fault where n more bytes would fill the disk.
func (f *files) room(n int64) error {
	if free, ok := freeBytes(f.dir); ok && free-n < f.free {
		return &fault{http.StatusInsufficientStorage, "the disk for temporary files is almost full", roomHint}
	}
	return nil
}

// A file is a file without a name, which is written once and then read.
type file struct {
	f    *os.File
	size int64
	grow func(n int64) error // asked before n bytes are added
}

func (f *files) create(grow func(int64) error) (*file, error) {
	c, err := createNameless(filepath.Join(f.dir, rand.Text()))
	if err != nil {
		return nil, full(fmt.Errorf("no temporary file: %w", capture.Nameless(err)))
	}
	return &file{f: c, grow: grow}, nil
}

func (f *file) Write(p []byte) (int, error) {
	if err := f.grow(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := f.f.Write(p)
	f.size += int64(n)
	if err != nil {
		err = full(capture.Nameless(err))
	}
	return n, err
}

// reader returns a reader of its own, from the start. It is of use until the
// file is closed.
func (f *file) reader() *section { return &section{io.NewSectionReader(f.f, 0, f.size)} }

func (f *file) close() { f.f.Close() }

// A section reads a file whatever others read of it.
type section struct{ *io.SectionReader }

func (*section) Close() error { return nil }
