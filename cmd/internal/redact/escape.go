package redact

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Texts stand in other texts, escaped. To mask one in place, it is unescaped,
// masked at the same length, and what changed is written back where it stood:
// an escape stays an escape of the same length.

// A unit is one character of a text and the bytes that it is written with.
type unit struct{ raw, rawLen, text, textLen int }

// inJSON masks the contents of a JSON string, without its quotes, with f.
func inJSON(raw []byte, f func([]byte)) {
	if bytes.IndexByte(raw, '\\') < 0 {
		f(raw)
		return
	}
	var text []byte
	var units []unit
	for i := 0; i < len(raw); {
		n := 1
		at := len(text)
		switch {
		case raw[i] != '\\' || i+1 >= len(raw):
			_, n = utf8.DecodeRune(raw[i:])
			text = append(text, raw[i:i+n]...)
		case raw[i+1] != 'u':
			n = 2
			text = append(text, unescape(raw[i+1]))
		default:
			var r rune
			r, n = unescapeU(raw[i:])
			text = utf8.AppendRune(text, r)
		}
		units = append(units, unit{i, n, at, len(text) - at})
		i += n
	}
	was := string(text)
	f(text)
	for _, u := range units {
		now := text[u.text : u.text+u.textLen]
		if string(now) == was[u.text:u.text+u.textLen] {
			continue
		}
		escapeTo(raw[u.raw:u.raw+u.rawLen], now)
	}
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	}
	return c
}

// unescapeU reads \uXXXX, or two of them for one character.
func unescapeU(b []byte) (rune, int) {
	one := func(b []byte) (rune, bool) {
		if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
			return 0, false
		}
		v, err := strconv.ParseUint(string(b[2:6]), 16, 16)
		return rune(v), err == nil
	}
	r, ok := one(b)
	if !ok {
		return utf8.RuneError, min(len(b), 2)
	}
	if utf16.IsSurrogate(r) {
		if s, ok := one(b[6:]); ok {
			if both := utf16.DecodeRune(r, s); both != utf8.RuneError {
				return both, 12
			}
		}
		return utf8.RuneError, 6
	}
	return r, 6
}

// escapeTo writes a character into the bytes of the one that stood there.
func escapeTo(raw, now []byte) {
	if len(raw) == len(now) && raw[0] != '\\' {
		copy(raw, now)
		return
	}
	r, _ := utf8.DecodeRune(now)
	switch len(raw) {
	case 6:
		hex4(raw[2:], r)
	case 12:
		a, b := utf16.EncodeRune(r)
		hex4(raw[2:], a)
		hex4(raw[8:], b)
	case 2: // none that is replaced is written so
		raw[1] = '/'
	}
}

func hex4(to []byte, r rune) {
	const digits = "0123456789abcdef"
	for i := range 4 {
		to[i] = digits[r>>(12-4*i)&15]
	}
}

// inQuery masks a value of a query or a form with f.
func inQuery(raw []byte, f func([]byte)) {
	var text []byte
	var at []int
	for i := 0; i < len(raw); i++ {
		at = append(at, i)
		switch c := raw[i]; {
		case c == '%' && i+2 < len(raw) && unhex(raw[i+1]) >= 0 && unhex(raw[i+2]) >= 0:
			text = append(text, byte(unhex(raw[i+1])<<4|unhex(raw[i+2])))
			i += 2
		case c == '+':
			text = append(text, ' ')
		default:
			text = append(text, c)
		}
	}
	if len(text) == len(raw) {
		f(raw)
		return
	}
	was := string(text)
	f(text)
	const digits = "0123456789ABCDEF"
	for i, c := range text {
		if c == was[i] {
			continue
		}
		if raw[at[i]] == '%' {
			raw[at[i]+1], raw[at[i]+2] = digits[c>>4], digits[c&15]
		} else {
			raw[at[i]] = c
		}
	}
}

func unhex(c byte) int {
	switch {
	case digit(c):
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
