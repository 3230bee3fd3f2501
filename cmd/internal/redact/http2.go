package redact

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"mcp401/decode"
	"mcp401/decode/http2"
	"mcp401/decode/httpmsg"
)

// An http2Writer makes HTTP/2 anew, as its decoder understands it: a header
// block for each head, DATA for each piece of content, an end for each end.
// Header blocks are plain text, so that what stands in them can be searched.
// Settings, priorities, pings, flow control, pushes and trailer fields are left
// out.
type http2Writer struct {
	c     *conn
	dec   *http2.Conn
	begun [2]bool
	holed bool // a message has the hole in hand
	over  bool // what is cut now is so by the end of the connection
	open  map[uint32]*[2]*message
	block []byte
}

// Frame types and flags (RFC 9113 section 6).
const (
	frameData     = 0
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	frameMore     = 9 // CONTINUATION

	endStream  = 1
	endHeaders = 4

	mostFrame = 1 << 14 // what every peer takes
)

// mostPorts bounds the ports that are named.
const mostPorts = 8

// newHTTP2 is the decoder of an HTTP/2 connection, or of one that an upgrade
// made one, that is made anew.
func newHTTP2(c *conn, upgraded bool) decode.Conn {
	h := &http2Writer{c: c, open: map[uint32]*[2]*message{}}
	h.dec = http2.New(c.flow, "http", decode.Limits{}, h.event, func(decode.Note) {})
	h.dec.Upgraded = upgraded
	if ports, p := c.p.http2, c.flow.Server.Port(); !slices.Contains(ports, p) && len(ports) < mostPorts {
		c.p.http2 = append(ports, p)
	}
	return h
}

func (h *http2Writer) Data(d decode.Dir, at decode.Mark, b []byte) { h.dec.Data(d, at, b) }

// Gap makes a hole as well where no message is known that has one: it may hide
// a head.
func (h *http2Writer) Gap(d decode.Dir, at decode.Mark, n int) {
	h.holed = false
	h.dec.Gap(d, at, n)
	if !h.holed {
		h.begin(d)
		h.c.made.skip(d, -1)
	}
}

func (h *http2Writer) End(d decode.Dir, at decode.Mark, why decode.End) {
	h.over = true
	h.dec.End(d, at, why)
	if why == decode.Fin {
		h.over = false
		h.c.made.fin(d)
	}
}

// frame puts a frame.
func (h *http2Writer) frame(d decode.Dir, kind, flags byte, id uint32, payload []byte) {
	h.header(d, kind, flags, id, len(payload))
	h.c.made.append(d, payload)
}

func (h *http2Writer) header(d decode.Dir, kind, flags byte, id uint32, n int) {
	h.begin(d)
	b := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
	h.c.made.append(d, binary.BigEndian.AppendUint32(b, id))
}

// begin puts what a direction begins with (RFC 9113 section 3.4).
func (h *http2Writer) begin(d decode.Dir) {
	if h.begun[d] {
		return
	}
	h.begun[d] = true
	if d == decode.ToServer {
		h.c.made.append(d, []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	}
	h.frame(d, frameSettings, 0, 0, nil)
}

func (h *http2Writer) event(e *httpmsg.Event) {
	id, d := e.ID.Stream, e.Dir
	if id&1 == 0 { // a push, which nobody asked for
		if e.Kind == httpmsg.Head {
			h.c.p.blanked++
		}
		return
	}
	ms := h.open[id]
	if ms == nil {
		ms = new([2]*message)
		h.open[id] = ms
	}
	switch e.Kind {
	case httpmsg.Head:
		h.head(e, ms)
	case httpmsg.Body:
		m := ms[d]
		if m != nil && m.coded {
			m.coder.Write(e.Data, func(b []byte) { h.data(d, id, m, b) })
		} else {
			h.data(d, id, m, e.Data)
		}
	case httpmsg.Hole:
		h.hole(d, id, ms[d], e.N)
	case httpmsg.Done, httpmsg.Cut:
		m := ms[d]
		if m != nil && m.coded {
			m.coder.End(func(b []byte) { h.data(d, id, m, b) })
		}
		h.c.end(d, m)
		h.ends(e)
		if ms[d] = nil; ms[d.Other()] == nil {
			delete(h.open, id)
		}
	}
}

// head puts a head, its fields masked.
func (h *http2Writer) head(e *httpmsg.Event, ms *[2]*message) {
	mask := h.c.p.m
	h.block = h.block[:0]
	put := func(name string, value []byte) {
		mask.header(name, value)
		low := []byte(name)
		if name[0] != ':' {
			mask.fieldName(low)
		}
		h.block = literal(h.block, low, value)
	}
	if e.Dir == decode.ToServer {
		for _, f := range [][2]string{{":method", e.Method}, {":scheme", e.Scheme}, {":authority", e.Authority}, {":path", e.Target}} {
			if f[1] != "" {
				put(f[0], []byte(f[1]))
			}
		}
	} else if e.Status != 0 {
		put(":status", strconv.AppendInt(nil, int64(e.Status), 10))
	}
	media, _ := e.Header.Get("content-type")
	m := &message{media: httpmsg.MediaType(media), status: e.Status}
	if coding := codings(e.Header); coding != "" && !bodiless(e) {
		m.coder, m.coded = httpmsg.NewContent(coding, decode.Limits{})
		m.drop = !m.coded
	}
	for _, f := range e.Header {
		name := strings.ToLower(string(f.Name))
		if name == "" || m.coded && (name == "content-encoding" || name == "content-length") {
			continue
		}
		put(name, append([]byte(nil), f.Value...))
	}
	h.begin(e.Dir)
	h.c.made.begins(e.Dir, e.From.Frame)
	kind, rest := byte(frameHeaders), h.block
	for {
		n := min(len(rest), mostFrame)
		flags := byte(0)
		if n == len(rest) {
			flags = endHeaders
		}
		h.frame(e.Dir, kind, flags, e.ID.Stream, rest[:n])
		kind, rest = frameMore, rest[n:]
		if len(rest) == 0 {
			break
		}
	}
	if !e.Interim {
		h.c.end(e.Dir, ms[e.Dir])
		ms[e.Dir] = m
	}
}

// literal appends a field that no table takes up (RFC 7541 section 6.2.2).
func literal(b, name, value []byte) []byte {
	b = append(b, 0)
	for _, s := range [][]byte{name, value} {
		n := len(s)
		if n < 127 {
			b = append(b, byte(n))
		} else {
			b = append(b, 127)
			for n -= 127; n >= 128; n >>= 7 {
				b = append(b, byte(n)|128)
			}
			b = append(b, byte(n))
		}
		b = append(b, s...)
	}
	return b
}

// data puts content.
func (h *http2Writer) data(d decode.Dir, id uint32, m *message, b []byte) {
	for len(b) > 0 {
		n := min(len(b), mostFrame)
		h.header(d, frameData, 0, id, n)
		at := h.c.made.blank(d, n)
		if m != nil {
			h.c.hold(d, m, b[:n], at)
		}
		b = b[n:]
	}
}

// hole puts DATA of which nothing was captured, or a hole of which nobody knows
// what it hides.
func (h *http2Writer) hole(d decode.Dir, id uint32, m *message, n int) {
	h.holed = true
	if m != nil && m.media == "text/event-stream" && !m.drop {
		h.c.flush(d, m, len(m.buf))
	}
	if n < 0 {
		h.begin(d)
		h.c.made.skip(d, n)
		return
	}
	for n > 0 {
		k := min(n, mostFrame)
		h.header(d, frameData, 0, id, k)
		h.c.made.skip(d, k)
		n -= k
	}
}

// ends puts the end of a message.
func (h *http2Writer) ends(e *httpmsg.Event) {
	const cancel, refused, internal = 8, 7, 2
	switch {
	case e.Kind == httpmsg.Done:
		h.frame(e.Dir, frameData, endStream, e.ID.Stream, nil)
	case h.over:
	case e.Aborted:
		h.reset(decode.ToServer, e.ID.Stream, cancel)
	case e.Why == decode.Refused:
		h.reset(decode.ToClient, e.ID.Stream, refused)
	case e.Why == decode.Reset && e.Dir == decode.ToClient:
		h.reset(decode.ToClient, e.ID.Stream, internal)
	}
}

func (h *http2Writer) reset(d decode.Dir, id uint32, code uint32) {
	h.frame(d, frameReset, 0, id, binary.BigEndian.AppendUint32(nil, code))
}
