// Package jsonrpc splits a body, or the data of one event, into JSON-RPC 2.0
// messages (jsonrpc.org, sections 4 to 6): one, or a batch.
//
// It says what the envelope holds and hands out the rest as raw JSON; what
// params and results mean is MCP's affair. It accepts what encoding/json
// accepts, up to MaxDepth, with one byte order mark before it. Of members with
// the same name the last counts, as in encoding/json and in Python.
//
// The one trick: large results come again and again, because a list is asked
// for again and again, and a gateway passes on what it got. A Parser remembers
// a few. Where a text goes on with the very bytes of one, only what surrounds
// them is parsed: a JSON value that begins with all of a JSON object or array
// is that object or array.
package jsonrpc

import (
	"bytes"
	"unsafe"

	"github.com/tidwall/gjson"
)

// MaxDepth bounds the nesting of a text. Schemas nest by tens; the bound keeps
// a text of brackets from eating the stack.
const MaxDepth = 1000

// A Form says what a text is.
type Form uint8

// The forms.
const (
	NotJSON Form = iota // not one valid JSON value, or nested deeper than MaxDepth
	NotRPC              // JSON without a JSON-RPC message in it
	Single
	Batch
)

// A Message is one JSON-RPC message. Its slices are raw JSON, nil where the
// member is absent, and valid until emit returns.
type Message struct {
	ID     []byte // as sent: 1, "1" and 1.0 are three ids; may be null
	Method []byte // unescaped; nil: absent, or no string
	Params []byte
	Result []byte
	Error  []byte

	// Known says that Result is the parser's own copy, which never changes: it
	// may be kept, and the same slice comes with each text that holds it.
	Known bool
}

// A Parser parses texts. Its zero value works.
type Parser struct {
	known [32][]byte // results seen before
	turn  int        // the one to replace next
	short []byte     // a text with its result replaced
}

// The bounds of a result that is remembered: below, parsing costs no more than
// looking for it; above, 32 of them would be a burden.
const (
	minKnown = 256
	maxKnown = 64 << 10
)

var bomBytes = []byte("\xef\xbb\xbf")

// Valid reports whether p is one JSON value, nested no deeper than MaxDepth.
func Valid(p []byte) bool { return shallow(p) && gjson.ValidBytes(p) }

// Trim removes one leading byte order mark.
func Trim(p []byte) []byte { return bytes.TrimPrefix(p, bomBytes) }

// Parse gives the messages of p to emit, in order. What is no message in a
// batch is left out.
func (d *Parser) Parse(p []byte, emit func(*Message)) Form {
	p = Trim(p)
	if r, at := d.find(p); r != nil {
		if form, ok := d.parseShort(p, r, at, emit); ok {
			return form
		}
	}
	if !Valid(p) {
		return NotJSON
	}
	text := view(p)
	root := gjson.Parse(text)
	if !root.IsArray() {
		return d.single(p, text, root, emit)
	}
	form := NotRPC
	root.ForEach(func(_, v gjson.Result) bool {
		var m Message
		if v.IsObject() && envelope(p, text, v, &m) {
			form = Batch
			emit(&m)
		}
		return true
	})
	return form
}

func (d *Parser) single(p []byte, text string, root gjson.Result, emit func(*Message)) Form {
	var m Message
	if !root.IsObject() || !envelope(p, text, root, &m) {
		return NotRPC
	}
	d.remember(&m)
	emit(&m)
	return Single
}

// view is p as a string without a copy. It must not outlive the call.
func view(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }

// raw is where v lies in p. All values come out of text, which is p.
func raw(p []byte, text string, v gjson.Result) []byte {
	at := uintptr(unsafe.Pointer(unsafe.StringData(v.Raw))) - uintptr(unsafe.Pointer(unsafe.StringData(text)))
	return p[at : at+uintptr(len(v.Raw)) : at+uintptr(len(v.Raw))]
}

// envelope reads the members of one object and reports whether it is a
// message.
func envelope(p []byte, text string, v gjson.Result, m *Message) bool {
	rpc := false
	v.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "jsonrpc":
			rpc = true
		case "id":
			m.ID = raw(p, text, v)
		case "method":
			m.Method = nil
			if v.Type == gjson.String {
				m.Method = unquote(raw(p, text, v), v.Str)
			}
		case "params":
			m.Params = raw(p, text, v)
		case "result":
			m.Result = raw(p, text, v)
		case "error":
			m.Error = raw(p, text, v)
		}
		return true
	})
	return rpc && (m.Method != nil || m.Result != nil || m.Error != nil)
}

// unquote is the string whose raw text and value are given.
func unquote(raw []byte, value string) []byte {
	if len(raw) == len(value)+2 {
		return raw[1 : len(raw)-1]
	}
	return []byte(value)
}

// remember keeps a copy of the result of m and puts it into its place.
func (d *Parser) remember(m *Message) {
	r := m.Result
	if len(r) < minKnown || len(r) > maxKnown || r[0] != '{' && r[0] != '[' {
		return
	}
	m.Result, m.Known = bytes.Clone(r), true
	d.known[d.turn] = m.Result
	d.turn = (d.turn + 1) % len(d.known)
}

var resultName = []byte(`"result":`)

// find returns a remembered result that p goes on with behind its first
// "result" member, and where.
func (d *Parser) find(p []byte) ([]byte, int) {
	at := bytes.Index(p[:min(len(p), 256)], resultName)
	if at < 0 {
		return nil, 0
	}
	for at += len(resultName); at < len(p) && p[at] == ' '; at++ {
	}
	rest := p[at:]
	for _, r := range d.known {
		// The end is compared first: lists begin alike.
		n := len(r)
		if n > 0 && n <= len(rest) && bytes.Equal(rest[n-8:n], r[n-8:]) && bytes.Equal(rest[:n], r) {
			return r, at
		}
	}
	return nil, 0
}

// parseShort parses p with the result r at that place replaced by 0. It is not
// ok where the place turns out to be no member of the outermost object.
func (d *Parser) parseShort(p, r []byte, at int, emit func(*Message)) (Form, bool) {
	d.short = append(append(append(d.short[:0], p[:at]...), '0'), p[at+len(r):]...)
	if !Valid(d.short) {
		return NotJSON, true
	}
	text := view(d.short)
	var m Message
	root := gjson.Parse(text)
	if !root.IsObject() || !envelope(d.short, text, root, &m) {
		return NotRPC, false
	}
	if m.Result == nil || &m.Result[0] != &d.short[at] {
		return NotRPC, false
	}
	m.Result, m.Known = r, true
	emit(&m)
	return Single, true
}

// shallow reports whether p nests no deeper than MaxDepth. Texts with fewer
// brackets than that need no closer look.
func shallow(p []byte) bool {
	if bytes.Count(p, []byte{'{'})+bytes.Count(p, []byte{'['}) <= MaxDepth {
		return true
	}
	depth := 0
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '"':
			i = skipString(p, i+1)
		case '{', '[':
			if depth++; depth > MaxDepth {
				return false
			}
		case '}', ']':
			depth--
		}
	}
	return true
}

// skipString returns where the string that begins at i ends.
func skipString(p []byte, i int) int {
	for ; i < len(p) && p[i] != '"'; i++ {
		if p[i] == '\\' {
			i++
		}
	}
	return i
}
