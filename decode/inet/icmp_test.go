package inet

import (
	"bytes"
	"net"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"mcp401/capture"
	"mcp401/decode"
)

// serialize writes the layers of a packet.
func serialize(t *testing.T, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestICMPErrorsAreResets(t *testing.T) {
	tcp := &layers.TCP{SrcPort: 5000, DstPort: 9101, Seq: 77, SYN: true}
	four := func(src, dst string, p layers.IPProtocol) *layers.IPv4 {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: p, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}
	}
	six := func(src, dst string, p layers.IPProtocol) *layers.IPv6 {
		return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: p, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}
	}
	quote4 := serialize(t, four("10.0.0.1", "10.0.0.2", layers.IPProtocolTCP), tcp)
	quote6 := serialize(t, six("fd00::1", "fd00::2", layers.IPProtocolTCP), tcp)
	error4 := func(code uint8, quote []byte) []byte {
		return serialize(t, four("10.0.0.9", "10.0.0.1", layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, code)}, gopacket.Payload(quote))
	}
	error6 := func(kind uint8, quote []byte) []byte {
		return serialize(t, six("fd00::9", "fd00::1", layers.IPProtocolICMPv6), &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 4)}, gopacket.Payload(append(make([]byte, 4), quote...)))
	}
	udp := serialize(t, four("10.0.0.1", "10.0.0.2", layers.IPProtocolUDP), &layers.UDP{SrcPort: 1, DstPort: 2})
	for _, c := range []struct {
		name     string
		packet   []byte
		src, dst string // "" for none
	}{
		{"port unreachable", error4(3, quote4), "10.0.0.2:9101", "10.0.0.1:5000"},
		{"host unreachable, eight bytes of TCP", error4(1, quote4[:28]), "10.0.0.2:9101", "10.0.0.1:5000"},
		{"seven bytes of TCP", error4(1, quote4[:27]), "", ""},
		{"fragmentation needed refuses nothing", error4(4, quote4), "", ""},
		{"a quoted datagram", error4(3, udp), "", ""},
		{"no quote", error4(3, nil), "", ""},
		{"IPv6", error6(1, quote6), "[fd00::2]:9101", "[fd00::1]:5000"},
		{"IPv6, time exceeded", error6(3, quote6), "", ""},
		{"an echo", serialize(t, four("10.0.0.9", "10.0.0.1", layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}, gopacket.Payload(quote4)), "", ""},
		{"no ICMP header", serialize(t, four("10.0.0.9", "10.0.0.1", layers.IPProtocolICMPv4)), "", ""},
	} {
		s, ok := New(decode.Limits{}, nil).Segment(decode.Mark{Frame: 1}, &capture.Packet{Link: capture.LinkRaw, Length: len(c.packet), Data: c.packet})
		if ok != (c.src != "") {
			t.Errorf("%s: %v %+v", c.name, ok, s)
			continue
		}
		if ok && (s.Src != netip.MustParseAddrPort(c.src) || s.Dst != netip.MustParseAddrPort(c.dst) || s.Flags != RST|ACK || s.Ack != 78) {
			t.Errorf("%s: %+v", c.name, s)
		}
	}
}

// FuzzPlainICMP: what is read without gopacket is what gopacket reads.
func FuzzPlainICMP(f *testing.F) {
	four := []byte("\x46\x00\x00\x30\x00\x01\x00\x00\x40\x06\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02\x01\x83\x03\x04\x13\x88\x23\x8d\x00\x00\x00\x4d")
	six := append([]byte("\x60\x00\x00\x00\x00\x14\x06\x40"), bytes.Repeat([]byte{0xfd}, 52)...)
	for _, quote := range [][]byte{four, four[:27], six, six[:47], append(four[:6:6], four[2:]...), {0x45}, {0x60}, nil} {
		for _, kind := range []byte{1, 3, 8} {
			f.Add(append([]byte{kind, 3, 0, 0, 0, 0, 0, 0}, quote...))
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, proto := range []byte{protoICMP, protoICMPv6} {
			want, wantOK := refusal(proto, b)
			got, ok := plainRefusal(proto, b)
			if ok != wantOK || ok && !bytes.Equal(got, want) {
				t.Errorf("protocol %d: %x, %v; gopacket: %x, %v", proto, got, ok, want, wantOK)
			}
		}
		src, dst, tcp, ok := plainQuoted(b)
		wantSrc, wantDst, want, wantOK := quoted(b)
		if ok != wantOK || ok && (src != wantSrc || dst != wantDst || !bytes.Equal(tcp, want)) {
			t.Errorf("quoted %s %s %x, %v; gopacket: %s %s %x, %v", src, dst, tcp, ok, wantSrc, wantDst, want, wantOK)
		}
	})
}
