//go:build linux || darwin || freebsd || dragonfly

package web

import "golang.org/x/sys/unix"

// freeBytes returns what a file in dir can grow by, and whether that is known.
func freeBytes(dir string) (int64, bool) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, false
	}
	return int64(s.Bavail) * int64(s.Bsize), true
}
