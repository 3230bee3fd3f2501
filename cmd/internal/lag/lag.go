// Package lag tells how late the machine itself was: for tests that promise a
// time on the wall, which nobody can keep while other programs have the
// processors. On a quiet machine the lag is 0, and the promise is tested as it
// stands.
package lag

import (
	"runtime"
	"sync"
	"time"
)

const (
	every = 5 * time.Millisecond
	usual = 2 * time.Millisecond // later than asked for, on a quiet machine
)

// Measure measures until the function it returns is called, which returns by
// how much all that slept in between woke too late. It is called once.
func Measure() func() time.Duration {
	var mu sync.Mutex
	var late time.Duration
	var wg sync.WaitGroup
	over := make(chan struct{})
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			timer := time.NewTimer(every)
			for last := time.Now(); ; {
				select {
				case <-over:
				case <-timer.C:
				}
				now := time.Now()
				mu.Lock()
				late += max(0, now.Sub(last)-every-usual)
				mu.Unlock()
				select {
				case <-over:
					return
				default:
				}
				last = time.Now()
				timer.Reset(every)
			}
		})
	}
	return func() time.Duration {
		close(over)
		wg.Wait()
		return late
	}
}
