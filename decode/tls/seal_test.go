package tls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mcp401/decode"
	"mcp401/decode/decodetest"
)

// A sealer is a peer for what crypto/tls does not do: it makes hellos and
// protects records under secrets that are made up.
type sealer struct {
	id      uint16
	suite   suite
	secrets map[string][]byte
	random  [32]byte // in the key log
	steps   []decodetest.Step
	open    [2]*opener
	secret  [2][]byte
	seq     [2]uint64
	version uint16
}

func newSealer(id uint16) *sealer {
	s := &sealer{id: id, secrets: map[string][]byte{}, version: version13}
	s.suite, _ = suiteOf(id)
	for i := range s.random {
		s.random[i] = byte(i + 1)
	}
	for i, l := range []string{"CLIENT_EARLY_TRAFFIC_SECRET", "CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"} {
		b := make([]byte, s.suite.prf().Size())
		for j := range b {
			b[j] = byte(i*50 + j)
		}
		s.secrets[l] = b
	}
	return s
}

// keylog returns the lines of a key log without those that are left out.
func (s *sealer) keylog(without ...string) []byte {
	var b strings.Builder
	for l, secret := range s.secrets {
		if !slices.Contains(without, l) {
			fmt.Fprintf(&b, "%s %x %x\n", l, s.random, secret)
		}
	}
	return []byte(b.String())
}

func (s *sealer) raw(d decode.Dir, typ byte, body []byte) {
	b := append([]byte{typ, 3, 3, byte(len(body) >> 8), byte(len(body))}, body...)
	s.steps = append(s.steps, decodetest.Step{Dir: d, At: decode.Mark{Frame: len(s.steps) + 1}, Data: b})
}

func message(typ byte, body ...byte) []byte {
	return append([]byte{typ, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body))}, body...)
}

func ext(id uint16, b ...byte) []byte {
	e := binary.BigEndian.AppendUint16(nil, id)
	e = binary.BigEndian.AppendUint16(e, uint16(len(b)))
	return append(e, b...)
}

func (s *sealer) clientHello(random [32]byte, exts ...[]byte) {
	b := append([]byte{3, 3}, random[:]...)
	b = append(b, 0, 0, 2, byte(s.id>>8), byte(s.id), 1, 0)
	e := slices.Concat(exts...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
	s.raw(decode.ToServer, handshakeRecord, message(clientHello, append(b, e...)...))
}

func (s *sealer) serverHello(random [32]byte, exts ...[]byte) {
	b := append([]byte{3, 3}, random[:]...)
	b = append(b, 0, byte(s.id>>8), byte(s.id), 0)
	e := slices.Concat(exts...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(e)))
	s.raw(decode.ToClient, handshakeRecord, message(serverHello, append(b, e...)...))
}

var version13Ext = ext(extSupportedVersions, 3, 4)

// key begins a phase of TLS 1.3.
func (s *sealer) key(d decode.Dir, secret []byte) {
	s.secret[d], s.open[d], s.seq[d] = secret, s.suite.opener13(secret, s.version != version13), 0
}

func (s *sealer) use(d decode.Dir, label string) { s.key(d, s.secrets[label]) }

// seal sends a record of TLS 1.3.
func (s *sealer) seal(d decode.Dir, typ byte, p []byte, pad int) {
	o := s.open[d]
	p = append(append(slices.Clone(p), typ), make([]byte, pad)...)
	n := len(p) + o.tag
	hdr := []byte{applicationData, 3, 3, byte(n >> 8), byte(n)}
	nonce := o.iv
	for i := range 8 {
		nonce[4+i] ^= byte(s.seq[d] >> (56 - 8*i))
	}
	s.seq[d]++
	aad := hdr
	if o.bare {
		aad = nil
	}
	s.raw(d, applicationData, o.aead.Seal(nil, nonce[:], p, aad))
}

func (s *sealer) app(d decode.Dir, text string) { s.seal(d, applicationData, []byte(text), 0) }

func (s *sealer) update(d decode.Dir) {
	s.seal(d, handshakeRecord, message(keyUpdate, 0), 0)
	s.key(d, s.suite.expand(s.secret[d], "traffic upd", len(s.secret[d])))
}

// serverFlight is what follows the ServerHello.
func (s *sealer) serverFlight(exts ...[]byte) {
	s.use(decode.ToClient, "SERVER_HANDSHAKE_TRAFFIC_SECRET")
	e := slices.Concat(exts...)
	all := message(encryptedExtensions, append([]byte{byte(len(e) >> 8), byte(len(e))}, e...)...)
	all = append(all, message(certificate, 0, 0, 0, 0)...)
	all = append(all, message(15, make([]byte, 70)...)...)
	all = append(all, message(finished, make([]byte, s.suite.prf().Size())...)...)
	s.seal(decode.ToClient, handshakeRecord, all[:20], 0)
	s.seal(decode.ToClient, handshakeRecord, all[20:], 3)
	s.use(decode.ToClient, "SERVER_TRAFFIC_SECRET_0")
}

func (s *sealer) clientFinished() {
	s.use(decode.ToServer, "CLIENT_HANDSHAKE_TRAFFIC_SECRET")
	s.seal(decode.ToServer, handshakeRecord, message(finished, make([]byte, s.suite.prf().Size())...), 0)
	s.use(decode.ToServer, "CLIENT_TRAFFIC_SECRET_0")
}

func alpn(name string) []byte {
	return ext(extALPN, append([]byte{0, byte(len(name) + 1), byte(len(name))}, name...)...)
}

func (s *sealer) handshake() {
	s.clientHello(s.random)
	s.serverHello([32]byte{1}, version13Ext)
	s.serverFlight(alpn("http/1.1"))
	s.clientFinished()
}

func (s *sealer) close() {
	for _, d := range []decode.Dir{decode.ToServer, decode.ToClient} {
		s.seal(d, alertRecord, []byte{1, 0}, 0)
		s.steps = append(s.steps, decodetest.Step{Kind: decodetest.End, Dir: d, At: decode.Mark{Frame: len(s.steps) + 1}, Why: decode.Fin})
	}
}

var short = []string{">ping", "<pong", ">more", "<enough"}

func (s *sealer) talk(lines []string) {
	for _, l := range lines {
		s.app(decode.Dir(strings.IndexByte("><", l[0])), l[1:])
	}
}

func (s *sealer) check(t *testing.T, keys []byte, lines []string) *heard {
	t.Helper()
	h := listen(s.steps, keys)
	h.want(t, lines)
	return h
}

func TestSuites13(t *testing.T) {
	for id := uint16(0x1301); id <= 0x1305; id++ {
		s := newSealer(id)
		s.handshake()
		s.talk(short)
		s.close()
		i := s.check(t, s.keylog(), short).info
		if i.Suite != suiteName(id) || i.ALPN != "http/1.1" {
			t.Errorf("%+v", i)
		}
		rec := &recording{steps: s.steps}
		harness(t, rec, s.keylog(), told("open  http/1.1 1.3 "+i.Suite, short))

		// The ServerHello is lost: the suite is found by trying.
		lost := slices.Clone(s.steps)
		lost[1] = decodetest.Step{Kind: decodetest.Gap, Dir: decode.ToClient, N: -1}
		h := listen(lost, s.keylog())
		h.want(t, short)
		if h.info.Suite != suiteName(id) {
			t.Errorf("%+v", h.info)
		}
	}
}

func TestKeyUpdate(t *testing.T) {
	s := newSealer(0x1302)
	s.handshake()
	s.talk(short)
	for range 3 {
		s.update(decode.ToServer)
		s.talk(short)
		s.update(decode.ToClient)
		s.talk(short)
	}
	s.close()
	lines := slices.Concat(short, short, short, short, short, short, short)
	s.check(t, s.keylog(), lines)

	// A KeyUpdate in a hole is found by trying.
	for i, st := range s.steps {
		if st.Kind == decodetest.Data && len(st.Data) == headerLen+5+17 && i > 6 {
			lost := slices.Clone(s.steps)
			lost[i].Kind, lost[i].N = decodetest.Gap, len(st.Data)
			h := listen(lost, s.keylog())
			if h.text[0].Len()+h.text[1].Len() < len(strings.Join(lines, ""))-len(lines) {
				t.Fatalf("%d: %q %q %v", i, &h.text[0], &h.text[1], h.codes)
			}
		}
	}
}

func TestDraft(t *testing.T) {
	for _, n := range []byte{18, 23, 26, 28} {
		s := newSealer(0x1301)
		if n < 25 {
			s.version = draft<<8 | uint16(n)
		}
		s.clientHello(s.random)
		if n < 22 {
			b := append([]byte{draft, n}, make([]byte, 32)...)
			s.raw(decode.ToClient, handshakeRecord, message(serverHello, append(b, 0x13, 1, 0, 0)...))
		} else {
			s.serverHello([32]byte{1}, ext(extSupportedVersions, draft, n))
		}
		s.serverFlight()
		s.clientFinished()
		s.talk(short)
		if v := s.check(t, s.keylog(), short).info.Version; v != fmt.Sprint("1.3 draft ", n) {
			t.Error(v)
		}
	}
}

func TestApplicationSecretsOnly(t *testing.T) {
	s := newSealer(0x1303)
	s.handshake()
	s.talk(short)
	s.close()
	s.check(t, s.keylog("CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET"), short)
	h := listen(s.steps, s.keylog("CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"))
	if i := h.info; i.Decrypted || i.Why != noKey || i.ALPN != "http/1.1" {
		t.Errorf("%+v", i)
	}
}

func TestEarlyData(t *testing.T) {
	make13 := func(accepted, retry bool) *sealer {
		s := newSealer(0x1301)
		early := ext(extEarlyData)
		s.clientHello(s.random, early)
		s.raw(decode.ToServer, changeCipherSpec, []byte{1})
		s.use(decode.ToServer, "CLIENT_EARLY_TRAFFIC_SECRET")
		s.app(decode.ToServer, "early ")
		s.app(decode.ToServer, "bird ")
		if retry {
			s.serverHello(retryRandom, version13Ext)
			s.clientHello(s.random)
		}
		s.serverHello([32]byte{1}, version13Ext, ext(extPreSharedKey, 0, 0))
		if accepted {
			s.serverFlight(early)
			s.seal(decode.ToServer, handshakeRecord, message(endOfEarlyData), 0)
		} else {
			s.serverFlight()
		}
		s.clientFinished()
		s.talk(short)
		s.close()
		return s
	}
	s := make13(true, false)
	h := s.check(t, s.keylog(), append([]string{">early bird "}, short...))
	if !h.info.Early || !h.info.Resumed {
		t.Errorf("%+v", h.info)
	}
	harness(t, &recording{steps: s.steps}, s.keylog(), told("open   1.3 "+h.info.Suite, append([]string{">early bird "}, short...)))

	h = listen(s.steps, s.keylog("CLIENT_EARLY_TRAFFIC_SECRET"))
	if got := h.text[0].String(); got != "\x00?pingmore" || h.text[1].String() != "pongenough" {
		t.Errorf("%q %v", got, h.codes)
	}
	for _, retry := range []bool{false, true} {
		s = make13(false, retry)
		s.check(t, s.keylog(), short)
		s.check(t, s.keylog("CLIENT_EARLY_TRAFFIC_SECRET"), short)
	}
}

// With an encrypted ClientHello the secrets stand under another random.
func TestEncryptedClientHello(t *testing.T) {
	s := newSealer(0x1301)
	s.clientHello([32]byte{0xee}, ext(extECH, 0))
	s.serverHello([32]byte{1}, version13Ext)
	s.serverFlight()
	s.clientFinished()
	s.talk(short)
	s.close()
	otherKeys := newSealer(0x1301)
	otherKeys.random[0] = 0x77
	for l := range otherKeys.secrets {
		otherKeys.secrets[l][0]++
	}
	keys := append(s.keylog(), otherKeys.keylog()...)
	h := s.check(t, keys, short)
	if !slices.Equal(h.codes, []string{"tls/ech"}) || !h.info.ECH {
		t.Error(h.codes)
	}
	if i := listen(s.steps, otherKeys.keylog()).info; i.Why != noKey {
		t.Errorf("%+v", i)
	}
	// The ClientHello is lost: the same.
	lost := slices.Clone(s.steps)
	lost[0] = decodetest.Step{Kind: decodetest.Gap, Dir: decode.ToServer, N: 200}
	h = listen(lost, keys)
	h.want(t, short)
}

// A record that was changed is never told, and those behind it are.
func TestBadTag(t *testing.T) {
	s := newSealer(0x1301)
	s.handshake()
	s.talk(short)
	s.close()
	s.steps[5].Data[headerLen] ^= 1
	h := listen(s.steps, s.keylog())
	if h.text[0].String() != "\x00?more" || h.text[1].String() != "pongenough" || !slices.Equal(h.codes, []string{"tls/bad-tag"}) {
		t.Errorf("%q %q %v", &h.text[0], &h.text[1], h.codes)
	}

	// Wrong secrets.
	s.secrets["CLIENT_TRAFFIC_SECRET_0"][0] ^= 1
	for range 2 * giveUpAfter {
		s.steps = slices.Insert(s.steps, 6, s.steps[5])
	}
	h = listen(s.steps, s.keylog())
	if h.text[0].Len() > 2 || h.ends[0] != decode.Cut || !slices.Contains(h.codes, "tls/lost") {
		t.Errorf("%q %v %v", &h.text[0], h.codes, h.ends)
	}
}

// What is held for later is bounded, and what is beyond the bound costs no
// more than itself.
func TestCiphertextLimits(t *testing.T) {
	s := newSealer(0x1301)
	s.handshake()
	lines := counted(200)
	s.talk(lines)
	s.close()
	for _, lim := range []decode.Limits{{Ciphertext: 8 << 10}, {Ciphertexts: 8 << 10}, {Ciphertext: 1}} {
		keys := NewKeys(lim)
		h := newHeard(keys, Config{Limits: lim})
		h.play(s.steps[:150])
		if keys.held > 12<<10 || h.conn.held > 12<<10 {
			t.Errorf("%d bytes held", keys.held)
		}
		keys.Add(s.keylog())
		keys.Retry(decode.Mark{})
		h.play(s.steps[150:])
		got := h.text[0].String() + h.text[1].String()
		for _, l := range lines[150:] {
			if !strings.Contains(got, l[1:]) {
				t.Fatalf("%+v: lost for good: %.20q %v", lim, l, h.codes)
			}
		}
		if !slices.Contains(h.codes, "limit/ciphertext") {
			t.Error(h.codes)
		}
		if keys.held != 0 || keys.Waiting() != 0 {
			t.Errorf("%d bytes still held", keys.held)
		}
	}
}

// Connections that are over and wait give way to others.
func TestWaitingLimit(t *testing.T) {
	keys := NewKeys(decode.Limits{Ciphertexts: 20 << 10})
	var all []*heard
	for range 50 {
		s := newSealer(0x1301)
		s.handshake()
		s.talk(short)
		s.close()
		all = append(all, newHeard(keys, Config{}).play(s.steps))
		if keys.held > 24<<10 {
			t.Fatal(keys.held)
		}
	}
	if !slices.Equal(all[0].codes, []string{"limit/ciphertext", noKey}) || len(all[49].codes) > 0 || !all[49].conn.Waiting() {
		t.Error(all[0].codes, all[49].codes)
	}
	keys.Add(newSealer(0x1301).keylog())
	keys.Retry(decode.Mark{})
	all[49].want(t, short)
	all[0].want(t, nil)
}

func TestSecretsLimit(t *testing.T) {
	k := NewKeys(decode.Limits{Secrets: 10})
	for i := range 100 {
		k.Add(fmt.Appendf(nil, "CLIENT_RANDOM %064x %096x\r\n# x\n\n", i, i))
	}
	if k.Len() != 10 || k.Dropped() != 90 || len(k.entries) != 10 || len(k.order) != 10 {
		t.Error(k.Len(), k.Dropped(), len(k.entries))
	}
	gen := k.gen
	if k.Add(fmt.Appendf(nil, "CLIENT_RANDOM %064x %096X", 99, 99)); k.gen != gen {
		t.Error("a line that was known is news")
	}
}

func TestKeyLogLines(t *testing.T) {
	r, m := strings.Repeat("0a", 32), strings.Repeat("0B", 48)
	for line, bad := range map[string]int{
		"CLIENT_RANDOM " + r + " " + m: 0, "CLIENT_RANDOM " + r: 1, "CLIENT_RANDOM " + r + " " + m[2:]: 1,
		"CLIENT_RANDOM " + r[2:] + " " + m: 1, "CLIENT_RANDOM " + r + " " + m[1:] + "g": 1, "CLIENT_RANDOM g" + r[1:] + " " + m: 1,
		"SERVER_TRAFFIC_SECRET_0 " + r + " " + r: 0, "CLIENT_RANDOM " + r + " " + r: 1, "EXPORTER_SECRET " + r + " " + r: 0,
		"NEW_SECRET " + r + " " + r: 1, "RSA 0102030405060708 " + m: 0, "RSA x": 1, "RSA Session-ID:01 Master-Key:" + m: 0,
		"RSA Session-ID:01 Master-Key:01": 1, "RSA Session-ID: Master-Key:" + m: 1, "RSA Session-ID:01 Master-Key:g" + m[1:]: 1,
		"RSA Session-ID:01 " + m: 1, "": 0, "# CLIENT_RANDOM": 0, "\r\r\n": 0,
	} {
		if got := NewKeys(decode.Limits{}).Add([]byte(line)); got != bad {
			t.Errorf("%q: %d bad lines, want %d", line, got, bad)
		}
	}
}

// TestSuites12 seals records for each suite by hand.
func TestSuites12(t *testing.T) {
	for id, name := range suites {
		if is13(id) {
			continue
		}
		for _, etm := range []bool{false, true} {
			for _, version := range []uint16{version10, version10 + 1, version12} {
				s, _ := suiteOf(id)
				if s.mac == nil && (etm || version != version12) {
					continue
				}
				m := make([]byte, masterLen)
				_, o := s.openers12(version, etm, m, m[:32], m[:32])
				hdr := [headerLen]byte{applicationData, 3, byte(version)}
				last := slices.Clone(o.last)
				for seq := range uint64(3) {
					text := strings.Repeat("mcp ", 5*int(seq))
					body := sealCBC(t, &s, o, seq, hdr, version, last, text)
					if s.mac == nil {
						body = sealAEAD(o, seq, hdr, text)
					}
					p, ok := o.open(make([]byte, 0, bufLen), seq, &hdr, body)
					if !ok || string(p) != text {
						t.Fatalf("%s %x etm %v: %v %q", name, version, etm, ok, p)
					}
					if _, ok := o.open(make([]byte, 0, bufLen), seq+1, &hdr, body); ok {
						t.Fatalf("%s: a wrong sequence number verifies", name)
					}
					for cut := range len(body) {
						if _, ok := o.open(make([]byte, 0, bufLen), seq, &hdr, body[:cut]); ok {
							t.Fatalf("%s: %d bytes verify", name, cut)
						}
					}
					if n := o.lost(len(body)); n >= 0 && n != len(text) {
						t.Errorf("%s: %d bytes lost, want %d", name, n, len(text))
					}
					o.passed(body)
					last = slices.Clone(o.last)
				}
			}
		}
	}
}

func sealAEAD(o *opener, seq uint64, hdr [headerLen]byte, text string) []byte {
	copy(o.nonce[:], o.iv[:])
	explicit := []byte{9, 8, 7, 6, 5, 4, 3, 2}
	if o.kind == chacha {
		o.xor(seq)
		explicit = nil
	}
	copy(o.nonce[4:], explicit)
	return o.aead.Seal(slices.Clone(explicit), o.nonce[:], []byte(text), slices.Clone(o.header(seq, &hdr, len(text))))
}

func sealCBC(t *testing.T, s *suite, o *opener, seq uint64, hdr [headerLen]byte, version uint16, last []byte, text string) []byte {
	if s.mac == nil {
		return nil
	}
	// The keys, derived once more.
	m := make([]byte, masterLen)
	seed := make([]byte, 64)
	n := 2 * (s.tag + s.key + s.blockSize())
	block := prf10(m, "key expansion", seed, n)
	if version == version12 {
		block = prf12(s.prf, m, "key expansion", seed, n)
	}
	macKey, key := block[s.tag:2*s.tag], block[2*s.tag+s.key:2*s.tag+2*s.key]
	var b cipher.Block
	var err error
	if s.kind == cbc3DES {
		b, err = des.NewTripleDESCipher(key)
	} else {
		b, err = aes.NewCipher(key)
	}
	if err != nil {
		t.Fatal(err)
	}
	sum := func(p []byte) []byte {
		h := hmac.New(s.mac, macKey)
		h.Write(o.header(seq, &hdr, len(p)))
		h.Write(p)
		return h.Sum(nil)
	}
	p := []byte(text)
	if !o.etm {
		p = append(p, sum(p)...)
	}
	pad := b.BlockSize() - 1 - len(p)%b.BlockSize()
	for range pad + 1 {
		p = append(p, byte(pad))
	}
	iv := make([]byte, b.BlockSize())
	if version == version10 {
		copy(iv, last)
	}
	cipher.NewCBCEncrypter(b, iv).CryptBlocks(p, p)
	if version != version10 {
		p = append(iv, p...)
	}
	if o.etm {
		p = append(p, sum(p)...)
	}
	return p
}

// RFC 8448 section 3: the server's handshake traffic secret and what comes of
// it.
func TestVectors13(t *testing.T) {
	secret, _ := hex.DecodeString("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38")
	s, _ := suiteOf(0x1301)
	if got := hex.EncodeToString(s.expand(secret, "key", 16)); got != "3fce516009c21727d0f2e4e86ee403bc" {
		t.Error(got)
	}
	if got := hex.EncodeToString(s.expand(secret, "iv", 12)); got != "5d313eb2671276ee13000b30" {
		t.Error(got)
	}
}

// RFC 3610 section 8 has nonces of 13 bytes; this one, with 12, is of NIST SP
// 800-38C, example 3.
func TestVectorCCM(t *testing.T) {
	key, _ := hex.DecodeString("404142434445464748494a4b4c4d4e4f")
	nonce, _ := hex.DecodeString("101112131415161718191a1b")
	aad, _ := hex.DecodeString("000102030405060708090a0b0c0d0e0f10111213")
	b, _ := aes.NewCipher(key)
	c := newCCM(b, 8)
	p := make([]byte, 24)
	for i := range p {
		p[i] = byte(0x20 + i)
	}
	const want = "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951"
	got := c.Seal(nil, nonce, p, aad)
	if hex.EncodeToString(got) != want {
		t.Errorf("%x", got)
	}
	if back, err := c.Open(nil, nonce, got, aad); err != nil || string(back) != string(p) {
		t.Error(err)
	}
	if c.NonceSize() != 12 || c.Overhead() != 8 {
		t.Error("sizes")
	}
}
