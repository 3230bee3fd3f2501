package capturetest

// What the tests read captures with: gopacket's readers, layers and assembler,
// none of which the package itself uses.

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/gopacket/gopacket/reassembly"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// A frame is a packet as a foreign reader gives it.
type frame struct {
	gopacket.CaptureInfo
	link layers.LinkType
	data []byte
}

func unpack(t *testing.T, b []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(b)
	switch {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readBack reads a pcap or pcapng file with gopacket's pcapgo.
func readBack(t *testing.T, file []byte) []frame {
	t.Helper()
	file = unpack(t, file)
	var read func() ([]byte, gopacket.CaptureInfo, error)
	var link func(int) layers.LinkType
	if bytes.HasPrefix(file, []byte{0x0a, 0x0d, 0x0d, 0x0a}) {
		r, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.NgReaderOptions{WantMixedLinkType: true})
		if err != nil {
			t.Fatal(err)
		}
		read = r.ReadPacketData
		link = func(i int) layers.LinkType {
			v, err := r.Interface(i)
			if err != nil {
				t.Fatal(err)
			}
			return v.LinkType
		}
	} else {
		r, err := pcapgo.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		read = r.ReadPacketData
		link = func(int) layers.LinkType { return r.LinkType() }
	}
	var out []frame
	for {
		b, ci, err := read()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("frame %d: %v", len(out)+1, err)
		}
		out = append(out, frame{ci, link(ci.InterfaceIndex), b})
	}
}

// decode returns the packet with all its layers, which must be sound.
func (f frame) decode(t *testing.T) gopacket.Packet {
	t.Helper()
	var first gopacket.Decoder = f.link
	if f.link == layers.LinkTypeLoop {
		first = layers.LinkTypeNull
	}
	p := gopacket.NewPacket(f.data, first, gopacket.Default)
	if bad := p.ErrorLayer(); bad != nil {
		t.Fatalf("malformed packet: %v", bad.Error())
	}
	return p
}

// A collector puts the bytes of each direction of each connection together.
type collector struct {
	streams map[string]*strings.Builder
}

func (c *collector) New(net, tcp gopacket.Flow, _ *layers.TCP, _ reassembly.AssemblerContext) reassembly.Stream {
	return &collected{c, fmt.Sprint(tcp.Src(), ">", tcp.Dst()), fmt.Sprint(tcp.Dst(), ">", tcp.Src())}
}

type collected struct {
	c           *collector
	there, back string
}

func (s *collected) Accept(*layers.TCP, gopacket.CaptureInfo, reassembly.TCPFlowDirection, reassembly.Sequence, *bool, reassembly.AssemblerContext) bool {
	return true
}

func (s *collected) ReassembledSG(sg reassembly.ScatterGather, _ reassembly.AssemblerContext) {
	n, _ := sg.Lengths()
	dir, _, _, skip := sg.Info()
	key := s.there
	if dir == reassembly.TCPDirServerToClient {
		key = s.back
	}
	b := s.c.streams[key]
	if b == nil {
		b = &strings.Builder{}
		s.c.streams[key] = b
	}
	if skip > 0 {
		fmt.Fprintf(b, "[%d missing]", skip)
	}
	b.Write(sg.Fetch(n))
}

func (s *collected) ReassemblyComplete(reassembly.AssemblerContext) bool { return true }

type capturedAt gopacket.CaptureInfo

func (c *capturedAt) GetCaptureInfo() gopacket.CaptureInfo { return gopacket.CaptureInfo(*c) }

// streams returns what each side of each connection said, by "port>port".
func streams(t *testing.T, frames []frame) map[string]string {
	t.Helper()
	c := &collector{map[string]*strings.Builder{}}
	a := reassembly.NewAssembler(reassembly.NewStreamPool(c))
	for _, f := range frames {
		p := f.decode(t)
		if tcp, ok := p.TransportLayer().(*layers.TCP); ok {
			at := capturedAt(f.CaptureInfo)
			a.AssembleWithContext(p.NetworkLayer().NetworkFlow(), tcp, &at)
		}
	}
	a.FlushAll()
	out := map[string]string{}
	for k, b := range c.streams {
		out[k] = b.String()
	}
	return out
}
