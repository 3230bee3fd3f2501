package capturetest

import (
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
)

// An h2conn writes the messages of a connection as HTTP/2 (RFC 9113). Each
// exchange is a stream, in the order of the script.
type h2conn struct {
	authority string
	tls       bool
	streams   map[*message]uint32
	table     [2]*hpack.Encoder // by direction
	buf       [2]*bytes.Buffer
	coded     map[*message][][]byte
}

const (
	h2Data         = 0
	h2Headers      = 1
	h2Settings     = 4
	h2WindowUpdate = 8
	h2Continuation = 9

	h2EndStream  = 0x1
	h2Ack        = 0x1
	h2EndHeaders = 0x4

	h2FrameSize = 16384 // SETTINGS_MAX_FRAME_SIZE as long as nobody raises it
	h2Window    = 1 << 30
)

// h2conns are the connections that can speak HTTP/2: those on which nothing
// but messages goes.
func (c *Conversation) h2conns(w Wrap, authority func(*conn) string) map[*conn]*h2conn {
	out := map[*conn]*h2conn{}
	for _, x := range c.conns {
		h := &h2conn{authority: authority(x), tls: w.TLS != 0, streams: map[*message]uint32{}, coded: map[*message][][]byte{}}
		for d := range h.table {
			h.buf[d] = &bytes.Buffer{}
			h.table[d] = hpack.NewEncoder(h.buf[d])
		}
		out[x] = h
		for i, e := range x.exchanges {
			id := uint32(2*i + 1)
			for _, m := range e.messages() {
				h.streams[m] = id
			}
		}
	}
	for _, s := range c.steps {
		if s.kind == doRaw {
			delete(out, s.conn)
		}
	}
	return out
}

// prefaces is what both sides say before the first request (RFC 9113 section
// 3.4), with windows that no test fills.
func prefaces(open flight) []flight {
	settings := binary.BigEndian.AppendUint32([]byte{0, 4}, h2Window) // SETTINGS_INITIAL_WINDOW_SIZE
	hello := h2Frame(nil, h2Settings, 0, 0, settings)
	hello = h2Frame(hello, h2WindowUpdate, 0, 0, binary.BigEndian.AppendUint32(nil, h2Window))
	agreed := h2Frame(nil, h2Settings, h2Ack, 0, nil)
	say := func(d dir, b []byte) flight {
		return flight{kind: doRaw, at: open.at, conn: open.conn, dir: d, data: b}
	}
	return []flight{
		say(toServer, append([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), hello...)),
		say(toClient, append(hello[:len(hello):len(hello)], agreed...)),
		say(toServer, agreed),
	}
}

// say is what a step sends of its message.
func (h *h2conn) say(s step) []byte {
	m := s.msg
	empty := len(m.pieces) == 0 && m.missing == 0
	switch s.kind {
	case doHead:
		end := byte(0)
		if empty && m.finished && !m.interim() {
			end = h2EndStream
		}
		return h.head(m, end)
	case doPiece:
		if h.coded[m] == nil {
			h.coded[m] = m.coded()
		}
		return h.data(m, h.coded[m][s.piece], 0)
	}
	if empty {
		return nil
	}
	return h2Frame(nil, h2Data, h2EndStream, h.streams[m], nil)
}

// filler is a DATA frame in place of bytes that the capture missed.
func (h *h2conn) filler(s step) []byte { return h.data(s.hole, make([]byte, s.n), 0) }

func (h *h2conn) data(m *message, p []byte, flags byte) (out []byte) {
	for len(p) > 0 {
		n := min(len(p), h2FrameSize)
		out = h2Frame(out, h2Data, flags, h.streams[m], p[:n])
		p = p[n:]
	}
	return out
}

// head is a HEADERS frame, with CONTINUATION frames where it does not fit.
func (h *h2conn) head(m *message, flags byte) []byte {
	block := h.block(m)
	kind, out := byte(h2Headers), []byte(nil)
	for len(block) > h2FrameSize {
		out = h2Frame(out, kind, flags, h.streams[m], block[:h2FrameSize])
		block, kind, flags = block[h2FrameSize:], h2Continuation, 0
	}
	return h2Frame(out, kind, flags|h2EndHeaders, h.streams[m], block)
}

// block is the field section: pseudo-header fields first, names in lower case,
// nothing that concerns a connection (RFC 9113 section 8.2.2).
func (h *h2conn) block(m *message) []byte {
	buf, table := h.buf[m.dir], h.table[m.dir]
	buf.Reset()
	scheme := "http"
	if h.tls {
		scheme = "https"
	}
	put := func(name, value string) {
		must(0, table.WriteField(hpack.HeaderField{Name: name, Value: value}))
	}
	authority := h.authority
	if v, ok := m.get("host"); ok {
		authority = v
	}
	if m.dir == toServer {
		put(":method", m.method)
		put(":scheme", scheme)
		put(":authority", authority)
		put(":path", m.target)
	} else {
		put(":status", strconv.Itoa(m.status))
	}
	total := m.missing
	for _, p := range m.coded() {
		total += len(p)
	}
	for _, f := range m.allFields(authority, total+m.unsent()) {
		switch name := strings.ToLower(f.name); name {
		case "host", "connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection":
		default:
			put(name, f.value)
		}
	}
	return bytes.Clone(buf.Bytes())
}

// h2Frame appends a frame (RFC 9113 section 4.1).
func h2Frame(out []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	out = append(out, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	return append(binary.BigEndian.AppendUint32(out, stream), payload...)
}
