//go:build unix

package capture

import (
	"io/fs"
	"os"
	"syscall"
	"time"
)

// interruptible returns a file of which Close unblocks a Read in progress. A
// pipe that the shell made is not such a file: its reads block in the kernel,
// out of reach of Close. A copy of the descriptor that does not block is.
func interruptible(f *os.File) *os.File {
	info, err := f.Stat()
	if err != nil || info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) == 0 {
		return f
	}
	if f.SetReadDeadline(time.Time{}) == nil {
		return f
	}
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return f
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return f
	}
	return os.NewFile(uintptr(fd), f.Name())
}
