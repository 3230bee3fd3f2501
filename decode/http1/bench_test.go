package http1

import (
	"bytes"
	"testing"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

const (
	smallRequest = "POST /mcp/ HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nAccept: application/json, text/event-stream\r\nAccept-Encoding: gzip, deflate\r\n" +
		"Connection: keep-alive\r\nUser-Agent: python-httpx/0.28.1\r\ncontent-type: application/json\r\nauthorization: Bearer sk-1234\r\nContent-Length: 46\r\n\r\n" +
		`{"method":"tools/list","jsonrpc":"2.0","id":1}`
	smallResponse = "HTTP/1.1 200 OK\r\ndate: Sat, 01 Jan 2025 00:00:00 GMT\r\nserver: uvicorn\r\ncontent-type: application/json\r\n" +
		"mcp-session-id: 0123456789abcdef\r\ncontent-length: 50\r\n\r\n" + `{"jsonrpc":"2.0","id":1,"result":{"tools":[ ]}}   `
)

func BenchmarkPair(b *testing.B) {
	events := 0
	c := New(decode.Flow{First: 1}, "http", decode.Limits{}, func(*httpmsg.Event) { events++ }, func(decode.Note) { b.Fatal("a note") })
	req, resp := []byte(smallRequest), []byte(smallResponse)
	at := decode.Mark{Frame: 1}
	b.SetBytes(int64(len(req) + len(resp)))
	b.ReportAllocs()
	for b.Loop() {
		at.Frame++
		c.Data(decode.ToServer, at, req)
		at.Frame++
		c.Data(decode.ToClient, at, resp)
	}
	if events != 6*b.N {
		b.Fatalf("%d events", events)
	}
}

// BenchmarkConnection is one connection with one exchange.
func BenchmarkConnection(b *testing.B) {
	req, resp := []byte(smallRequest), []byte(smallResponse)
	emit, note := func(*httpmsg.Event) {}, func(decode.Note) {}
	at := decode.Mark{Frame: 1}
	b.ReportAllocs()
	for b.Loop() {
		c := New(decode.Flow{First: 1}, "http", decode.Limits{}, emit, note)
		c.Data(decode.ToServer, at, req)
		c.Data(decode.ToClient, at, resp)
		c.End(decode.ToServer, at, decode.Fin)
		c.End(decode.ToClient, at, decode.Fin)
	}
}

func benchBody(b *testing.B, head string, body, tail []byte) {
	c := New(decode.Flow{First: 1}, "http", decode.Limits{}, func(*httpmsg.Event) {}, func(decode.Note) { b.Fatal("a note") })
	at := decode.Mark{Frame: 1}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		c.Data(decode.ToServer, at, []byte("GET / HTTP/1.1\r\n\r\n"))
		c.Data(decode.ToClient, at, []byte(head))
		for p := body; len(p) > 0; {
			n := min(len(p), 1448)
			c.Data(decode.ToClient, at, p[:n])
			p = p[n:]
		}
		c.Data(decode.ToClient, at, tail)
	}
}

func BenchmarkLength(b *testing.B) {
	benchBody(b, "HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n", make([]byte, 1<<20), nil)
}

func BenchmarkChunked(b *testing.B) {
	chunk := append([]byte("1000\r\n"), append(make([]byte, 4096), "\r\n"...)...)
	benchBody(b, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", bytes.Repeat(chunk, 256), []byte("0\r\n\r\n"))
}

// BenchmarkLost looks for a start line in what is none.
func BenchmarkLost(b *testing.B) {
	for _, d := range []decode.Dir{decode.ToServer, decode.ToClient} {
		b.Run(d.String(), func(b *testing.B) {
			c := New(decode.Flow{First: 1, Mid: true}, "http", decode.Limits{}, func(*httpmsg.Event) {}, func(decode.Note) {})
			p := bytes.Repeat([]byte(`{"a": "HTTP and more", "b": 1}, `), 45)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				c.Data(d, decode.Mark{Frame: 1}, p)
			}
		})
	}
}
