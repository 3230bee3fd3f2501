package redact

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"time"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/inet"
	"mcp401/decode/tcp"
	"mcp401/decode/tls"
)

// packets rewrites a capture of packets. Each is written with its payload
// zeroed; what the connections turn out to carry is masked and filled in. What
// nothing is known of stays zero.
type packets struct {
	m     *Masker
	out   *patched
	inet  *inet.Decoder
	table *tcp.Table

	ng         bool // it is a pcapng
	nano       bool // pcap: time stamps in nanoseconds
	link       capture.LinkType
	began      bool
	interfaces int
	lost       map[int][2]uint64 // pcapng: running totals of each interface
	data       []byte

	now     *frame         // the packet in hand
	waiting map[int]*frame // packets whose payload may still be told
	order   []int          // their numbers, oldest first
	pieces  int            // pieces of streams so far
	held    int            // bytes of bodies that are not whole

	// Connections that are made anew, and what became of frame numbers by it.
	plan    plan
	keys    *tls.Keys // nil: TLS stays as it is
	remakes map[int]*remake
	by      map[pair]*remake
	retired []*remake
	dirty   []*remake
	queue   []*slot // frames that are not written yet
	waits   int     // bytes that they take
	numbers numbers
	written int

	encrypted, opened, blanked int
	http2                      []uint16 // ports of servers
}

// A pair is the addresses of a connection, the client's first, and the path
// that its packets take.
type pair struct {
	client, server netip.AddrPort
	path           uint64
}

// mostWaiting bounds the packets that are remembered because their payload was
// not told at once: more than a receive window of them.
const mostWaiting = 1 << 16

// A frame is a packet that was written, and where its payload stands.
type frame struct {
	num  int
	seq  uint32
	n    int   // bytes of payload
	at   int64 // offset of its payload in the file
	left int   // bytes that were not told
	sum  uint32
	csum int64  // offset of the TCP checksum; 0: it is not kept
	data []byte // the packet, as long as it is not written: offsets are in it
}

// placed says that a packet was written at an offset.
func (f *frame) placed(at int64) {
	f.at, f.csum, f.data = f.at+at, f.csum+at, nil
}

func newPackets(m *Masker, out *patched, plan plan) *packets {
	p := &packets{
		m: m, out: out, inet: inet.New(decode.Limits{}, nil), waiting: map[int]*frame{}, lost: map[int][2]uint64{},
		plan: plan, remakes: map[int]*remake{}, by: map[pair]*remake{}, numbers: numbers{shifted: map[int][]int{}},
	}
	p.table = tcp.NewTable(decode.Limits{}, p.open, nil)
	if plan.clear {
		p.keys = tls.NewKeys(decode.Limits{})
		p.keys.Add(plan.keys)
	}
	return p
}

// run rewrites src, which is of the format and named in.
func (p *packets) run(src capture.Source, format, in string) error {
	p.nano, p.ng = format == "pcap" && !micro(in), format == "pcapng"
	var at decode.Mark
	var last capture.Record
	for {
		r, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !r.Time.IsZero() {
			at = decode.Mark{Frame: r.Num, Time: r.Time}
		}
		switch {
		case r.Packet != nil:
			last = capture.Record{Num: r.Num, Time: r.Time}
			err = p.packet(r)
		case r.Loss != nil && p.ng && len(p.queue) > 0:
			loss := *r.Loss
			p.push(&slot{num: last.Num, time: r.Time, extra: true, loss: &loss})
		case r.Loss != nil && p.ng:
			p.loss(*r.Loss, r.Time)
		case r.Secret != nil && p.keys != nil:
			p.keys.Add(r.Secret.Lines)
			p.keys.Retry(at)
		}
		if err == nil {
			err = p.rest(last.Num, last.Time, false)
		}
		if err != nil {
			return err
		}
	}
	p.table.Close(at)
	if p.keys != nil {
		p.keys.Done(at)
	}
	if err := p.rest(last.Num, last.Time, true); err != nil {
		return err
	}
	if !p.began {
		p.begin(p.link)
	}
	return p.out.close()
}

// micro reports whether a file is a pcap that counts microseconds. Times of one
// that is compressed are written as nanoseconds.
func micro(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var b [4]byte
	io.ReadFull(f, b[:])
	const magicNano = 0xa1b23c4d
	le, be := binary.LittleEndian.Uint32(b[:]), binary.BigEndian.Uint32(b[:])
	return le != magicNano && be != magicNano && b[0] != 0x1f && b[0] != 0x28
}

func (p *packets) begin(link capture.LinkType) {
	p.began, p.link = true, link
	if p.ng {
		var b [28]byte
		binary.LittleEndian.PutUint32(b[0:], 0x0a0d0d0a)
		binary.LittleEndian.PutUint32(b[4:], 28)
		binary.LittleEndian.PutUint32(b[8:], 0x1a2b3c4d)
		binary.LittleEndian.PutUint16(b[12:], 1)
		binary.LittleEndian.PutUint64(b[16:], 1<<64-1)
		binary.LittleEndian.PutUint32(b[24:], 28)
		p.out.append(b[:])
		return
	}
	var b [24]byte
	magic := uint32(0xa1b2c3d4)
	if p.nano {
		magic = 0xa1b23c4d
	}
	binary.LittleEndian.PutUint32(b[0:], magic)
	binary.LittleEndian.PutUint16(b[4:], 2)
	binary.LittleEndian.PutUint16(b[6:], 4)
	binary.LittleEndian.PutUint32(b[16:], 262144)
	binary.LittleEndian.PutUint32(b[20:], uint32(link))
	p.out.append(b[:])
}

// describe writes the interfaces up to id. Their names and comments are not
// kept, only what the packets need.
func (p *packets) describe(id int, link capture.LinkType) {
	for ; p.interfaces <= id; p.interfaces++ {
		var b [32]byte
		binary.LittleEndian.PutUint32(b[0:], 1)
		binary.LittleEndian.PutUint32(b[4:], 32)
		binary.LittleEndian.PutUint16(b[8:], uint16(link))
		binary.LittleEndian.PutUint16(b[16:], 9) // if_tsresol
		binary.LittleEndian.PutUint16(b[18:], 1)
		b[20] = 9 // nanoseconds
		binary.LittleEndian.PutUint32(b[28:], 32)
		p.out.append(b[:])
	}
}

// record writes the packet in p.data, of that length on the wire, and returns
// the offset of its data.
func (p *packets) record(t time.Time, link capture.LinkType, iface, length int) (int64, error) {
	if !p.began {
		p.begin(link)
	}
	p.written++
	if !p.ng {
		if link != p.link {
			return 0, refuse("convert it with: editcap -F pcapng IN OUT.pcapng", "frame %d: another link type than before, which a pcap cannot hold", p.written)
		}
		var h [16]byte
		unit := int64(time.Microsecond)
		if p.nano {
			unit = 1
		}
		binary.LittleEndian.PutUint32(h[0:], uint32(t.Unix()))
		binary.LittleEndian.PutUint32(h[4:], uint32(int64(t.Nanosecond())/unit))
		binary.LittleEndian.PutUint32(h[8:], uint32(len(p.data)))
		binary.LittleEndian.PutUint32(h[12:], uint32(length))
		p.out.append(h[:])
		return p.out.append(p.data), nil
	}
	p.describe(iface, link)
	pad := -len(p.data) & 3
	size := uint32(32 + len(p.data) + pad)
	var h [28]byte
	stamp := uint64(t.UnixNano())
	binary.LittleEndian.PutUint32(h[0:], 6)
	binary.LittleEndian.PutUint32(h[4:], size)
	binary.LittleEndian.PutUint32(h[8:], uint32(iface))
	binary.LittleEndian.PutUint32(h[12:], uint32(stamp>>32))
	binary.LittleEndian.PutUint32(h[16:], uint32(stamp))
	binary.LittleEndian.PutUint32(h[20:], uint32(len(p.data)))
	binary.LittleEndian.PutUint32(h[24:], uint32(length))
	p.out.append(h[:])
	at := p.out.append(p.data)
	var tail [8]byte
	binary.LittleEndian.PutUint32(tail[pad:], size)
	p.out.append(tail[:pad+4])
	return at, nil
}

// loss writes what the capture lost as an interface statistics block.
func (p *packets) loss(l capture.Loss, t time.Time) {
	if !p.began {
		p.begin(capture.LinkEthernet)
	}
	p.describe(l.Interface, p.link)
	total := p.lost[l.Interface]
	code, i := uint16(5), 0 // isb_ifdrop
	if l.Reason == "kernel" {
		code, i = 7, 1 // isb_osdrop
	}
	total[i] += l.Packets
	p.lost[l.Interface] = total
	var b [40]byte
	stamp := uint64(t.UnixNano())
	binary.LittleEndian.PutUint32(b[0:], 5)
	binary.LittleEndian.PutUint32(b[4:], 40)
	binary.LittleEndian.PutUint32(b[8:], uint32(l.Interface))
	binary.LittleEndian.PutUint32(b[12:], uint32(stamp>>32))
	binary.LittleEndian.PutUint32(b[16:], uint32(stamp))
	binary.LittleEndian.PutUint16(b[20:], code)
	binary.LittleEndian.PutUint16(b[22:], 8)
	binary.LittleEndian.PutUint64(b[24:], total[i])
	binary.LittleEndian.PutUint32(b[36:], 40)
	// Option 0 ends the options at 32.
	p.out.append(b[:])
}

// packet writes a packet and tells its connection.
func (p *packets) packet(r capture.Record) error {
	at := decode.Mark{Frame: r.Num, Time: r.Time}
	p.data = append(p.data[:0], r.Packet.Data...)
	s, ok := p.inet.Segment(at, r.Packet)
	if ok {
		if c := p.made(r, &s); c != nil {
			p.push(c.arrive(r, &s))
			p.table.Segment(at, &s)
			return nil
		}
	}
	head, payload := 0, -1
	if ok {
		head, payload = within(r.Packet.Data, &s)
	}
	if payload < 0 {
		if err := p.opaque(r); err != nil {
			return err
		}
	} else {
		clear(p.data[payload:])
		if err := p.mapped(r, &s, head); err != nil {
			return err
		}
	}
	f := &frame{num: r.Num, seq: s.Seq, n: len(s.Payload), left: len(s.Payload)}
	if payload >= 0 && payload-head >= 20 {
		f.sum = p.checksum(&s, head, payload)
		binary.BigEndian.PutUint16(p.data[head+16:], fold(f.sum))
	}
	if payload >= 0 {
		f.at, f.csum = int64(payload), int64(head)+16
	} else {
		f.n = 0 // it came in fragments, and is written nowhere
	}
	if len(p.queue) > 0 {
		f.data = slices.Clone(p.data)
		p.push(&slot{num: r.Num, time: r.Time, kind: r.Packet.Link, iface: r.Packet.Interface, data: f.data, length: r.Packet.Length, f: f})
	} else {
		offset, err := p.record(r.Time, r.Packet.Link, r.Packet.Interface, r.Packet.Length)
		if err != nil {
			return err
		}
		f.placed(offset)
	}
	if !ok {
		p.table.Pass(r.Time)
		return nil
	}
	if s.Flags&inet.SYN != 0 {
		f.seq++
	}
	p.now = f
	p.table.Segment(at, &s)
	p.now = nil
	if f.left > 0 && f.n > 0 {
		p.wait(f)
	}
	return nil
}

// wait remembers a packet whose payload was not told at once: it is held for
// others, or it repeats.
func (p *packets) wait(f *frame) {
	p.waiting[f.num] = f
	p.order = append(p.order, f.num)
	if len(p.order) > mostWaiting {
		for _, n := range p.order[:mostWaiting/2] {
			delete(p.waiting, n)
		}
		p.order = p.order[:copy(p.order, p.order[mostWaiting/2:])]
	}
}

// frame finds the packet that brought bytes.
func (p *packets) frame(num int) *frame {
	if p.now != nil && p.now.num == num {
		return p.now
	}
	return p.waiting[num]
}

// fill writes masked bytes where they were captured.
func (p *packets) fill(f *frame, from int, b []byte) {
	if f == nil || len(b) == 0 {
		return
	}
	f.sum = sum(f.sum, b, from)
	var c [2]byte
	binary.BigEndian.PutUint16(c[:], fold(f.sum))
	if f.data != nil {
		copy(f.data[f.at+int64(from):], b)
		copy(f.data[f.csum:], c[:])
	} else {
		p.out.patch(f.at+int64(from), b)
		p.out.patch(f.csum, c[:])
	}
	f.left -= len(b)
	if f.left <= 0 {
		delete(p.waiting, f.num)
	}
}

// within finds the TCP header and the payload of a segment in its packet;
// payload -1: it is not in it, but came in fragments.
func within(data []byte, s *inet.Segment) (head, payload int) {
	end := len(data)
	if len(s.Payload) > 0 {
		end = cap(data) - cap(s.Payload)
		if end < 0 || end >= len(data) || &data[end] != &s.Payload[0] {
			return 0, -1
		}
		for size := 20; size <= 60; size += 4 {
			if head := end - size; head >= 0 && int(data[head+12]>>4)*4 == size && isHead(data[head:], s) {
				return head, end
			}
		}
		return 0, -1
	}
	for head := end - 20; head >= 0; head-- {
		if isHead(data[head:], s) && data[head+12]>>4 >= 5 {
			return head, min(head+int(data[head+12]>>4)*4, len(data))
		}
	}
	return 0, -1
}

func isHead(b []byte, s *inet.Segment) bool {
	return binary.BigEndian.Uint16(b) == s.Src.Port() && binary.BigEndian.Uint16(b[2:]) == s.Dst.Port() &&
		binary.BigEndian.Uint32(b[4:]) == s.Seq && binary.BigEndian.Uint32(b[8:]) == s.Ack
}

// checksum begins the TCP checksum (RFC 9293 section 3.1) of the packet in
// hand: pseudo header and header.
func (p *packets) checksum(s *inet.Segment, head, payload int) uint32 {
	p.data[head+16], p.data[head+17] = 0, 0
	src, dst := s.Src.Addr(), s.Dst.Addr()
	if p.m.addr != nil {
		src, dst = p.m.addr.of(src), p.m.addr.of(dst)
	}
	v := sum(0, src.AsSlice(), 0)
	v = sum(v, dst.AsSlice(), 0)
	n := payload - head + len(s.Payload) + s.Missing
	v += 6 + uint32(n>>16) + uint32(n&0xffff)
	return sum(v, p.data[head:payload], 0)
}

// sum adds bytes to a ones' complement sum, the first of them at that place.
func sum(v uint32, b []byte, at int) uint32 {
	w := uint64(v)
	if at&1 == 1 && len(b) > 0 {
		w += uint64(b[0])
		b = b[1:]
	}
	for len(b) >= 2 {
		w += uint64(b[0])<<8 | uint64(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		w += uint64(b[0]) << 8
	}
	for w > 0xffff {
		w = w>>16 + w&0xffff
	}
	return uint32(w)
}

func fold(v uint32) uint16 {
	for v > 0xffff {
		v = v>>16 + v&0xffff
	}
	return ^uint16(v)
}

// network finds the IP header behind the usual link headers; -1: there is none.
func network(link capture.LinkType, b []byte) int {
	at, kind := -1, -1
	u16 := func(i int) int {
		if i+2 > len(b) {
			return -1
		}
		return int(binary.BigEndian.Uint16(b[i:]))
	}
	switch link {
	case capture.LinkEthernet:
		at, kind = 14, u16(12)
	case capture.LinkLinuxSLL:
		at, kind = 16, u16(14)
	case capture.LinkLinuxSLL2:
		at, kind = 20, u16(0)
	case capture.LinkNull, capture.LinkLoop:
		return 4
	case capture.LinkRaw, capture.LinkIPv4, capture.LinkIPv6:
		return 0
	}
	for at >= 0 && (kind == 0x8100 || kind == 0x88a8 || kind == 0x9100) {
		at, kind = at+4, u16(at+2)
	}
	if kind == 0x0800 || kind == 0x86dd {
		return at
	}
	return -1
}

// opaque masks a packet of which no TCP payload can be found: headers stay.
func (p *packets) opaque(r capture.Record) error {
	b := p.data
	at := network(r.Packet.Link, b)
	if at < 0 || at >= len(b) {
		clear(b[min(len(b), 14):])
		if p.m.cfg.Hosts {
			clear(b)
		}
		return nil
	}
	ip := b[at:]
	head, proto := 0, byte(0)
	switch {
	case ip[0]>>4 == 4 && len(ip) >= 20:
		head, proto = int(ip[0]&15)*4, ip[9]
	case ip[0]>>4 == 6 && len(ip) >= 40:
		head, proto = 40, ip[6]
	}
	if p.m.cfg.Hosts && head > 0 {
		p.addresses(ip)
		clear(b[:min(at, 12)])
	}
	if proto == 17 || proto == 1 || proto == 58 || proto == 44 {
		head += 8 // UDP, ICMP, a fragment header
	}
	clear(ip[min(head, len(ip)):])
	return nil
}

// mapped gives the addresses of a segment's packet stand-ins.
func (p *packets) mapped(r capture.Record, s *inet.Segment, head int) error {
	if p.m.addr == nil {
		return nil
	}
	at := network(r.Packet.Link, p.data)
	if at < 0 || at+20 > head {
		return tunnelled(r.Num)
	}
	ip := p.data[at:]
	switch {
	case ip[0]>>4 == 4 && at+int(ip[0]&15)*4 == head && s.Src.Addr() == netip.AddrFrom4([4]byte(ip[12:16])):
	case ip[0]>>4 == 6 && at+40 == head:
	default:
		return tunnelled(r.Num)
	}
	p.addresses(ip)
	if r.Packet.Link == capture.LinkEthernet {
		clear(p.data[:12])
	}
	return nil
}

func tunnelled(n int) error {
	err := refuse("leave --hosts out, or capture inside the tunnel", "frame %d: a tunnel, in which addresses are not replaced", n)
	err.why = errPlace
	return err
}

// addresses replaces the addresses of an IP header and mends its checksum.
func (p *packets) addresses(ip []byte) {
	switch {
	case ip[0]>>4 == 4 && len(ip) >= 20:
		size := min(int(ip[0]&15)*4, len(ip))
		for _, i := range []int{12, 16} {
			v := p.m.addr.of(netip.AddrFrom4([4]byte(ip[i : i+4]))).As4()
			copy(ip[i:], v[:])
		}
		ip[10], ip[11] = 0, 0
		binary.BigEndian.PutUint16(ip[10:], fold(sum(0, ip[:size], 0)))
	case ip[0]>>4 == 6 && len(ip) >= 40:
		for _, i := range []int{8, 24} {
			v := p.m.addr.of(netip.AddrFrom16([16]byte(ip[i : i+16]))).As16()
			copy(ip[i:], v[:])
		}
	}
}

// made returns the connection of a segment if it is made anew.
func (p *packets) made(r capture.Record, s *inet.Segment) *remake {
	if f, ok := p.plan.flow(r.Num); ok {
		if _, known := linkHeader(r.Packet, f.Client.Addr().Is4()); !known {
			return nil
		}
		c := newRemake(p, f)
		p.remakes[f.First] = c
		p.by[pair{f.Client, f.Server, s.Path}] = c
		c.path = s.Path
	}
	if len(p.by) == 0 {
		return nil
	}
	c := p.by[pair{s.Src, s.Dst, s.Path}]
	if c == nil {
		c = p.by[pair{s.Dst, s.Src, s.Path}]
	}
	if c == nil {
		return nil
	}
	m := &c.sides[c.dir(s)]
	if s.Flags&inet.SYN != 0 && m.based && s.Seq+1 != m.base {
		p.forget(c) // another connection of the same ports
		return nil
	}
	return c
}

// rest makes frames for what is due and has none, and writes those that need
// not wait.
func (p *packets) rest(num int, at time.Time, all bool) error {
	for len(p.dirty) > 0 {
		r := p.dirty[0]
		p.dirty = p.dirty[1:]
		r.rest(num, at)
	}
	return p.drain(at, all)
}

// retire is the end of a connection, of which frames may still come.
func (p *packets) retire(c *remake) {
	c.over = true
	delete(p.remakes, c.flow.First)
	p.retired = append(p.retired, c)
	if len(p.retired) > limits.Lingering {
		p.forget(p.retired[0])
		p.retired = p.retired[1:]
	}
}

func (p *packets) forget(c *remake) {
	k := pair{c.flow.Client, c.flow.Server, c.path}
	if p.by[k] == c {
		delete(p.by, k)
	}
}

// moved notes that a request which began in a frame of the input begins in the
// frame that was written last, as far as that is not the same one.
func (p *packets) moved(from int) {
	if p.written != p.numbers.of(from) && len(p.numbers.shifted) < mostShifted {
		p.numbers.shifted[from] = append(p.numbers.shifted[from], p.written)
	}
}

// mostShifted bounds the frames of which is known where else a request begins
// now. Beyond it verdicts are not found again, and the file is refused.
const mostShifted = 1 << 20

// numbers is what became of the numbers of frames.
type numbers struct {
	inserted []int         // frames of the input behind which one was inserted, in order
	shifted  map[int][]int // frames in which a request began, and those in which it begins now
}

// of returns the number in the output of a frame of the input.
func (n *numbers) of(frame int) int {
	i, _ := slices.BinarySearch(n.inserted, frame)
	return frame + i
}
