package quic

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// The ClientHello of RFC 9001 appendix A.2, with the head of its CRYPTO frame.
const rfcFrames = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e868" +
	"04fe3a47f06a2b69484c00000413011302010000c000000010000e00000b6578" +
	"616d706c652e636f6dff01000100000a00080006001d00170018001000070005" +
	"04616c706e000500050100000000003300260024001d00209370b2c9caa47fba" +
	"baf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b000302030400" +
	"0d0010000e0403050306030203080408050806002d00020101001c0002400100" +
	"3900320408ffffffffffffffff05048000ffff07048000ffff08011001048000" +
	"75300901100f088394c8f03e51570806048000ffff"

const rfcID = "8394c8f03e515708"

func unhex(t testing.TB, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A packet is an Initial packet to be sealed.
type packet struct {
	version version
	id      []byte
	token   string
	number  uint32
	frames  []byte // padded to 1162 bytes
	size    int    // of the packet number
}

func label(secret []byte, name string, n int) []byte {
	info := string([]byte{0, byte(n), byte(6 + len(name))}) + "tls13 " + name + "\x00"
	b, err := hkdf.Expand(sha256.New, secret, info, n)
	if err != nil {
		panic(err)
	}
	return b
}

// seal protects a packet as RFC 9001 section 5 says.
func (p packet) seal() []byte {
	if p.size == 0 {
		p.size = 4
	}
	plain := append(bytes.Clone(p.frames), make([]byte, max(0, 1162-len(p.frames)))...)
	b := []byte{0xc0 | p.version.initial<<4 | byte(p.size-1)}
	b = binary.BigEndian.AppendUint32(b, p.version.number)
	b = append(append(b, byte(len(p.id))), p.id...)
	b = append(b, 0)
	b = append(append(b, byte(len(p.token))), p.token...)
	b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(p.size+len(plain)+tag))
	number := binary.BigEndian.AppendUint32(nil, p.number)
	at := len(b)
	b = append(b, number[4-p.size:]...)

	initial, _ := hkdf.Extract(sha256.New, p.id, []byte(p.version.salt))
	secret := label(initial, "client in", 32)
	nonce := label(secret, p.version.iv, 12)
	for i, x := range number {
		nonce[8+i] ^= x
	}
	block, _ := aes.NewCipher(label(secret, p.version.key, 16))
	gcm, _ := cipher.NewGCM(block)
	sealed := gcm.Seal(bytes.Clone(b), nonce, plain, b)
	hp, _ := aes.NewCipher(label(secret, p.version.protects, 16))
	var mask [16]byte
	hp.Encrypt(mask[:], sealed[at+4:at+20])
	sealed[0] ^= mask[0] & 0x0f
	for i := range p.size {
		sealed[at+i] ^= mask[1+i]
	}
	return sealed
}

func rfcPacket(t testing.TB) packet {
	return packet{version: versions[0], id: unhex(t, rfcID), number: 2, frames: unhex(t, rfcFrames)}
}

// The packet of RFC 9001 appendix A.2, of which the begin and the end stand
// here.
func TestRFC9001(t *testing.T) {
	p := rfcPacket(t).seal()
	begin, end := unhex(t, "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11"), unhex(t, "e221af44860018ab0856972e194cd934")
	if len(p) != 1200 || !bytes.HasPrefix(p, begin) || !bytes.HasSuffix(p, end) {
		t.Fatalf("the packet is not that of the RFC: %x", p)
	}
	before := bytes.Clone(p)
	if name, ok := Initial(p); name != "example.com" || !ok {
		t.Errorf("got %q, %v", name, ok)
	}
	if !bytes.Equal(p, before) {
		t.Error("the datagram was changed")
	}
}

// hello is the ClientHello of a real client.
func hello(t testing.TB, name string) []byte {
	c := tls.QUICClient(&tls.QUICConfig{TLSConfig: &tls.Config{ServerName: name, MinVersion: tls.VersionTLS13, NextProtos: []string{"h3"}}})
	c.SetTransportParameters(nil)
	if err := c.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for {
		switch e := c.NextEvent(); e.Kind {
		case tls.QUICWriteData:
			return bytes.Clone(e.Data)
		case tls.QUICNoEvent:
			t.Fatal("no hello")
		}
	}
}

func frame(off int, p []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{frameCrypto}, 0x80000000|uint32(off))
	b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(len(p)))
	return append(b, p...)
}

func TestFrames(t *testing.T) {
	h := hello(t, "mcp.example.org")
	join := func(all ...[]byte) []byte { return bytes.Join(all, nil) }
	ack := []byte{frameAck, 5, 0, 1, 0, 1, 1}
	ecn := []byte{frameAckECN, 5, 0, 0, 0, 1, 1, 1}
	for name, c := range map[string]struct {
		frames []byte
		want   string
		ok     bool
	}{
		"one":             {frame(0, h), "mcp.example.org", true},
		"shuffled":        {join([]byte{framePing, 0, 0}, frame(100, h[100:]), ack, frame(0, h[:60]), ecn, frame(50, h[50:100])), "mcp.example.org", true},
		"the begin only":  {frame(0, h[:30]), "", true},
		"a part missing":  {join(frame(40, h[40:]), frame(0, h[:10])), "", true},
		"beyond":          {join(frame(mostHello, h), frame(0, h)), "mcp.example.org", true},
		"closed":          {join(frame(0, h), []byte{frameClose, 1, 2}), "mcp.example.org", true},
		"no such frame":   {[]byte{0x30}, "", false},
		"cut ack":         {append(bytes.Repeat([]byte{0}, 1161), frameAck), "", false},
		"cut frame":       {append(bytes.Repeat([]byte{0}, 1155), frame(0, nil)[:7]...), "", true},
		"absurd length":   {append([]byte{frameCrypto, 0}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), "", false},
		"not a hello":     {frame(0, []byte("\x02text")), "", true},
		"nothing":         {nil, "", true},
		"too many frames": {join(bytes.Repeat([]byte{framePing}, mostFrame), frame(0, h)), "", true},
	} {
		p := rfcPacket(t)
		p.frames = c.frames
		if got, ok := Initial(p.seal()); got != c.want || ok != c.ok {
			t.Errorf("%s: got %q, %v", name, got, ok)
		}
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"":                                "",
		"a.example":                       "a.example",
		"192.0.2.1":                       "", // clients leave addresses out
		strings.Repeat("a.", 60) + "test": strings.Repeat("a.", 60) + "test",
	} {
		cfg := name
		p := rfcPacket(t)
		if cfg == "" {
			h := hello(t, "x.example")
			p.frames = frame(0, bytes.Replace(h, []byte("x.example"), []byte("x\x1b[31mple"), 1))
		} else {
			p.frames = frame(0, hello(t, cfg))
		}
		if got, ok := Initial(p.seal()); got != want || !ok {
			t.Errorf("%q: got %q, %v", name, got, ok)
		}
	}
}

func TestHeaders(t *testing.T) {
	p := rfcPacket(t)
	for _, v := range versions {
		for size := 1; size <= 4; size++ {
			p.version, p.size, p.number, p.token = v, size, 1, "a token"
			behind := append(p.seal(), "another packet"...)
			if got, ok := Initial(behind); got != "example.com" || !ok {
				t.Errorf("version %#x, number of %d bytes: got %q, %v", v.number, size, got, ok)
			}
		}
	}
	good := rfcPacket(t).seal()
	for name, change := range map[string]func(b []byte) []byte{
		"short header": func(b []byte) []byte { b[0] &= 0x7f; return b },
		"0-RTT":        func(b []byte) []byte { b[0] |= 0x10; return b },
		"version":      func(b []byte) []byte { b[4] = 9; return b },
		"long id":      func(b []byte) []byte { b[5] = 21; return b },
		"bad tag":      func(b []byte) []byte { b[len(b)-1]++; return b },
		"bad id":       func(b []byte) []byte { b[6]++; return b },
		"bad length":   func(b []byte) []byte { b[16], b[17] = 0x40, 3; return b },
	} {
		if got, ok := Initial(change(bytes.Clone(good))); ok {
			t.Errorf("%s: got %q", name, got)
		}
	}
	for i := range good {
		if got, ok := Initial(good[:i]); ok {
			t.Errorf("cut at %d: got %q", i, got)
		}
	}
}

// FuzzInitialNeverPanics gives it datagrams as they are, and the same bytes as
// the frames of a packet that is well sealed.
func FuzzInitialNeverPanics(f *testing.F) {
	f.Add(rfcPacket(f).seal())
	f.Add(unhex(f, rfcFrames))
	f.Add(frame(3, []byte("abc")))
	f.Fuzz(func(t *testing.T, b []byte) {
		Initial(b)
		if len(b) > 4000 {
			return
		}
		p := rfcPacket(t)
		p.frames = b
		name, ok := Initial(p.seal())
		if name != "" && (!ok || !isName([]byte(name))) {
			t.Errorf("name %q, %v", name, ok)
		}
		if name := nameOf(b); name != "" && !isName([]byte(name)) {
			t.Errorf("name %q", name)
		}
	})
}

func BenchmarkInitial(b *testing.B) {
	p := rfcPacket(b).seal()
	b.ReportAllocs()
	for b.Loop() {
		Initial(p)
	}
}

func BenchmarkOther(b *testing.B) {
	p := rfcPacket(b).seal()
	p[0] = 0x40
	b.ReportAllocs()
	for b.Loop() {
		Initial(p)
	}
}
