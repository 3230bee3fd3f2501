package tls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/binary"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

// An opener decrypts the records of one direction under one key. What it
// returns is authenticated.
type opener struct {
	kind  kind
	v13   bool
	bare  bool // TLS 1.3 before draft 25: the header is not authenticated
	etm   bool
	tag   int
	aead  cipher.AEAD
	iv    [12]byte // AEAD: the fixed part of the nonce
	nonce [12]byte
	aad   [13]byte

	cbc   blockMode
	block int
	mac   hash.Hash
	sum   []byte
	last  []byte // TLS 1.0: the last block of the record before
	chain bool   // TLS 1.0: the IV is that block
}

// A blockMode is a cipher.BlockMode whose IV can be set, as those of the
// standard library can.
type blockMode interface {
	cipher.BlockMode
	SetIV([]byte)
}

// open decrypts a record into dst[:0], which has room for it. body is not
// changed.
func (o *opener) open(dst []byte, seq uint64, hdr *[headerLen]byte, body []byte) ([]byte, bool) {
	switch {
	case o.aead == nil:
		return o.openCBC(dst, seq, hdr, body)
	case o.v13:
		return o.open13(dst, seq, hdr, body)
	}
	copy(o.nonce[:], o.iv[:])
	explicit := 8
	if o.kind == chacha {
		explicit = 0
		o.xor(seq)
	}
	n := len(body) - explicit - o.tag
	if n < 0 {
		return nil, false
	}
	copy(o.nonce[4:], body[:explicit])
	p, err := o.aead.Open(dst[:0], o.nonce[:], body[explicit:], o.header(seq, hdr, n))
	return p, err == nil
}

// open13 decrypts a record of TLS 1.3 (RFC 9846 section 5.2). The plaintext
// still has its padding and type.
func (o *opener) open13(dst []byte, seq uint64, hdr *[headerLen]byte, body []byte) ([]byte, bool) {
	if len(body) < o.tag {
		return nil, false
	}
	copy(o.nonce[:], o.iv[:])
	o.xor(seq)
	aad := o.aad[:copy(o.aad[:], hdr[:])]
	if o.bare {
		aad = nil
	}
	p, err := o.aead.Open(dst[:0], o.nonce[:], body, aad)
	return p, err == nil
}

func (o *opener) xor(seq uint64) {
	n := o.nonce[4:]
	binary.BigEndian.PutUint64(n, binary.BigEndian.Uint64(n)^seq)
}

// header is what TLS up to 1.2 authenticates beside the content.
func (o *opener) header(seq uint64, hdr *[headerLen]byte, n int) []byte {
	binary.BigEndian.PutUint64(o.aad[:], seq)
	o.aad[8], o.aad[9], o.aad[10] = hdr[0], hdr[1], hdr[2]
	binary.BigEndian.PutUint16(o.aad[11:], uint16(n))
	return o.aad[:]
}

// openCBC decrypts a record of a CBC suite: MAC then encrypt (RFC 5246 section
// 6.2.3.2) or encrypt then MAC (RFC 7366).
func (o *opener) openCBC(dst []byte, seq uint64, hdr *[headerLen]byte, body []byte) ([]byte, bool) {
	b := body
	if o.etm {
		n := len(b) - o.tag
		if n < 0 || !o.verify(b[n:], o.header(seq, hdr, n), b[:n]) {
			return nil, false
		}
		b = b[:n]
	}
	iv := o.last
	if !o.chain {
		if len(b) < o.block {
			return nil, false
		}
		iv, b = b[:o.block], b[o.block:]
	}
	if len(iv) != o.block || len(b) == 0 || len(b)%o.block != 0 {
		return nil, false
	}
	o.cbc.SetIV(iv)
	p := dst[:len(b)]
	o.cbc.CryptBlocks(p, b)
	pad := int(p[len(p)-1])
	n := len(p) - 1 - pad
	if n < 0 {
		return nil, false
	}
	for _, x := range p[n:] {
		if int(x) != pad {
			return nil, false
		}
	}
	if o.etm {
		return p[:n], true
	}
	if n -= o.tag; n < 0 || !o.verify(p[n:n+o.tag], o.header(seq, hdr, n), p[:n]) {
		return nil, false
	}
	return p[:n], true
}

func (o *opener) verify(tag, header, p []byte) bool {
	o.mac.Reset()
	o.mac.Write(header)
	o.mac.Write(p)
	o.sum = o.mac.Sum(o.sum[:0])
	return subtle.ConstantTimeCompare(o.sum[:o.tag], tag) == 1
}

// passed takes down what the next record needs of one that is over, opened or
// not.
func (o *opener) passed(body []byte) {
	if o.chain && len(body) >= o.block {
		if o.etm && len(body) >= o.block+o.tag {
			body = body[:len(body)-o.tag]
		}
		o.last = append(o.last[:0], body[len(body)-o.block:]...)
	}
}

// lost returns how many bytes of content a record held that was not captured,
// or -1.
func (o *opener) lost(n int) int {
	switch {
	case o.aead == nil:
		return -1
	case o.v13:
		n -= o.tag + 1
	case o.kind == chacha:
		n -= o.tag
	default:
		n -= o.tag + 8
	}
	return max(n, -1)
}

// aeadOf returns the cipher of a suite. The key has the right length.
func (s *suite) aeadOf(key []byte) cipher.AEAD {
	if s.kind == chacha {
		a, err := chacha20poly1305.New(key)
		must(err)
		return a
	}
	b, err := aes.NewCipher(key)
	must(err)
	if s.kind == ccm {
		return newCCM(b, s.tag)
	}
	a, err := cipher.NewGCM(b)
	must(err)
	return a
}

func must(err error) {
	if err != nil {
		panic("internal error: tls: " + err.Error())
	}
}

// opener13 derives the keys of a traffic secret (RFC 9846 section 7.3).
func (s *suite) opener13(secret []byte, bare bool) *opener {
	o := &opener{kind: s.kind, v13: true, bare: bare, tag: s.tag}
	o.aead = s.aeadOf(s.expand(secret, "key", s.key))
	copy(o.iv[:], s.expand(secret, "iv", len(o.iv)))
	return o
}

// expand is HKDF-Expand-Label without a context (RFC 9846 section 7.1).
func (s *suite) expand(secret []byte, label string, n int) []byte {
	info := make([]byte, 0, 32)
	info = binary.BigEndian.AppendUint16(info, uint16(n))
	info = append(info, byte(len("tls13 ")+len(label)))
	info = append(info, "tls13 "...)
	info = append(info, label...)
	info = append(info, 0)
	out, err := hkdf.Expand(s.prf, secret, string(info), n)
	must(err)
	return out
}

// openers12 derives the keys of both directions from a master secret (RFC 5246
// section 6.3).
func (s *suite) openers12(version uint16, etm bool, master, clientRandom, serverRandom []byte) (client, server *opener) {
	seed := append(append(make([]byte, 0, 64), serverRandom...), clientRandom...)
	mac, iv := 0, 4
	switch s.kind {
	case chacha:
		iv = 12
	case cbc, cbc3DES:
		mac, iv = s.tag, 0
		if version == version10 {
			iv = s.blockSize()
		}
	}
	n := 2 * (mac + s.key + iv)
	var block []byte
	if version >= version12 {
		block = prf12(s.prf, master, "key expansion", seed, n)
	} else {
		block = prf10(master, "key expansion", seed, n)
	}
	cut := func(n int) (b []byte) { b, block = block[:n], block[n:]; return b }
	macs, keys, ivs := [2][]byte{cut(mac), cut(mac)}, [2][]byte{cut(s.key), cut(s.key)}, [2][]byte{cut(iv), cut(iv)}
	var both [2]*opener
	for i := range both {
		o := &opener{kind: s.kind, etm: etm, tag: s.tag}
		if mac == 0 {
			o.aead = s.aeadOf(keys[i])
			copy(o.iv[:], ivs[i])
		} else {
			s.initCBC(o, keys[i], macs[i])
			if o.chain = version == version10; o.chain {
				o.last = append(o.last, ivs[i]...)
			}
		}
		both[i] = o
	}
	return both[0], both[1]
}

func (s *suite) blockSize() int {
	if s.kind == cbc3DES {
		return des.BlockSize
	}
	return aes.BlockSize
}

func (s *suite) initCBC(o *opener, key, mac []byte) {
	var b cipher.Block
	var err error
	if s.kind == cbc3DES {
		b, err = des.NewTripleDESCipher(key)
	} else {
		b, err = aes.NewCipher(key)
	}
	must(err)
	o.block = b.BlockSize()
	o.cbc = cipher.NewCBCDecrypter(b, make([]byte, o.block)).(blockMode)
	o.mac = hmac.New(s.mac, mac)
}

// prf12 is P_hash of a label and a seed (RFC 5246 section 5).
func prf12(h func() hash.Hash, secret []byte, label string, seed []byte, n int) []byte {
	mac := hmac.New(h, secret)
	seed = append([]byte(label), seed...)
	mac.Write(seed)
	a := mac.Sum(nil)
	out := make([]byte, 0, n+mac.Size())
	for len(out) < n {
		mac.Reset()
		mac.Write(a)
		mac.Write(seed)
		out = mac.Sum(out)
		mac.Reset()
		mac.Write(a)
		a = mac.Sum(a[:0])
	}
	return out[:n]
}
