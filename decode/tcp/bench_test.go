package tcp

import (
	"os"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/reassembly"

	"mcp401/decode"
	"mcp401/decode/inet"
)

type counter struct{ bytes, gaps, ends int }

func (c *counter) Data(d decode.Dir, at decode.Mark, p []byte)      { c.bytes += len(p) }
func (c *counter) Gap(d decode.Dir, at decode.Mark, n int)          { c.gaps++ }
func (c *counter) End(d decode.Dir, at decode.Mark, why decode.End) { c.ends++ }

// BenchmarkSegments measures the table alone, with 60,000 connections open at
// once that take turns, so that nearly every segment finds its flow out of the
// processor's cache.
func BenchmarkSegments(b *testing.B) {
	const conns = 60_000
	payload := make([]byte, 1448)
	for _, bench := range []struct {
		name string
		give func(m *many, i, round int)
	}{
		{"data", func(m *many, i, round int) {
			m.give(i, decode.ToServer, ACK, uint32(100+1448*round), 501, payload)
		}},
		{"acknowledgments", func(m *many, i, round int) {
			m.give(i, decode.ToServer, ACK, 100, 501, nil)
		}},
		{"out of order", func(m *many, i, round int) {
			m.give(i, decode.ToServer, ACK, uint32(100+1448*(round^1)), 501, payload)
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			c := &counter{}
			m := &many{at: decode.Mark{Time: time.Unix(1_700_000_000, 0)}, step: time.Microsecond}
			m.table = NewTable(decode.Limits{Buffered: 1 << 30}, func(decode.Flow) decode.Conn { return c }, nil)
			for i := range conns {
				m.give(i, decode.ToServer, SYN, 99, 0, nil)
				m.give(i, decode.ToClient, SYN|ACK, 499, 100, nil)
				m.give(i, decode.ToClient, ACK, 500, 100, payload[:1])
			}
			b.ReportAllocs()
			i, round := 0, 0
			for b.Loop() {
				bench.give(m, i, round)
				if i++; i == conns {
					i, round = 0, round+1
				}
			}
		})
	}
}

// BenchmarkOpenClose measures whole short connections: seven segments each.
func BenchmarkOpenClose(b *testing.B) {
	c := &counter{}
	m := &many{at: decode.Mark{Time: time.Unix(1_700_000_000, 0)}, step: time.Microsecond}
	m.table = NewTable(decode.Limits{}, func(decode.Flow) decode.Conn { return c }, nil)
	payload := make([]byte, 400)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		m.give(i, decode.ToServer, SYN, 99, 0, nil)
		m.give(i, decode.ToClient, SYN|ACK, 499, 100, nil)
		m.give(i, decode.ToServer, ACK, 100, 500, payload)
		m.give(i, decode.ToClient, ACK, 500, 500, payload)
		m.give(i, decode.ToServer, ACK|FIN, 500, 900, nil)
		m.give(i, decode.ToClient, ACK|FIN, 900, 501, nil)
		m.give(i, decode.ToServer, ACK, 501, 901, nil)
	}
}

// BenchmarkCapture measures a whole capture file, named by MCP401_PCAP, beside
// gopacket's reassembly.
func BenchmarkCapture(b *testing.B) {
	name := os.Getenv("MCP401_PCAP")
	if name == "" {
		b.Skip("MCP401_PCAP names no capture file")
	}
	frames := readPcap(b, name)
	perPacket := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(frames)), "ns/packet")
	}
	b.Run("inet", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dec := inet.New(decode.Limits{}, nil)
			for i := range frames {
				dec.Segment(decode.Mark{Frame: i + 1, Time: frames[i].at}, &frames[i].p)
			}
		}
		perPacket(b)
	})
	b.Run("inet and tcp", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c := &counter{}
			replay(frames, decode.Limits{}, func(decode.Flow) decode.Conn { return c })
		}
		perPacket(b)
	})
	b.Run("gopacket", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			gopacketReassembly(frames)
		}
		perPacket(b)
	})
}

type goStream struct{ bytes int }

func (s *goStream) New(net, transport gopacket.Flow, t *layers.TCP, ac reassembly.AssemblerContext) reassembly.Stream {
	return s
}
func (s *goStream) Accept(t *layers.TCP, ci gopacket.CaptureInfo, dir reassembly.TCPFlowDirection, next reassembly.Sequence, start *bool, ac reassembly.AssemblerContext) bool {
	return true
}
func (s *goStream) ReassembledSG(sg reassembly.ScatterGather, ac reassembly.AssemblerContext) {
	n, _ := sg.Lengths()
	s.bytes += len(sg.Fetch(n))
}
func (s *goStream) ReassemblyComplete(ac reassembly.AssemblerContext) bool { return true }

type goContext gopacket.CaptureInfo

func (c *goContext) GetCaptureInfo() gopacket.CaptureInfo { return gopacket.CaptureInfo(*c) }

func gopacketReassembly(frames []frame) int {
	var eth layers.Ethernet
	var ip4 layers.IPv4
	var t layers.TCP
	var payload gopacket.Payload
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip4, &t, &payload)
	parser.IgnoreUnsupported = true
	s := &goStream{}
	asm := reassembly.NewAssembler(reassembly.NewStreamPool(s))
	var found []gopacket.LayerType
	for i := range frames {
		if parser.DecodeLayers(frames[i].p.Data, &found) != nil {
			continue
		}
		for _, l := range found {
			if l == layers.LayerTypeTCP {
				c := goContext{Timestamp: frames[i].at}
				asm.AssembleWithContext(ip4.NetworkFlow(), &t, &c)
			}
		}
	}
	asm.FlushAll()
	return s.bytes
}
