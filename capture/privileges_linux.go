package capture

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// DropPrivileges becomes an ordinary user for good, in every thread, with the
// other groups given and no capabilities. Call it after [OpenLive], which is
// the last to need them. It refuses root's ids.
func DropPrivileges(uid, gid int, groups []int) error {
	if uid <= 0 || gid <= 0 {
		return fmt.Errorf("dropping privileges: %d:%d is not an ordinary user and group", uid, gid)
	}
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("setting the other groups: %w", err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("becoming group %d: %w", gid, err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("becoming user %d: %w", uid, err)
	}
	return nil
}

// A Capability is a number of capabilities(7).
type Capability uint

// FileAccess is the right to read and write files whoever owns them
// (CAP_DAC_OVERRIDE).
const FileAccess Capability = unix.CAP_DAC_OVERRIDE

// DropCapabilities gives up, for good and in every thread, all capabilities but
// those to be kept, as far as there are any. The user stays the same. The error
// is errors.ErrUnsupported in a program that was built with cgo, where threads
// cannot be reached.
func DropCapabilities(keep ...Capability) error {
	var mask [2]uint32
	for _, c := range keep {
		mask[c/32] |= 1 << (c % 32)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var set [2]unix.CapUserData
	if err := unix.Capget(&header, &set[0]); err != nil {
		return fmt.Errorf("reading the capabilities: %w", err)
	}
	if set == ([2]unix.CapUserData{}) {
		return nil
	}
	for i := range set {
		left := set[i].Permitted & mask[i]
		set[i] = unix.CapUserData{Effective: left, Permitted: left}
	}
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&set[0])), 0)
	runtime.KeepAlive(&header)
	runtime.KeepAlive(&set)
	if errno == syscall.ENOTSUP {
		return errors.ErrUnsupported
	}
	if errno != 0 {
		return fmt.Errorf("dropping capabilities: %w", errno)
	}
	return nil
}

// FilesAs calls f with the rights to files that a user has, which only root can
// do, on this thread alone. f must not start goroutines.
func FilesAs(uid, gid int, groups []int, f func()) error {
	if os.Geteuid() != 0 || os.Getegid() != 0 {
		return syscall.EPERM
	}
	own, err := unix.Getgroups()
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	err = filesAs(uid, gid, groups)
	if err == nil {
		f()
	}
	if back := filesAs(0, 0, own); back != nil {
		// The thread stays locked: no other goroutine may run with these rights.
		return errors.Join(err, back)
	}
	runtime.UnlockOSThread()
	return err
}

// filesAs changes what this thread alone may do with files. The kernel's ids
// are those of threads, which Go's own calls hide.
func filesAs(uid, gid int, groups []int) error {
	if runtime.GOARCH == "386" || runtime.GOARCH == "arm" {
		groups = nil // ids of 16 bits there; fewer rights than the user has do no harm
	}
	list := make([]uint32, len(groups)+1)
	for i, g := range groups {
		list[i] = uint32(g)
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&list[0])), 0); errno != 0 {
		return errno
	}
	if err := unix.Setfsgid(gid); err != nil {
		return err
	}
	if err := unix.Setfsuid(uid); err != nil {
		return err
	}
	if now, err := unix.SetfsuidRetUid(-1); err != nil || now != uid {
		return syscall.EPERM // it fails without a word
	}
	return nil
}
