//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package web

import (
	"errors"
	"net/http"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// createNameless creates a file for this user alone and takes its name away.
func createNameless(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(name); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openNameless opens a file to be read and takes its name away.
func openNameless(name string) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(name); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// takeLock locks a file for who opened it, and creates it if need be. The lock
// ends with the process.
func takeLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// owned reports whether a file is this user's.
func owned(info os.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

// full turns the error of a full disk into a fault.
func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return &fault{http.StatusInsufficientStorage, "the disk for temporary files is full", roomHint}
	}
	return err
}
