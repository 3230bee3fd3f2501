//go:build !linux

package capture

import (
	"errors"
	"io"
	"runtime"
	"time"
)

// A LiveSource exists on Linux only.
type LiveSource struct{}

// OpenLive tells how to capture where there are no packet sockets.
func OpenLive(Live) (*LiveSource, error) {
	return nil, &Error{Name: "live", Text: "capturing is not possible on " + runtime.GOOS, Hint: "tcpdump -w - | mcp401 analyze -", Err: errors.ErrUnsupported}
}

// Next returns io.EOF.
func (*LiveSource) Next() (Record, error) { return Record{}, io.EOF }

// Close does nothing.
func (*LiveSource) Close() error { return nil }

// Stats is empty.
func (*LiveSource) Stats() LiveStats { return LiveStats{} }

// Changes is empty.
func (*LiveSource) Changes() []Change { return nil }

// A Capability exists on Linux only.
type Capability uint

// FileAccess is nothing.
const FileAccess Capability = 0

// DropPrivileges is for Linux only.
func DropPrivileges(uid, gid int, groups []int) error { return errors.ErrUnsupported }

// DropCapabilities does nothing.
func DropCapabilities(keep ...Capability) error { return nil }

// FilesAs is for Linux only.
func FilesAs(uid, gid int, groups []int, f func()) error { return errors.ErrUnsupported }

// Idle returns the zero time.
func (*LiveSource) Idle() time.Time { return time.Time{} }
