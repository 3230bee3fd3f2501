package hop

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkCrowd is what a call costs among others: per call it grows with
// their number no further than the bounds of the assignment.
func BenchmarkCrowd(b *testing.B) {
	for _, n := range []int{16, 128, 1024} {
		for _, routes := range []int{0, 1, 100} {
			b.Run(fmt.Sprintf("open=%d/routes=%d", n, routes), func(b *testing.B) {
				for range b.N {
					together(n, routes)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/call")
			})
		}
	}
}

// together has n lists open at once, of so many servers; 0: each is of all.
func together(n, routes int) {
	f := &feed{now: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}
	f.l = NewLinker(Config{}, func(*Case) {})
	var down, up []func(status, tools int)
	for i := range n {
		path := "/mcp"
		if routes > 0 {
			path = fmt.Sprintf("/mcp/s%d", i%routes)
		}
		down = append(down, f.call("10.0.0.5:1", "10.0.1.1:4000", path, "tools/list", "key"))
	}
	for i := range n {
		up = append(up, f.call("10.0.1.1:1", fmt.Sprintf("10.0.2.1:%d", 9101+i%max(routes, 1)), "/mcp", "initialize", ""))
	}
	for i := range n {
		up[i](401, 0)
	}
	for i := range n {
		down[i](200, 0)
	}
	f.l.Close()
}

// BenchmarkWindow is one call with many attempts at as many endpoints in its
// window: its cost grows as their number, not as its square.
func BenchmarkWindow(b *testing.B) {
	for _, n := range []int{256, 1024, 4096} {
		b.Run(fmt.Sprintf("attempts=%d", n), func(b *testing.B) {
			for range b.N {
				f := &feed{now: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}
				f.l = NewLinker(Config{}, func(*Case) {})
				down := f.call("10.0.0.5:1", "10.0.1.1:4000", "/mcp", "tools/list", "key")
				for i := range n {
					f.call("10.0.1.1:1", fmt.Sprintf("10.0.2.1:%d", 1+i), "/mcp", "initialize", "")(401, 0)
				}
				down(200, 0)
				f.l.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/attempt")
		})
	}
}

// BenchmarkLost is a call whose answer was lost, as those of many others, when
// the capture ends: its cost does not grow with the number of all attempts.
func BenchmarkLost(b *testing.B) {
	for _, n := range []int{256, 1024, 4096} {
		b.Run(fmt.Sprintf("open=%d", n), func(b *testing.B) {
			for range b.N {
				f := &feed{now: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}
				f.l = NewLinker(Config{}, func(*Case) {})
				for i := range n {
					f.call("10.0.0.5:1", "10.0.1.1:4000", fmt.Sprintf("/mcp/s%d", i%50), "tools/list", "key")
					f.call("10.0.1.1:1", fmt.Sprintf("10.0.2.1:%d", 9101+i%50), "/mcp", "initialize", "")(401, 0)
				}
				f.l.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/call")
		})
	}
}
