package capturetest

import (
	"net/netip"
	"slices"

	"mcp401/capture"
)

// A Format is a file format.
type Format uint8

// The formats.
const (
	Pcap   Format = iota
	PcapNS        // pcap with nanoseconds
	Pcapng
	HAR // what a browser at the client, or one at each hop, would export
)

// A Hop is a part of the connections.
type Hop uint8

// The hops.
const (
	Both Hop = iota
	Down     // to the gateway
	Up       // from the gateway
)

// A Wrap says how a conversation is captured. The zero value is a pcap of
// Ethernet frames that misses nothing. Bounds do not apply: it is for tests.
type Wrap struct {
	Format    Format
	Compress  Compression
	BigEndian bool // of the file; not for HAR
	Hop       Hop  // which connections the capture sees

	HTTP2 bool   // with prior knowledge, or by ALPN under TLS; not where raw bytes go
	TLS   uint16 // tls.VersionTLS12 or tls.VersionTLS13: every connection, and Keys. The bytes differ each time
	DSB   bool   // pcapng: the keys stand in the file as well

	Link      Link
	Tunnel    Tunnel
	Fragment  int    // bytes of payload of an IP fragment; 0: whole packets. What is cut is the packet outside of all tunnels
	Scatter   bool   // the fragments of a packet stand in reverse order
	IPv6      bool   // every IPv4 address a.b.c.d becomes fd00::a.b.c.d
	Loopback  bool   // every address becomes 127.0.0.1, or ::1; ports that would clash move
	MSS       int    // bytes of a segment; 0: 1448
	SeqWrap   bool   // sequence numbers pass 2^32 within the first bytes
	MidStream bool   // no connection's handshake was captured
	Snaplen   int    // bytes kept of each frame; 0: all
	Double    bool   // every frame is there twice
	Reorder   uint64 // not 0: seed of Reorder with a window of 3
	Drop      float64
	DropSeed  uint64
	Mix       bool // with unrelated traffic
}

// linkType is that of every packet.
func (w *Wrap) linkType() capture.LinkType {
	if c := carriers[w.Tunnel]; c.frame != nil {
		return c.link
	}
	return w.Link.Type()
}

// A Capture is a wrapped conversation.
type Capture struct {
	Records []capture.Record // packets, or HAR entries, as they stand in the file
	Bytes   []byte           // the file
	Keys    []byte           // key log of TLS
	Expect  []Expect         // in the order of the script
}

// Records are the packets of the conversation: Ethernet, IPv4, nothing missing.
func (c *Conversation) Records() []capture.Record { return c.Wrap(Wrap{}).Records }

// Expect returns what the script expects, without frames.
func (c *Conversation) Expect() []Expect { return append([]Expect(nil), c.expect...) }

// Wrap makes a capture of the conversation. The same arguments give the same
// bytes, but for TLS.
func (c *Conversation) Wrap(w Wrap) *Capture {
	if w.Format == HAR {
		return c.har(w)
	}
	p := c.pack(w)
	records := p.out
	if w.Mix {
		records = Mix(records, unrelated().pack(Wrap{Link: w.Link, Tunnel: w.Tunnel, Fragment: w.Fragment, IPv6: w.IPv6, Loopback: w.Loopback, MSS: w.MSS}).withChatter().out)
	}
	if w.Double {
		records = Double(records)
	}
	if w.Reorder != 0 {
		records = Reorder(records, w.Reorder, 3)
	}
	if w.Drop > 0 {
		records = Drop(records, w.DropSeed, w.Drop)
	}
	if w.DSB && len(p.keys) > 0 {
		records = append([]capture.Record{{Secret: &capture.Secret{Lines: p.keys}}}, records...)
	}
	records = number(records)
	out := &Capture{Records: records, Keys: p.keys, Expect: c.Expect()}
	first := map[*capture.Packet]int{}
	for _, r := range records {
		if r.Packet != nil && first[r.Packet] == 0 {
			first[r.Packet] = r.Num
		}
	}
	for i := range out.Expect {
		if pkt := p.marks[i+1]; pkt != nil {
			out.Expect[i].Frame = first[pkt]
		}
	}
	file := File{BigEndian: w.BigEndian, Nano: w.Format == PcapNS, Snaplen: w.Snaplen, Compress: w.Compress, Link: w.linkType()}
	if w.Format == Pcapng {
		out.Bytes = WritePcapng(records, file)
	} else {
		out.Bytes = WritePcap(records, file)
	}
	return out
}

// pack writes the packets.
func (c *Conversation) pack(w Wrap) *packer {
	p := &packer{
		wrap:  w,
		start: c.start,
		ends:  c.endpoints(w),
		conns: map[*conn]*ends{},
		marks: map[int]*capture.Packet{},
	}
	flights := c.flights(w, func(c *conn) string { return p.ends[c.server].String() })
	if w.TLS != 0 {
		flights, p.keys = seal(flights, w)
	}
	for _, f := range flights {
		if f.conn == nil || c.sees(w.Hop, f.conn) {
			p.fly(f)
		}
	}
	return p
}

// sees reports whether a capture of that hop holds the connection.
func (c *Conversation) sees(h Hop, x *conn) bool {
	switch h {
	case Down:
		return c.toGateway(x)
	case Up:
		return !c.toGateway(x)
	}
	return true
}

// toGateway reports whether the connection's server calls others itself, or is
// the peer that the script calls gateway.
func (c *Conversation) toGateway(x *conn) bool {
	if x.server == c.gateway {
		return true
	}
	return slices.ContainsFunc(c.conns, func(o *conn) bool { return o.client.Addr() == x.server.Addr() })
}

// endpoints maps each address of the script to the one that the wrapping gives
// it.
func (c *Conversation) endpoints(w Wrap) map[netip.AddrPort]netip.AddrPort {
	out := map[netip.AddrPort]netip.AddrPort{}
	taken := map[netip.AddrPort]bool{}
	put := func(ap netip.AddrPort) {
		if _, ok := out[ap]; ok {
			return
		}
		to := netip.AddrPortFrom(rehome(ap.Addr(), w), ap.Port())
		for taken[to] {
			to = netip.AddrPortFrom(to.Addr(), to.Port()+1)
		}
		out[ap], taken[to] = to, true
	}
	for _, x := range c.conns {
		put(x.server)
	}
	for _, x := range c.conns {
		put(x.client)
	}
	return out
}

func rehome(a netip.Addr, w Wrap) netip.Addr {
	switch {
	case w.Loopback && (w.IPv6 || a.Is6()):
		return netip.IPv6Loopback()
	case w.Loopback:
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case w.IPv6 && a.Is4():
		b := [16]byte{0: 0xfd}
		copy(b[12:], a.AsSlice())
		return netip.AddrFrom16(b)
	}
	return a
}
