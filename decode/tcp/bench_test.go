package tcp

import (
	"os"
	"testing"

	"mcp401/decode"
	"mcp401/decode/inet"
)

type counter struct{ bytes, gaps, ends int }

func (c *counter) Data(d decode.Dir, at decode.Mark, p []byte)      { c.bytes += len(p) }
func (c *counter) Gap(d decode.Dir, at decode.Mark, n int)          { c.gaps++ }
func (c *counter) End(d decode.Dir, at decode.Mark, why decode.End) { c.ends++ }

// BenchmarkCapture measures a whole capture file, named by MCP401_PCAP.
func BenchmarkCapture(b *testing.B) {
	name := os.Getenv("MCP401_PCAP")
	if name == "" {
		b.Skip("MCP401_PCAP names no capture file")
	}
	frames := readPcap(b, name)
	b.Run("inet", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dec := inet.New(decode.Limits{}, nil)
			for i := range frames {
				dec.Segment(decode.Mark{Frame: i + 1, Time: frames[i].at}, &frames[i].p)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(frames)), "ns/packet")
	})
	b.Run("both", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c := &counter{}
			s := replay(frames, decode.Limits{}, func(decode.Flow) decode.Conn { return c })
			if b.N == 1 {
				b.Logf("%+v %+v", s, *c)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(frames)), "ns/packet")
	})
}
