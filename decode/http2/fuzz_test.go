package http2

import (
	"bytes"
	"testing"

	"golang.org/x/net/http2/hpack"

	"mcp401/decode"
	"mcp401/decode/decodetest"
)

// blocks cuts b into header blocks: a length before each.
func blocks(b []byte) (all [][]byte) {
	for len(b) > 0 {
		n := min(int(b[0]), len(b)-1)
		all = append(all, b[1:1+n])
		b = b[1+n:]
	}
	return all
}

// FuzzHPACKMatchesXNet holds header blocks against golang.org/x/net: what it
// decodes we decode to the same fields.
func FuzzHPACKMatchesXNet(f *testing.F) {
	var buf bytes.Buffer
	e := hpack.NewEncoder(&buf)
	var seed []byte
	for i := range 6 {
		buf.Reset()
		if i == 3 {
			e.SetMaxDynamicTableSize(100)
		}
		for _, x := range []hpack.HeaderField{{Name: ":status", Value: "401"}, {Name: "x-a", Value: "value\xff\x00"}, {Name: "cookie", Value: "s", Sensitive: true}, {Name: "x-b", Value: string(rune('a' + i))}} {
			e.WriteField(x)
		}
		seed = append(append(seed, byte(buf.Len())), buf.Bytes()...)
	}
	f.Add(seed)
	f.Add([]byte("\x03\x82\xbe\x41\x05\x40\x00\x00\x00\x00"))
	f.Add([]byte("\x04\x3f\xe1\x1f\x82\x01\x20"))
	f.Add([]byte("0@\x80\t000000000")) // a name of no bytes, coded
	f.Fuzz(func(t *testing.T, b []byte) {
		ref := hpack.NewDecoder(usual, nil)
		own := table{most: usual, keep: usual}
		for _, one := range blocks(b) {
			want, err := ref.DecodeFull(one)
			if err != nil {
				return
			}
			k := block{t: &own, b: one}
			for i := 0; ; i++ {
				name, value, found := k.next()
				if found == over {
					if i != len(want) {
						t.Fatalf("%x: %d fields, want %d", one, i, len(want))
					}
					break
				}
				if found != field || i >= len(want) || string(name) != want[i].Name || string(value) != want[i].Value {
					t.Fatalf("%x: field %d: %q %q (%d), want %v", one, i, name, value, found, want)
				}
			}
		}
	})
}

// FuzzHuffmanMatchesXNet holds the code against golang.org/x/net both ways.
func FuzzHuffmanMatchesXNet(f *testing.F) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	f.Add(all)
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := huffman.decode(nil, hpack.AppendHuffmanString(nil, string(b)))
		if !ok || !bytes.Equal(got, b) {
			t.Fatalf("%q: got %q, %v", b, got, ok)
		}
		want, err := hpack.HuffmanDecodeToString(b)
		got, ok = huffman.decode(nil, b)
		if ok != (err == nil) || ok && string(got) != want {
			t.Fatalf("%x: got %q, %v, want %q, %v", b, got, ok, want, err)
		}
	})
}

// wired makes a conversation of two byte strings: order says, bit by bit, who
// sends the next piece.
func wired(request, response []byte, order uint64, mid bool) *decodetest.Script {
	s := &decodetest.Script{Flow: decode.Flow{First: 1, Mid: mid}, Options: map[string]string{"head": "300", "streams": "3", "fields": "5"}}
	rest := [2][]byte{request, response}
	for frame := 1; len(rest[0])+len(rest[1]) > 0; frame++ {
		d := decode.Dir(order >> (frame % 64) & 1)
		if len(rest[d]) == 0 {
			d = d.Other()
		}
		n := min(len(rest[d]), 1+len(rest[d])/3)
		s.Steps = append(s.Steps, decodetest.Step{Dir: d, At: decode.Mark{Frame: frame, Time: decodetest.Epoch}, Data: rest[d][:n]})
		rest[d] = rest[d][n:]
	}
	return s
}

func wires(s *decodetest.Script) (wire [2][]byte) {
	for _, st := range s.Steps {
		wire[st.Dir] = append(wire[st.Dir], st.Data...)
	}
	return wire
}

func FuzzAnyCutSameEvents(f *testing.F) {
	i := 0
	for _, s := range scripts(f) {
		w := wires(s)
		i++
		f.Add(w[0], w[1], uint64(i)*0x9e3779b97f4a7c15, s.Flow.Mid, uint8(i))
	}
	f.Fuzz(func(t *testing.T, request, response []byte, order uint64, mid bool, size uint8) {
		if len(request)+len(response) > 4000 {
			return
		}
		s := wired(request, response, order, mid)
		whole, cut := new(decodetest.Log), new(decodetest.Log)
		a, b := newConn(s, whole), newConn(s, cut)
		var end decode.Mark
		for _, st := range s.Steps {
			a.Data(st.Dir, st.At, st.Data)
			for p := st.Data; len(p) > 0; {
				n := min(len(p), 1+int(size%16))
				b.Data(st.Dir, st.At, p[:n])
				p = p[n:]
			}
			end = st.At
		}
		a.End(decode.ToServer, end, decode.Reset)
		b.End(decode.ToServer, end, decode.Reset)
		if whole.String() != cut.String() {
			t.Fatalf("whole:\n%s\ncut:\n%s", whole, cut)
		}
		if err := balanced(whole.Lines()); err != nil {
			t.Fatalf("%v\n%s", err, whole)
		}
	})
}

// FuzzNeverPanics plays data, holes and ends in any order, and looks that each
// message is told whole.
func FuzzNeverPanics(f *testing.F) {
	for _, s := range scripts(f) {
		w := wires(s)
		var ops []byte
		for _, st := range s.Steps {
			ops = append(ops, byte(st.Dir)|byte(st.Kind)<<1|1<<4, byte(len(st.Data)))
		}
		f.Add(w[0], w[1], ops, s.Flow.Mid)
	}
	f.Fuzz(func(t *testing.T, request, response, ops []byte, mid bool) {
		s := wired(nil, nil, 0, mid)
		s.Options["upgraded"] = ""
		log := new(decodetest.Log)
		c := newConn(s, log)
		rest := [2][]byte{request, response}
		at := decode.Mark{Frame: 1, Time: decodetest.Epoch}
		for i := 0; i+1 < len(ops) && i < 400; i += 2 {
			d, n := decode.Dir(ops[i]&1), int(ops[i+1])
			at.Frame += int(ops[i] >> 4 & 1)
			switch ops[i] >> 1 & 7 {
			case 1:
				c.Gap(d, at, n-1)
			case 2:
				c.End(d, at, decode.Fin)
			case 3:
				c.Gap(d, at, n)
				rest[d] = rest[d][min(n, len(rest[d])):]
			default:
				n = min(n, len(rest[d]))
				c.Data(d, at, rest[d][:n])
				rest[d] = rest[d][n:]
			}
		}
		c.End(decode.ToClient, at, decode.Cut)
		c.End(decode.ToServer, at, decode.Cut)
		if err := balanced(log.Lines()); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
	})
}
