package inet

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"mcp401/capture"
	"mcp401/decode"
)

// The builders below put headers before what follows, so that a packet reads
// from outside to inside: ether(0x0800, ip4(6, a, b, tcp(...))).

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func be16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }
func be32(v int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(v)) }
func le16(v int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(v)) }
func le32(v int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(v)) }

func tcp(sport, dport int, seq int, flags byte, payload string) []byte {
	return cat(be16(sport), be16(dport), be32(seq), be32(77), []byte{0x50, flags}, be16(500), be16(0), be16(9), []byte(payload))
}

func ip4(proto byte, src, dst string, payload []byte) []byte {
	return ip4at(proto, src, dst, 0, 0, payload)
}

// ip4at makes a fragment: its place in bytes, perhaps with the more flag.
func ip4at(proto byte, src, dst string, id, place int, payload []byte) []byte {
	field := place&^7>>3 | place&1<<13
	return cat([]byte{0x45, 0}, be16(20+len(payload)), be16(id), be16(field), []byte{64, proto, 0, 0},
		netip.MustParseAddr(src).AsSlice(), netip.MustParseAddr(dst).AsSlice(), payload)
}

func ip6(next byte, src, dst string, payload []byte) []byte {
	return cat([]byte{0x60, 0, 0, 0}, be16(len(payload)), []byte{next, 64},
		netip.MustParseAddr(src).AsSlice(), netip.MustParseAddr(dst).AsSlice(), payload)
}

func ether(t int, payload []byte) []byte {
	return cat([]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}, be16(t), payload)
}

func vlan(id, t int, payload []byte) []byte { return cat(be16(id), be16(t), payload) }

func udp(sport, dport int, payload []byte) []byte {
	return cat(be16(sport), be16(dport), be16(8+len(payload)), be16(0), payload)
}

const (
	a4, b4 = "10.0.0.1", "10.0.0.2"
	a6, b6 = "2001:db8::1", "2001:db8::2"
)

// get is the innermost packet of most tests.
func get() []byte { return tcp(40000, 80, 1000, PSH|ACK, "GET / HTTP/1.1\r\n\r\n") }

func get4() []byte { return ip4(protoTCP, a4, b4, get()) }
func get6() []byte { return ip6(protoTCP, a6, b6, get()) }

func packet(link capture.LinkType, b []byte) *capture.Packet {
	return &capture.Packet{Link: link, Length: len(b), Data: b}
}

func mark(n int) decode.Mark {
	return decode.Mark{Frame: n, Time: time.Unix(1_700_000_000, int64(n)*int64(time.Millisecond))}
}
