package tls

import (
	"bytes"
	stdtls "crypto/tls"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mcp401/decode"
	"mcp401/decode/decodetest"
)

// FuzzNeverPanics gives a decoder a program: what to do with which bytes in
// which direction. Whatever it is, what is held is bounded and given back.
func FuzzNeverPanics(f *testing.F) {
	s := newSealer(0x1301)
	s.clientHello(s.random, ext(extServerName, 0, 4, 0, 0, 1, 'a'), ext(extEarlyData))
	s.serverHello([32]byte{1}, version13Ext)
	s.serverFlight(alpn("h2"))
	s.clientFinished()
	s.talk(short)
	s.update(decode.ToClient)
	s.close()
	f.Add(program(s.steps), s.keylog())
	f.Add(program(s.steps[3:]), s.keylog())
	f.Add([]byte("\x05\x14\x00"), []byte("CLIENT_RANDOM"))
	f.Fuzz(func(t *testing.T, prog, lines []byte) {
		keys := NewKeys(decode.Limits{Ciphertexts: 4 << 10, Ciphertext: 2 << 10, Secrets: 20})
		c := New(Config{Keys: keys, Flow: decode.Flow{Mid: len(prog)%2 == 1}, Note: func(decode.Note) {}, Inner: func(*Info) decode.Conn { return other{} }})
		for n := 1; len(prog) > 3; n++ {
			op, d, size := prog[0]>>1, decode.Dir(prog[0]&1), min(int(prog[1])<<8|int(prog[2]), len(prog)-3)
			at := decode.Mark{Frame: n}
			switch op % 8 {
			case 0:
				c.Gap(d, at, size-1)
			case 1:
				keys.Add(lines)
			case 2:
				c.End(d, at, decode.End(1+size%7))
			case 3:
				keys.Retry(at)
			default:
				c.Data(d, at, prog[3:3+size])
			}
			prog = prog[3:]
			if op%8 > 3 {
				prog = prog[size:]
			}
			if keys.held > 4<<10+maxBody+connCost || keys.held < 0 {
				t.Fatalf("%d bytes held", keys.held)
			}
		}
		c.End(decode.ToServer, decode.Mark{}, decode.Cut)
		keys.Done(decode.Mark{})
		if keys.held != 0 || keys.Waiting() != 0 {
			t.Fatalf("%d bytes held, %d waiting", keys.held, keys.Waiting())
		}
	})
}

// program is steps as FuzzNeverPanics reads them.
func program(steps []decodetest.Step) []byte {
	var b []byte
	for i, st := range steps {
		if i == 4 {
			b = append(b, 1<<1, 0, 0)
		}
		op := byte(4)
		if st.Kind == decodetest.End {
			op = 2
		}
		b = append(b, op<<1|byte(st.Dir), byte(len(st.Data)>>8), byte(len(st.Data)))
		b = append(b, st.Data...)
	}
	return b
}

// FuzzRecordsAnyCut asserts that a damaged conversation comes to the same
// however it is cut, and that nothing is told that was not said.
func FuzzRecordsAnyCut(f *testing.F) {
	s := newSealer(0x1301)
	s.handshake()
	lines := []string{">" + strings.Repeat("abcdefgh", 30), "<" + strings.Repeat("ABCDEFGH", 300), ">ijkl", "<IJKL"}
	s.talk(lines)
	s.update(decode.ToClient)
	s.talk(lines)
	s.close()
	said := [2]string{lines[0][1:] + lines[2][1:], lines[1][1:] + lines[3][1:]}
	said[0], said[1] = said[0]+said[0], said[1]+said[1]
	f.Add(uint64(1), 7, 100, byte(1), true)
	f.Add(uint64(2), 5, 3, byte(0), false)
	f.Fuzz(func(t *testing.T, seed uint64, step, off int, flip byte, gap bool) {
		steps := slices.Clone(s.steps)
		if st := &steps[uint(step)%uint(len(steps))]; st.Kind == decodetest.Data {
			st.Data = bytes.Clone(st.Data)
			st.Data[uint(off)%uint(len(st.Data))] ^= flip
			if gap {
				st.Kind, st.N = decodetest.Gap, len(st.Data)
			}
		}
		tell := func(cut int) string {
			r := rand.New(rand.NewPCG(seed, uint64(cut)))
			keys := NewKeys(decode.Limits{})
			keys.Add(s.keylog())
			keys.Done(decode.Mark{})
			h := newHeard(keys, Config{})
			for _, st := range steps {
				for cut > 0 && st.Kind == decodetest.Data && len(st.Data) > 1 {
					one := st
					one.Data = st.Data[:1+r.IntN(min(cut, len(st.Data)-1))]
					st.Data = st.Data[len(one.Data):]
					feed(h.conn, one)
				}
				feed(h.conn, st)
			}
			for d := range said {
				rest := said[d]
				for _, piece := range strings.FieldsFunc(h.text[d].String(), func(r rune) bool { return r == 0 || r == '?' }) {
					i := strings.Index(rest, piece)
					if i < 0 {
						t.Fatalf("told what was not said: %.100q", piece)
					}
					rest = rest[i+len(piece):]
				}
			}
			return fmt.Sprintf("%q %q %v %v", &h.text[0], &h.text[1], h.ends, h.codes)
		}
		whole := tell(0)
		for _, cut := range []int{1, 5, 100} {
			if got := tell(cut); got != whole {
				t.Fatalf("cut in pieces of %d:\n%.2000s\nwhole:\n%.2000s", cut, got, whole)
			}
		}
	})
}

// records returns a conversation with n records of application data of a size
// each, and the handshake before them.
func bulk(b *testing.B, v uint16, suite uint16, n, size int) (*recording, int) {
	k := talk{}
	k.client.MaxVersion = v
	if suite != 0 {
		k.client.CipherSuites = []uint16{suite}
	}
	for range n {
		k.lines = append(k.lines, "<"+strings.Repeat("x", size))
	}
	rec := k.record(b)
	total := 0
	for _, st := range rec.steps {
		total += len(st.Data)
	}
	return rec, total
}

type sink struct{ n int }

func (s *sink) Data(_ decode.Dir, _ decode.Mark, p []byte) { s.n += len(p) }
func (s *sink) Gap(decode.Dir, decode.Mark, int)           {}
func (s *sink) End(decode.Dir, decode.Mark, decode.End)    {}
func (s *sink) open(*Info) decode.Conn                     { return s }
func benchKeys(rec *recording) *Keys {
	keys := NewKeys(decode.Limits{})
	keys.Add(rec.keys.Bytes())
	keys.Done(decode.Mark{})
	return keys
}

func BenchmarkBulk(b *testing.B) {
	for _, row := range []struct {
		name       string
		v, suite   uint16
		size, step int
	}{
		{"1.3-whole-records", stdtls.VersionTLS13, 0, 16 << 10, 0},
		{"1.3-segments", stdtls.VersionTLS13, 0, 16 << 10, 1448},
		{"1.3-small", stdtls.VersionTLS13, 0, 200, 0},
		{"1.2-gcm", stdtls.VersionTLS12, stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, 16 << 10, 0},
		{"1.2-chacha20", stdtls.VersionTLS12, stdtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, 16 << 10, 0},
		{"1.2-cbc", stdtls.VersionTLS12, stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, 16 << 10, 0},
	} {
		b.Run(row.name, func(b *testing.B) {
			rec, total := bulk(b, row.v, row.suite, 2000, row.size)
			keys := benchKeys(rec)
			b.SetBytes(int64(total))
			b.ReportAllocs()
			for b.Loop() {
				s := &sink{}
				c := New(Config{Keys: keys, Inner: s.open})
				for _, st := range rec.steps {
					p := st.Data
					for row.step > 0 && len(p) > row.step {
						c.Data(st.Dir, st.At, p[:row.step])
						p = p[row.step:]
					}
					c.Data(st.Dir, st.At, p)
				}
				if s.n != 2000*row.size {
					b.Fatal(s.n)
				}
			}
		})
	}
}

func BenchmarkHandshake(b *testing.B) {
	for _, v := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
		rec, _ := bulk(b, v, 0, 1, 100)
		for name, keys := range map[string]*Keys{"keys": benchKeys(rec), "dark": nil} {
			b.Run(stdtls.VersionName(v)+"-"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					s := &sink{}
					c := New(Config{Keys: keys, Inner: s.open})
					for _, st := range rec.steps {
						feed(c, st)
					}
				}
			})
		}
	}
}
