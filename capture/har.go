package capture

import (
	"encoding/binary"
	"errors"
	"io"
	"strconv"
	"time"
)

const byteOrderMark = "\ufeff"

// A har reads HAR 1.1 and 1.2, and what exporters make of them: a member that
// has another type than the format says counts as absent, and unknown members
// are skipped. One value is held at a time, and of a long string its beginning,
// so that neither a long file nor a long body costs memory.
type har struct {
	*scanner
	in    *input
	level harLevel
	ours  bool // log.entries was seen

	creator  string
	last     time.Time // of the last entry in the file, for one that has none
	room     int       // bytes that the strings of the entry at hand may still take
	known    known
	list     []Field // the fields at hand
	unpacked int64   // bytes of attached bodies
	unzoned  bool    // a time without a zone was seen
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
	if string(in.peek(len(byteOrderMark))) == byteOrderMark {
		in.skip(len(byteOrderMark))
	}
	return &har{in: in, scanner: &scanner{w: in.window, max: in.opt.MaxBody}}, nil
}

func (h *har) Close() error { return nil }

// Next returns the earliest of the entries that are held. Exporters write
// entries as their requests ended, or in no order at all.
func (h *har) Next() (Record, error) {
	for h.level != atEnd && !h.queue.full(h.in.opt) {
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
	switch h.level {
	case atStart:
		h.level = inTop
		h.enter('{')
	case inTop:
		switch name := h.member(); {
		case name == nil:
			h.level = atEnd
		case string(name) != "log":
			h.skip()
		case h.enter('{'):
			h.level = inLog
		}
	case inLog:
		switch name := h.member(); {
		case name == nil:
			h.level = inTop
		case string(name) == "creator":
			h.readCreator()
		case string(name) != "entries":
			h.skip()
		case h.enter('['):
			h.level, h.ours = inEntries, true
		}
	case inEntries:
		if h.element() {
			h.entry()
		} else {
			h.level = inLog
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

// stop ends the reading where the document is broken.
func (h *har) stop() {
	h.level = atEnd
	switch {
	case h.in.raw.err != nil:
	case errors.Is(h.err, io.ErrUnexpectedEOF):
		h.in.lost("har/truncated", 0, "the HAR ends too early, at offset %d: what follows entry %d is missing", h.at, h.in.frames)
	default:
		h.in.lost("har/broken", 0, "broken JSON at offset %d: %s; what follows is left out", h.at, h.err)
	}
}

// scalar returns the string, number or boolean that comes next as text; ok is
// false for null, objects and arrays. Like a name, it is valid until the next
// call.
func (h *har) scalar() (text []byte, ok bool) {
	switch h.kind() {
	case '{', '[', 'n', 0:
		h.skip()
		return nil, false
	case '"':
		text = h.str()
	default:
		text = h.token()
	}
	return text, h.err == nil
}

// text returns a scalar as a string, within what the entry may hold.
func (h *har) text() string {
	b, _ := h.scalar()
	return h.take(b)
}

// word is like text for what files hold few of, and those often.
func (h *har) word() string {
	b, _ := h.scalar()
	if len(b) > maxWord || len(b) > h.room {
		return h.take(b)
	}
	h.room -= len(b)
	return h.known.of(b).word
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

// value is like text for the value of the header field of a name. Most are what
// the last entry said in that field, and then cost no memory.
func (h *har) value(name string) string {
	b, _ := h.scalar()
	if len(name) > maxWord || len(b) > maxValue || len(b) > h.room {
		return h.take(b)
	}
	h.room -= len(b)
	w := h.known.of([]byte(name))
	if w.value != string(b) {
		w.value = string(b)
	}
	return w.value
}

// known are words that were seen, each in the one place where it is looked
// for, from which another drives it out, with the header value that it had last.
type known [1024]knownWord

type knownWord struct{ word, value string }

const (
	maxWord  = 64  // bytes of a word that is remembered
	maxValue = 512 // bytes of a value that is
)

func (k *known) of(b []byte) *knownWord {
	w := &k[placeOf(b)%uint64(len(k))]
	if w.word != string(b) {
		*w = knownWord{word: string(b)}
	}
	return w
}

// placeOf mixes the length and the first and last bytes.
func placeOf(b []byte) uint64 {
	x := uint64(len(b))
	switch {
	case len(b) >= 8:
		x += binary.LittleEndian.Uint64(b)*31 ^ binary.LittleEndian.Uint64(b[len(b)-8:])
	case len(b) >= 4:
		x += uint64(binary.LittleEndian.Uint32(b))<<32 ^ uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	case len(b) > 0:
		x += uint64(b[0])<<16 ^ uint64(b[len(b)/2])<<8 ^ uint64(b[len(b)-1])
	}
	return x * 0x9e3779b97f4a7c15 >> 48
}

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
	if h.kind() != '"' {
		b, ok = h.scalar()
		return append([]byte(nil), b...), 0, ok
	}
	b = h.own()
	return b, h.lost, h.err == nil
}
