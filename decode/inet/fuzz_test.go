package inet

import (
	"bytes"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"mcp401/capture"
	"mcp401/decode"
)

func FuzzSegmentNeverPanics(f *testing.F) {
	for _, w := range wrappings() {
		f.Add(uint16(w.link), 0, w.data)
	}
	for _, p := range pieces4(1, long(), 16, 64) {
		f.Add(uint16(1), 10, p)
	}
	f.Fuzz(func(t *testing.T, link uint16, more int, data []byte) {
		d := New(decode.Limits{FragmentBytes: 1 << 17}, nil)
		p := &capture.Packet{Link: capture.LinkType(link), Length: len(data) + more&0xffff, Data: data}
		for i := range 3 {
			s, ok := d.Segment(mark(i), p)
			if !ok {
				continue
			}
			if s.Missing < 0 || s.Missing > 0x1ffff || len(s.Payload) > len(data)+0xffff {
				t.Fatalf("%d bytes, %d missing", len(s.Payload), s.Missing)
			}
			if !s.Src.IsValid() || !s.Dst.IsValid() || s.Src.Addr().Is4In6() {
				t.Fatalf("addresses %v %v", s.Src, s.Dst)
			}
		}
		s := d.Stats()
		if s.Packets != s.Segments+s.LinkType+s.NotIP+s.NotTCP+s.Truncated+s.Fragments+s.TooDeep {
			t.Fatalf("%+v", s)
		}
	})
}

// parser is what gopacket offers for this work.
type parser struct {
	eth     layers.Ethernet
	dot1q   layers.Dot1Q
	ip4     layers.IPv4
	ip6     layers.IPv6
	tcp     layers.TCP
	payload gopacket.Payload
	parser  *gopacket.DecodingLayerParser
	found   []gopacket.LayerType
}

func newParser() *parser {
	p := &parser{}
	p.parser = gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &p.eth, &p.dot1q, &p.ip4, &p.ip6, &p.tcp, &p.payload)
	p.parser.IgnoreUnsupported = true
	return p
}

// segment returns the TCP layer and its payload if gopacket decodes data
// without fault, and without what it treats in other ways by intent.
func (p *parser) segment(data []byte) bool {
	p.payload = nil
	p.tcp.Payload = nil
	if err := p.parser.DecodeLayers(data, &p.found); err != nil || p.parser.Truncated || len(p.found) == 0 {
		return false
	}
	for _, l := range p.found {
		if l == layers.LayerTypeTCP {
			return true
		}
	}
	return false
}

// odd reports whether a header's version is not what the one before says, or
// was overwritten by that of an inner header: gopacket goes by the one, and
// takes EtherType 0xffff for IPv4; inet goes by the other.
func (p *parser) odd() bool {
	t, versions := p.eth.EthernetType, 0
	for _, l := range p.found {
		switch l {
		case layers.LayerTypeDot1Q:
			t = p.dot1q.Type
		case layers.LayerTypeIPv4:
			versions = versions*10 + int(p.ip4.Version)
		case layers.LayerTypeIPv6:
			versions = versions*10 + int(p.ip6.Version)
		}
	}
	return (t != layers.EthernetTypeIPv4 || versions != 4) && (t != layers.EthernetTypeIPv6 || versions != 6)
}

func FuzzSegmentMatchesGopacket(f *testing.F) {
	for _, w := range wrappings() {
		if w.link == capture.LinkEthernet {
			f.Add(w.data)
		}
	}
	p := newParser()
	f.Fuzz(func(t *testing.T, data []byte) {
		if !p.segment(data) || p.odd() {
			return
		}
		d := New(decode.Limits{Tunnels: 64}, nil)
		s, ok := d.Segment(mark(1), packet(1, data))
		if !ok {
			// gopacket does not put fragments together.
			if st := d.Stats(); st.Fragments == 1 {
				return
			}
			t.Fatalf("no segment %+v, gopacket decodes %v", d.Stats(), p.found)
		}
		if s.Seq != p.tcp.Seq || s.Ack != p.tcp.Ack || s.Src.Port() != uint16(p.tcp.SrcPort) || s.Dst.Port() != uint16(p.tcp.DstPort) {
			t.Fatalf("%+v, gopacket %+v", s, p.tcp)
		}
		if !bytes.Equal(s.Payload, p.tcp.Payload) {
			t.Fatalf("payload %q, gopacket %q", s.Payload, p.tcp.Payload)
		}
	})
}

func BenchmarkSegment(b *testing.B) {
	data := ether(typeVLAN, vlan(5, typeIPv4, ip4(protoTCP, a4, b4, long())))
	b.Run("plain", func(b *testing.B) {
		d, p := New(decode.Limits{}, nil), packet(1, ether(typeIPv4, ip4(protoTCP, a4, b4, long())))
		b.ReportAllocs()
		for b.Loop() {
			d.Segment(decode.Mark{}, p)
		}
	})
	b.Run("plain, gopacket", func(b *testing.B) {
		p, data := newParser(), ether(typeIPv4, ip4(protoTCP, a4, b4, long()))
		b.ReportAllocs()
		for b.Loop() {
			p.segment(data)
		}
	})
	b.Run("vlan", func(b *testing.B) {
		d, p := New(decode.Limits{}, nil), packet(1, data)
		b.ReportAllocs()
		for b.Loop() {
			d.Segment(decode.Mark{}, p)
		}
	})
	b.Run("vlan, gopacket", func(b *testing.B) {
		p := newParser()
		b.ReportAllocs()
		for b.Loop() {
			p.segment(data)
		}
	})
}
