package http2

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// A flood costs neither memory nor much time, whatever it is made of.
func TestFloods(t *testing.T) {
	literal := func(name, value string) []byte {
		b := append([]byte{0x40, 0x7f}, byte((len(name)-127)&0x7f|0x80), byte((len(name)-127)>>7))
		b = append(append(b, name...), byte(len(value)))
		return append(b, value...)
	}
	long := literal(string(bytes.Repeat([]byte("n"), 3000)), "v")
	for name, flood := range map[string]func(feed func([]byte)){
		"continuations": func(feed func([]byte)) {
			feed(appendFrame(nil, frameHeaders, 0, 1, nil))
			part := appendFrame(nil, frameContinuation, 0, 1, make([]byte, usualFrame))
			for range 1000 {
				feed(part)
			}
		},
		"empty continuations": func(feed func([]byte)) {
			feed(appendFrame(nil, frameHeaders, 0, 1, nil))
			feed(bytes.Repeat(appendFrame(nil, frameContinuation, 0, 1, nil), 100_000))
		},
		"references": func(feed func([]byte)) {
			for i := range 20 {
				feed(appendFrame(nil, frameHeaders, flagEndHeaders, uint32(2*i+1), append(bytes.Clone(long), bytes.Repeat([]byte{0xbe}, 200_000)...)))
			}
		},
		"names": func(feed func([]byte)) {
			for i := range 20 {
				feed(appendFrame(nil, frameHeaders, flagEndHeaders, uint32(2*i+1), append(bytes.Clone(long), bytes.Repeat([]byte{0x7e, 0}, 100_000)...)))
			}
		},
		"streams": func(feed func([]byte)) {
			for i := range uint32(100_000) {
				feed(appendFrame(nil, frameHeaders, flagEndHeaders, 2*i+1, []byte{0x82, 0x84}))
			}
		},
		"resets": func(feed func([]byte)) {
			for i := range uint32(100_000) {
				feed(appendFrame(appendFrame(nil, frameHeaders, flagEndHeaders, 2*i+1, []byte{0x82, 0x84}), frameReset, 0, 2*i+1, make([]byte, 4)))
			}
		},
		"settings": func(feed func([]byte)) {
			feed(bytes.Repeat(appendFrame(nil, frameSettings, 0, 0, make([]byte, 60)), 100_000))
		},
	} {
		t.Run(name, func(t *testing.T) {
			notes, fields := map[string]int{}, 0
			c := New(decode.Flow{First: 1}, "http", decode.Limits{}, func(e *httpmsg.Event) { fields = max(fields, len(e.Header)) }, func(n decode.Note) { notes[n.Code]++ })
			start := time.Now()
			c.Data(decode.ToServer, decode.Mark{Frame: 1}, []byte(preface))
			flood(func(p []byte) { c.Data(decode.ToServer, decode.Mark{Frame: 1}, p) })
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %s", took)
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			runtime.KeepAlive(c)
			if m.HeapAlloc > 8<<20 {
				t.Errorf("%d bytes are held", m.HeapAlloc)
			}
			if fields > 512 {
				t.Errorf("a head of %d fields", fields)
			}
			t.Log(notes, m.HeapAlloc>>10, "KiB")
		})
	}
}

// Many small holes are not told to streams that know of one.
func TestHolesAreToldOnce(t *testing.T) {
	holes := 0
	c := New(decode.Flow{First: 1}, "http", decode.Limits{}, func(e *httpmsg.Event) {
		if e.Kind == httpmsg.Hole {
			holes++
		}
	}, func(decode.Note) {})
	at := decode.Mark{Frame: 1}
	c.Data(decode.ToServer, at, []byte(preface))
	for i := range uint32(1000) {
		c.Data(decode.ToServer, at, appendFrame(nil, frameHeaders, flagEndHeaders, 2*i+1, []byte{0x82, 0x84}))
	}
	for range 100_000 {
		c.Gap(decode.ToServer, at, -1)
	}
	if holes != 1000 {
		t.Errorf("%d holes", holes)
	}
}
