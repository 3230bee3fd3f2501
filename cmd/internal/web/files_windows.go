package web

import (
	"errors"
	"net/http"
	"os"

	"golang.org/x/sys/windows"
)

// createNameless creates a file that Windows removes when it is closed, also
// by the end of the process.
func createNameless(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL|windows.FILE_FLAG_DELETE_ON_CLOSE, 0o600)
}

// openNameless opens a file to be read, which Windows removes when it is closed.
func openNameless(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDWR|windows.FILE_FLAG_DELETE_ON_CLOSE, 0)
}

// takeLock creates a file that cannot be removed while it is open, nor created
// twice.
func takeLock(name string) (*os.File, error) {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
}

// owned does not ask: the folder for temporary files is each user's own.
func owned(os.FileInfo) bool { return true }

// full turns the error of a full disk into a fault.
func full(err error) error {
	if errors.Is(err, windows.ERROR_DISK_FULL) {
		return &fault{http.StatusInsufficientStorage, "the disk for temporary files is full", roomHint}
	}
	return err
}

func freeBytes(dir string) (int64, bool) {
	p, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return 0, false
	}
	var free uint64
	err = windows.GetDiskFreeSpaceEx(p, &free, nil, nil)
	return int64(min(free, 1<<62)), err == nil
}
