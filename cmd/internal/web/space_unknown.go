//go:build netbsd || openbsd

package web

// freeBytes does not know: a full disk says so when it is written to.
func freeBytes(string) (int64, bool) { return 0, false }
