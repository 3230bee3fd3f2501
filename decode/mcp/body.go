package mcp

import (
	"bytes"
	"strings"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/jsonrpc"
	"mcp401/decode/sse"
)

// A mode says what is done with the bytes of a body.
type mode uint8

const (
	ignore mode = iota // counted
	probe              // the first byte that is no blank decides
	peek               // the first bytes are kept, to see whether it is a page
	keep               // kept whole, up to Limits.Body
	stream             // an event stream
)

// peeked is how much of a body is looked at to see whether it is a page, or a
// text that speaks of authorization.
const peeked = 512

// A body is one message's content on its way.
type body struct {
	mode    mode
	media   string // essence of the Content-Type, lower case
	coding  string // Content-Encoding as sent, joined by commas
	decoded bool   // the coding is undone already
	holed   bool
	state   BodyState
	buf     []byte
	charged int              // bytes of it that Decoder.held counts
	content *httpmsg.Content // nil: no coding to undo
	sink    func(p []byte)   // takes what content gives
	at      decode.Mark      // of what is being written
	events  *sse.Decoder
	emit    func(sse.Event)
}

func (b *body) ctype(v []byte) {
	switch string(v) {
	case "application/json":
		b.media = "application/json"
	case "text/event-stream":
		b.media = "text/event-stream"
	default:
		b.media = httpmsg.MediaType(string(v[:min(len(v), 256)]))
	}
}

func (b *body) addCoding(v []byte) {
	if len(b.coding) > 0 {
		b.coding += ","
	}
	b.coding += string(v[:min(len(v), 256)])
}

// undo prepares for the content coding of a body that is to be looked at.
func (d *Decoder) undo(o *open, b *body) {
	if b.coding == "" || b.decoded || b.mode == ignore {
		return
	}
	if b.mode == probe && o.x.Kind == Other {
		// A coder's window for each page of a site is too much for what its
		// type says as well.
		b.state.HTML = b.media == "text/html"
		b.mode, b.state.Unkept = ignore, true
		return
	}
	c, ok := httpmsg.NewContent(b.coding, d.lim)
	if !ok {
		d.uncoded(o, b, c.Err())
		return
	}
	b.content = c
	b.sink = func(p []byte) {
		if b.mode != ignore {
			d.content(o, b, b.at, p)
		}
	}
}

// uncoded gives up a body whose coding cannot be undone.
func (d *Decoder) uncoded(o *open, b *body, code string) {
	d.noteFor(o, decode.Note{Code: code, At: b.at, Text: "the content coding of a body cannot be undone; it is not looked at"})
	d.giveUp(b)
}

func isJSON(media string) bool {
	return media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json") || media == "application/json-rpc"
}

// write takes bytes of a body as they were sent.
func (d *Decoder) write(o *open, b *body, at decode.Mark, p []byte) {
	b.state.Size += len(p)
	if b.mode == ignore {
		return
	}
	if b.content == nil {
		d.content(o, b, at, p)
		return
	}
	b.at = at
	b.content.Write(p, b.sink)
	if b.mode != ignore && b.content.Err() != "" {
		d.uncoded(o, b, b.content.Err())
	}
}

// content takes bytes of a body whose coding is undone.
func (d *Decoder) content(o *open, b *body, at decode.Mark, p []byte) {
	if b.mode == probe {
		b.decide(p)
	}
	size := 0
	switch b.mode {
	case probe, peek:
		b.grow(d, p[:min(len(p), peeked-min(len(b.buf), peeked))])
		size = cap(b.buf)
	case keep:
		if len(b.buf)+len(p) > d.lim.Body {
			d.noteFor(o, decode.Note{Code: "limit/body", At: at, N: d.lim.Body, Text: "a body is larger than the bound and is not looked at"})
			d.giveUp(b)
			return
		}
		b.grow(d, p)
		size = cap(b.buf)
	case stream:
		b.events.Write(at, p, b.emit)
		size = b.events.Held()
	}
	d.held += size - b.charged
	b.charged = size
	if d.held > d.lim.Bodies {
		d.noteFor(o, decode.Note{Code: "limit/bodies", At: at, N: d.lim.Bodies, Text: "more bytes of bodies are open at once than are kept; one is not looked at"})
		d.giveUp(b)
	}
}

// decide leaves probe at the first byte that tells.
func (b *body) decide(p []byte) {
	if len(b.buf) == 0 {
		p = jsonrpc.Trim(p)
	}
	p = bytes.TrimLeft(p, " \t\r\n\xef\xbb\xbf")
	switch {
	case len(p) == 0:
	case p[0] == '{' || p[0] == '[':
		b.mode = keep
	default:
		b.mode = peek
	}
}

// grow appends to the buffer, taking one that was used before.
func (b *body) grow(d *Decoder, p []byte) {
	if b.buf == nil {
		if n := len(d.free); n > 0 {
			b.buf, d.free = d.free[n-1], d.free[:n-1]
		}
	}
	b.buf = append(b.buf, p...)
}

// drop gives the storage of a body back.
func (d *Decoder) drop(b *body) {
	if cap(b.buf) > 0 && cap(b.buf) <= 64<<10 && len(d.free) < 32 {
		d.free = append(d.free, b.buf[:0])
	}
	d.held -= b.charged
	b.content.Close()
	if b.events != nil && len(d.streams) < 32 {
		b.events.Reset()
		d.streams = append(d.streams, b.events)
	}
	b.buf, b.charged, b.events, b.content = nil, 0, nil, nil
}

// giveUp stops looking at a body.
func (d *Decoder) giveUp(b *body) {
	b.state.Unkept, b.mode = true, ignore
	d.drop(b)
}

// hole says that bytes of a body are missing.
func (d *Decoder) hole(o *open, b *body, at decode.Mark) {
	o.x.Hole, b.holed = true, true
	switch {
	case b.mode == stream && b.content == nil:
		b.events.Gap(at)
	case b.mode != ignore:
		b.judge()
		d.giveUp(b)
	}
}

// finishBody ends a body that came whole.
func (d *Decoder) finishBody(o *open, b *body, at decode.Mark) {
	d.endContent(o, b, at)
	if b.mode == stream {
		d.endStream(o, b, at)
		return
	}
	b.judge()
	b.state.Unkept = b.state.Unkept || b.mode != keep && b.state.Size > 0
}

// cutBody ends a body that is not whole: what was kept says nothing.
func (d *Decoder) cutBody(o *open, b *body, at decode.Mark) {
	d.endContent(o, b, at)
	if b.mode == stream {
		d.endStream(o, b, at)
		return
	}
	b.judge()
	if b.mode != peek {
		b.mode = ignore
		d.drop(b)
	}
}

// endContent takes what a coder still held.
func (d *Decoder) endContent(o *open, b *body, at decode.Mark) {
	if b.content == nil || b.mode == ignore {
		return
	}
	c := b.content
	b.at = at
	c.End(b.sink)
	if b.mode != ignore && c.Err() != "" {
		d.uncoded(o, b, c.Err())
	}
}

// newStream returns a decoder of event streams, one that was used before where
// there is one.
func (d *Decoder) newStream() *sse.Decoder {
	if n := len(d.streams); n > 0 {
		s := d.streams[n-1]
		d.streams = d.streams[:n-1]
		return s
	}
	return &sse.Decoder{Limits: d.lim}
}

func (d *Decoder) endStream(o *open, b *body, at decode.Mark) {
	b.events.End(at, b.emit)
	d.drop(b)
}

// judge looks at how a body begins.
func (b *body) judge() {
	if looksHTML(b.buf) {
		b.state.HTML = true
	}
}

// looksHTML follows the tags of the MIME Sniffing standard, section 7.1, that
// pages of servers begin with.
func looksHTML(p []byte) bool {
	p = bytes.TrimLeft(p[:min(len(p), peeked)], " \t\r\n\f\xef\xbb\xbf")
	if len(p) == 0 || p[0] != '<' {
		return false
	}
	low := bytes.ToLower(p)
	for _, tag := range []string{"<!doctype html", "<html", "<head", "<body", "<title", "<script", "<!--", "<meta", "<h1", "<div", "<center"} {
		if bytes.HasPrefix(low, []byte(tag)) {
			return true
		}
	}
	// XHTML begins with an XML declaration.
	return bytes.HasPrefix(low, []byte("<?xml")) && bytes.Contains(low, []byte("<html"))
}
