package capture_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mcp401/capture"
)

// check compares a story with lines as line writes them; a line that begins
// with "!" is a warning.
func check(t *testing.T, got story, want ...string) {
	t.Helper()
	var records, warnings []string
	for _, w := range want {
		if rest, ok := strings.CutPrefix(w, "! "); ok {
			warnings = append(warnings, rest)
		} else {
			records = append(records, w)
		}
	}
	if got.err != nil {
		t.Errorf("error: %v", got.err)
	}
	if !slices.Equal(got.records, records) {
		t.Errorf("records:\n%s\nwant:\n%s", got, strings.Join(records, "\n"))
	}
	if !slices.Equal(got.warnings, warnings) {
		t.Errorf("warnings: %q, want %q", got.warnings, warnings)
	}
}

// refuse wants an error of a kind, with the text in it.
func refuse(t *testing.T, err error, kind error, text string) {
	t.Helper()
	var e *capture.Error
	if !errors.As(err, &e) || !errors.Is(err, kind) || !strings.Contains(err.Error(), text) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %q, want one line of kind %q with %q", err, kind, text)
	}
}

func TestPcapKinds(t *testing.T) {
	for _, order := range []byteOrder{le, be} {
		t.Run(order.String(), func(t *testing.T) {
			p := newPcapFile(order, magicMicro).packet(at(time.Second+time.Microsecond), []byte("abc")).packet(at(2*time.Second), nil)
			check(t, tellBytes(p.bytes()), `1 1.000001s link 1 if 0 "abc"`, `2 2s link 1 if 0 ""`)

			p = newPcapFile(order, magicNano).packet(at(time.Second+time.Nanosecond), []byte("abc"))
			check(t, tellBytes(p.bytes()), `1 1.000000001s link 1 if 0 "abc"`)

			p = newPcapFile(order, magicModified).packet(at(time.Second), []byte("abc")).packet(at(2*time.Second), []byte("d"))
			check(t, tellBytes(p.bytes()), `1 1s link 1 if 0 "abc"`, `2 2s link 1 if 0 "d"`)
		})
	}
}

func TestPcapLengths(t *testing.T) {
	data := []byte("0123456789")
	tests := []struct {
		name          string
		major, minor  uint16
		first, second uint32
		want          string
	}{
		{"cut by the snap length", 2, 4, 10, 99, `1 0s link 1 if 0 "0123456789" of 99`},
		{"captured over original", 2, 4, 10, 4, `1 0s link 1 if 0 "0123456789"`},
		{"original first before 2.3", 2, 2, 99, 10, `1 0s link 1 if 0 "0123456789" of 99`},
		{"2.3 in the old order", 2, 3, 99, 10, `1 0s link 1 if 0 "0123456789" of 99`},
		{"2.3 in the new order", 2, 3, 10, 99, `1 0s link 1 if 0 "0123456789" of 99`},
		{"DG/UX", 543, 0, 99, 10, `1 0s link 1 if 0 "0123456789" of 99`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPcapVersion(le, magicMicro, tt.major, tt.minor, 1).raw(start, tt.first, tt.second, data)
			check(t, tellBytes(p.bytes()), tt.want)
		})
	}
}

func TestPcapLinkTypes(t *testing.T) {
	for written, want := range map[uint32]string{1: "1", 276: "276", 12: "101", 14: "101", 101: "101", 0x2400_0001: "1", 0x0400_0000 | 113: "113"} {
		s := tellBytes(newPcapVersion(be, magicMicro, 2, 4, written).packet(start, []byte("x")).bytes())
		check(t, s, `1 0s link `+want+` if 0 "x"`)
	}
}

func TestPcapDamage(t *testing.T) {
	good := newPcapFile(le, magicMicro).packet(at(0), []byte("abc")).packet(at(time.Second), []byte("defg")).bytes()
	first := `1 0s link 1 if 0 "abc"`
	t.Run("cut in the last packet", func(t *testing.T) {
		for n := 1; n < 20; n++ {
			s := tellBytes(good[:len(good)-n])
			if len(s.records) != 1 || s.records[0] != first || len(s.warnings) != 1 || !strings.HasPrefix(s.warnings[0], "pcap/cut-packet@1 ") {
				t.Errorf("%d bytes less: %v, %v", n, s, s.warnings)
			}
		}
		check(t, tellBytes(good[:len(good)-20]), first)
	})
	t.Run("an absurd length", func(t *testing.T) {
		p := newPcapFile(le, magicMicro).packet(at(0), []byte("abc")).raw(at(1), 0x7fffffff, 5, []byte("defgh"))
		check(t, tellBytes(p.bytes()), first, "! pcap/bad-record@1 0")
	})
	t.Run("an unknown version", func(t *testing.T) {
		check(t, tellBytes(newPcapVersion(le, magicMicro, 9, 9, 1).packet(at(0), []byte("abc")).bytes()), first, "! pcap/version@0 0")
	})
	t.Run("files joined with cat", func(t *testing.T) {
		b := append(good[:len(good):len(good)], newPcapFile(le, magicNano).packet(at(2*time.Second), []byte("x")).bytes()...)
		check(t, tellBytes(b), first, `2 1s link 1 if 0 "defg"`, `3 2s link 1 if 0 "x"`, "! pcap/joined@2 0")
	})
	t.Run("nothing readable", func(t *testing.T) {
		refuse(t, tellBytes(good[:12]).err, capture.ErrDamaged, "pcap header cut short: 12 of 24 bytes")
		refuse(t, tellBytes(good[:30]).err, capture.ErrDamaged, "the last packet, at offset 24, is cut short")
	})
	t.Run("no packet at all", func(t *testing.T) { check(t, tellBytes(good[:24])) })
}

func TestPcapEmptyPacketOf2055(t *testing.T) {
	p := newPcapFile(le, magicMicro).raw(time.Unix(magicMicro, 0), 0, 0, nil)
	if s := tellBytes(p.bytes()); len(s.records) != 1 || s.warnings != nil {
		t.Errorf("taken for a pcap header: %v %v", s, s.warnings)
	}
}

// The reading of a packet allocates nothing.
func TestNextAllocatesNothing(t *testing.T) {
	p, ng := newPcapFile(le, magicMicro), newPcapngFile(le).iface(1, 0)
	for i := range 2000 {
		p.packet(at(0), make([]byte, i%1500))
		ng.enhanced(0, micros(0), make([]byte, i%1500))
	}
	for kind, b := range map[string][]byte{"pcap": p.bytes(), "pcapng": ng.bytes()} {
		f, err := capture.New("x", bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for range 500 { // until the buffer has its size
			f.Next()
		}
		if n := testing.AllocsPerRun(1000, func() { f.Next() }); n != 0 {
			t.Errorf("%s: %g allocations for a packet", kind, n)
		}
	}
}
