package inet

import (
	"fmt"
	"net/netip"
	"testing"

	"mcp401/capture"
	"mcp401/decode"
)

// wrapping is one way that a packet may be wrapped.
type wrapping struct {
	name string
	link capture.LinkType
	data []byte
}

// wrappings are all ways known here, each around get().
func wrappings() []wrapping {
	eth := func(t int, b []byte) wrapping { return wrapping{"", capture.LinkEthernet, ether(t, b)} }
	over := func(proto byte, b []byte) wrapping { return eth(typeIPv4, ip4(proto, "192.0.2.1", "192.0.2.2", b)) }
	inUDP := func(port int, b []byte) wrapping { return over(protoUDP, udp(5555, port, b)) }
	named := func(name string, w wrapping) wrapping { w.name = name; return w }
	on := func(name string, link capture.LinkType, parts ...[]byte) wrapping {
		return wrapping{name, link, cat(parts...)}
	}
	ext := func(next byte, n int) []byte { return cat([]byte{next, byte(n)}, make([]byte, n*8+6)) }
	options := get4()
	options = cat([]byte{0x46}, options[1:20], []byte{1, 1, 1, 0}, options[20:])
	copy(options[2:], be16(len(options)))
	snap := func(t int) []byte { return cat([]byte{0xaa, 0xaa, 3, 0, 0, 0}, be16(t)) }
	wlan := func(control ...byte) []byte { return cat(control, make([]byte, 24-len(control))) }
	label := func(n, bottom int) []byte { return be32(n<<12 | bottom<<8 | 64) }
	offload4, offload6 := get4(), get6()
	offload4[2], offload4[3] = 0, 0
	offload6[4], offload6[5] = 0, 0
	jumbo := ip6(0, a6, b6, cat([]byte{protoTCP, 0, 0xc2, 4}, be32(8+len(get())), get()))
	jumbo[4], jumbo[5] = 0, 0
	gtpExt := cat([]byte{0x34, 255}, be16(0), be32(7), []byte{0, 0, 0, 0x85}, []byte{1, 0, 0, 0})

	return []wrapping{
		named("ethernet", eth(typeIPv4, get4())),
		named("ethernet, IPv6", eth(typeIPv6, get6())),
		named("padding behind IPv4", eth(typeIPv4, cat(get4(), []byte("padding")))),
		named("padding behind IPv6", eth(typeIPv6, cat(get6(), []byte("padding")))),
		named("IPv4 options", eth(typeIPv4, options)),
		named("total length 0", eth(typeIPv4, offload4)),
		named("payload length 0", eth(typeIPv6, offload6)),
		named("802.1Q", eth(typeVLAN, vlan(5, typeIPv4, get4()))),
		named("802.1Q, priority only", eth(typeVLAN, vlan(0xe000, typeIPv4, get4()))),
		named("802.1ad", eth(typeQinQ, vlan(5, typeVLAN, vlan(6, typeIPv6, get6())))),
		named("QinQ 9100", eth(typeQinQ1, vlan(5, typeQinQ2, vlan(6, typeVLAN, vlan(7, typeIPv4, get4()))))),
		named("802.3 with SNAP", eth(8+len(get4()), cat(snap(typeIPv4), get4()))),
		named("PPPoE", eth(typePPPoE, cat([]byte{0x11, 0}, be16(3), be16(len(get4())+2), be16(0x21), get4()))),
		named("MPLS", eth(typeMPLS, cat(label(100, 0), label(200, 1), get4()))),
		named("MPLS, IPv6", eth(typeMPLSm, cat(label(100, 1), get6()))),
		named("MPLS pseudowire with control word", eth(typeMPLS, cat(label(100, 1), make([]byte, 4), ether(typeIPv4, get4())))),
		named("MPLS pseudowire", eth(typeMPLS, cat(label(100, 1), ether(typeIPv4, get4())))),
		named("MPLS pseudowire to a station 4...", eth(typeMPLS, cat(label(100, 1), []byte{0x45}, ether(typeVLAN, vlan(9, typeIPv4, get4()))[1:]))),

		on("NULL, little", capture.LinkNull, le32(2), get4()),
		on("NULL, big", capture.LinkNull, be32(2), get4()),
		on("NULL, NetBSD", capture.LinkNull, le32(24), get6()),
		on("NULL, FreeBSD", capture.LinkNull, le32(28), get6()),
		on("NULL, macOS", capture.LinkNull, be32(30), get6()),
		on("NULL, Linux", capture.LinkNull, le32(10), get6()),
		on("LOOP", capture.LinkLoop, be32(24), get6()),
		on("raw", capture.LinkRaw, get4()),
		on("raw 12", 12, get6()),
		on("raw 14", 14, get4()),
		on("raw IPv4", capture.LinkIPv4, get4()),
		on("raw IPv6", capture.LinkIPv6, get6()),
		on("cooked", capture.LinkLinuxSLL, make([]byte, 14), be16(typeIPv4), get4()),
		on("cooked, VLAN", capture.LinkLinuxSLL, make([]byte, 14), be16(typeVLAN), vlan(4, typeIPv4, get4())),
		on("cooked, LLC", capture.LinkLinuxSLL, make([]byte, 14), be16(typeLLC), snap(typeIPv4), get4()),
		on("cooked v2", capture.LinkLinuxSLL2, be16(typeIPv6), make([]byte, 18), get6()),
		on("cooked v2, VLAN", capture.LinkLinuxSLL2, be16(typeQinQ), make([]byte, 18), vlan(4, typeVLAN, vlan(5, typeIPv4, get4()))),
		on("PPP", capture.LinkPPP, []byte{0xff, 3, 0, 0x21}, get4()),
		on("PPP, compressed", capture.LinkPPP, []byte{0x57}, get6()),
		on("PPP with MPLS", 50, be16(0x281), label(8, 1), get4()),
		on("PPPoE session", 51, []byte{0x11, 0}, be16(3), be16(0), be16(0x57), get6()),
		on("Cisco HDLC", 104, []byte{0x0f, 0}, be16(typeIPv4), get4()),
		on("ARCNET", 7, []byte{1, 2, 0xd4, 0, 0, 0}, get4()),
		on("ARCNET, Linux, RFC 1051", 129, []byte{1, 2, 0, 0, 0xf0}, get4(), make([]byte, 3)),
		on("MPLS link", 219, label(8, 1), get4()),
		on("802.11", capture.LinkIEEE80211, wlan(0x08, 1), snap(typeIPv4), get4()),
		on("802.11 QoS, four addresses, HT", capture.LinkIEEE80211, wlan(0x88, 0x83), make([]byte, 6+2+4), snap(typeIPv4), get4()),
		on("802.11 aggregate", capture.LinkIEEE80211, wlan(0x88, 2), []byte{0x80, 0}, make([]byte, 14), snap(typeIPv6), get6()),
		on("radiotap", capture.LinkRadiotap, []byte{0, 0}, le16(8), le32(0), wlan(0x08, 1), snap(typeIPv4), get4()),
		on("radiotap, padded", capture.LinkRadiotap, []byte{0, 0}, le16(32), le32(1<<31|3), le32(0), make([]byte, 4), make([]byte, 8), []byte{0x20}, make([]byte, 7),
			wlan(0x88, 1), []byte{0, 0}, make([]byte, 2), snap(typeIPv4), get4()),
		on("Prism", 119, be32(0x44), le32(16), make([]byte, 8), wlan(0x08, 1), snap(typeIPv4), get4()),
		on("Prism, big", 119, be32(0x44), be32(16), make([]byte, 8), wlan(0x08, 1), snap(typeIPv4), get4()),
		on("AVS as Prism", 119, be32(0x80211001), be32(16), make([]byte, 8), wlan(0x08, 1), snap(typeIPv4), get4()),
		on("AVS", 163, be32(0x80211001), be32(64), make([]byte, 56), wlan(0x08, 1), snap(typeIPv4), get4()),
		on("PPI", capture.LinkPPI, []byte{0, 0}, le16(12), le32(105), make([]byte, 4), wlan(0x08, 1), snap(typeIPv4), get4()),
		on("PKTAP", 258, le32(16), le32(1), le32(1), make([]byte, 4), ether(typeIPv4, get4())),
		on("NFLOG", capture.LinkNFLog, []byte{2, 0, 0, 0}, le16(6), le16(10), []byte("ab\x00\x00"), le16(4+len(get4())), le16(9), get4()),
		on("NFLOG, big", capture.LinkNFLog, []byte{10, 0, 0, 0}, be16(8), be16(1), make([]byte, 4), be16(4+len(get6())), be16(9), get6()),

		named("IPv6 extensions", eth(typeIPv6, ip6(protoHop, a6, b6, cat(ext(protoRouting, 0), ext(protoDest, 1), ext(protoAH, 0), ext(protoMobility, 0)[:8], ext(protoTCP, 0), get())))),
		named("IPv6 atomic fragment", eth(typeIPv6, ip6(protoFragment, a6, b6, cat([]byte{protoTCP, 0, 0, 0}, be32(7), get())))),
		named("IPv6 jumbogram", eth(typeIPv6, jumbo)),
		named("AH in IPv4", eth(typeIPv4, ip4(protoAH, a4, b4, cat([]byte{protoTCP, 1}, make([]byte, 10), get())))),

		named("IP in IP", over(protoIPv4, get4())),
		named("6in4", over(protoIPv6, get6())),
		named("4in6", eth(typeIPv6, ip6(protoIPv4, "2001:db8::a", "2001:db8::b", get4()))),
		named("6in6", eth(typeIPv6, ip6(protoIPv6, "2001:db8::a", "2001:db8::b", get6()))),
		named("EtherIP", over(protoEtherIP, cat([]byte{0x30, 0}, ether(typeIPv4, get4())))),
		named("MPLS in IP", over(protoMPLS, cat(label(3, 1), get4()))),
		named("GRE", over(protoGRE, cat(be16(0), be16(typeIPv4), get4()))),
		named("GRE, all fields", over(protoGRE, cat(be16(0xb000), be16(typeIPv6), make([]byte, 4), be32(42), be32(1), get6()))),
		named("GRE, bridged", over(protoGRE, cat(be16(0x2000), be16(typeTEB), be32(42), ether(typeVLAN, vlan(9, typeIPv4, get4()))))),
		named("PPTP", over(protoGRE, cat(be16(0x3081), be16(typePPP), be32(42), be32(1), be32(1), []byte{0xff, 3, 0, 0x21}, get4()))),
		named("ERSPAN I", over(protoGRE, cat(be16(0), be16(typeERSP2), ether(typeIPv4, get4())))),
		named("ERSPAN II", over(protoGRE, cat(be16(0x1000), be16(typeERSP2), be32(1), be16(0x1005), be16(7), be32(0), ether(typeIPv4, get4())))),
		named("ERSPAN III", over(protoGRE, cat(be16(0x1000), be16(typeERSP3), be32(1), be16(0x2005), be16(7), make([]byte, 7), []byte{1}, make([]byte, 8), ether(typeIPv4, get4())))),
		named("VXLAN", inUDP(portVXLAN, cat([]byte{8, 0, 0, 0}, be32(77<<8), ether(typeIPv4, get4())))),
		named("VXLAN, old port", inUDP(portVXLANold, cat([]byte{8, 0, 0, 0}, be32(77<<8), ether(typeIPv6, get6())))),
		named("VXLAN-GPE, IPv4", inUDP(portVXLANgpe, cat([]byte{0x0c, 0, 0, 1}, be32(77<<8), get4()))),
		named("Geneve", inUDP(portGeneve, cat([]byte{1, 0}, be16(typeTEB), be32(77<<8), make([]byte, 4), ether(typeIPv4, get4())))),
		named("GTP-U", inUDP(portGTP, cat([]byte{0x30, 255}, be16(0), be32(7), get4()))),
		named("GTP-U, extension", inUDP(portGTP, cat(gtpExt, get6()))),
		named("GTP-U, sequence", inUDP(portGTP, cat([]byte{0x32, 255}, be16(0), be32(7), make([]byte, 4), get4()))),
		named("Teredo", inUDP(portTeredo, get6())),
		named("Teredo, indications", inUDP(portTeredo, cat([]byte{0, 1, 2, 3}, make([]byte, 5+9), make([]byte, 8), get6()))),
		named("AYIYA", inUDP(portAYIYA, cat([]byte{0x44, 0x52, 0x11, protoIPv6}, make([]byte, 4+16+20), get6()))),
		named("VLAN, GRE, VXLAN", eth(typeVLAN, vlan(5, typeIPv4, ip4(protoGRE, a4, b4, cat(be16(0), be16(typeIPv4),
			ip4(protoUDP, a4, b4, udp(5, portVXLAN, cat([]byte{8, 0, 0, 0}, be32(0), ether(typeIPv4, get4()))))))))),
	}
}

func TestEveryWrapping(t *testing.T) {
	for _, w := range wrappings() {
		t.Run(w.name, func(t *testing.T) {
			d := New(decode.Limits{}, func(n decode.Note) { t.Error(n) })
			s, ok := d.Segment(mark(1), packet(w.link, w.data))
			if !ok {
				t.Fatalf("no segment: %+v", d.Stats())
			}
			if s.Src != netip.AddrPortFrom(netip.MustParseAddr(a4), 40000) && s.Src != netip.AddrPortFrom(netip.MustParseAddr(a6), 40000) {
				t.Errorf("source %v", s.Src)
			}
			if s.Dst.Port() != 80 || s.Seq != 1000 || s.Ack != 77 || s.Window != 500 || s.Flags != PSH|ACK || s.Urgent != 0 {
				t.Errorf("%+v", s)
			}
			if string(s.Payload) != "GET / HTTP/1.1\r\n\r\n" {
				t.Errorf("payload %q", s.Payload)
			}
			if s.Missing != 0 {
				t.Errorf("%d bytes missing", s.Missing)
			}
		})
	}
}

// Cutting a packet short, with or without the original length told, loses
// payload that is then counted, or the segment; it never makes up another.
func TestSnapLength(t *testing.T) {
	for _, w := range wrappings() {
		t.Run(w.name, func(t *testing.T) {
			d := New(decode.Limits{}, nil)
			whole, _ := d.Segment(mark(1), packet(w.link, w.data))
			for n := range w.data {
				s, ok := New(decode.Limits{}, nil).Segment(mark(1), &capture.Packet{Link: w.link, Length: len(w.data), Data: w.data[:n:n]})
				if !ok {
					continue
				}
				if s.Src != whole.Src || s.Dst != whole.Dst || s.Seq != whole.Seq {
					t.Fatalf("cut to %d bytes it is %+v", n, s)
				}
				if len(s.Payload)+s.Missing != len(whole.Payload) {
					t.Fatalf("cut to %d bytes: %d bytes and %d missing", n, len(s.Payload), s.Missing)
				}
			}
		})
	}
}

func TestMissing(t *testing.T) {
	options := get()
	options[12] = 0x80 // twelve bytes of options
	options = cat(options[:20], make([]byte, 12), []byte("0123456789"))
	frame := ether(typeIPv4, ip4(protoTCP, a4, b4, options))
	for _, c := range []struct {
		name          string
		have, length  int
		payload, lost int
	}{
		{"whole", len(frame), len(frame), 10, 0},
		{"payload cut", len(frame) - 4, len(frame), 6, 4},
		{"length unknown to the capture", len(frame) - 4, len(frame) - 4, 6, 4},
		{"cut in the options", 14 + 20 + 25, len(frame), 0, 10},
		{"length shorter than captured", len(frame), 10, 10, 0},
	} {
		s, ok := New(decode.Limits{}, nil).Segment(mark(1), &capture.Packet{Link: 1, Length: c.length, Data: frame[:c.have]})
		if !ok || len(s.Payload) != c.payload || s.Missing != c.lost {
			t.Errorf("%s: %v %d bytes, %d missing", c.name, ok, len(s.Payload), s.Missing)
		}
	}
}

// Both directions of a connection have the same path, and other tags and
// tunnels have another.
func TestPath(t *testing.T) {
	in := func(src, dst string) []byte { return ip4(protoTCP, src, dst, tcp(1, 2, 3, ACK, "")) }
	geneve := func(osrc, odst string, vni int, b []byte) []byte {
		return ether(typeIPv4, ip4(protoUDP, osrc, odst, udp(9, portGeneve, cat([]byte{0, 0}, be16(typeIPv4), be32(vni<<8), b))))
	}
	gre := func(osrc, odst string, key int, b []byte) []byte {
		return ether(typeIPv4, ip4(protoGRE, osrc, odst, cat(be16(0x2000), be16(typeIPv4), be32(key), b)))
	}
	pairs := []struct {
		name string
		a, b []byte
	}{
		{"none", ether(typeIPv4, in(a4, b4)), ether(typeIPv4, in(b4, a4))},
		{"priority", ether(typeVLAN, vlan(0x2000, typeIPv4, in(a4, b4))), ether(typeIPv4, in(b4, a4))},
		{"vlan 5", ether(typeVLAN, vlan(5, typeIPv4, in(a4, b4))), ether(typeVLAN, vlan(0x2005, typeIPv4, in(b4, a4)))},
		{"vlan 6", ether(typeVLAN, vlan(6, typeIPv4, in(a4, b4))), ether(typeQinQ, vlan(6, typeIPv4, in(b4, a4)))},
		{"vlan 5 in 6", ether(typeVLAN, vlan(6, typeVLAN, vlan(5, typeIPv4, in(a4, b4)))), ether(typeVLAN, vlan(6, typeVLAN, vlan(5, typeIPv4, in(b4, a4))))},
		{"vlan 6 in 5", ether(typeVLAN, vlan(5, typeVLAN, vlan(6, typeIPv4, in(a4, b4)))), ether(typeVLAN, vlan(5, typeVLAN, vlan(6, typeIPv4, in(b4, a4))))},
		{"geneve 5", geneve("192.0.2.1", "192.0.2.2", 5, in(a4, b4)), geneve("192.0.2.2", "192.0.2.1", 5, in(b4, a4))},
		{"geneve 6", geneve("192.0.2.1", "192.0.2.2", 6, in(a4, b4)), geneve("192.0.2.2", "192.0.2.1", 6, in(b4, a4))},
		{"geneve 5 elsewhere", geneve("192.0.2.1", "192.0.2.3", 5, in(a4, b4)), geneve("192.0.2.3", "192.0.2.1", 5, in(b4, a4))},
		{"gre 5", gre("192.0.2.1", "192.0.2.2", 5, in(a4, b4)), gre("192.0.2.2", "192.0.2.1", 5, in(b4, a4))},
	}
	d := New(decode.Limits{}, nil)
	paths := map[uint64]string{}
	for _, p := range pairs {
		a, ok1 := d.Segment(mark(1), packet(1, p.a))
		b, ok2 := d.Segment(mark(1), packet(1, p.b))
		if !ok1 || !ok2 || a.Path != b.Path {
			t.Errorf("%s: paths %x %x %v %v", p.name, a.Path, b.Path, ok1, ok2)
		}
		if other := paths[a.Path]; other != "" && p.name != "priority" {
			t.Errorf("%s has the path of %s", p.name, other)
		}
		paths[a.Path] = p.name
	}
	if paths[0] == "" {
		t.Error("a plain packet has a path")
	}
}

func TestUrgent(t *testing.T) {
	s, _ := New(decode.Limits{}, nil).Segment(mark(1), packet(1, ether(typeIPv4, ip4(protoTCP, a4, b4, tcp(1, 2, 3, URG|ACK, "x")))))
	if s.Urgent != 9 {
		t.Errorf("urgent pointer %d", s.Urgent)
	}
}

func TestMappedAddresses(t *testing.T) {
	s, ok := New(decode.Limits{}, nil).Segment(mark(1), packet(1, ether(typeIPv6, ip6(protoTCP, "::ffff:10.0.0.1", "::ffff:10.0.0.2", get()))))
	if !ok || s.Src.Addr() != netip.MustParseAddr(a4) {
		t.Errorf("%v", s.Src)
	}
}

func TestWhatIsSkipped(t *testing.T) {
	deep := get4()
	for range 9 {
		deep = ip4(protoIPv4, a4, b4, deep)
	}
	edit := func(b []byte, at int, v ...byte) []byte {
		b = cat(b)
		copy(b[at:], v)
		return b
	}
	eth := func(t int, b ...[]byte) []byte { return ether(t, cat(b...)) }
	inUDP := func(port int, b ...[]byte) []byte {
		return ether(typeIPv4, ip4(protoUDP, a4, b4, udp(9, port, cat(b...))))
	}
	notIP, notTCP := Stats{Packets: 1, NotIP: 1}, Stats{Packets: 1, NotTCP: 1}
	truncated, tooDeep := Stats{Packets: 1, Truncated: 1}, Stats{Packets: 1, TooDeep: 1}
	fragment := Stats{Packets: 1, Fragments: 1}
	for _, c := range []struct {
		name string
		link capture.LinkType
		data []byte
		want Stats
	}{
		{"empty", 1, nil, truncated},
		{"ARP", 1, eth(0x0806, make([]byte, 28)), notIP},
		{"LLC, not SNAP", 1, eth(38, make([]byte, 38)), notIP},
		{"SNAP, no EtherType", 1, eth(38, []byte{0xaa, 0xaa, 3, 0, 0, 0, 0, 9}), notIP},
		{"IP version 5", 1, eth(typeIPv4, []byte{0x55}), notIP},
		{"UDP", 1, eth(typeIPv4, ip4(protoUDP, a4, b4, udp(1, 2, nil))), notTCP},
		{"ESP", 1, eth(typeIPv6, ip6(50, a6, b6, get())), notTCP},
		{"no next header", 1, eth(typeIPv6, ip6(59, a6, b6, get())), notTCP},
		{"header length 16", 1, eth(typeIPv4, edit(get4(), 0, 0x44)), truncated},
		{"total length 10", 1, eth(typeIPv4, edit(get4(), 2, 0, 10)), truncated},
		{"data offset 16", 1, eth(typeIPv4, edit(get4(), 32, 0x40)), truncated},
		{"data offset beyond", 1, eth(typeIPv4, edit(get4(), 32, 0xf0)), truncated},
		{"extension beyond", 1, eth(typeIPv6, ip6(protoHop, a6, b6, edit(get(), 0, protoTCP, 9))), truncated},
		{"extension too short", 1, eth(typeIPv6, ip6(protoHop, a6, b6, []byte{6})), truncated},
		{"AH too short", 1, eth(typeIPv6, ip6(protoAH, a6, b6, []byte{6})), truncated},
		{"AH in IPv4 beyond", 1, eth(typeIPv4, ip4(protoAH, a4, b4, []byte{6, 9, 0, 0, 0, 0, 0, 0})), truncated},
		{"fragment header too short", 1, eth(typeIPv6, ip6(protoFragment, a6, b6, []byte{6})), truncated},
		{"lone fragment", 1, eth(typeIPv4, ip4at(protoTCP, a4, b4, 1, 8, get())), fragment},
		{"too many tags", 1, eth(typeVLAN, vlan(1, typeVLAN, vlan(1, typeVLAN, vlan(1, typeVLAN, vlan(1, typeVLAN, vlan(1, typeVLAN, vlan(1, typeVLAN, vlan(1, typeVLAN, vlan(1, typeVLAN, vlan(1, typeIPv4, get4())))))))))), tooDeep},
		{"too many tunnels", 1, eth(typeIPv4, deep), tooDeep},
		{"too much PPI", capture.LinkPPI, func() []byte {
			b := get4()
			for range 9 {
				b = cat([]byte{0, 0}, le16(8), le32(192), b)
			}
			return b
		}(), tooDeep},
		{"PPPoE discovery", 1, eth(typePPPoE, []byte{0x11, 9, 0, 0, 0, 0}), notIP},
		{"PPP LCP", capture.LinkPPP, be16(0xc021), notIP},
		{"PPP empty", capture.LinkPPP, []byte{0xff, 3}, truncated},
		{"loopback, AppleTalk", capture.LinkNull, le32(16), notIP},
		{"ARCNET, ARP", 7, []byte{1, 2, 0xd5, 0, 0, 0}, notIP},
		{"802.11 beacon", capture.LinkIEEE80211, cat([]byte{0x80}, make([]byte, 30)), notIP},
		{"802.11 protected", capture.LinkIEEE80211, cat([]byte{0x08, 0x40}, make([]byte, 30)), notIP},
		{"802.11 null data", capture.LinkIEEE80211, cat([]byte{0x48, 0}, make([]byte, 30)), notIP},
		{"radiotap too long", capture.LinkRadiotap, cat([]byte{0, 0}, le16(99), le32(0)), truncated},
		{"radiotap, words without end", capture.LinkRadiotap, cat([]byte{0, 0}, le16(12), le32(1<<31), le32(1<<31)), truncated},
		{"Prism too long", 119, cat(be32(0), le32(99)), truncated},
		{"AVS too long", 163, cat(be32(0x80211001), be32(99)), truncated},
		{"PPI too long", capture.LinkPPI, cat([]byte{0, 0}, le16(99), le32(1)), truncated},
		{"PPI, no link type", capture.LinkPPI, cat([]byte{0, 0}, le16(8), le32(1<<16)), notIP},
		{"PKTAP too long", 258, cat(le32(99), le32(1), le32(1)), truncated},
		{"NFLOG without payload", capture.LinkNFLog, cat(be32(0), le16(4), le16(1)), notIP},
		{"NFLOG, length 3", capture.LinkNFLog, cat(be32(0), le16(3), le16(1)), truncated},
		{"GRE routing", 1, eth(typeIPv4, ip4(protoGRE, a4, b4, cat(be16(0x4000), make([]byte, 9)))), truncated},
		{"GRE too short", 1, eth(typeIPv4, ip4(protoGRE, a4, b4, be16(0))), truncated},
		{"GRE with ARP", 1, eth(typeIPv4, ip4(protoGRE, a4, b4, cat(be16(0), be16(0x806)))), notIP},
		{"ERSPAN too short", 1, eth(typeIPv4, ip4(protoGRE, a4, b4, cat(be16(0x1000), be16(typeERSP2), be32(1)))), truncated},
		{"ERSPAN III subheader too short", 1, eth(typeIPv4, ip4(protoGRE, a4, b4, cat(be16(0x1000), be16(typeERSP3), be32(1), make([]byte, 11), []byte{1}))), truncated},
		{"EtherIP too short", 1, eth(typeIPv4, ip4(protoEtherIP, a4, b4, []byte{3})), truncated},
		{"UDP too short", 1, eth(typeIPv4, ip4(protoUDP, a4, b4, be16(1))), truncated},
		{"VXLAN without VNI", 1, inUDP(portVXLAN, make([]byte, 40)), notTCP},
		{"Geneve version 1", 1, inUDP(portGeneve, []byte{0x40}, make([]byte, 40)), notTCP},
		{"Geneve options too long", 1, inUDP(portGeneve, []byte{0x3f}, make([]byte, 40)), truncated},
		{"GTP control", 1, inUDP(portGTP, []byte{0x30, 1}, make([]byte, 40)), notTCP},
		{"GTP extension of length 0", 1, inUDP(portGTP, []byte{0x34, 255}, make([]byte, 9), []byte{1, 0}), truncated},
		{"GTP too short", 1, inUDP(portGTP, []byte{0x34, 255}, make([]byte, 6)), truncated},
		{"Teredo bubble", 1, inUDP(portTeredo, ip6(59, a6, b6, nil)), notTCP},
		{"Teredo empty", 1, inUDP(portTeredo), notTCP},
		{"Teredo origin too short", 1, inUDP(portTeredo, make([]byte, 5)), truncated},
		{"Teredo authentication too short", 1, inUDP(portTeredo, []byte{0, 1, 9, 9, 0}), truncated},
		{"AYIYA, no tunnel", 1, inUDP(portAYIYA, make([]byte, 40)), notTCP},
		{"AYIYA too short", 1, inUDP(portAYIYA, make([]byte, 4)), notTCP},
		{"MPLS without bottom", 1, eth(typeMPLS, make([]byte, 12)), truncated},
	} {
		d := New(decode.Limits{}, nil)
		if _, ok := d.Segment(mark(1), packet(c.link, c.data)); ok || d.Stats() != c.want {
			t.Errorf("%s: %v %+v, want %+v", c.name, ok, d.Stats(), c.want)
		}
	}
}

func TestLinkTypeIsSaidOnce(t *testing.T) {
	var notes []string
	d := New(decode.Limits{}, func(n decode.Note) {
		notes = append(notes, fmt.Sprint(n.Code, " ", n.At.Frame, " ", n.N, " ", n.Text))
	})
	for i, link := range []capture.LinkType{189, 1, 189, 9999} {
		d.Segment(mark(i+1), packet(link, ether(typeIPv4, get4())))
	}
	want := []string{
		"inet/link-type 1 189 packets of link type 189 (USB, Linux) are not decoded",
		"inet/link-type 4 9999 packets of link type 9999 (unknown) are not decoded",
	}
	if fmt.Sprint(notes) != fmt.Sprint(want) {
		t.Errorf("notes %q", notes)
	}
	if s := d.Stats(); s != (Stats{Packets: 4, Segments: 1, LinkType: 3}) {
		t.Errorf("%+v", s)
	}
}
