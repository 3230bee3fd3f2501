package capturetest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// hosts are the two ends of a connection without their ports.
func (c *conn) hosts() [2]netip.Addr { return [2]netip.Addr{c.client.Addr(), c.server.Addr()} }

// A wire is how one message stands on an HTTP/1 connection.
type wire struct {
	head    []byte
	pieces  [][]byte // of the body, framed
	trailer []byte   // what ends it
}

// http1 writes a message as RFC 9112 has it. The authority is that of the
// connection's server, which depends on the wrapping.
func (m *message) http1(authority string) wire {
	var w wire
	w.pieces = append(w.pieces, m.coded()...)
	total := m.missing
	for _, b := range w.pieces {
		total += len(b)
	}
	fields := m.allFields(authority, total+m.unsent())
	var b strings.Builder
	if m.dir == toServer {
		fmt.Fprintf(&b, "%s %s HTTP/%s\r\n", m.method, m.target, m.proto)
	} else {
		fmt.Fprintf(&b, "HTTP/%s %d %s\r\n", m.proto, m.status, m.reason)
	}
	for _, f := range fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	b.WriteString("\r\n")
	w.head = []byte(b.String())
	if m.framing() == chunkedBody {
		for i, p := range w.pieces {
			w.pieces[i] = fmt.Appendf(nil, "%x\r\n%s\r\n", len(p), p)
		}
		w.trailer = []byte("0\r\n\r\n")
	}
	return w
}

// unsent is how much of the body a message that is never finished still owes.
func (m *message) unsent() int {
	if m.finished {
		return 0
	}
	return 100
}

// coded returns the pieces of the body with the content coding applied. Each
// can be decoded as soon as it is there.
func (m *message) coded() [][]byte {
	var out [][]byte
	if !m.gzip {
		for _, p := range m.pieces {
			out = append(out, []byte(p))
		}
		return out
	}
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	for i, p := range m.pieces {
		must(z.Write([]byte(p)))
		if i == len(m.pieces)-1 && m.finished {
			must(0, z.Close())
		} else {
			must(0, z.Flush())
		}
		out = append(out, bytes.Clone(buf.Bytes()))
		buf.Reset()
	}
	return out
}

// must is for writes to memory, which cannot fail.
func must(_ int, err error) {
	if err != nil {
		panic("internal error: " + err.Error())
	}
}

type framing uint8

const (
	noBody framing = iota
	lengthBody
	chunkedBody
	closeBody
)

// framing is how the end of the body is told.
func (m *message) framing() framing {
	_, length := m.get("content-length")
	transfer, coded := m.get("transfer-encoding")
	empty := len(m.pieces) == 0 && m.missing == 0 && m.finished
	switch {
	case coded:
		if strings.Contains(strings.ToLower(transfer), "chunked") {
			return chunkedBody
		}
		return closeBody
	case m.bodiless(), m.dir == toServer && empty && !m.chunked && !length:
		return noBody
	case m.chunked:
		return chunkedBody
	case length:
		return lengthBody
	case m.close:
		return closeBody
	case m.sse() && m.proto == "1.1":
		return chunkedBody
	case m.sse():
		return closeBody
	}
	return lengthBody
}

// allFields returns the fields of the script and those that go without saying.
// total is the length of the body.
func (m *message) allFields(authority string, total int) []field {
	var out []field
	add := func(name, value string) {
		if _, ok := m.get(name); !ok && value != "" {
			out = append(out, field{name, value})
		}
	}
	if m.dir == toServer {
		add("Host", authority)
		if m.rpc {
			add("Accept", "application/json, text/event-stream")
		}
	}
	out = append(out, m.fields...)
	media := m.media
	if media == "" && m.looksJSON() {
		media = "application/json"
	}
	add("Content-Type", media)
	if m.gzip {
		add("Content-Encoding", "gzip")
	}
	switch m.framing() {
	case chunkedBody:
		add("Transfer-Encoding", "chunked")
	case lengthBody:
		add("Content-Length", strconv.Itoa(total))
	case closeBody:
		add("Connection", "close")
	}
	return out
}

func (m *message) looksJSON() bool {
	return len(m.pieces) > 0 && (strings.HasPrefix(m.pieces[0], "{") || strings.HasPrefix(m.pieces[0], "["))
}
