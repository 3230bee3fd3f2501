// Package sse decodes event streams (WHATWG HTML, "Server-sent events",
// parsing and interpreting an event stream) while they are open.
//
// It keeps what a client would throw away and an observer needs: comments,
// which prove that a quiet stream lives, and the block that the end of the
// stream cut. It does not reconnect, and it does not look into the data.
//
// The one trick: a line that lies whole in the piece being written is used in
// place, so that a large event is handed out without being copied.
package sse

import (
	"bytes"
	"unicode/utf8"

	"mcp401/decode"
)

// An Event is one dispatched block of a stream. Its slices are valid until
// emit returns.
type Event struct {
	At      decode.Mark // the byte that dispatched it
	Type    []byte      // nil: "message"
	ID      []byte      // the last event id in force, of this block or of one before it
	Data    []byte      // lines joined by LF, bad UTF-8 replaced by U+FFFD; may be empty
	Retry   int         // milliseconds, -1: the block has none
	Comment bool        // a comment line: Data is its text, nothing else is set
	Cut     bool        // the stream ended before its blank line: a client never sees it
}

// A Decoder turns the bytes of one stream into events. Its zero value works.
type Decoder struct {
	Limits   decode.Limits     // Line bounds a line and the data of an event
	Comments bool              // also emit comments
	Note     func(decode.Note) // nil: notes are dropped

	line    []byte // the line so far, when it came in pieces
	bom     int    // bytes of a byte order mark matched; -1: beyond the start of the stream
	afterCR bool   // a LF now belongs to the line end before
	long    bool   // the line passed the bound, or began in a hole: only its end matters
	lost    bool   // the block is damaged: skip to the next blank line

	data  []byte // the data of the block: in place in the piece, or in hold
	hold  []byte // storage that data may use
	kept  bool   // data lies in hold
	lines int    // data lines in the block
	kind  []byte
	id    []byte // id buffer
	last  []byte // last event id
	newID bool   // the block set id
	retry int    // of the block, plus one; 0: none
}

const bom = "\xef\xbb\xbf"

// Write takes the next bytes of the stream and emits what they complete.
// Nothing of p is kept.
func (d *Decoder) Write(at decode.Mark, p []byte, emit func(Event)) {
	if d.bom >= 0 {
		p = d.skipBOM(p)
	}
	// Each of the two searches goes on only beyond what it found, so that a
	// stream of one kind of line end is still searched once.
	lf, cr := bytes.IndexByte(p, '\n'), bytes.IndexByte(p, '\r')
	pos := 0
	for pos < len(p) {
		if lf >= 0 && lf < pos {
			lf = next(p, pos, '\n')
		}
		if cr >= 0 && cr < pos {
			cr = next(p, pos, '\r')
		}
		if d.afterCR {
			d.afterCR = false
			if p[pos] == '\n' {
				pos++
				continue
			}
		}
		end := lf
		if cr >= 0 && (lf < 0 || cr < lf) {
			end = cr
		}
		if end < 0 {
			d.keep(at, p[pos:])
			break
		}
		d.afterCR = end == cr
		d.endLine(at, p[pos:end], emit)
		pos = end + 1
	}
	if d.lines > 0 && !d.kept {
		d.hold = append(d.hold[:0], d.data...)
		d.data, d.kept = d.hold, true
	}
}

func next(p []byte, from int, c byte) int {
	if i := bytes.IndexByte(p[from:], c); i >= 0 {
		return from + i
	}
	return -1
}

// skipBOM removes one leading byte order mark, however it is cut.
func (d *Decoder) skipBOM(p []byte) []byte {
	for len(p) > 0 && d.bom < len(bom) && p[0] == bom[d.bom] {
		d.bom++
		p = p[1:]
	}
	switch {
	case d.bom == len(bom):
		d.bom = -1
	case len(p) > 0:
		// It was none: what was taken begins the first line.
		d.line = append(d.line, bom[:d.bom]...)
		d.bom = -1
	}
	return p
}

// keep stores a piece of a line whose end is still to come.
func (d *Decoder) keep(at decode.Mark, p []byte) {
	if d.long {
		return
	}
	if len(d.line)+len(p) > d.max() {
		d.tooLong(at)
		return
	}
	d.line = append(d.line, p...)
}

func (d *Decoder) max() int {
	if d.Limits.Line > 0 {
		return d.Limits.Line
	}
	return decode.Limits{}.WithDefaults().Line
}

// tooLong gives the block up. The bound keeps a stream without line ends from
// holding memory.
func (d *Decoder) tooLong(at decode.Mark) {
	if !d.lost {
		d.note("limit/sse-line", at, "an event of a stream is larger than the bound and is left out")
	}
	d.long, d.lost = true, true
	d.line = nil
	d.clear()
}

func (d *Decoder) note(code string, at decode.Mark, text string) {
	if d.Note != nil {
		d.Note(decode.Note{Code: code, At: at, Text: text})
	}
}

// endLine takes the last piece of a line.
func (d *Decoder) endLine(at decode.Mark, p []byte, emit func(Event)) {
	if d.long {
		d.long = false
		return
	}
	if len(d.line) == 0 {
		if len(p) > d.max() {
			d.tooLong(at)
			d.long = false
			return
		}
		d.field(at, p, false, emit)
		return
	}
	if len(d.line)+len(p) > d.max() {
		d.tooLong(at)
		d.long = false
		return
	}
	line := append(d.line, p...)
	d.line = line
	d.field(at, line, true, emit)
	d.line = d.line[:0]
}

// field interprets one line. Owned says that the line lies in d.line.
func (d *Decoder) field(at decode.Mark, line []byte, owned bool, emit func(Event)) {
	if len(line) == 0 {
		d.dispatch(at, emit)
		return
	}
	i := bytes.IndexByte(line, ':')
	if i == 0 {
		if d.Comments {
			emit(Event{At: at, Comment: true, Data: line[1:], Retry: -1})
		}
		return
	}
	if d.lost {
		return
	}
	name, value := line, line[len(line):]
	if i > 0 {
		name, value = line[:i], line[i+1:]
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
	}
	switch string(name) {
	case "data":
		d.addData(at, value, owned)
	case "event":
		d.kind = append(d.kind[:0], value...)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			d.id, d.newID = append(d.id[:0], value...), true
		}
	case "retry":
		d.retry = parseRetry(value, d.retry)
	}
}

// addData adds a data line. The first one stays where it is: in the piece, or
// in the line's own storage, which then changes places with hold.
func (d *Decoder) addData(at decode.Mark, value []byte, owned bool) {
	d.lines++
	if d.lines == 1 {
		d.data, d.kept = value, owned
		if owned {
			d.line, d.hold = d.hold[:0], d.line
		}
		return
	}
	if len(d.data)+1+len(value) > d.max() {
		long := d.long
		d.tooLong(at)
		d.long = long
		return
	}
	if !d.kept {
		d.hold = append(d.hold[:0], d.data...)
		d.data, d.kept = d.hold, true
	}
	d.data = append(append(d.data, '\n'), value...)
}

// parseRetry returns the value plus one, or old where it is not all digits.
func parseRetry(v []byte, old int) int {
	n := 0
	for _, c := range v {
		if c < '0' || c > '9' {
			return old
		}
		// Beyond a day no client waits; the bound keeps the sum from wrapping.
		n = min(n*10+int(c-'0'), 86_400_000)
	}
	if len(v) == 0 {
		return old
	}
	return n + 1
}

// dispatch ends a block.
func (d *Decoder) dispatch(at decode.Mark, emit func(Event)) {
	if d.newID {
		d.last = append(d.last[:0], d.id...)
	}
	if d.lines > 0 && !d.lost {
		emit(d.event(at))
	}
	d.lost = false
	d.clear()
}

func (d *Decoder) event(at decode.Mark) Event {
	e := Event{At: at, Type: d.kind, ID: d.last, Data: d.data, Retry: d.retry - 1}
	if len(e.Type) == 0 {
		e.Type = nil
	}
	if !utf8.Valid(e.Data) {
		e.Data = replaceBad(e.Data)
	}
	return e
}

// replaceBad puts U+FFFD where the bytes are no UTF-8, one for each maximal
// part of a character, as the Encoding standard's decoder does.
func replaceBad(p []byte) []byte {
	out := make([]byte, 0, len(p)+16)
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		if r == utf8.RuneError && n <= 1 {
			n = badLen(p)
			out = append(out, "\uFFFD"...)
		} else {
			out = append(out, p[:n]...)
		}
		p = p[n:]
	}
	return out
}

// badLen is the length of the longest beginning of a character at p, at least
// 1 (Unicode, section 3.9, "U+FFFD substitution of maximal subparts").
func badLen(p []byte) int {
	lo, hi, n := byte(0x80), byte(0xbf), 0
	switch c := p[0]; {
	case 0xc2 <= c && c <= 0xdf:
		n = 1
	case c == 0xe0:
		lo, n = 0xa0, 2
	case c == 0xed:
		hi, n = 0x9f, 2
	case 0xe1 <= c && c <= 0xef:
		n = 2
	case c == 0xf0:
		lo, n = 0x90, 3
	case 0xf1 <= c && c <= 0xf3:
		n = 3
	case c == 0xf4:
		hi, n = 0x8f, 3
	}
	i := 1
	for ; i <= n && i < len(p) && lo <= p[i] && p[i] <= hi; i++ {
		lo, hi = 0x80, 0xbf
	}
	return i
}

// clear forgets the block. Storage beyond ordinary size is not kept, since a
// standing stream may be one of thousands.
func (d *Decoder) clear() {
	d.data, d.kept, d.lines = nil, false, 0
	d.kind, d.newID, d.retry = d.kind[:0], false, 0
	if cap(d.hold) > 64<<10 {
		d.hold = nil
	}
}

// Held is how many bytes the decoder keeps of the stream for later.
func (d *Decoder) Held() int {
	n := cap(d.line) + cap(d.hold)
	if d.lines > 1 {
		n += cap(d.data)
	}
	return n
}

// Gap says that bytes of the stream were never captured. The event it falls
// into is dropped; decoding resumes behind the next blank line.
func (d *Decoder) Gap(at decode.Mark) {
	d.note("sse/gap", at, "a hole in a stream hides an event or more")
	d.bom = -1
	d.long, d.lost, d.afterCR = true, true, false
	d.line = d.line[:0]
	// Which id is in force is no longer known.
	d.last = d.last[:0]
	d.clear()
}

// End says that the stream is over. A block that was not ended by a blank line
// is emitted with Cut set; its id is not committed.
func (d *Decoder) End(at decode.Mark, emit func(Event)) {
	if len(d.line) > 0 && !d.long {
		d.field(at, d.line, true, func(Event) {})
	}
	if d.lines > 0 && !d.lost {
		e := d.event(at)
		e.Cut = true
		emit(e)
	}
	d.Reset()
}

// Reset forgets the stream: what is written next is another one.
func (d *Decoder) Reset() {
	d.clear()
	if cap(d.line) > 64<<10 {
		d.line = nil
	}
	d.line, d.id, d.last = d.line[:0], d.id[:0], d.last[:0]
	d.bom, d.afterCR, d.long, d.lost = 0, false, false, false
}
