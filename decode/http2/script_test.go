package http2

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"mcp401/decode"
	"mcp401/decode/decodetest"
)

// The scripts in testdata write frames as text, which is made hexadecimal
// before decodetest reads it:
//
//	> PREFACE
//	> SETTINGS 0 | 4096 at 1           pairs of value and identifier
//	> HEADERS 1 END_STREAM PADDED=3 PRIORITY SPLIT=9 | :method: GET | !authorization: x
//	> CONTINUATION 1                   the rest of a split block; SPLIT again
//	> PUSH_PROMISE 1 PROMISED=2 | :method: GET
//	> DATA 1 END_STREAM | some text
//	> RST_STREAM 1 CODE=8
//	> GOAWAY 0 LAST=1
//	> 0xbe 0 FLAGS=0xff | text         a type by number: the payload as it is
//
// ">-" instead of ">" changes the encoder's table and is not on the wire. "!"
// before a field keeps it out of the table, "?" makes it a literal without
// Huffman coding. TABLE=n changes the size of the encoder's table before.

// An assembler makes bytes of lines.
type assembler struct {
	enc  [2]*hpack.Encoder
	out  [2]*bytes.Buffer
	rest [2][]byte // of a split block
}

func newAssembler() *assembler {
	a := new(assembler)
	for i := range a.enc {
		a.out[i] = new(bytes.Buffer)
		a.enc[i] = hpack.NewEncoder(a.out[i])
		a.enc[i].SetMaxDynamicTableSizeLimit(1 << 20)
	}
	return a
}

var types = []string{"DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"}

func (a *assembler) line(d decode.Dir, text string) ([]byte, error) {
	parts := strings.Split(text, " | ")
	words := strings.Fields(parts[0])
	if words[0] == "PREFACE" {
		return []byte(preface), nil
	}
	typ, raw := -1, false
	for i, name := range types {
		if name == words[0] {
			typ = i
		}
	}
	if typ < 0 {
		n, err := strconv.ParseUint(words[0], 0, 8)
		if err != nil {
			return nil, err
		}
		typ, raw = int(n), true
	}
	id := 0
	flags := 0
	opt := map[string]int{}
	for i, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		n, err := strconv.ParseInt(v, 0, 64)
		switch {
		case i == 0:
			n, err = strconv.ParseInt(w, 0, 64)
			id = int(n)
		case w == "END_STREAM" || w == "ACK":
			flags, err = flags|1, nil
		case w == "PRIORITY":
			flags, err = flags|flagPriority, nil
		case k == "PADDED":
			flags |= flagPadded
			opt[k] = int(n)
		default:
			opt[k] = int(n)
		}
		if err != nil {
			return nil, err
		}
	}
	var p []byte
	if flags&flagPadded != 0 {
		p = append(p, byte(opt["PADDED"]))
	}
	kind := typ
	if raw {
		kind = 0
	}
	switch kind {
	case frameHeaders, framePush, frameContinuation:
		if flags&flagPriority != 0 {
			p = append(p, 0, 0, 0, 0, 15)
		}
		if typ == framePush {
			p = binary.BigEndian.AppendUint32(p, uint32(opt["PROMISED"]))
		}
		b := a.rest[d]
		if typ != frameContinuation {
			b = a.fields(d, opt, parts[1:])
		}
		if n, ok := opt["SPLIT"]; ok {
			p, a.rest[d] = append(p, b[:n]...), b[n:]
		} else {
			p, a.rest[d] = append(p, b...), nil
			flags |= flagEndHeaders
		}
	case frameReset:
		p = binary.BigEndian.AppendUint32(p, uint32(opt["CODE"]))
	case frameGoAway:
		p = binary.BigEndian.AppendUint32(p, uint32(opt["LAST"]))
		p = binary.BigEndian.AppendUint32(p, uint32(opt["CODE"]))
	case frameSettings:
		for _, f := range parts[1:] {
			v, k, _ := strings.Cut(f, " at ")
			vn, _ := strconv.Atoi(v)
			kn, _ := strconv.Atoi(k)
			p = binary.BigEndian.AppendUint16(p, uint16(kn))
			p = binary.BigEndian.AppendUint32(p, uint32(vn))
		}
	case frameWindow:
		p = binary.BigEndian.AppendUint32(p, 65535)
	case framePing:
		p = append(p, "pingping"...)
	case framePriority:
		p = append(p, 0, 0, 0, 0, 15)
	default:
		for _, text := range parts[1:] {
			if n, ok := opt["TIMES"]; ok {
				text = strings.Repeat(text, n)
			}
			s, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
			if err != nil {
				return nil, err
			}
			p = append(p, s...)
		}
	}
	if flags&flagPadded != 0 {
		p = append(p, make([]byte, opt["PADDED"])...)
	}
	if f, ok := opt["FLAGS"]; ok {
		flags = f
	}
	return appendFrame(nil, byte(typ), byte(flags), uint32(id), p), nil
}

func appendFrame(b []byte, typ, flags byte, id uint32, p []byte) []byte {
	b = append(b, byte(len(p)>>16), byte(len(p)>>8), byte(len(p)), typ, flags)
	b = binary.BigEndian.AppendUint32(b, id)
	return append(b, p...)
}

// fields encodes a header block.
func (a *assembler) fields(d decode.Dir, opt map[string]int, fields []string) []byte {
	a.out[d].Reset()
	if n, ok := opt["TABLE"]; ok {
		a.enc[d].SetMaxDynamicTableSize(uint32(n))
	}
	for _, f := range fields {
		raw := strings.HasPrefix(f, "?")
		secret := strings.HasPrefix(f, "!")
		f = strings.TrimLeft(f, "?!")
		i := strings.Index(f[1:], ":") + 1
		name, value := f[:i], strings.TrimSpace(f[i+1:])
		if n, ok := opt["TIMES"]; ok && strings.Contains(value, "*") {
			value = strings.Repeat(strings.Trim(value, "*"), n)
		}
		if raw {
			a.out[d].Write([]byte{0x10, byte(len(name))})
			a.out[d].WriteString(name)
			a.out[d].WriteByte(byte(len(value)))
			a.out[d].WriteString(value)
			continue
		}
		a.enc[d].WriteField(hpack.HeaderField{Name: name, Value: value, Sensitive: secret})
	}
	return bytes.Clone(a.out[d].Bytes())
}

// expand makes a script of decodetest of one with frames in text.
func expand(b []byte) ([]byte, error) {
	a := newAssembler()
	var out bytes.Buffer
	wire := false
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "-- ") {
			wire = line == "-- wire --\n"
		}
		text := strings.TrimRight(line, "\n")
		if !wire || len(text) < 2 || text[0] != '>' && text[0] != '<' || text[1] != ' ' && text[1] != '-' {
			out.WriteString(line)
			continue
		}
		d := decode.ToServer
		if text[0] == '<' {
			d = decode.ToClient
		}
		p, err := a.line(d, text[2:])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", text, err)
		}
		if text[1] == ' ' {
			fmt.Fprintf(&out, "%cx %s\n", text[0], hex.EncodeToString(p))
		}
	}
	return out.Bytes(), nil
}

// scripts loads all conversations. With decodetest.Update in the environment,
// what is told is written into them first.
func scripts(t testing.TB) map[string]*decodetest.Script {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts")
	}
	all := map[string]*decodetest.Script{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s := parse(t, f, b)
		if os.Getenv(decodetest.Update) != "" {
			before, _, _ := bytes.Cut(b, []byte("-- want --\n"))
			s.Want = play(s).String()
			if err := os.WriteFile(f, append(before, "-- want --\n"+s.Want...), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		all[strings.TrimSuffix(filepath.Base(f), ".txtar")] = s
	}
	return all
}

func parse(t testing.TB, file string, b []byte) *decodetest.Script {
	b, err := expand(b)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	s, err := decodetest.Parse(file, b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// play gives the steps of a script to a fresh decoder.
func play(s *decodetest.Script) *decodetest.Log {
	log := new(decodetest.Log)
	c := newConn(s, log)
	for _, st := range s.Steps {
		switch st.Kind {
		case decodetest.Data:
			c.Data(st.Dir, st.At, st.Data)
		case decodetest.Gap:
			c.Gap(st.Dir, st.At, st.N)
		case decodetest.End:
			c.End(st.Dir, st.At, st.Why)
		}
	}
	return log
}
