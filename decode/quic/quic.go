// Package quic recognises the first packet of a QUIC client and reads the
// server name in it. It decodes nothing else: what follows is encrypted with
// keys that the packets do not give.
//
// The one trick: the first packets are protected with keys that are derived
// from a number in their own header (RFC 9001 section 5.2), so that anybody who
// sees them can read them.
package quic

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
)

// A version is what is particular to a version of QUIC.
type version struct {
	number   uint32
	initial  byte // the type of an Initial packet
	salt     string
	key      string // labels
	iv       string
	protects string
}

// versions are those that are in use (RFC 9001 section 5.2, RFC 9369 section
// 3.3). To add one, add a line.
var versions = [...]version{
	{1, 0, "\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a", "quic key", "quic iv", "quic hp"},
	{0x6b3343cf, 1, "\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9", "quicv2 key", "quicv2 iv", "quicv2 hp"},
}

const (
	longestID = 20      // bytes of a connection id
	mostHello = 1 << 14 // bytes of a ClientHello that are put together; a datagram holds fewer
	mostFrame = 256     // frames of one packet that are read. Clients that shuffle theirs send under 50
	tag       = 16
)

// Initial reports whether a UDP payload begins with an Initial packet of a
// client, and the server name that its ClientHello asks for: empty where it has
// none, or where it is in a later datagram. It costs a few microseconds for a
// payload that passes for one by its header, and nothing for others. Nothing of
// datagram is kept or changed.
func Initial(datagram []byte) (serverName string, ok bool) {
	h, ok := readHeader(datagram)
	if !ok {
		return "", false
	}
	plain, ok := h.open()
	if !ok {
		return "", false
	}
	hello, ok := gather(plain)
	if !ok {
		return "", false
	}
	return nameOf(hello), true
}

// A head is the header of an Initial packet (RFC 9000 section 17.2.2).
type head struct {
	version *version
	id      []byte // the destination's
	packet  []byte // all of it
	number  int    // where the packet number is
}

func readHeader(b []byte) (h head, ok bool) {
	if len(b) < 7 || b[0]&0xc0 != 0xc0 {
		return h, false
	}
	v := binary.BigEndian.Uint32(b[1:])
	for i := range versions {
		if versions[i].number == v {
			h.version = &versions[i]
		}
	}
	if h.version == nil || b[0]>>4&3 != h.version.initial {
		return h, false
	}
	r := reader{b[5:], true}
	h.id = r.take(r.uint(1))
	source := r.take(r.uint(1))
	r.take(r.varint()) // token
	n := r.varint()
	if !r.ok || len(h.id) > longestID || len(source) > longestID || n > len(r.b) || n < 4+tag {
		return h, false
	}
	h.number = len(b) - len(r.b)
	h.packet = b[:h.number+n]
	return h, true
}

// open takes the protection off (RFC 9001 sections 5.3 and 5.4). The tag says
// whether it was there.
func (h *head) open() ([]byte, bool) {
	initial, err := hkdf.Extract(sha256.New, h.id, []byte(h.version.salt))
	if err != nil {
		return nil, false
	}
	secret := expand(initial, "client in", 32)
	protect, err := aes.NewCipher(expand(secret, h.version.protects, 16))
	if err != nil {
		return nil, false
	}
	var mask [16]byte
	protect.Encrypt(mask[:], h.packet[h.number+4:][:16])
	first := h.packet[0] ^ mask[0]&0x0f
	n := int(first&3) + 1
	clear := append([]byte(nil), h.packet[:h.number+n]...)
	clear[0] = first
	nonce := expand(secret, h.version.iv, 12)
	for i := range n {
		b := h.packet[h.number+i] ^ mask[1+i]
		clear[h.number+i] = b
		nonce[12-n+i] ^= b
	}
	block, err := aes.NewCipher(expand(secret, h.version.key, 16))
	if err != nil {
		return nil, false
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, false
	}
	plain, err := seal.Open(nil, nonce, h.packet[h.number+n:], clear)
	return plain, err == nil
}

// expand is HKDF-Expand-Label (RFC 8446 section 7.1) without a context. Where a
// policy of the machine forbids it the key is zero, and opens nothing.
func expand(secret []byte, label string, n int) []byte {
	info := append([]byte{0, byte(n), byte(len("tls13 ") + len(label))}, "tls13 "...)
	info = append(append(info, label...), 0)
	b, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		return make([]byte, n)
	}
	return b
}

// The frames that an Initial packet may have (RFC 9000 section 12.4).
const (
	framePadding = 0x00
	framePing    = 0x01
	frameAck     = 0x02
	frameAckECN  = 0x03
	frameCrypto  = 0x06
	frameClose   = 0x1c
)

// gather puts the CRYPTO frames together, which some clients send in disorder,
// up to the first byte that is missing. It reports false where the frames are
// none.
func gather(b []byte) ([]byte, bool) {
	var hello, have []byte
	r := reader{b, true}
	for n := 0; len(r.b) > 0 && n < mostFrame; {
		kind := r.varint()
		if kind != framePadding {
			n++
		}
		switch kind {
		case framePadding, framePing:
		case frameAck, frameAckECN:
			r.skipAck(kind == frameAckECN)
		case frameCrypto:
			off := r.varint()
			p := r.take(r.varint())
			if off+len(p) > mostHello {
				continue
			}
			hello, have = place(hello, off, p, 0), place(have, off, p, 1)
		case frameClose:
			return hello, r.ok
		default:
			return nil, false
		}
		if !r.ok {
			return nil, false
		}
	}
	for i, x := range have {
		if x == 0 {
			return hello[:i], true
		}
	}
	return hello, true
}

// place puts p at off of b, which grows as needed; or as many times mark.
func place(b []byte, off int, p []byte, mark byte) []byte {
	if end := off + len(p); end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	if mark == 0 {
		copy(b[off:], p)
		return b
	}
	for i := range p {
		b[off+i] = mark
	}
	return b
}

// skipAck skips an ACK frame (RFC 9000 section 19.3).
func (r *reader) skipAck(ecn bool) {
	r.varint()
	r.varint()
	n := r.varint()
	r.varint()
	for ; n > 0 && r.ok; n-- {
		r.varint()
		r.varint()
	}
	if ecn {
		r.varint()
		r.varint()
		r.varint()
	}
}

// nameOf returns the server name of a ClientHello (RFC 8446 section 4.1.2, RFC
// 6066 section 3), as far as that is there: the end may be missing.
func nameOf(hello []byte) string {
	r := reader{hello, true}
	if r.uint(1) != 1 {
		return ""
	}
	r.take(3 + 2 + 32)
	r.take(r.uint(1)) // session id
	r.take(r.uint(2)) // cipher suites
	r.take(r.uint(1)) // compression methods
	r.take(2)
	for r.ok && len(r.b) > 0 {
		kind := r.uint(2)
		e := reader{r.take(r.uint(2)), r.ok}
		if kind != 0 || !r.ok {
			continue
		}
		e.take(2)
		if e.uint(1) != 0 {
			return ""
		}
		name := e.take(e.uint(2))
		if !e.ok || !isName(name) {
			return ""
		}
		return string(name)
	}
	return ""
}

// isName keeps what is no host name away from terminals and reports.
func isName(b []byte) bool {
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return len(b) > 0 && len(b) <= 255
}

// A reader takes fields off b. Once one is not whole, ok is false and all
// others are empty.
type reader struct {
	b  []byte
	ok bool
}

func (r *reader) take(n int) []byte {
	if !r.ok || n > len(r.b) {
		r.ok = false
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) uint(n int) (v int) {
	for _, c := range r.take(n) {
		v = v<<8 | int(c)
	}
	return v
}

// varint reads a variable-length integer (RFC 9000 section 16). One beyond 30
// bits counts as missing: nothing here is so long.
func (r *reader) varint() int {
	if !r.ok || len(r.b) == 0 {
		r.ok = false
		return 0
	}
	n := 1 << (r.b[0] >> 6)
	p := r.take(n)
	if !r.ok {
		return 0
	}
	v := uint64(p[0] & 0x3f)
	for _, c := range p[1:] {
		v = v<<8 | uint64(c)
	}
	if v >= 1<<30 {
		r.ok = false
		return 0
	}
	return int(v)
}
