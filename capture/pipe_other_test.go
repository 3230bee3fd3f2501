//go:build !unix

package capture_test

import (
	"os"
	"testing"
)

// pipes are empty where Close cannot unblock a Read.
var pipes map[string]func(t *testing.T) (r, w *os.File)
