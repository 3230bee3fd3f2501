//go:build !unix

package capture

import "os"

// interruptible has no way here to make Close unblock a Read in progress.
func interruptible(f *os.File) *os.File { return f }
