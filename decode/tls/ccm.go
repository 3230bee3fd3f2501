package tls

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
)

// A ccmMode is AES-CCM (RFC 3610) with nonces of 12 bytes, as TLS uses it (RFC
// 6655), for additional data of less than 65280 bytes. It is a cipher.AEAD, whose
// Seal nobody but tests needs.
type ccmMode struct {
	block cipher.Block
	tag   int

	mac, ctr, pad [16]byte
}

func newCCM(b cipher.Block, tag int) cipher.AEAD { return &ccmMode{block: b, tag: tag} }

func (c *ccmMode) NonceSize() int { return 12 }
func (c *ccmMode) Overhead() int  { return c.tag }

var errCCM = errors.New("ccm: message authentication failed")

// Open implements cipher.AEAD. dst must not overlap ciphertext.
func (c *ccmMode) Open(dst, nonce, ciphertext, aad []byte) ([]byte, error) {
	n := len(ciphertext) - c.tag
	if n < 0 {
		return nil, errCCM
	}
	p := append(dst, ciphertext[:n]...)
	c.stream(nonce, p[len(dst):])
	var tag [16]byte
	c.sum(&tag, nonce, p[len(dst):], aad)
	if subtle.ConstantTimeCompare(tag[:c.tag], ciphertext[n:]) != 1 {
		return nil, errCCM
	}
	return p, nil
}

// Seal implements cipher.AEAD. dst must not overlap plaintext.
func (c *ccmMode) Seal(dst, nonce, plaintext, aad []byte) []byte {
	var tag [16]byte
	c.sum(&tag, nonce, plaintext, aad)
	out := append(dst, plaintext...)
	c.stream(nonce, out[len(dst):])
	return append(out, tag[:c.tag]...)
}

// stream applies the key stream from counter 1 on.
func (c *ccmMode) stream(nonce, p []byte) {
	c.counter(nonce)
	for i := uint32(1); len(p) > 0; i++ {
		c.ctr[13], c.ctr[14], c.ctr[15] = byte(i>>16), byte(i>>8), byte(i)
		c.block.Encrypt(c.pad[:], c.ctr[:])
		n := subtle.XORBytes(p, p, c.pad[:])
		p = p[n:]
	}
}

func (c *ccmMode) counter(nonce []byte) {
	c.ctr = [16]byte{2} // three bytes count
	copy(c.ctr[1:], nonce)
}

// sum is the CBC-MAC of a message, encrypted with counter 0.
func (c *ccmMode) sum(tag *[16]byte, nonce, p, aad []byte) {
	c.mac = [16]byte{byte((c.tag-2)/2<<3 | 2)}
	if len(aad) > 0 {
		c.mac[0] |= 1 << 6
	}
	copy(c.mac[1:], nonce)
	c.mac[13], c.mac[14], c.mac[15] = byte(len(p)>>16), byte(len(p)>>8), byte(len(p))
	c.block.Encrypt(c.mac[:], c.mac[:])
	if len(aad) > 0 {
		var b [16]byte
		binary.BigEndian.PutUint16(b[:], uint16(len(aad)))
		n := copy(b[2:], aad)
		c.mix(b[:2+n])
		c.blocks(aad[n:])
	}
	c.blocks(p)
	c.counter(nonce)
	c.block.Encrypt(c.pad[:], c.ctr[:])
	subtle.XORBytes(tag[:], c.mac[:], c.pad[:])
}

// blocks takes p, filled up with zeros, into the MAC.
func (c *ccmMode) blocks(p []byte) {
	for len(p) > 0 {
		n := min(len(p), 16)
		c.mix(p[:n])
		p = p[n:]
	}
}

func (c *ccmMode) mix(p []byte) {
	subtle.XORBytes(c.mac[:], c.mac[:len(p)], p)
	c.block.Encrypt(c.mac[:], c.mac[:])
}
