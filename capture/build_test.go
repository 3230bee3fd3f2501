package capture_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"mcp401/capture"
)

// Small builders of the formats, with everything in reach that a damaged or odd
// file needs.

const (
	magicMicro    = 0xa1b2c3d4
	magicNano     = 0xa1b23c4d
	magicModified = 0xa1b2cd34
)

var (
	le = binary.LittleEndian
	be = binary.BigEndian

	start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
)

func at(d time.Duration) time.Time { return start.Add(d) }

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// A pcapFile is a pcap in the making.
type pcapFile struct {
	order byteOrder
	magic uint32
	b     []byte
}

func newPcapFile(o byteOrder, magic uint32) *pcapFile { return newPcapVersion(o, magic, 2, 4, 1) }

func newPcapVersion(o byteOrder, magic uint32, major, minor uint16, link uint32) *pcapFile {
	p := &pcapFile{order: o, magic: magic}
	p.u32(magic).u16(major).u16(minor).u32(0).u32(0).u32(0).u32(link)
	return p
}

func (p *pcapFile) u32(v uint32) *pcapFile { p.b = p.order.AppendUint32(p.b, v); return p }
func (p *pcapFile) u16(v uint16) *pcapFile { p.b = p.order.AppendUint16(p.b, v); return p }

// packet adds a packet that was captured whole.
func (p *pcapFile) packet(t time.Time, data []byte) *pcapFile {
	return p.raw(t, uint32(len(data)), uint32(len(data)), data)
}

// raw adds a packet with any lengths, in the order in which they are written.
func (p *pcapFile) raw(t time.Time, first, second uint32, data []byte) *pcapFile {
	frac := uint32(t.Nanosecond())
	if p.magic != magicNano {
		frac /= 1000
	}
	p.u32(uint32(t.Unix())).u32(frac).u32(first).u32(second)
	if p.magic == magicModified {
		p.u32(1).u32(0)
	}
	p.b = append(p.b, data...)
	return p
}

func (p *pcapFile) bytes() []byte { return p.b }

// A pcapngFile is a pcapng in the making.
type pcapngFile struct {
	order byteOrder
	b     []byte
}

func newPcapngFile(o byteOrder) *pcapngFile {
	p := &pcapngFile{order: o}
	return p.section(o)
}

// section begins a section in a byte order.
func (p *pcapngFile) section(o byteOrder) *pcapngFile {
	p.order = o
	body := o.AppendUint32(nil, 0x1a2b3c4d)
	body = o.AppendUint16(body, 1)
	body = o.AppendUint16(body, 0)
	body = o.AppendUint64(body, 1<<64-1)
	return p.block(0x0a0d0d0a, body)
}

// block adds any block, padded.
func (p *pcapngFile) block(kind uint32, body []byte) *pcapngFile {
	body = append(body, make([]byte, -len(body)&3)...)
	n := uint32(len(body) + 12)
	p.b = p.order.AppendUint32(p.b, kind)
	p.b = p.order.AppendUint32(p.b, n)
	p.b = append(p.b, body...)
	p.b = p.order.AppendUint32(p.b, n)
	return p
}

type option struct {
	code  uint16
	value []byte
}

func (p *pcapngFile) options(b []byte, options []option) []byte {
	for _, o := range options {
		b = p.order.AppendUint16(b, o.code)
		b = p.order.AppendUint16(b, uint16(len(o.value)))
		b = append(b, o.value...)
		b = append(b, make([]byte, -len(o.value)&3)...)
	}
	if len(options) > 0 {
		b = append(b, 0, 0, 0, 0)
	}
	return b
}

func (p *pcapngFile) iface(link uint16, snap uint32, options ...option) *pcapngFile {
	body := p.order.AppendUint16(nil, link)
	body = p.order.AppendUint16(body, 0)
	body = p.order.AppendUint32(body, snap)
	return p.block(1, p.options(body, options))
}

func (p *pcapngFile) enhanced(iface uint32, stamp uint64, data []byte, options ...option) *pcapngFile {
	body := p.order.AppendUint32(nil, iface)
	body = p.order.AppendUint32(body, uint32(stamp>>32))
	body = p.order.AppendUint32(body, uint32(stamp))
	body = p.order.AppendUint32(body, uint32(len(data)))
	body = p.order.AppendUint32(body, uint32(len(data)))
	body = append(body, data...)
	body = append(body, make([]byte, -len(data)&3)...)
	return p.block(6, p.options(body, options))
}

func (p *pcapngFile) simple(original uint32, data []byte) *pcapngFile {
	return p.block(3, append(p.order.AppendUint32(nil, original), data...))
}

func (p *pcapngFile) obsolete(iface, drops uint16, stamp uint64, data []byte) *pcapngFile {
	body := p.order.AppendUint16(nil, iface)
	body = p.order.AppendUint16(body, drops)
	body = p.order.AppendUint32(body, uint32(stamp>>32))
	body = p.order.AppendUint32(body, uint32(stamp))
	body = p.order.AppendUint32(body, uint32(len(data)))
	body = p.order.AppendUint32(body, uint32(len(data)))
	return p.block(2, append(body, data...))
}

func (p *pcapngFile) statistics(iface uint32, stamp uint64, options ...option) *pcapngFile {
	body := p.order.AppendUint32(nil, iface)
	body = p.order.AppendUint32(body, uint32(stamp>>32))
	body = p.order.AppendUint32(body, uint32(stamp))
	return p.block(5, p.options(body, options))
}

func (p *pcapngFile) secrets(kind uint32, lines string) *pcapngFile {
	body := p.order.AppendUint32(nil, kind)
	body = p.order.AppendUint32(body, uint32(len(lines)))
	return p.block(10, append(body, lines...))
}

func (p *pcapngFile) u64(code uint16, v uint64) option {
	return option{code, p.order.AppendUint64(nil, v)}
}

func (p *pcapngFile) bytes() []byte { return p.b }

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zstandard(b []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(b, nil)
}

func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A story is a capture in text, a line for each record, and what was said.
type story struct {
	records  []string
	warnings []string // "code@frame N"
	err      error    // nil at the end of the file
}

func (s story) String() string { return strings.Join(s.records, "\n") }

// tell reads a source to its end.
func tell(src capture.Source) (s story) {
	for {
		rec, err := src.Next()
		if err != nil {
			if err != io.EOF {
				s.err = err
			}
			break
		}
		s.records = append(s.records, line(rec))
	}
	if w, ok := src.(interface{ Warnings() []capture.Warning }); ok {
		for _, w := range w.Warnings() {
			s.warnings = append(s.warnings, fmt.Sprintf("%s@%d %d", w.Code, w.Frame, w.N))
		}
	}
	return s
}

// tellBytes reads a stream; what cannot be opened is told as well.
func tellBytes(b []byte) story {
	f, err := capture.New("x", bytes.NewReader(b))
	if err != nil {
		return story{err: err}
	}
	return tell(f)
}

func line(rec capture.Record) string {
	when := "-"
	if !rec.Time.IsZero() {
		when = rec.Time.Sub(start).String()
	}
	switch {
	case rec.Packet != nil:
		p := rec.Packet
		s := fmt.Sprintf("%d %s link %d if %d %q", rec.Num, when, p.Link, p.Interface, p.Data)
		if p.Length != len(p.Data) {
			s += fmt.Sprintf(" of %d", p.Length)
		}
		return s
	case rec.Entry != nil:
		return fmt.Sprintf("%d %s %s %s %d", rec.Num, when, rec.Entry.Method, rec.Entry.URL, rec.Entry.Status)
	case rec.Secret != nil:
		return fmt.Sprintf("%d %s secret %q", rec.Num, when, rec.Secret.Lines)
	case rec.Loss != nil:
		return fmt.Sprintf("%d %s loss %d if %d %s", rec.Num, when, rec.Loss.Packets, rec.Loss.Interface, rec.Loss.Reason)
	}
	return "nothing"
}

// browserHAR makes a HAR of at least size bytes with bodies of so many.
func browserHAR(size, body int) []byte {
	var headers []map[string]string
	for i := range 20 {
		headers = append(headers, map[string]string{"name": fmt.Sprintf("X-Header-%d", i), "value": strings.Repeat("value ", 6)})
	}
	tool := `{"name":"healthy-echo","description":"says it again","inputSchema":{"type":"object","properties":{}}},`
	text := `{"jsonrpc":"2.0","id":7,"result":{"tools":[` + strings.Repeat(tool, max(body/len(tool), 1)) + "{}]}}"
	var out bytes.Buffer
	out.WriteString(`{"log":{"version":"1.2","creator":{"name":"WebInspector","version":"537.36"},"pages":[],"entries":[`)
	for i := 0; out.Len() < size; i++ {
		if i > 0 {
			out.WriteByte(',')
		}
		entry := map[string]any{
			"startedDateTime": at(time.Duration(i) * time.Millisecond).Format("2006-01-02T15:04:05.000Z"), "time": 12.5,
			"_initiator": map[string]any{"type": "script", "stack": map[string]any{"callFrames": []any{map[string]any{"functionName": "f", "url": "http://x/y.js", "lineNumber": 12}}}},
			"request": map[string]any{"method": "POST", "url": "http://127.0.0.1:4000/mcp", "httpVersion": "HTTP/1.1", "headers": headers,
				"cookies": []any{}, "headersSize": -1, "bodySize": 46, "queryString": []any{}, "postData": map[string]any{"mimeType": "application/json", "text": `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`}},
			"response": map[string]any{"status": 200, "statusText": "OK", "httpVersion": "HTTP/1.1", "headers": headers, "cookies": []any{},
				"content": map[string]any{"size": len(text), "mimeType": "application/json", "text": text}, "redirectURL": "", "headersSize": -1, "bodySize": -1, "_transferSize": 1},
			"cache": map[string]any{}, "timings": map[string]any{"blocked": 1.5, "dns": -1, "ssl": -1, "connect": -1, "send": 0.25, "wait": 10, "receive": 0.75},
			"serverIPAddress": "127.0.0.1", "connection": "4000",
		}
		b, err := json.Marshal(entry)
		if err != nil {
			panic(err)
		}
		out.Write(b)
	}
	out.WriteString("]}}")
	return out.Bytes()
}

func base64ed(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// heapInUse is how much memory the heap holds, garbage included.
func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
