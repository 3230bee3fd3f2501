package tcp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"mcp401/decode"
	"mcp401/decode/inet"
)

// length is that of each stream in the model. The byte at place i is i, so
// that a byte tells where it belongs.
const length = 200

// A model is a connection as the dumbest observer sees it.
type model struct {
	t      *testing.T
	isn    [2]uint32
	seen   [2][length]bool // bytes in any segment
	acked  [2]int          // of each side's stream, by the other
	fin    [2]bool         // sent
	place  [2]int          // the next byte of what was told, -1: unknown
	told   [2][length]bool // as data
	holes  [2][length]bool
	end    [2]decode.End
	opened int
}

func (m *model) open(f decode.Flow) decode.Conn {
	m.opened++
	if m.opened > 1 {
		m.t.Fatal("one connection was opened twice")
	}
	if f.Mid {
		m.place = [2]int{-1, -1}
	}
	return m
}

func (m *model) live(d decode.Dir) {
	if m.end[d] != 0 {
		m.t.Fatalf("%v goes on after its end", d)
	}
}

func (m *model) Data(d decode.Dir, at decode.Mark, p []byte) {
	m.live(d)
	if m.place[d] < 0 {
		m.place[d] = int(p[0])
	}
	for _, b := range p {
		i := m.place[d]
		if i >= length || int(b) != i {
			m.t.Fatalf("%v: byte %d where %d is due", d, b, i)
		}
		if !m.seen[d][i] {
			m.t.Fatalf("%v: byte %d was made up", d, i)
		}
		m.told[d][i] = true
		m.place[d]++
	}
	clear(p) // what a Conn may not keep
}

func (m *model) Gap(d decode.Dir, at decode.Mark, n int) {
	m.live(d)
	if n <= 0 {
		m.t.Fatalf("gap of %d", n)
	}
	if m.place[d] < 0 {
		return
	}
	for range n {
		if i := m.place[d]; i < length {
			m.holes[d][i] = true
		}
		m.place[d]++
	}
}

func (m *model) End(d decode.Dir, at decode.Mark, why decode.End) {
	m.live(d)
	m.end[d] = why
}

// FuzzReassemblyMatchesModel plays random segments of two known streams. What
// is told must be the streams; while no patience ran out, exactly the bytes
// that were seen are data and all others are holes.
func FuzzReassemblyMatchesModel(f *testing.F) {
	f.Add(uint64(1), uint8(3), []byte("\x00\x05\x00\x10\x00\x01\x06\x08\x10\x00"))
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range 200 {
		ops := make([]byte, 5*(1+rng.IntN(60)))
		for k := range ops {
			ops[k] = byte(rng.Uint32())
		}
		f.Add(uint64(i), uint8(i), ops)
	}
	f.Fuzz(func(t *testing.T, seed uint64, mode uint8, ops []byte) {
		reassemble(t, seed, mode, ops)
	})
}

// reassemble reads five bytes for each segment: flags, place, length,
// acknowledgment, milliseconds since the one before.
func reassemble(t *testing.T, seed uint64, mode uint8, ops []byte) {
	rng := rand.New(rand.NewPCG(seed, 0))
	m := &model{t: t, isn: [2]uint32{rng.Uint32(), rng.Uint32()}}
	if mode&1 != 0 {
		m.isn = [2]uint32{^uint32(0) - 10, ^uint32(0) - 100}
	}
	handshake := mode&2 == 0
	lim := decode.Limits{}
	if mode&4 != 0 {
		lim.OutOfOrder = 500
	}
	if mode&8 != 0 {
		lim.Buffered = 700
	}
	table := NewTable(lim, m.open, nil)
	at := decode.Mark{Time: time.Unix(1_700_000_000, 0)}
	give := func(d int, flags uint8, place, ack int, p []byte) {
		at.Frame++
		s := inet.Segment{Flags: flags, Seq: m.isn[d] + 1 + uint32(place), Ack: m.isn[d^1] + 1 + uint32(ack), Payload: p}
		s.Src, s.Dst = ends[d], ends[d^1]
		table.Segment(at, &s)
	}
	if handshake {
		give(0, SYN, -1, 0, nil)
		give(1, SYN|ACK, -1, 0, nil)
	}
	start, n := at.Time, 0
	for ; len(ops) >= 5; ops = ops[5:] {
		d, n0 := int(ops[0]&1), int(ops[1])%length
		n1 := min(n0+int(ops[2])%40, length)
		ack := int(ops[3]) % (length + 1)
		if mode&16 != 0 {
			at.Time = at.Time.Add(time.Duration(ops[4]) * time.Millisecond / 4)
		}
		flags := uint8(ACK)
		if ops[0]&0xf8 == 0 && n1 == length {
			flags |= FIN
			m.fin[d] = true
		}
		if ops[0]&2 != 0 {
			ack = 0
		}
		p := make([]byte, n1-n0)
		for i := range p {
			p[i] = byte(n0 + i)
			m.seen[d][n0+i] = true
		}
		m.acked[d^1] = max(m.acked[d^1], ack)
		give(d, flags, n0, ack, p)
		n++
		if ops[0]&4 != 0 { // the frame is doubled
			for i := range p {
				p[i] = byte(n0 + i)
			}
			give(d, flags, n0, ack, p)
			n++
		}
	}
	patient := n < patience && at.Time.Sub(start) < 100*time.Millisecond && mode&12 == 0
	table.Close(at)
	check(t, table)
	m.check(handshake && patient)
}

var ends = [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:80")}

func (m *model) check(exact bool) {
	t := m.t
	if m.opened == 0 {
		return
	}
	for d := range m.end {
		if m.end[d] == 0 {
			t.Fatalf("%v never ends", decode.Dir(d))
		}
		lost := m.acked[d] > 0 && !m.seen[d][m.acked[d]-1] // perhaps a FIN
		if m.end[d] == decode.Fin != m.fin[d] && exact && !lost {
			t.Fatalf("%v: end %v, FIN sent %v", decode.Dir(d), m.end[d], m.fin[d])
		}
		if !exact {
			continue
		}
		last := m.acked[d]
		for i, seen := range m.seen[d] {
			if seen {
				last = max(last, i+1)
			}
		}
		if m.fin[d] {
			last = length
		}
		for i := range last {
			switch seen := m.seen[d][i]; {
			case seen && !m.told[d][i]:
				t.Fatalf("%v: byte %d of %d was seen and not told", decode.Dir(d), i, last)
			case !seen && !m.holes[d][i] && !m.lastOne(d, i, last):
				t.Fatalf("%v: byte %d of %d is missing and was not told as a hole", decode.Dir(d), i, last)
			}
		}
		if m.place[d] > last {
			t.Fatalf("%v: told up to %d of %d", decode.Dir(d), m.place[d], last)
		}
	}
}

// lastOne reports whether a byte was only acknowledged and may be a FIN.
func (m *model) lastOne(d, i, last int) bool {
	return i == last-1 && m.acked[d] == last
}

// FuzzTableNeverPanics plays segments of any kind on few connections, under
// small bounds, and wants every direction told once and all memory given back.
func FuzzTableNeverPanics(f *testing.F) {
	rng := rand.New(rand.NewPCG(2, 2))
	for i := range 100 {
		ops := make([]byte, 8*(1+rng.IntN(100)))
		for k := range ops {
			ops[k] = byte(rng.Uint32())
		}
		f.Add(uint8(i), ops)
	}
	f.Fuzz(func(t *testing.T, mode uint8, ops []byte) {
		lim := decode.Limits{Flows: 4, HalfOpen: 2, Lingering: 2, OutOfOrder: 1000, Buffered: 2000}
		if mode&1 != 0 {
			lim = decode.Limits{}
		}
		var all []*strict
		table := NewTable(lim, func(fl decode.Flow) decode.Conn {
			if fl.First == 0 || !fl.Client.IsValid() || !fl.Server.IsValid() {
				t.Fatalf("%+v", fl)
			}
			c := &strict{t: t}
			all = append(all, c)
			if len(all)%5 == 4 {
				c.ended = [2]bool{true, true}
				return nil
			}
			return c
		}, nil)
		at := decode.Mark{Time: time.Unix(1_700_000_000, 0)}
		for ; len(ops) >= 8; ops = ops[8:] {
			at.Frame++
			at.Time = at.Time.Add(time.Duration(ops[0]) * time.Duration(ops[0]) * time.Millisecond)
			d := int(ops[1] & 1)
			s := inet.Segment{Flags: ops[2] & 0x3f, Path: uint64(ops[1]>>1) % 7, Missing: int(ops[3] >> 6), Payload: make([]byte, ops[3]&0x3f)}
			s.Src, s.Dst = ends[d], ends[d^1]
			s.Seq, s.Ack = number(ops[4], ops[5]), number(ops[6], ops[7])
			if s.Flags&SYN != 0 && mode&2 != 0 {
				s.Flags &^= RST
			}
			table.Segment(at, &s)
			if table.buffered > table.lim.Buffered {
				t.Fatalf("%d bytes held", table.buffered)
			}
			if n := table.lists[fresh].len + table.lists[quiet].len + table.lists[busy].len; n > table.lim.Flows {
				t.Fatalf("%d flows", n)
			}
		}
		table.Close(at)
		check(t, table)
		for i, c := range all {
			if !c.ended[0] || !c.ended[1] {
				t.Fatalf("connection %d never ended: %v", i, c.ended)
			}
		}
	})
}

// number makes sequence numbers that are mostly near each other.
func number(a, b byte) uint32 {
	if a == 255 {
		return uint32(b) << 24
	}
	return uint32(a)&15 - 4 + uint32(b)&3*64
}

// A strict Conn wants the order that decode.Conn promises.
type strict struct {
	t     *testing.T
	ended [2]bool
}

func (c *strict) want(d decode.Dir, ok bool, what string) {
	if c.ended[d] || !ok {
		c.t.Fatal(fmt.Sprint(d, ": ", what, " after the end, or empty"))
	}
}
func (c *strict) Data(d decode.Dir, at decode.Mark, p []byte) { c.want(d, len(p) > 0, "data") }
func (c *strict) Gap(d decode.Dir, at decode.Mark, n int)     { c.want(d, n > 0, "gap") }
func (c *strict) End(d decode.Dir, at decode.Mark, why decode.End) {
	c.want(d, why != 0, "end")
	c.ended[d] = true
}
