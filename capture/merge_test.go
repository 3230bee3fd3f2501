package capture_test

import (
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"mcp401/capture"
)

func openAll(t *testing.T, files ...[]byte) *capture.Files {
	t.Helper()
	var names []string
	for i, b := range files {
		names = append(names, write(t, fmt.Sprint(i), b))
	}
	f, err := capture.Open(names, nil, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// pcapAt is a pcap with a packet at each of some seconds.
func pcapAt(name string, seconds ...int) []byte {
	p := newPcapFile(le, magicMicro)
	for _, s := range seconds {
		p.packet(at(time.Duration(s)*time.Second), fmt.Appendf(nil, "%s%d", name, s))
	}
	return p.bytes()
}

func TestMerge(t *testing.T) {
	ng := newPcapngFile(be)
	ng.secrets(0x544c534b, "keys\n").iface(1, 0).iface(113, 0)
	ng.enhanced(1, micros(2*time.Second), []byte("n2"), ng.u64(4, 5)).enhanced(0, micros(4*time.Second), []byte("n4"))
	tests := []struct {
		name  string
		files [][]byte
		want  []string
	}{
		{"one after the other", [][]byte{pcapAt("b", 3, 4), pcapAt("a", 1, 2)},
			[]string{`1 1s link 1 if 0 "a1"`, `2 2s link 1 if 0 "a2"`, `3 3s link 1 if 1 "b3"`, `4 4s link 1 if 1 "b4"`}},
		{"interleaved", [][]byte{pcapAt("a", 1, 3, 5), pcapAt("b", 2, 4)},
			[]string{`1 1s link 1 if 0 "a1"`, `2 2s link 1 if 1 "b2"`, `3 3s link 1 if 0 "a3"`, `4 4s link 1 if 1 "b4"`, `5 5s link 1 if 0 "a5"`}},
		{"equal times in the order of names", [][]byte{pcapAt("a", 1, 1), pcapAt("b", 1), pcapAt("c", 1)},
			[]string{`1 1s link 1 if 0 "a1"`, `2 1s link 1 if 0 "a1"`, `3 1s link 1 if 1 "b1"`, `4 1s link 1 if 2 "c1"`}},
		{"a file out of order keeps its own", [][]byte{pcapAt("a", 5, 1), pcapAt("b", 2, 6)},
			[]string{`1 2s link 1 if 0 "b2"`, `2 5s link 1 if 1 "a5"`, `3 1s link 1 if 1 "a1"`, `4 6s link 1 if 0 "b6"`}},
		{"empty ones", [][]byte{pcapAt("a"), pcapAt("b", 1), pcapAt("c")}, []string{`1 1s link 1 if 0 "b1"`}},
		{"all kinds", [][]byte{pcapAt("a", 1, 3, 5), ng.bytes(), []byte(harOf(entryAt(3*time.Second, "h")))},
			[]string{`0 - secret "keys\n"`, `1 1s link 1 if 0 "a1"`, `1 2s loss 5 if 1 interface`, `2 2s link 113 if 1 "n2"`,
				`3 3s link 1 if 0 "a3"`, `4 3s GET h 200`, `5 4s link 1 if 2 "n4"`, `6 5s link 1 if 0 "a5"`}},
		{"damage", [][]byte{pcapAt("a", 1, 4)[:24+18+17], pcapAt("b", 2, 3)},
			[]string{`1 1s link 1 if 0 "a1"`, `2 2s link 1 if 1 "b2"`, `3 3s link 1 if 1 "b3"`, "! pcap/cut-packet@1 17"}},
		{"none", nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, tell(openAll(t, tt.files...)), tt.want...) })
	}
}

func TestMergeOfUnreadableFile(t *testing.T) {
	refuse(t, tell(openAll(t, pcapAt("a", 1), pcapAt("b", 2)[:30])).err, capture.ErrDamaged, "is cut short")
}

// TestMergeCutAnywhere: a capture cut into files by any rule is the same capture.
func TestMergeCutAnywhere(t *testing.T) {
	seconds := make([]int, 200)
	for i := range seconds {
		seconds[i] = i
	}
	whole := tellBytes(pcapAt("p", seconds...))
	for _, n := range []int{2, 3, 7, 50} {
		parts := make([][]int, n)
		for i, s := range seconds {
			parts[i*i%n] = append(parts[i*i%n], s)
		}
		var files [][]byte
		for _, p := range parts {
			files = append(files, pcapAt("p", p...))
		}
		f := openAll(t, files...)
		for _, want := range whole.records {
			rec, err := f.Next()
			if err != nil {
				t.Fatal(err)
			}
			rec.Packet.Interface = 0
			if got := line(rec); got != want {
				t.Fatalf("%d files: got %s, want %s", n, got, want)
			}
		}
		if _, err := f.Next(); err != io.EOF {
			t.Errorf("after the last: %v", err)
		}
		total := 0
		for _, in := range f.Inputs() {
			total += in.Records
		}
		if total != len(seconds) {
			t.Errorf("%d records in the inputs", total)
		}
	}
}

// The bytes of a merged record stay as they are until the next call.
func TestMergeKeepsData(t *testing.T) {
	big := func(first byte) []byte {
		p := newPcapFile(le, magicMicro)
		for i := range 200 {
			p.packet(at(time.Duration(i)*time.Second), slices.Repeat([]byte{first + byte(i)}, 5000))
		}
		return p.bytes()
	}
	f := openAll(t, big(0), big(100))
	for i := range 400 {
		rec, err := f.Next()
		if err != nil {
			t.Fatal(err)
		}
		want := byte(i/2 + i%2*100)
		for _, c := range rec.Packet.Data {
			if c != want {
				t.Fatalf("record %d: %d, want %d", i, c, want)
			}
		}
	}
}
