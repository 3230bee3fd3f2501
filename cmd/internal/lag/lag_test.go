package lag

import (
	"runtime"
	"testing"
	"time"
)

// A process that has no processor is late.
func TestMeasure(t *testing.T) {
	old := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(old)
	since := Measure()
	time.Sleep(2 * every)
	busy()
	if late := since(); late < 3*time.Millisecond {
		t.Errorf("%v late, of 10 ms or more without a processor", late)
	}
}

// busy keeps a processor for itself: longer than a goroutine may.
func busy() {
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
	}
}
