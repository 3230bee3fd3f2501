package keep

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A disk that is full: the file ends with a whole block, and goes on when there
// is room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a small file system cannot be made here: %v", err)
	}
	defer syscall.Unmount(dir, 0)
	name := filepath.Join(dir, "kept.pcapng")
	ballast := filepath.Join(dir, "ballast")
	k, said := keeper(t, name)
	sent(k, 1)
	if err := os.WriteFile(ballast, make([]byte, 48<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	for num := 2; num < 60; num++ {
		sent(k, num)
	}
	lost := k.stats.Lost.Load()
	if len(*said) != 1 || !strings.HasPrefix((*said)[0], "no space left on device: ") || lost < 40 {
		t.Errorf("said %q, %d lost", *said, lost)
	}
	if n, _ := read(t, name); int64(n) != 59-lost {
		t.Errorf("%d frames in the full file, %d lost", n, lost)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	k.out.tried = time.Time{}
	sent(k, 60)
	if len(*said) != 2 {
		t.Errorf("said %q", *said)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if n, told := read(t, name); int64(n) != 60-lost || int64(told) != lost {
		t.Errorf("the file has %d frames and says that %d were lost, not %d", n, told, lost)
	}
}
