package cli

import (
	"fmt"
	"io"
	"time"

	"mcp401/capture"
)

const (
	progressAfter = time.Second            // a shorter run needs no progress
	progressEvery = 200 * time.Millisecond // often enough for the eye
)

// A progress is one line on a terminal that tells how far the reading is.
type progress struct {
	w     io.Writer // nil: nobody looks
	src   *capture.Files
	start time.Time
	last  time.Time
	shown bool
}

// progress returns the line for src. Where objects are printed on the same
// terminal while they come there is none.
func (a *app) progress(src *capture.Files, s *sink) *progress {
	p := &progress{src: src, start: time.Now()}
	_, err := terminal(a.stderr)
	_, out := terminal(a.stdout)
	if err && !a.quiet && (s.file != nil || !out || s.out.format == "table") {
		p.w = a.stderr
	}
	return p
}

// look shows where the reading is, when it is time to.
func (p *progress) look() {
	if p.w == nil {
		return
	}
	now := time.Now()
	if now.Sub(p.start) < progressAfter || now.Sub(p.last) < progressEvery {
		return
	}
	p.last, p.shown = now, true
	done, total := p.src.Read()
	fmt.Fprintf(p.w, "\r\x1b[Kmcp401: %s", state(done, total, now.Sub(p.start)))
}

// state words how far the reading is: bytes, rate, and the time left where the
// size is known.
func state(done, total int64, took time.Duration) string {
	rate := float64(done) / took.Seconds()
	if total <= 0 || rate <= 0 {
		return fmt.Sprintf("%s read, %s/s", size(float64(done)), size(rate))
	}
	left := time.Duration(float64(max(total-done, 0)) / rate * float64(time.Second))
	return fmt.Sprintf("%s of %s, %s/s, %s left", size(float64(done)), size(float64(total)), size(rate), left.Round(time.Second))
}

func size(n float64) string {
	for _, unit := range []string{"B", "kB", "MB"} {
		if n < 1000 {
			return fmt.Sprintf("%.0f %s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.1f GB", n)
}

// erase takes the line away again.
func (p *progress) erase() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
