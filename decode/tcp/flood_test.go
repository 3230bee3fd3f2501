package tcp

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"mcp401/decode"
	"mcp401/decode/inet"
)

// many makes segments of a great number of connections.
type many struct {
	table *Table
	at    decode.Mark
	step  time.Duration
}

func (m *many) give(conn int, d decode.Dir, flags uint8, seq, ack uint32, p []byte) {
	m.at.Frame++
	m.at.Time = m.at.Time.Add(m.step)
	s := inet.Segment{Flags: flags, Seq: seq, Ack: ack, Payload: p}
	s.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(conn >> 24), byte(conn >> 16), byte(conn >> 8)}), 1024+uint16(conn))
	s.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 1}), 80)
	if d == decode.ToClient {
		s.Src, s.Dst = s.Dst, s.Src
	}
	m.table.Segment(m.at, &s)
}

// heap returns the live bytes on the heap.
func heap() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// Floods of every kind take bounded memory, and say what was given up.
func TestFloods(t *testing.T) {
	const flows = 300_000
	payload := make([]byte, 1000)
	floods := []struct {
		name string
		most int64 // MB
		code string
		conn func(m *many, i int)
	}{
		{"SYN", 8, "limit/half-open", func(m *many, i int) {
			m.give(i, decode.ToServer, SYN, 99, 0, nil)
		}},
		{"answered", 8, "limit/half-open", func(m *many, i int) {
			m.give(i, decode.ToServer, SYN, 99, 0, nil)
			m.give(i, decode.ToClient, SYN|ACK, 499, 100, nil)
		}},
		{"refused", 10, "", func(m *many, i int) {
			m.give(i, decode.ToServer, SYN, 99, 0, nil)
			m.give(i, decode.ToClient, RST|ACK, 0, 100, nil)
		}},
		{"stray resets", 8, "", func(m *many, i int) {
			m.give(i, decode.ToServer, RST|ACK, 99, 5, nil)
		}},
		{"bare acknowledgments", 8, "limit/half-open", func(m *many, i int) {
			m.give(i, decode.ToServer, ACK, 99, 5, nil)
		}},
		{"data", 24, "limit/flows", func(m *many, i int) {
			m.give(i, decode.ToServer, SYN, 99, 0, nil)
			m.give(i, decode.ToClient, SYN|ACK, 499, 100, nil)
			m.give(i, decode.ToServer, ACK, 100, 500, payload)
		}},
		{"closed", 10, "", func(m *many, i int) {
			m.give(i, decode.ToServer, SYN, 99, 0, nil)
			m.give(i, decode.ToClient, SYN|ACK, 499, 100, nil)
			m.give(i, decode.ToServer, ACK|FIN, 100, 500, payload)
			m.give(i, decode.ToClient, ACK|FIN, 500, 1101, nil)
		}},
		{"holes", 100, "limit/buffered", func(m *many, i int) {
			m.give(i, decode.ToServer, SYN, 99, 0, nil)
			m.give(i, decode.ToClient, SYN|ACK, 499, 100, nil)
			m.give(i, decode.ToServer, ACK, 100, 500, payload[:10])
			m.give(i, decode.ToServer, ACK, 200, 500, payload)
		}},
		{"data in the middle", 60, "limit/half-open", func(m *many, i int) {
			m.give(i, decode.ToServer, ACK, 100, 500, payload)
		}},
	}
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			before := heap()
			opened, ended, notes := 0, 0, 0
			m := &many{at: decode.Mark{Time: time.Unix(1_700_000_000, 0)}, step: time.Microsecond}
			m.table = NewTable(decode.Limits{}, func(decode.Flow) decode.Conn {
				opened++
				return &ends2{&ended}
			}, func(n decode.Note) {
				if n.Code == f.code {
					notes++
				}
			})
			var most int64
			for i := range flows {
				f.conn(m, i)
				if i%(flows/5) == 0 {
					most = max(most, heap()-before)
				}
			}
			most = max(most, heap()-before)
			t.Logf("%d KB at most, %+v", most>>10, m.table.Stats())
			if most > f.most<<20 {
				t.Errorf("%d bytes held, want at most %d MB", most, f.most)
			}
			if (notes > 0) != (f.code != "") {
				t.Errorf("%d notes %q", notes, f.code)
			}
			m.table.Close(m.at)
			check(t, m.table)
			if ended != 2*opened {
				t.Errorf("%d opened, %d ends", opened, ended)
			}
		})
	}
}

type ends2 struct{ n *int }

func (e *ends2) Data(d decode.Dir, at decode.Mark, p []byte)      {}
func (e *ends2) Gap(d decode.Dir, at decode.Mark, n int)          {}
func (e *ends2) End(d decode.Dir, at decode.Mark, why decode.End) { *e.n++ }

// The clock expires everything in a table that sees nothing more.
func TestClockEmptiesTable(t *testing.T) {
	m := &many{at: decode.Mark{Time: time.Unix(1_700_000_000, 0)}, step: time.Microsecond}
	ended := 0
	m.table = NewTable(decode.Limits{}, func(decode.Flow) decode.Conn { return &ends2{&ended} }, nil)
	for i := range 1000 {
		m.give(i, decode.ToServer, SYN, 99, 0, nil)
		if i%4 > 0 {
			m.give(i, decode.ToClient, SYN|ACK, 499, 100, nil)
		}
		if i%4 > 1 {
			m.give(i, decode.ToServer, ACK, 100, 500, []byte("abc"))
		}
		if i%4 > 2 {
			m.give(i, decode.ToServer, ACK, 200, 500, []byte("abc"))
		}
	}
	for range 10 {
		m.at.Time = m.at.Time.Add(11 * time.Minute)
		m.table.Tick(m.at.Time)
	}
	check(t, m.table)
	if ended != 2000 {
		t.Errorf("%d ends, want 2000", ended)
	}
	m.table.Close(m.at)
	if ended != 2000 {
		t.Errorf("%d ends after Close", ended)
	}
}

// A hole that nobody can fill, with ever smaller pieces behind it, does not
// take time that grows with the square.
func TestManyPiecesBehindOneHole(t *testing.T) {
	m := &many{at: decode.Mark{Time: time.Unix(1_700_000_000, 0)}, step: time.Nanosecond}
	ended := 0
	m.table = NewTable(decode.Limits{}, func(decode.Flow) decode.Conn { return &ends2{&ended} }, nil)
	m.give(1, decode.ToServer, SYN, 99, 0, nil)
	m.give(1, decode.ToClient, SYN|ACK, 499, 100, nil)
	begin := time.Now()
	for i := range 200_000 {
		m.give(1, decode.ToServer, ACK, uint32(1_000_000-2*i), 500, []byte("x"))
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("200,000 segments took %v", took)
	}
	m.table.Close(m.at)
	check(t, m.table)
}
