package capturetest

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/gopacket/gopacket/ip4defrag"
	"github.com/gopacket/gopacket/layers"
)

// What a tunnel carries are the packets that are captured without it.
func TestTunnelsCarryThePackets(t *testing.T) {
	c := MustParse(swallowed)
	if len(Tunnels) != int(tunnels)-1 {
		t.Errorf("%d tunnels have names, of %d", len(Tunnels), tunnels-1)
	}
	for _, six := range []bool{false, true} {
		plain := c.Wrap(Wrap{Link: Raw, IPv6: six}).Records
		for name, tunnel := range Tunnels {
			w := c.Wrap(Wrap{Tunnel: tunnel, IPv6: six})
			if len(w.Records) != len(plain) {
				t.Fatalf("%s: %d packets, %d without it", name, len(w.Records), len(plain))
			}
			for i, r := range w.Records {
				// The identification of an IPv4 packet, and so its checksum, may differ.
				if !bytes.HasSuffix(r.Packet.Data, plain[i].Packet.Data[12:]) || r.Packet.Length <= plain[i].Packet.Length {
					t.Fatalf("%s: frame %d does not carry the packet:\n%q\n%q", name, i+1, r.Packet.Data, plain[i].Packet.Data)
				}
			}
			for i, f := range readBack(t, w.Bytes) {
				if f.link != layers.LinkType(w.Records[i].Packet.Link) {
					t.Fatalf("%s: the file has link type %v, the records %d", name, f.link, w.Records[i].Packet.Link)
				}
			}
			if n := len(c.Wrap(Wrap{Tunnel: tunnel, IPv6: six, Mix: true}).Records); n <= len(plain) {
				t.Errorf("%s: nothing is mixed in", name)
			}
		}
	}
}

// Fragments are put together to what was cut, by the word of a foreign
// defragmenter.
func TestFragments(t *testing.T) {
	c := MustParse(swallowed)
	plain := said(t, c)
	for _, scatter := range []bool{false, true} {
		w := c.Wrap(Wrap{Fragment: 64, Scatter: scatter, MSS: 900})
		d := ip4defrag.NewIPv4Defragmenter()
		var whole []frame
		for _, f := range readBack(t, w.Bytes) {
			ip := f.decode(t).NetworkLayer().(*layers.IPv4)
			if len(ip.Payload) > 64 || checksum(ip.Contents, 0) != 0 {
				t.Fatalf("a fragment of %d bytes, checksum %#x", len(ip.Payload), checksum(ip.Contents, 0))
			}
			out, err := d.DefragIPv4(ip)
			if err != nil {
				t.Fatal(err)
			}
			if out != nil {
				b := append(append([]byte{}, f.data[:14]...), ipHeader(netip.AddrFrom4([4]byte(out.SrcIP.To4())), netip.AddrFrom4([4]byte(out.DstIP.To4())), protoTCP, 1, len(out.Payload))...)
				whole = append(whole, frame{f.CaptureInfo, f.link, append(b, out.Payload...)})
			}
		}
		for k, got := range streams(t, whole) {
			if got != plain[k] {
				t.Errorf("%s: %q, want %q", k, got, plain[k])
			}
		}
	}
	if n := len(c.Wrap(Wrap{Fragment: 64, IPv6: true}).Records); n <= len(c.Records()) {
		t.Error("IPv6 packets are whole")
	}
}
