package report

import (
	"time"
)

// binsKept is how many columns a time line has at most, binsWanted how many it
// has at least, so that a single call is a mark and not a wall.
const (
	binsKept   = 120
	binsWanted = 60
)

// A timeline counts calls by time. Bins lie on a grid of the clock, and when
// they become too many their width doubles, so that the result depends on no
// order and on no span known beforehand.
type timeline struct {
	width       time.Duration
	bins        map[int64]*bin
	first, last time.Time
}

// A bin is the calls of one span of time.
type bin struct{ all, bad int }

func (l *timeline) add(t Time, bad bool) {
	if t.IsZero() || t.Year() < 1970 || t.Year() > 2200 {
		return // not a time on anybody's line
	}
	if l.bins == nil {
		l.bins, l.width, l.first, l.last = map[int64]*bin{}, time.Millisecond, t.Time, t.Time
	}
	if t.Before(l.first) {
		l.first = t.Time
	}
	if t.After(l.last) {
		l.last = t.Time
	}
	for l.at(l.last)-l.at(l.first) >= binsKept {
		l.double()
	}
	b := l.bin(l.at(t.Time))
	b.all++
	if bad {
		b.bad++
	}
}

func (l *timeline) at(t time.Time) int64 { return floor(t.UnixNano(), int64(l.width)) }

func (l *timeline) bin(i int64) *bin {
	b := l.bins[i]
	if b == nil {
		b = &bin{}
		l.bins[i] = b
	}
	return b
}

func (l *timeline) double() {
	old := l.bins
	l.width *= 2
	l.bins = map[int64]*bin{}
	for i, b := range old {
		n := l.bin(floor(i, 2))
		n.all += b.all
		n.bad += b.bad
	}
}

// columns is the bins from the first to the last, and the most calls in one.
func (l *timeline) columns() (list []bin, most int) {
	if len(l.bins) == 0 {
		return nil, 0
	}
	from := l.at(l.first)
	n := int(l.at(l.last)-from) + 1
	list = make([]bin, max(n, binsWanted))
	for i, b := range l.bins {
		list[i-from] = *b
		most = max(most, b.all)
	}
	return list, most
}

// floor is a / b, rounded down.
func floor(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
