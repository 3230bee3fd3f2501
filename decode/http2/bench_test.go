package http2

import (
	"testing"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// talk is the frames of one exchange as a client and a gateway send them,
// after those that fill the tables.
func talk(b *testing.B) (c *Conn, req, resp []byte) {
	a := newAssembler()
	line := func(d decode.Dir, s string) []byte {
		p, err := a.line(d, s)
		if err != nil {
			b.Fatal(err)
		}
		return p
	}
	const (
		ask    = "HEADERS 1 | :method: POST | :scheme: https | :authority: gateway.example | :path: /mcp/ | accept: application/json, text/event-stream | user-agent: python-httpx/0.28.1 | content-type: application/json | authorization: Bearer sk-1234 | mcp-session-id: 0123456789abcdef"
		answer = "HEADERS 1 | :status: 200 | date: Sat, 01 Jan 2025 00:00:00 GMT | server: uvicorn | content-type: application/json | mcp-session-id: 0123456789abcdef"
	)
	c = New(decode.Flow{First: 1}, "https", decode.Limits{}, func(*httpmsg.Event) {}, func(n decode.Note) { b.Fatal(n) })
	at := decode.Mark{Frame: 1}
	c.Data(decode.ToServer, at, []byte(preface))
	c.Data(decode.ToServer, at, line(decode.ToServer, "SETTINGS 0"))
	c.Data(decode.ToClient, at, line(decode.ToClient, "SETTINGS 0"))
	c.Data(decode.ToServer, at, line(decode.ToServer, ask))
	c.Data(decode.ToClient, at, line(decode.ToClient, answer))
	req = append(line(decode.ToServer, ask), line(decode.ToServer, `DATA 1 END_STREAM | {"method":"tools/list","jsonrpc":"2.0","id":1}`)...)
	resp = append(line(decode.ToClient, answer), line(decode.ToClient, `DATA 1 END_STREAM | {"jsonrpc":"2.0","id":1,"result":{"tools":[ ]}}`)...)
	return c, req, resp
}

// setStream numbers the two frames of a message.
func setStream(p []byte, id uint32) {
	for len(p) > 0 {
		n := 9 + int(p[1])<<8 + int(p[2])
		p[5], p[6], p[7], p[8] = byte(id>>24), byte(id>>16), byte(id>>8), byte(id)
		p = p[n:]
	}
}

func BenchmarkPair(b *testing.B) {
	c, req, resp := talk(b)
	at := decode.Mark{Frame: 1}
	b.SetBytes(int64(len(req) + len(resp)))
	b.ReportAllocs()
	id := uint32(3)
	for b.Loop() {
		setStream(req, id)
		setStream(resp, id)
		id += 2
		at.Frame++
		c.Data(decode.ToServer, at, req)
		at.Frame++
		c.Data(decode.ToClient, at, resp)
	}
}

// BenchmarkConnection is one connection with one exchange.
func BenchmarkConnection(b *testing.B) {
	var steps [][2][]byte
	_, req, resp := talk(b)
	a := newAssembler()
	settings, _ := a.line(decode.ToServer, "SETTINGS 0")
	ask, _ := a.line(decode.ToServer, "HEADERS 1 END_STREAM | :method: GET | :scheme: https | :authority: gateway.example | :path: /mcp/ | user-agent: python-httpx/0.28.1 | authorization: Bearer sk-1234")
	answer, _ := a.line(decode.ToClient, "HEADERS 1 END_STREAM | :status: 401 | www-authenticate: Bearer | server: uvicorn | date: Sat, 01 Jan 2025 00:00:00 GMT")
	steps = append(steps, [2][]byte{append([]byte(preface), settings...), settings}, [2][]byte{ask, answer})
	_, _ = req, resp
	b.ReportAllocs()
	for b.Loop() {
		c := New(decode.Flow{First: 1}, "https", decode.Limits{}, func(*httpmsg.Event) {}, func(decode.Note) {})
		for _, s := range steps {
			c.Data(decode.ToServer, decode.Mark{Frame: 1}, s[0])
			c.Data(decode.ToClient, decode.Mark{Frame: 2}, s[1])
		}
		c.End(decode.ToServer, decode.Mark{Frame: 3}, decode.Fin)
		c.End(decode.ToClient, decode.Mark{Frame: 3}, decode.Fin)
	}
}

// BenchmarkData is content in frames of the usual size and segments.
func BenchmarkData(b *testing.B) {
	c, req, resp := talk(b)
	at := decode.Mark{Frame: 1}
	setStream(req, 3)
	c.Data(decode.ToServer, at, req)
	setStream(resp, 3)
	c.Data(decode.ToClient, at, resp[:9+int(resp[2])])
	wire := appendFrame(nil, frameData, 0, 3, make([]byte, usualFrame))
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		for p := wire; len(p) > 0; {
			n := min(1448, len(p))
			c.Data(decode.ToClient, at, p[:n])
			p = p[n:]
		}
	}
}

// BenchmarkLost looks for a frame header in what is none: the worst are zeros.
func BenchmarkLost(b *testing.B) {
	for name, x := range map[string]byte{"text": 'x', "zeros": 0} {
		b.Run(name, func(b *testing.B) {
			c := New(decode.Flow{First: 1, Mid: true}, "http", decode.Limits{}, func(*httpmsg.Event) {}, func(decode.Note) {})
			p := make([]byte, 1448)
			for i := range p {
				p[i] = x
			}
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				c.Data(decode.ToClient, decode.Mark{Frame: 1}, p)
			}
		})
	}
}

// BenchmarkFloods is frames without content and streams that are taken back at
// once.
func BenchmarkFloods(b *testing.B) {
	for name, d := range map[string]decode.Dir{"empty": decode.ToClient, "reset": decode.ToServer} {
		b.Run(name, func(b *testing.B) {
			c, req, _ := talk(b)
			id := uint32(3)
			frame := appendFrame(nil, frameData, 0, 1, nil)
			if name == "reset" {
				frame = append(req[:9+int(req[2])], appendFrame(nil, frameReset, 0, 0, make([]byte, 4))...)
			}
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if name == "reset" {
					setStream(frame, id)
					id += 2
				}
				c.Data(d, decode.Mark{Frame: 1}, frame)
			}
		})
	}
}
