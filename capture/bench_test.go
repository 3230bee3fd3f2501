package capture_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mcp401/capture"
)

func BenchmarkPcap(b *testing.B) {
	for _, size := range []int{60, 330, 1500} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			p := newPcapFile(le, magicMicro)
			for i := range (32 << 20) / (size + 16) {
				p.packet(at(time.Duration(i)*time.Microsecond), bytes.Repeat([]byte{byte(i)}, size))
			}
			benchmark(b, p.bytes())
		})
	}
}

func BenchmarkPcapng(b *testing.B) {
	p := newPcapngFile(le)
	p.iface(1, 0)
	for i := range (32 << 20) / 362 {
		p.enhanced(0, uint64(start.UnixMicro())+uint64(i), bytes.Repeat([]byte{byte(i)}, 330))
	}
	benchmark(b, p.bytes())
}

// BenchmarkHAR reads entries as a browser writes them: forty header fields, a
// body of JSON, which is escaped.
func BenchmarkHAR(b *testing.B) {
	for _, size := range []int{200, 20_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			benchmark(b, browserHAR(8<<20, size))
		})
	}
}

func BenchmarkGzip(b *testing.B) {
	p := newPcapFile(le, magicMicro)
	for i := range 20_000 {
		p.packet(at(time.Duration(i)*time.Microsecond), []byte(strings.Repeat(fmt.Sprintf("GET /%d HTTP/1.1\r\n", i*i), 20)))
	}
	packed := gzipped(p.bytes())
	b.SetBytes(int64(len(p.bytes())))
	b.ReportAllocs()
	for b.Loop() {
		drain(b, packed)
	}
}

func BenchmarkMerge(b *testing.B) {
	var names []string
	size := 0
	for i := range 8 {
		p := newPcapFile(le, magicMicro)
		for j := range 10_000 {
			p.packet(at(time.Duration(j*8+i)*time.Microsecond), make([]byte, 330))
		}
		size += len(p.bytes())
		names = append(names, write(b, fmt.Sprint(i, ".pcap"), p.bytes()))
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		f, err := capture.Open(names, nil, capture.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for {
			if _, err := f.Next(); err != nil {
				break
			}
		}
		f.Close()
	}
}

func benchmark(b *testing.B, file []byte) {
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		drain(b, file)
	}
}

func drain(b *testing.B, file []byte) {
	f, err := capture.New("x", bytes.NewReader(file))
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	for {
		_, err := f.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	if n == 0 {
		b.Fatal("nothing read")
	}
}
