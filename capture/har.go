package capture

import (
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const byteOrderMark = "\ufeff"

// A har reads HAR 1.1 and 1.2, and what exporters make of them: a member that
// has another type than the format says counts as absent, and unknown members
// are skipped. The tokens of one entry are read at a time, through a trimmer,
// so that neither a long file nor a long body costs memory.
type har struct {
	in   *input
	json *jsontext.Decoder
	trim *trimmer
	err  error // sticky: of the JSON, or of the reader below
	at   harLevel
	ours bool // log.entries was seen

	creator  string
	last     time.Time         // of the last entry in the file, for one that has none
	room     int               // bytes that the strings of the entry at hand may still take
	scratch  []byte            // an unquoted string
	names    map[string]string // header field names
	values   map[string]string // of each the last value
	list     []Field           // the fields at hand
	unpacked int64             // bytes of attached bodies
	unzoned  bool              // a time without a zone was seen
	queue    harQueue
}

// A harLevel says in which object of the document the decoder is.
type harLevel int

const (
	atStart harLevel = iota
	inTop            // in the outermost object
	inLog
	inEntries
	atEnd
)

func newHAR(in *input) (Source, error) {
	h := &har{in: in, trim: &trimmer{w: in.window, max: in.opt.MaxBody}, names: map[string]string{}, values: map[string]string{}}
	if string(in.peek(len(byteOrderMark))) == byteOrderMark {
		in.skip(len(byteOrderMark))
		h.trim.skipped = int64(len(byteOrderMark))
	}
	h.json = jsontext.NewDecoder(h.trim, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return h, nil
}

func (h *har) Close() error { return nil }

// Next returns the earliest of the entries that are held. Exporters write
// entries as their requests ended, or in no order at all.
func (h *har) Next() (Record, error) {
	for h.at != atEnd && !h.queue.full(h.in.opt) {
		h.step()
	}
	if rec, ok := h.queue.pop(); ok {
		return rec, nil
	}
	if !h.ours {
		return Record{}, h.refusal()
	}
	return Record{}, io.EOF
}

// step reads one member of the document, or one entry.
func (h *har) step() {
	switch h.at {
	case atStart:
		h.at = inTop
		h.enter('{')
	case inTop:
		switch name := h.member(); {
		case name == nil:
			h.at = atEnd
		case string(name) != "log":
			h.skip()
		case h.enter('{'):
			h.at = inLog
		}
	case inLog:
		switch name := h.member(); {
		case name == nil:
			h.at = inTop
		case string(name) == "creator":
			h.readCreator()
		case string(name) != "entries":
			h.skip()
		case h.enter('['):
			h.at, h.ours = inEntries, true
		}
	case inEntries:
		if h.element() {
			h.entry()
		} else {
			h.at = inLog
		}
	}
	if h.err != nil {
		h.stop()
	}
}

// refusal says why a document without log.entries is none of ours.
func (h *har) refusal() error {
	if h.in.damage != "" {
		return &Error{Name: h.in.name, Text: h.in.damage, Hint: "export it again, as \"HAR with content\"", Err: ErrDamaged}
	}
	return &Error{Name: h.in.name, Text: "this is JSON, but not a HAR: it has no log.entries", Hint: "export it from the network tab of the browser's devtools", Err: ErrUnknown}
}

// stop ends the reading where the document is broken. The decoder's own words
// quote the document, so they are not used.
func (h *har) stop() {
	h.at = atEnd
	problem := "an unexpected character"
	switch {
	case h.in.raw.err != nil:
		return
	case errors.Is(h.err, io.ErrUnexpectedEOF), errors.Is(h.err, io.EOF):
		h.in.lost("har/truncated", 0, "the HAR ends too early, at offset %d: what follows entry %d is missing", h.offset(), h.in.frames)
		return
	case errors.Is(h.err, errLongRun):
		problem = errLongRun.Error()
	case h.json.StackDepth() > 1000:
		problem = "it is nested too deeply"
	}
	h.in.lost("har/broken", 0, "broken JSON at offset %d: %s; what follows is left out", h.offset(), problem)
}

// offset is where in the (decompressed) input the decoder is, or where it found
// the JSON broken.
func (h *har) offset() int64 {
	at := h.json.InputOffset()
	var syntax *jsontext.SyntacticError
	if errors.As(h.err, &syntax) {
		at = syntax.ByteOffset
	}
	return at + h.trim.skipped
}

// The reading of JSON. After an error nothing more is found: objects and arrays
// end at once.

// enter opens the object or array that comes next; anything else is skipped.
func (h *har) enter(kind jsontext.Kind) bool {
	if h.err != nil {
		return false
	}
	if h.json.PeekKind() != kind {
		h.skip()
		return false
	}
	_, h.err = h.json.ReadToken()
	return h.err == nil
}

// member returns the name of the next member of the object that is open, nil at
// its end, which it consumes. The name is valid until the next call of any of
// these.
func (h *har) member() []byte {
	if h.err != nil {
		return nil
	}
	if h.json.PeekKind() == '}' {
		_, h.err = h.json.ReadToken()
		return nil
	}
	var raw jsontext.Value
	if raw, h.err = h.json.ReadValue(); h.err != nil {
		return nil
	}
	return unquoted(raw, &h.scratch)
}

// element says whether the array that is open has a next element; if not, it
// consumes its end.
func (h *har) element() bool {
	if h.err != nil {
		return false
	}
	if h.json.PeekKind() == ']' {
		_, h.err = h.json.ReadToken()
		return false
	}
	return true
}

func (h *har) skip() {
	if h.err == nil {
		h.err = h.json.SkipValue()
	}
}

// unquoted undoes a JSON string. Most need no more than their quotes removed.
func unquoted(raw jsontext.Value, scratch *[]byte) []byte {
	inner := raw[1 : len(raw)-1]
	for _, c := range inner {
		if c == '\\' || c >= 0x80 {
			*scratch, _ = jsontext.AppendUnquote((*scratch)[:0], raw)
			return *scratch
		}
	}
	return inner
}

// scalar returns the string, number or boolean that comes next as text; ok is
// false for null, objects and arrays. Like a name, it is valid until the next
// call.
func (h *har) scalar() (text []byte, ok bool) {
	if h.err != nil {
		return nil, false
	}
	switch h.json.PeekKind() {
	case '{', '[', 'n':
		h.skip()
		return nil, false
	}
	var raw jsontext.Value
	if raw, h.err = h.json.ReadValue(); h.err != nil {
		return nil, false
	}
	if raw[0] == '"' {
		return unquoted(raw, &h.scratch), true
	}
	return raw, true
}

// text returns a scalar as a string, within what the entry may hold.
func (h *har) text() string {
	b, _ := h.scalar()
	return h.take(b)
}

func (h *har) take(b []byte) string {
	h.room -= len(b)
	if h.room < 0 {
		if h.room += len(b); h.room > 0 {
			b = b[:h.room]
		} else {
			b = nil
		}
		h.in.warn("limit/har-entry", 1, "strings of entry %d were cut: they have more than %d bytes", h.in.frames, h.in.opt.MaxHead)
		h.room = 0
	}
	return string(b)
}

// name is like text for header field names, of which files hold few and those
// often.
func (h *har) name() string {
	b, _ := h.scalar()
	if s, ok := h.names[string(b)]; ok {
		return s
	}
	if len(b) > 64 || len(h.names) >= 1024 || h.room < len(b) {
		h.room -= min(h.room, len(b))
		return string(b[:min(len(b), 256)])
	}
	s := string(b)
	h.names[s] = s
	return s
}

// value is like text for the value of a header field. Most are what the last
// entry said in that field, and then cost no memory.
func (h *har) value(name string) string {
	b, _ := h.scalar()
	if s, ok := h.values[name]; ok && s == string(b) && len(b) <= h.room {
		h.room -= len(b)
		return s
	}
	s := h.take(b)
	if _, known := h.names[name]; known && len(s) <= maxValue {
		h.values[name] = s
	}
	return s
}

// maxValue is the length of the values that are remembered, one for each name
// that is.
const maxValue = 512

// number returns a number, also one in a string; ok is false for all else.
func (h *har) number() (float64, bool) {
	b, ok := h.scalar()
	if !ok {
		return 0, false
	}
	v, err := parseFloat(b)
	return v, err == nil
}

func parseFloat(b []byte) (float64, error) { return strconv.ParseFloat(string(b), 64) }

func (h *har) integer(unknown int64) int64 {
	v, ok := h.number()
	if !ok || v < -1<<53 || v > 1<<53 {
		return unknown
	}
	return int64(v)
}

// data returns a string of any length within the bound, in memory of its own,
// and how much was cut off; ok is false where there is none.
func (h *har) data() (b []byte, lost int64, ok bool) {
	if h.err != nil {
		return nil, 0, false
	}
	if h.json.PeekKind() != '"' {
		b, ok = h.scalar()
		return append([]byte(nil), b...), 0, ok
	}
	var raw jsontext.Value
	if raw, h.err = h.json.ReadValue(); h.err != nil {
		return nil, 0, false
	}
	b, _ = jsontext.AppendUnquote(make([]byte, 0, len(raw)), raw) // it grows by the length of its source
	return b, h.trim.lost(h.json.InputOffset()), true
}
