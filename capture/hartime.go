package capture

import (
	"math"
	"time"
)

// parseTime reads the times that HAR exporters write: RFC 3339 with up to nine
// digits of a fraction (more are cut), "T" or a space, and a zone of Z, ±hh:mm,
// ±hhmm or ±hh. Without a zone it is taken for UTC, and zoned is false.
func parseTime(s []byte) (t time.Time, zoned, ok bool) {
	d := digits{s: s}
	year, month, day := d.number(4), d.after('-').number(2), d.after('-').number(2)
	if c := d.next(); c != 'T' && c != 't' && c != ' ' {
		return time.Time{}, false, false
	}
	hour, minute, sec := d.number(2), d.after(':').number(2), d.after(':').number(2)
	nsec := d.fraction()
	offset, zoned := d.zone()
	if d.bad || len(d.s) > 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour > 24 || minute > 59 || sec > 60 {
		return time.Time{}, false, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, sec, nsec, time.UTC)
	return t.Add(-offset), zoned, true
}

// digits is text that is taken apart from the left.
type digits struct {
	s   []byte
	bad bool
}

func (d *digits) next() byte {
	if len(d.s) == 0 {
		d.bad = true
		return 0
	}
	c := d.s[0]
	d.s = d.s[1:]
	return c
}

func (d *digits) after(c byte) *digits {
	d.bad = d.next() != c || d.bad
	return d
}

func (d *digits) number(n int) int {
	v := 0
	for range n {
		c := d.next()
		d.bad = d.bad || c < '0' || c > '9'
		v = v*10 + int(c) - '0'
	}
	return v
}

func (d *digits) fraction() int {
	if len(d.s) == 0 || d.s[0] != '.' && d.s[0] != ',' {
		return 0
	}
	d.s = d.s[1:]
	v, unit := 0, int(time.Second)
	for len(d.s) > 0 && d.s[0] >= '0' && d.s[0] <= '9' {
		unit /= 10
		v += unit * int(d.s[0]-'0')
		d.s = d.s[1:]
	}
	return v
}

func (d *digits) zone() (time.Duration, bool) {
	if len(d.s) == 0 {
		return 0, false
	}
	sign := time.Duration(1)
	switch d.next() {
	case 'Z', 'z':
		return 0, true
	case '-':
		sign = -1
	case '+':
	default:
		d.bad = true
	}
	hours, minutes := d.number(2), 0
	if len(d.s) > 0 {
		if d.s[0] == ':' {
			d.next()
		}
		minutes = d.number(2)
	}
	return sign * (time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute), true
}

// milliseconds makes a duration of a HAR number; what is negative or absurd is
// unknown.
func milliseconds(ms float64) time.Duration {
	if !(ms >= 0 && ms < 1e12) {
		return -1
	}
	return time.Duration(math.Round(ms * 1e6))
}

// epoch makes a time of a number of seconds or, when they are too many for
// that, milliseconds since 1970.
func epoch(v float64) time.Time {
	if v > 1e11 {
		v /= 1e3
	}
	if !(v > 0 && v < 1e11) {
		return time.Time{}
	}
	sec, frac := math.Modf(v)
	return time.Unix(int64(sec), int64(math.Round(frac*1e6))*1e3).UTC()
}
