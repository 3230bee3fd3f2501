package http1

import (
	"bytes"

	"mcp401/decode"
)

const (
	// lookback bounds the request line that is found after a hole: what comes
	// before its version is kept that long.
	lookback = 4 << 10

	longestMethod = 32

	// lookahead bounds the status line and the first field name that make a
	// start line believable.
	lookahead = 1 << 10

	// stride bounds what is copied at once, and so what a start line that leads
	// nowhere costs.
	stride = 2 << 10
)

// A place says where the bytes of a buffer from off on were captured.
type place struct {
	off int
	at  decode.Mark
}

// hunt looks for the next start line.
func (c *Conn) hunt(s *side, at decode.Mark, p []byte) []byte {
	n := min(len(p), stride)
	if s.junk {
		// Without a hole there is no reason to expect HTTP again.
		if n = min(n, c.most.head-s.skipped-len(s.buf)); n <= 0 {
			c.kill(s, at)
			return nil
		}
	}
	old := len(s.buf)
	s.places = append(s.places, place{old, at})
	s.buf = append(s.buf, p[:n]...)
	i, v := findStart(s.dir, s.buf, s.scan)
	if v == decode.Yes {
		c.found(s, at, i, old)
		return p[max(0, i-old):]
	}
	s.scan = i
	s.forget(i)
	return p[n:]
}

// forget drops the begin of buf that cannot be part of a start line anymore.
// i is where the next search begins.
func (s *side) forget(i int) {
	if s.dir == decode.ToServer {
		// The line end stays: it tells where the line begins.
		i = max(i-lookback-longestMethod, bytes.LastIndexByte(s.buf[:i], '\n'))
	}
	if i <= 0 {
		return
	}
	s.skipped += i
	s.scan -= i
	s.buf = s.buf[:copy(s.buf, s.buf[i:])]
	k := 0
	for k+1 < len(s.places) && s.places[k+1].off <= i {
		k++
	}
	s.places = s.places[:copy(s.places, s.places[k:])]
	for j := range s.places {
		s.places[j].off = max(0, s.places[j].off-i)
	}
	if len(s.buf) == 0 {
		s.places = s.places[:0]
	}
}

// found goes on with a start line at i of buf. The bytes of buf from old on are
// decoded by the caller.
func (c *Conn) found(s *side, at decode.Mark, i, old int) {
	first, places := s.buf[:old], s.places
	s.buf, s.places, s.scan = nil, nil, 0
	s.state = start
	if n := s.skipped + i; n > 0 {
		c.warn("http1/skipped", at, n, "bytes before the next start line were passed over")
	}
	s.skipped = 0
	for k, pl := range places {
		end := old
		if k+1 < len(places) {
			end = places[k+1].off
		}
		if from := max(pl.off, i); from < end {
			c.feed(s, pl.at, first[from:end])
		}
	}
}

// findStart looks for a start line in b. With Yes it begins at i; otherwise
// the next search has to begin at i.
func findStart(d decode.Dir, b []byte, from int) (i int, v decode.Verdict) {
	mark := version
	if d == decode.ToServer {
		mark = " " + version
	}
	for {
		j := bytes.Index(b[from:], []byte(mark))
		if j < 0 {
			return max(from, len(b)-len(mark)+1), decode.No
		}
		j += from
		v = believable(d, b[j+len(mark):])
		i = j
		if v != decode.No && d == decode.ToServer {
			if i = lineStart(b, j); i < 0 || startLine(d, b[i:], 0) == decode.No {
				v = decode.No
			}
		}
		switch v {
		case decode.Yes:
			return i, decode.Yes
		case decode.More:
			return j, decode.More
		}
		from = j + 1
	}
}

// believable judges what follows the version up to its minor digit: the rest
// of a start line, and an empty line or the name of a field after it. Text that
// only speaks of HTTP has no such thing.
func believable(d decode.Dir, b []byte) decode.Verdict {
	if d == decode.ToClient {
		for i, c := range b[:min(len(b), len("1 200 "))] {
			ok := isDigit(c)
			switch i {
			case 1:
				ok = c == ' '
			case 5:
				ok = c == ' ' || c == '\r' || c == '\n'
			}
			if !ok {
				return decode.No
			}
		}
	} else if len(b) > 0 && !isDigit(b[0]) || len(b) > 1 && b[1] != '\r' && b[1] != '\n' {
		return decode.No
	}
	end := bytes.IndexByte(b[:min(len(b), lookahead)], '\n')
	if end < 0 || end+1 >= len(b) {
		return tooFew(b)
	}
	rest := b[end+1:]
	if rest[0] == '\r' || rest[0] == '\n' {
		return decode.Yes
	}
	for i, c := range rest[:min(len(rest), lookahead)] {
		switch {
		case c == ':' && i > 0:
			return decode.Yes
		case !isTchar(c):
			return decode.No
		}
	}
	return tooFew(b)
}

func tooFew(b []byte) decode.Verdict {
	if len(b) > 2*lookahead {
		return decode.No
	}
	return decode.More
}

// lineStart returns where the request line begins whose version follows j, or
// -1. A method right behind other text ("}POST") is cut off it.
func lineStart(b []byte, j int) int {
	t := j
	for t > 0 && j-t < lookback && b[t-1] > ' ' && b[t-1] != 0x7f {
		t--
	}
	if t == j || t < 2 || b[t-1] != ' ' {
		return -1
	}
	end := t - 1
	m := end
	for m > 0 && isTchar(b[m-1]) && end-m < longestMethod {
		m--
	}
	if m == end {
		return -1
	}
	for _, known := range known {
		if bytes.HasSuffix(b[m:end], []byte(known)) {
			return end - len(known)
		}
	}
	// Behind a hole a token may be the rest of a longer one.
	if m == 0 || b[m-1] != '\n' {
		return -1
	}
	return m
}

// known holds the methods that are recognised without a line end before them
// (RFC 9110, RFC 5789, WebDAV and QUERY).
var known = [...]string{"POST", "GET", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH", "CONNECT", "TRACE",
	"PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "UNLOCK", "LOCK", "REPORT", "QUERY"}
