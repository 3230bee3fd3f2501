package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// A scanner reads JSON (RFC 8259) from a window, a value at a time, and accepts
// exactly what encoding/json accepts, but for the bounds below. Names may occur
// twice, and bytes that are no UTF-8 stand for U+FFFD.
//
// The trick: it works where the bytes lie, eight at a time, and who reads holds
// the structure. The caller enters objects and arrays that it knows and skips
// all else, so that one bit is all the state of the grammar: whether a value
// stands before in the object or array that is open.
//
// After an error nothing more is found: objects and arrays end at once.
type scanner struct {
	w   *window
	max int // bytes of a string that are held; of a longer one the rest is counted

	depth    int    // of the objects and arrays that are open
	after    bool   // a value stands before in the one that is open
	colon    bool   // a name was read, and its colon was not
	lost     int64  // bytes of the last string that were not held, as they stand in the file
	long     []byte // what is held of a string that is longer
	unquoted []byte // a string without its escapes
	err      error  // sticky: errSyntax, errDeep, errLongNumber, io.ErrUnexpectedEOF, or the window's
	at       int64  // offset in the input of the byte that err is about

	arrays [maxDepth/64 + 1]uint64 // while skipping, a bit for each level: an array
}

const (
	maxDepth  = 10000   // as encoding/json has it
	maxNumber = 1 << 20 // bytes: a float64 in full has 1077 digits at most
)

var (
	errSyntax     = errors.New("an unexpected character")
	errDeep       = errors.New("it is nested too deeply")
	errLongNumber = errors.New("a number of more than a MiB")
)

// fail stops the reading at the i-th of the bytes that come next.
func (s *scanner) fail(err error, i int) {
	if s.err == nil {
		s.err, s.at = err, s.w.offset()+int64(i)
	}
}

// more returns what comes next and at least one byte more than have, or stops.
func (s *scanner) more(have int) (b []byte, ok bool) {
	if len(s.w.fill(have+1)) <= have {
		err := s.w.err
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		s.fail(err, have)
		return nil, false
	}
	return s.w.buffered(), true
}

// next returns the first byte of the token that comes next; 0 after an error.
func (s *scanner) next() byte {
	if s.err != nil {
		return 0
	}
	for {
		b := s.w.buffered()
		i := 0
		if len(b) > 0 && b[0] <= ' ' {
			i = white(b)
			s.w.skip(i)
		}
		if i < len(b) {
			c := b[i]
			if c < ' ' {
				s.fail(errSyntax, 0)
				return 0
			}
			return c
		}
		if _, ok := s.more(0); !ok {
			return 0
		}
	}
}

// white counts the white space at the start of b. Exporters indent.
func white(b []byte) int {
	i := 0
	for i < len(b) && b[i] <= ' ' {
		switch b[i] {
		case ' ', '\t', '\r', '\n':
			i++
		default:
			return i
		}
		for len(b)-i >= 8 {
			if x := binary.LittleEndian.Uint64(b[i:]) ^ ones*' '; x != 0 {
				i += bits.TrailingZeros64(x) / 8
				break
			}
			i += 8
		}
	}
	return i
}

// Of a word of eight bytes: the lowest and the highest bit of each.
const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// ordinary finds the first byte from b[i] on that is not an ordinary character
// of a string: a quote, a backslash or a control character, and len(b) where
// there is none. A bit of high is set when a byte over 0x7f was seen on the way
// there, or shortly after it.
func ordinary(b []byte, i int) (end int, high uint64) {
	for ; len(b)-i >= 8; i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		// A byte that is less than what is subtracted gets its top bit; the
		// bytes above it may borrow from it, so only the lowest is sure.
		found := ((x-ones*' ')&^x | (quote-ones)&^quote | (slash-ones)&^slash) & tops
		high |= x & tops
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8, high
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c == '"' || c == '\\' {
			return i, high
		} else if c >= utf8.RuneSelf {
			high = tops
		}
	}
	return i, high
}

// kind returns the first byte of the value that comes next; 0 after an error.
func (s *scanner) kind() byte {
	c := s.next()
	if s.colon && c != 0 {
		if c != ':' {
			s.fail(errSyntax, 0)
			return 0
		}
		s.colon = false
		s.w.skip(1)
		c = s.next()
	}
	return c
}

// enter opens the object or array that comes next; anything else is skipped.
func (s *scanner) enter(open byte) bool {
	if s.kind() != open {
		s.skip()
		return false
	}
	if s.depth >= maxDepth {
		s.fail(errDeep, 0)
		return false
	}
	s.w.skip(1)
	s.depth++
	s.after = false
	return true
}

// leave closes the object or array that is open: its end comes next.
func (s *scanner) leave() {
	s.w.skip(1)
	s.depth--
	s.after = true
}

// member returns the name of the next member of the object that is open, nil at
// its end, which it consumes. The name is valid until the next call of any of
// these.
func (s *scanner) member() []byte {
	if !s.named() {
		return nil
	}
	name := s.str()
	s.colonOf()
	if s.err != nil {
		return nil
	}
	return name
}

// named goes to the name of the next member, or over the end of the object.
func (s *scanner) named() bool {
	c := s.next()
	switch {
	case c == '}':
		s.leave()
		return false
	case s.after && c == ',':
		s.w.skip(1)
		c = s.next()
	case s.after:
		c = 0
	}
	if c != '"' {
		s.fail(errSyntax, 0)
		return false
	}
	return true
}

// colonOf takes the colon after a name if it is at hand, else before the value:
// reading on would move the name.
func (s *scanner) colonOf() {
	s.colon = true
	if b := s.w.buffered(); len(b) > 0 && b[0] == ':' {
		s.w.skip(1)
		s.colon = false
	}
}

// element says whether the array that is open has a next element; if not, it
// consumes its end.
func (s *scanner) element() bool {
	c := s.next()
	switch {
	case c == ']':
		s.leave()
		return false
	case s.after && c == ',':
		s.w.skip(1)
		if s.next() == ']' {
			s.fail(errSyntax, 0)
		}
	case s.after:
		s.fail(errSyntax, 0)
	}
	return s.err == nil
}

// skip goes over the value that comes next.
func (s *scanner) skip() {
	for level := 0; s.err == nil; {
		switch s.kind() {
		case '"':
			s.w.skip(1)
			s.pass()
		case '{', '[':
			level = s.push(level)
		default:
			s.token()
		}
		for level > 0 && !s.another(level) {
			level--
		}
		if level == 0 {
			return
		}
	}
}

// push opens the object or array that comes next, while skipping.
func (s *scanner) push(level int) int {
	level++
	bit := uint64(1) << (level % 64)
	open := s.w.buffered()[0]
	if open == '[' {
		s.arrays[level/64] |= bit
	} else {
		s.arrays[level/64] &^= bit
	}
	s.enter(open)
	return level
}

// another goes to the next value in the object or array of a level, or over its
// end.
func (s *scanner) another(level int) bool {
	if s.arrays[level/64]>>(level%64)&1 == 1 {
		return s.element()
	}
	if !s.named() {
		return false
	}
	s.w.skip(1)
	s.pass()
	s.colonOf()
	return true
}

// token reads a number or one of true, false and null, after kind. It is valid
// until the next call.
func (s *scanner) token() []byte {
	b := s.w.buffered()
	if s.err != nil || len(b) == 0 {
		return nil
	}
	n := 0
	switch b[0] {
	case 't':
		n = s.literal("true")
	case 'f':
		n = s.literal("false")
	case 'n':
		n = s.literal("null")
	default:
		n = s.number()
	}
	if s.err != nil {
		return nil
	}
	b = s.w.buffered()[:n]
	s.w.skip(n)
	s.after = true
	return b
}

func (s *scanner) literal(want string) int {
	b, ok := s.w.buffered(), true
	for n := 1; n < len(want); n++ {
		if n == len(b) {
			if b, ok = s.more(n); !ok {
				return 0
			}
		}
		if b[n] != want[n] {
			s.fail(errSyntax, n)
			return 0
		}
	}
	return len(want)
}

// number returns the length of the number that comes next.
func (s *scanner) number() int {
	b, n, ok := s.w.buffered(), 0, true
	for {
		for n < len(b) && (b[n]-'0' < 10 || b[n] == '.' || b[n] == '-' || b[n]|0x20 == 'e' || b[n] == '+') {
			n++
		}
		if n > maxNumber {
			s.fail(errLongNumber, 0)
			return 0
		}
		if n < len(b) {
			break
		}
		if b, ok = s.more(n); !ok {
			return 0
		}
	}
	if bad := badNumber(b[:n]); bad >= 0 {
		s.fail(errSyntax, bad)
	}
	return n
}

// badNumber returns where t, which ends where no number goes on, stops being
// one; negative: it is one.
func badNumber(t []byte) int {
	i := 0
	digits := func() bool {
		from := i
		for i < len(t) && t[i]-'0' < 10 {
			i++
		}
		return i > from
	}
	if i < len(t) && t[i] == '-' {
		i++
	}
	if i < len(t) && t[i] == '0' {
		i++
	} else if !digits() {
		return i
	}
	if i < len(t) && t[i] == '.' {
		if i++; !digits() {
			return i
		}
	}
	if i < len(t) && t[i]|0x20 == 'e' {
		i++
		if i < len(t) && (t[i] == '+' || t[i] == '-') {
			i++
		}
		if !digits() {
			return i
		}
	}
	if i < len(t) {
		return i
	}
	return -1
}

// str reads the string that comes next, which kind has told. It is valid until
// the next call.
func (s *scanner) str() []byte {
	raw, odd := s.quoted()
	if !odd || s.err != nil {
		return raw
	}
	s.unquoted = appendUnquoted(s.unquoted[:0], raw)
	return s.unquoted
}

// own reads the string that comes next into memory of its own.
func (s *scanner) own() []byte {
	raw, odd := s.quoted()
	if !odd || s.err != nil {
		return append([]byte(nil), raw...)
	}
	return appendUnquoted(nil, raw)
}

// quoted reads the string that comes next as it stands in the file; odd: there
// may be more in it than plain ASCII.
func (s *scanner) quoted() (raw []byte, odd bool) {
	s.lost = 0
	b, i, ok := s.w.buffered(), 1, true
	var high uint64
	for {
		var h uint64
		i, h = ordinary(b, i)
		high |= h
		if i < len(b) && b[i] == '"' {
			s.w.skip(i + 1)
			s.after = true
			raw = b[1:i]
			if len(raw) > s.max {
				n := whole(raw, s.max)
				raw, s.lost = raw[:n], int64(len(raw)-n)
			}
			return raw, high != 0
		}
		n, bad := escape(b[i:])
		switch {
		case bad:
			s.fail(errSyntax, i+n)
			return nil, false
		case n > 0:
			i += n
			high = 1
		case i > s.max+longestEscape:
			return s.rest(b[1:i]), high != 0
		default:
			if b, ok = s.more(len(b)); !ok {
				return nil, false
			}
		}
	}
}

// rest holds the beginning of a string of which head stands before what comes
// next, and goes over the rest.
func (s *scanner) rest(head []byte) []byte {
	n := whole(head, s.max)
	s.long = append(s.long[:0], head[:n]...)
	s.w.skip(1 + len(head))
	s.lost = int64(len(head)-n) + s.pass()
	return s.long
}

// pass goes over the rest of a string and its quote, and returns how long it
// was without.
func (s *scanner) pass() (n int64) {
	for s.err == nil {
		b := s.w.buffered()
		i, _ := ordinary(b, 0)
		if i < len(b) && b[i] == '"' {
			s.w.skip(i + 1)
			s.after = true
			return n + int64(i)
		}
		e, bad := escape(b[i:])
		if bad {
			s.fail(errSyntax, i+e)
			break
		}
		s.w.skip(i + e)
		n += int64(i + e)
		if e == 0 {
			s.more(len(b) - i)
		}
	}
	return n
}

// An escape that may not be cut: a surrogate pair.
const longestEscape = len(`\ud83d\ude00`)

// escape returns the length of the escape that b begins with, 0 where it goes
// on behind b. Of what is none it returns where that shows.
func escape(b []byte) (n int, bad bool) {
	if len(b) == 0 {
		return 0, false
	}
	if b[0] != '\\' {
		return 0, true
	}
	if len(b) == 1 {
		return 0, false
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, false
	case 'u':
		for i := 2; i < 6; i++ {
			if i == len(b) {
				return 0, false
			}
			if hex[b[i]] == 0 {
				return i, true
			}
		}
		return 6, false
	}
	return 1, true
}

// hex has of each hexadecimal digit its value and one.
var hex = func() (t [256]byte) {
	for i := range byte(10) {
		t['0'+i] = i + 1
	}
	for i := range byte(6) {
		t['a'+i], t['A'+i] = i+11, i+11
	}
	return t
}()

// unit is the number in the \u escape that b begins with.
func unit(b []byte) rune {
	return rune(hex[b[2]]-1)<<12 | rune(hex[b[3]]-1)<<8 | rune(hex[b[4]]-1)<<4 | rune(hex[b[5]]-1)
}

// whole returns how many bytes of raw, which is longer than max or ends the
// string, are whole characters within max.
func whole(raw []byte, max int) int {
	for i := 0; ; {
		n := bytes.IndexByte(raw[i:max], '\\')
		if n < 0 {
			break
		}
		i += n
		size := 2
		if raw[i+1] == 'u' {
			size, _ = pair(raw[i:])
		}
		if i+size > max {
			return i
		}
		i += size
	}
	for back := 1; back < utf8.UTFMax && back <= max; back++ {
		if _, size := utf8.DecodeRune(raw[max-back:]); size > back {
			return max - back
		}
	}
	return max
}

// appendUnquoted appends what raw, the inside of a string, stands for.
func appendUnquoted(to, raw []byte) []byte {
	from := len(to)
	// Unescaped it is no longer, and a word may be stored beyond its end.
	to = slices.Grow(to, len(raw)+8)
	out := to[from : from+len(raw)+8]
	n, i := 0, 0
	var high uint64
	for i < len(raw) {
		for len(raw)-i >= 8 {
			x := binary.LittleEndian.Uint64(raw[i:])
			binary.LittleEndian.PutUint64(out[n:], x)
			high |= x
			slash := x ^ ones*'\\'
			if found := (slash - ones) &^ slash & tops; found != 0 {
				k := bits.TrailingZeros64(found) / 8
				i, n = i+k, n+k
				break
			}
			i, n = i+8, n+8
		}
		if i == len(raw) {
			break
		}
		c := raw[i]
		if c != '\\' {
			high |= uint64(c)
			out[n] = c
			i, n = i+1, n+1
			continue
		}
		if c = unescaped[raw[i+1]]; c != 0 {
			out[n] = c
			i, n = i+2, n+1
			continue
		}
		size, r := pair(raw[i:])
		n += utf8.EncodeRune(out[n:], r)
		i += size
	}
	out = out[:n]
	if high&tops != 0 && !utf8.Valid(out) {
		return append(to, string([]rune(string(out)))...) // one U+FFFD for each byte that is none
	}
	return to[:from+n]
}

// unescaped has what a backslash makes of a letter, but for the u.
var unescaped = [256]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', '"': '"', '\\': '\\', '/': '/'}

// pair reads the \u escape that b begins with, or two that are one character.
func pair(b []byte) (size int, r rune) {
	r = unit(b)
	if !utf16.IsSurrogate(r) {
		return 6, r
	}
	if len(b) >= longestEscape && b[6] == '\\' && b[7] == 'u' {
		if both := utf16.DecodeRune(r, unit(b[6:])); both != utf8.RuneError {
			return longestEscape, both
		}
	}
	return 6, utf8.RuneError
}
