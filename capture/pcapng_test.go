package capture_test

import (
	"fmt"
	"testing"
	"time"

	"mcp401/capture"
)

// micros is a time stamp in the default resolution.
func micros(d time.Duration) uint64 { return uint64(at(d).UnixMicro()) }

func TestPcapngBlocks(t *testing.T) {
	for _, order := range []byteOrder{le, be} {
		t.Run(order.String(), func(t *testing.T) {
			p := newPcapngFile(order)
			p.block(0x0bad, []byte("custom"))
			p.iface(1, 0).iface(113, 4)
			p.enhanced(0, micros(time.Second), []byte("abc"), option{1, []byte("a comment")})
			p.block(4, []byte("names"))
			p.secrets(0x544c534b, "CLIENT_RANDOM 00 11\n")
			p.enhanced(1, micros(2*time.Second), []byte("defgh"))
			p.simple(9, []byte("012345678"))
			p.obsolete(1, 0xffff, micros(3*time.Second), []byte("old"))
			check(t, tellBytes(p.bytes()),
				`1 1s link 1 if 0 "abc"`,
				`1 1s secret "CLIENT_RANDOM 00 11\n"`,
				`2 2s link 113 if 1 "defgh"`,
				`3 2s link 1 if 0 "012345678"`,
				`4 3s link 113 if 1 "old"`)
		})
	}
}

func TestPcapngSections(t *testing.T) {
	p := newPcapngFile(le)
	p.iface(1, 0).iface(1, 0).enhanced(1, micros(0), []byte("a"))
	p.section(be).iface(113, 0).enhanced(0, micros(1), []byte("b"))
	p.section(le).iface(101, 3).simple(7, []byte("cde"))
	check(t, tellBytes(p.bytes()), `1 0s link 1 if 1 "a"`, `2 0s link 113 if 2 "b"`, `3 0s link 101 if 3 "cde" of 7`)
}

func TestPcapngTimes(t *testing.T) {
	at := uint64(at(0).Unix())
	tests := []struct {
		resolution byte
		stamp      uint64
		offset     uint64
		want       string
	}{
		{0, at + 5, 0, "5s"},
		{3, at*1e3 + 5, 0, "5ms"},
		{6, at*1e6 + 5, 0, "5µs"},
		{9, at*1e9 + 5, 0, "5ns"},
		{10, at*1e10 + 57, 0, "5ns"},
		{0x80, at + 5, 0, "5s"},
		{0x80 | 10, at<<10 | 512, 0, "500ms"},
		{0x80 | 32, at<<32 | 1<<31, 0, "500ms"},
		{0x80 | 33, at<<33 | 1, 0, "0s"},
		{6, 5, at, "5µs"},
		{6, at*1e6 + 10e6, 1<<64 - 5, "5s"},
		{19, 0, at, "0s"},
		{0x80 | 63, 1 << 62, at, "500ms"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%#x", tt.resolution), func(t *testing.T) {
			for _, order := range []byteOrder{le, be} {
				p := newPcapngFile(order)
				p.iface(1, 0, option{9, []byte{tt.resolution}}, p.u64(14, tt.offset))
				p.enhanced(0, tt.stamp, []byte("x"))
				check(t, tellBytes(p.bytes()), `1 `+tt.want+` link 1 if 0 "x"`)
			}
		})
	}
	p := newPcapngFile(le)
	p.iface(1, 0, option{9, []byte{99}}).enhanced(0, micros(0), []byte("x"))
	check(t, tellBytes(p.bytes()), `1 0s link 1 if 0 "x"`, "! pcapng/bad-resolution@0 0")
}

func TestPcapngSimpleWithoutTime(t *testing.T) {
	p := newPcapngFile(le)
	p.iface(1, 0).simple(3, []byte("abc"))
	check(t, tellBytes(p.bytes()), `1 - link 1 if 0 "abc"`)
}

// The totals of interface statistics run over the whole section, so that only
// their growth is a loss, less what the packets have told of it.
func TestPcapngLoss(t *testing.T) {
	p := newPcapngFile(be)
	p.iface(1, 0).iface(1, 0)
	p.enhanced(0, micros(0), []byte("a"), p.u64(4, 3))
	p.statistics(0, micros(1), p.u64(5, 10), p.u64(7, 2))
	p.statistics(0, micros(2), p.u64(5, 10), p.u64(7, 2))
	p.obsolete(1, 4, micros(3), []byte("b"))
	p.statistics(1, micros(4), p.u64(7, 9))
	p.statistics(0, micros(5), p.u64(5, 4), p.u64(7, 2))
	p.enhanced(1, micros(6), []byte("c"), p.u64(4, 0))
	check(t, tellBytes(p.bytes()),
		"0 0s loss 3 if 0 interface", `1 0s link 1 if 0 "a"`,
		"1 0s loss 7 if 0 interface", "1 0s loss 2 if 0 kernel",
		"1 0s loss 4 if 1 interface", `2 0s link 1 if 1 "b"`,
		"2 0s loss 5 if 1 kernel",
		"2 0s loss 4 if 0 interface",
		`3 0s link 1 if 1 "c"`)
}

func TestPcapngDamage(t *testing.T) {
	file := func(damage func(p *pcapngFile)) []byte {
		p := newPcapngFile(le)
		p.iface(1, 0).enhanced(0, micros(0), []byte("a"))
		damage(p)
		p.enhanced(0, micros(time.Second), []byte("b"))
		return p.bytes()
	}
	const a, b = `1 0s link 1 if 0 "a"`, `2 1s link 1 if 0 "b"`
	tests := []struct {
		name   string
		damage func(p *pcapngFile)
		want   []string
	}{
		{"none", func(*pcapngFile) {}, []string{a, b}},
		{"lengths that differ", func(p *pcapngFile) { p.block(99, nil); p.b[len(p.b)-1] = 1 }, []string{a, b, "! pcapng/bad-block@1 0"}},
		{"length not a multiple of 4, unpadded", func(p *pcapngFile) {
			p.b = append(p.b, 99, 0, 0, 0, 13, 0, 0, 0, 'x', 13, 0, 0, 0)
		}, []string{a, b, "! pcapng/bad-block@1 0"}},
		{"length not a multiple of 4, padded", func(p *pcapngFile) {
			p.b = append(p.b, 99, 0, 0, 0, 13, 0, 0, 0, 'x', 0, 0, 0, 13, 0, 0, 0)
		}, []string{a, b, "! pcapng/bad-block@1 0"}},
		{"length not a multiple of 4, lost", func(p *pcapngFile) {
			p.b = append(p.b, 99, 0, 0, 0, 13, 0, 0, 0, 'x', 0, 0, 0, 99, 0, 0, 0)
		}, []string{a, "! pcapng/bad-block@1 0"}},
		{"length under the least", func(p *pcapngFile) { p.b = append(p.b, 99, 0, 0, 0, 7, 0, 0, 0) }, []string{a, "! pcapng/bad-block@1 0"}},
		{"section without byte-order magic", func(p *pcapngFile) { p.block(0x0a0d0d0a, make([]byte, 16)) }, []string{a, "! pcapng/bad-block@1 0"}},
		{"section of another version", func(p *pcapngFile) {
			p.section(le)
			p.b[len(p.b)-16] = 7
			p.iface(1, 0)
		}, []string{a, `2 1s link 1 if 1 "b"`, "! pcapng/version@1 0"}},
		{"block over the bound", func(p *pcapngFile) { p.block(99, make([]byte, 17<<20)) }, []string{a, b, "! pcapng/big-block@1 17825804"}},
		{"length over what follows", func(p *pcapngFile) { p.b = append(p.b, 99, 0, 0, 0, 0, 0, 0, 0x70) }, []string{a, "! pcapng/cut-block@1 44"}},
		{"interface that is not described", func(p *pcapngFile) {
			p.enhanced(7, 0, nil).obsolete(7, 0, 0, nil).statistics(7, 0)
		}, []string{a, b, "! pcapng/unknown-interface@1 1", "! pcapng/unknown-interface@1 1", "! pcapng/unknown-interface@1 1"}},
		{"captured length over the block", func(p *pcapngFile) {
			p.enhanced(0, 0, []byte("long")).b[len(p.b)-16] = 99
			p.obsolete(0, 0, 0, []byte("long")).b[len(p.b)-16] = 99
			p.secrets(0x544c534b, "long").b[len(p.b)-12] = 99
		}, []string{a, b, "! pcapng/bad-block@1 0", "! pcapng/bad-block@1 0", "! pcapng/bad-block@1 0"}},
		{"blocks too short", func(p *pcapngFile) {
			for _, kind := range []uint32{1, 2, 3, 5, 6, 10} {
				p.block(kind, nil)
			}
		}, []string{a, b, "! pcapng/bad-block@1 0", "! pcapng/bad-block@1 0", "! pcapng/bad-block@1 0",
			"! pcapng/bad-block@1 0", "! pcapng/bad-block@1 0", "! pcapng/bad-block@1 0"}},
		{"secrets that are not of TLS", func(p *pcapngFile) { p.secrets(0x53534845, "x") }, []string{a, b, "! pcapng/unknown-secrets@1 0"}},
		{"options that end too early", func(p *pcapngFile) {
			p.statistics(0, 0, option{5, []byte{1, 2}})
			p.block(5, []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 99, 0})
		}, []string{a, b}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, tellBytes(file(tt.damage)), tt.want...) })
	}
	t.Run("cut anywhere", func(t *testing.T) {
		whole := file(func(*pcapngFile) {})
		for n := 28 + 20 + 36 + 1; n < len(whole); n++ {
			check(t, tellBytes(whole[:n]), a, fmt.Sprintf("! pcapng/cut-block@1 %d", n-28-20-36))
		}
	})
	t.Run("simple packet without interface", func(t *testing.T) {
		check(t, tellBytes(newPcapngFile(le).simple(1, []byte("x")).bytes()), "! pcapng/unknown-interface@0 1")
	})
	t.Run("nothing readable", func(t *testing.T) {
		whole := file(func(*pcapngFile) {})
		refuse(t, tellBytes(whole[:20]).err, capture.ErrDamaged, "pcapng header cut short: 20 of 28 bytes")
		whole[8] = 0
		refuse(t, tellBytes(whole).err, capture.ErrDamaged, "byte-order magic")
		whole = newPcapngFile(le).bytes()
		refuse(t, tellBytes(append(whole, 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0)).err, capture.ErrDamaged, "block at offset 28: length 7 is less than 12")
	})
}

// More warnings than anyone reads are counted.
func TestWarningsAreBounded(t *testing.T) {
	p := newPcapngFile(le)
	p.iface(1, 0).enhanced(0, micros(0), []byte("a"))
	for range 1000 {
		p.block(6, nil)
	}
	s := tellBytes(p.bytes())
	if len(s.warnings) != 17 || s.warnings[16] != "pcapng/bad-block@1 984" {
		t.Errorf("%d warnings, the last %q", len(s.warnings), s.warnings[len(s.warnings)-1])
	}
}

func TestPcapngInterfaceFlood(t *testing.T) {
	p := newPcapngFile(le)
	for range 1<<16 + 3 {
		p.iface(1, 0)
	}
	p.enhanced(1, micros(0), []byte("a"))
	check(t, tellBytes(p.bytes()), `1 0s link 1 if 1 "a"`, "! limit/interfaces@0 1", "! limit/interfaces@0 1", "! limit/interfaces@0 1")
}
