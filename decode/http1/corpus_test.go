package http1

import (
	"compress/gzip"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"testing"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// shared returns a file of the folder of captures beside the project, or skips.
func shared(t *testing.T, name string) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if f := filepath.Join(dir, "..", "shared", name); exists(f) {
			return f
		}
	}
	t.Skip("the shared captures are not here")
	return ""
}

func exists(f string) bool {
	_, err := os.Stat(f)
	return err == nil
}

// frames reads a little-endian gzipped pcap of Ethernet, IPv6 and TCP, which is
// what the one capture here is, and calls f for each segment with its payload.
func frames(t *testing.T, file string, f func(num int, d decode.Dir, seq uint32, flags byte, p []byte)) {
	r, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	num := 0
	for b = b[24:]; len(b) > 16; {
		n := int(binary.LittleEndian.Uint32(b[8:]))
		p := b[16 : 16+n]
		b = b[16+n:]
		num++
		tcp := p[14+40:]
		tcp = tcp[:min(len(tcp), int(binary.BigEndian.Uint16(p[14+4:])))]
		d := decode.ToServer
		if binary.BigEndian.Uint16(tcp) == 80 {
			d = decode.ToClient
		}
		f(num, d, binary.BigEndian.Uint32(tcp[4:]), tcp[13], tcp[tcp[12]>>4*4:])
	}
}

// A thousand requests on one connection, one response of which was dropped from
// the capture: every other response belongs to the request before it.
func TestOneDroppedResponse(t *testing.T) {
	file := shared(t, "corpus/h1-1000-requests.pcap.gz")
	asked := map[uint32]int{} // exchange: frame of the request
	requests, answered, cut := 0, 0, 0
	var lastAsked uint32
	c := New(decode.Flow{First: 1}, "http", decode.Limits{}, func(e *httpmsg.Event) {
		switch {
		case e.Kind == httpmsg.Head && e.Dir == decode.ToServer:
			requests++
			asked[e.ID.Stream] = e.At.Frame
			lastAsked = e.ID.Stream
		case e.Kind == httpmsg.Head:
			answered++
			if asked[e.ID.Stream] == 0 || e.ID.Stream != lastAsked {
				t.Errorf("the response in frame %d belongs to request %d, got %d", e.From.Frame, lastAsked, e.ID.Stream)
			}
		case e.Kind == httpmsg.Cut:
			cut++
			if e.Dir != decode.ToClient || e.Why != 0 {
				t.Errorf("cut: %+v", e)
			}
		}
	}, func(n decode.Note) {
		if n.Code != "http1/skipped" { // the content of the dropped response is there
			t.Errorf("note %+v", n)
		}
	})
	var next [2]uint32
	frames(t, file, func(num int, d decode.Dir, seq uint32, flags byte, p []byte) {
		at := decode.Mark{Frame: num}
		if flags&2 != 0 { // SYN
			next[d] = seq + 1
			return
		}
		if n := int32(seq - next[d]); n > 0 {
			c.Gap(d, at, int(n))
			next[d] = seq
		} else if n < 0 {
			return
		}
		if len(p) > 0 {
			c.Data(d, at, p)
			next[d] += uint32(len(p))
		}
		if flags&1 != 0 { // FIN
			c.End(d, at, decode.Fin)
		}
	})
	if requests != 1000 || answered != 999 || cut != 1 {
		t.Errorf("%d requests, %d answered, %d cut", requests, answered, cut)
	}
}
