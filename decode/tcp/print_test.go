package tcp_test

import (
	"net/netip"
	"testing"
	"time"

	"mcp401/decode"
	"mcp401/decode/inet"
	"mcp401/decode/tcp"
)

// One connection has one print under any addresses; another has another.
func TestPrint(t *testing.T) {
	a, b, c := netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:80"), netip.MustParseAddrPort("192.0.2.1:8080")
	shake := func(client, server netip.AddrPort, seq, ack uint32, text string) uint64 {
		var got []uint64
		table := tcp.NewTable(decode.Limits{}, func(f decode.Flow) decode.Conn { got = append(got, f.Print); return nil }, nil)
		at := decode.Mark{Time: time.Unix(1_700_000_000, 0)}
		for _, s := range []inet.Segment{
			{Src: client, Dst: server, Seq: seq, Flags: inet.SYN},
			{Src: server, Dst: client, Seq: ack, Ack: seq + 1, Flags: inet.SYN | inet.ACK},
			{Src: client, Dst: server, Seq: seq + 1, Ack: ack + 1, Flags: inet.ACK, Payload: []byte(text)},
		} {
			at.Frame++
			table.Segment(at, &s)
		}
		table.Close(at)
		if len(got) != 1 {
			t.Fatalf("%d connections", len(got))
		}
		return got[0]
	}
	one := shake(a, b, 1000, 2000, "GET / HTTP/1.1\r\n")
	for name, other := range map[string]uint64{
		"client's number": shake(a, b, 1001, 2000, "GET / HTTP/1.1\r\n"), "server's number": shake(a, b, 1000, 2001, "GET / HTTP/1.1\r\n"),
		"first bytes": shake(a, b, 1000, 2000, "GET /2 HTTP/1.1\r\n"),
	} {
		if other == one {
			t.Errorf("another %s has the same print", name)
		}
	}
	if shake(a, c, 1000, 2000, "GET / HTTP/1.1\r\n") != one || shake(c, b, 1000, 2000, "GET / HTTP/1.1\r\n") != one || one == 0 {
		t.Error("translated, it has another print")
	}
	if shake(a, b, 0, 0, "GET / HTTP/1.1\r\n") != 0 {
		t.Error("numbers that were taken away are a print")
	}
}
