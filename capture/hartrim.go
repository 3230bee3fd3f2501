package capture

import (
	"bytes"
	"errors"
)

// A trimmer passes JSON on and cuts the strings that are over a bound, so that
// a decoder behind it, which holds one value at a time, holds a bounded one.
// The trick: nothing of JSON but strings, and what stands between two strings
// or brackets, can be long; the cut is made between two characters, so what
// comes out is the same JSON with shorter strings.
type trimmer struct {
	w   *window
	max int // bytes of a string that are passed

	inside   bool // within a string
	escape   int  // what of an escape is still to come: hex digits, or afterBackslash
	kept     int  // bytes of the string that were passed
	dropped  int64
	distance int // bytes since the last string or bracket
	out      int64
	skipped  int64 // bytes of the input that were not passed on
	cuts     []cut
	err      error // sticky
}

// A cut is a string that lost its end.
type cut struct {
	at   int64 // offset of its closing quote in what was passed on
	lost int64
}

// The longest run without a string or a bracket: a number or white space. A
// list of numbers is longer, and has commas.
const maxRun = 1 << 20

var errLongRun = errors.New("more than a MiB without a string or a bracket")

func (t *trimmer) Read(p []byte) (int, error) {
	for t.err == nil {
		var n int
		n, t.err = t.w.Read(p)
		if n = t.trim(p[:n]); n > 0 || len(p) == 0 {
			t.out += int64(n)
			return n, nil
		}
	}
	return 0, t.err
}

// trim cuts within p and returns how much is left of it.
func (t *trimmer) trim(p []byte) int {
	i, o := 0, 0
	for i < len(p) {
		if !t.inside {
			n := bytes.IndexByte(p[i:], '"')
			if n < 0 {
				t.run(p[i:])
				return o + move(p, o, i, len(p)-i)
			}
			o += move(p, o, i, n+1)
			i += n + 1
			t.inside, t.kept, t.dropped, t.distance = true, 0, 0, 0
			continue
		}
		i, o = t.str(p, i, o)
	}
	return o
}

// move copies n bytes within p to where they belong; mostly they are there.
func move(p []byte, to, from, n int) int {
	if to != from {
		copy(p[to:], p[from:from+n])
	}
	return n
}

// short passes on as much of a string as is sure to need no cut: to its end, or
// to the last escaped quote in p. A quote ends the string unless an odd number
// of backslashes stands before it, so nothing else need be looked at.
func (t *trimmer) short(p []byte, i, o int) (int, int) {
	if t.escape > 0 || t.dropped > 0 || t.kept+len(p)-i > t.max {
		return i, o
	}
	from := i
	for t.inside {
		n := bytes.IndexByte(p[from:], '"')
		if n < 0 {
			break
		}
		quote := from + n
		slash := quote
		for slash > from && p[slash-1] == '\\' {
			slash--
		}
		t.inside = (quote-slash)%2 == 1
		from = quote + 1
	}
	t.kept += from - i
	return from, o + move(p, o, i, from-i)
}

// str passes on a string from p[i] to its end or that of p.
func (t *trimmer) str(p []byte, i, o int) (int, int) {
	if i, o = t.short(p, i, o); !t.inside {
		return i, o
	}
	quote := -1
	for i < len(p) {
		if t.escape > 0 {
			o = t.escaped(p, i, o)
			i++
			continue
		}
		if quote < i {
			if n := bytes.IndexByte(p[i:], '"'); n >= 0 {
				quote = i + n
			} else {
				quote = len(p)
			}
		}
		n := quote - i
		if b := bytes.IndexByte(p[i:quote], '\\'); b >= 0 {
			n = b
		}
		o = t.plain(p, i, n, o)
		i += n
		if i == len(p) {
			break
		}
		if p[i] == '"' {
			if t.dropped > 0 {
				t.cuts = append(t.cuts, cut{t.out + int64(o), t.dropped})
				t.skipped += t.dropped
			}
			o += move(p, o, i, 1)
			t.inside = false
			return i + 1, o
		}
		t.escape = afterBackslash
		o = t.pass(p, i, o)
		i++
	}
	return i, o
}

// plain passes on n bytes that hold neither quote nor backslash, up to the bound.
func (t *trimmer) plain(p []byte, i, n, o int) int {
	keep := max(min(n, t.max-t.kept), 0)
	if t.dropped > 0 {
		keep = 0
	}
	t.kept += keep
	t.dropped += int64(n - keep)
	return o + move(p, o, i, keep)
}

// escaped passes on one character of an escape and sees how many follow.
func (t *trimmer) escaped(p []byte, i, o int) int {
	switch {
	case t.escape < afterBackslash:
		t.escape--
	case p[i] == 'u':
		t.escape = 4
	default:
		t.escape = 0
	}
	return t.pass(p, i, o)
}

// afterBackslash stands for the character that says which escape it is; lower
// numbers count the digits of a \u escape.
const afterBackslash = 5

// pass passes on one byte of an escape, or drops it. An escape is dropped as a
// whole or not at all: where it begins decides.
func (t *trimmer) pass(p []byte, i, o int) int {
	if t.dropped > 0 || t.escape == afterBackslash && t.kept >= t.max {
		t.dropped++
		return o
	}
	t.kept++
	return o + move(p, o, i, 1)
}

// run bounds what stands outside strings.
func (t *trimmer) run(b []byte) {
	if i := bytes.LastIndexAny(b, ",:[]{}"); i >= 0 {
		b, t.distance = b[i+1:], 0
	}
	t.distance += len(b)
	if t.distance > maxRun {
		t.err = errLongRun
	}
}

// lost tells how much was cut off the string that ended at offset end of what
// was passed on. It is asked in the order of the strings.
func (t *trimmer) lost(end int64) int64 {
	for len(t.cuts) > 0 && t.cuts[0].at < end {
		c := t.cuts[0]
		t.cuts = t.cuts[1:]
		if c.at == end-1 {
			return c.lost
		}
	}
	return 0
}
