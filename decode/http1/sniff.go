package http1

import (
	"bytes"
	"encoding/binary"

	"mcp401/decode"
)

const (
	version = "HTTP/1."

	// mostLine bounds a request line; servers refuse longer ones.
	mostLine = 64 << 10

	// mostMethod bounds a method; the longest registered one has 17 bytes.
	mostMethod = 64
)

// Sniff says whether p, the first bytes of one direction, is the begin of
// HTTP/1. A PROXY protocol header and empty lines may come first. Any method is
// taken if its line ends in a version of HTTP/1; the common ones are believed
// as soon as a target begins.
func Sniff(d decode.Dir, p []byte) decode.Verdict {
	if d == decode.ToClient {
		return startLine(d, p, 0)
	}
	n, v := ProxyHeader(p)
	if v == decode.More && len(p) > 0 {
		return decode.More
	}
	for p = p[n:]; len(p) > 0 && (p[0] == '\r' || p[0] == '\n'); p = p[1:] {
	}
	if i := bytes.IndexByte(p[:min(len(p), 8)], ' '); i > 0 && i+1 < len(p) && p[i+1] == '/' {
		switch string(p[:i]) {
		case "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PATCH":
			return decode.Yes
		}
	}
	return startLine(d, p, 0)
}

// startLine says whether b begins with a start line. from is how much of it is
// known to hold no line end.
func startLine(d decode.Dir, b []byte, from int) decode.Verdict {
	if d == decode.ToClient {
		n := min(len(b), len(version))
		switch {
		case string(b[:n]) != version[:n]:
			return decode.No
		case n < len(version):
			return decode.More
		}
		return decode.Yes
	}
	i := bytes.IndexByte(b[from:], '\n')
	if i < 0 {
		return requestSoFar(b)
	}
	line, _ := cutLine(b[:from+i+1])
	var m message
	if !m.requestLine(line) || len(m.method) > mostMethod {
		return decode.No
	}
	return decode.Yes
}

// requestSoFar judges the begin of a request line.
func requestSoFar(b []byte) decode.Verdict {
	for i, c := range b[:min(len(b), mostMethod+1)] {
		switch {
		case c == ' ' && i > 0:
			if i+1 < len(b) && isControl(b[i+1]) || len(b) > mostLine {
				return decode.No
			}
			return decode.More
		case !isTchar(c):
			return decode.No
		}
	}
	if len(b) > mostMethod {
		return decode.No
	}
	return decode.More
}

func isControl(c byte) bool { return c < ' ' || c == 0x7f }

// signature begins a PROXY protocol header of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// ProxyHeader returns the length of the PROXY protocol header, version 1 or 2,
// that a proxy put before the bytes of a client, as described in HAProxy's
// proxy-protocol.txt.
func ProxyHeader(p []byte) (n int, v decode.Verdict) {
	const (
		one     = "PROXY "
		longest = 107 // of a version 1 line, with its CRLF
	)
	switch {
	case hasPrefix(p, signature):
		if len(p) < 16 {
			return 0, decode.More
		}
		n = 16 + int(binary.BigEndian.Uint16(p[14:]))
		if len(p) < n {
			return 0, decode.More
		}
		return n, decode.Yes
	case hasPrefix(p, one):
		i := bytes.IndexByte(p[:min(len(p), longest)], '\n')
		switch {
		case i >= 0 && !bytes.Contains(p[:i], []byte(version)):
			return i + 1, decode.Yes
		case i < 0 && len(p) < longest:
			return 0, decode.More
		}
	}
	return 0, decode.No
}

// hasPrefix reports whether p begins with s, or s with p.
func hasPrefix(p []byte, s string) bool {
	n := min(len(p), len(s))
	return string(p[:n]) == s[:n]
}

// prefix strips a PROXY protocol header.
func (c *Conn) prefix(s *side, at decode.Mark, p []byte) []byte {
	old := len(s.buf)
	b := p
	if old > 0 {
		s.buf = append(s.buf, p...)
		b = s.buf
	}
	n, v := ProxyHeader(b)
	switch v {
	case decode.More:
		if old == 0 {
			s.buf = append(s.buf, p...)
		}
		return nil
	case decode.Yes:
		s.state, s.buf = start, s.buf[:0]
		return p[n-old:]
	}
	first := append([]byte(nil), s.buf[:old]...)
	s.state, s.buf = start, s.buf[:0]
	c.feed(s, at, first)
	return p
}
