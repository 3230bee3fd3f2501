package tls

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"strings"
)

// suites holds the names of the cipher suites that can be decrypted, as the
// IANA registry has them without "TLS_". How a suite works is read off its
// name. To add one, put it here; a new kind of cipher needs a line in suiteOf.
var suites = map[uint16]string{
	0x1301: "AES_128_GCM_SHA256",
	0x1302: "AES_256_GCM_SHA384",
	0x1303: "CHACHA20_POLY1305_SHA256",
	0x1304: "AES_128_CCM_SHA256",
	0x1305: "AES_128_CCM_8_SHA256",

	0x000a: "RSA_WITH_3DES_EDE_CBC_SHA",
	0x0013: "DHE_DSS_WITH_3DES_EDE_CBC_SHA",
	0x0016: "DHE_RSA_WITH_3DES_EDE_CBC_SHA",
	0xc008: "ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA",
	0xc012: "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",

	0x002f: "RSA_WITH_AES_128_CBC_SHA",
	0x0032: "DHE_DSS_WITH_AES_128_CBC_SHA",
	0x0033: "DHE_RSA_WITH_AES_128_CBC_SHA",
	0x0034: "DH_anon_WITH_AES_128_CBC_SHA",
	0x0035: "RSA_WITH_AES_256_CBC_SHA",
	0x0038: "DHE_DSS_WITH_AES_256_CBC_SHA",
	0x0039: "DHE_RSA_WITH_AES_256_CBC_SHA",
	0x003a: "DH_anon_WITH_AES_256_CBC_SHA",
	0x003c: "RSA_WITH_AES_128_CBC_SHA256",
	0x003d: "RSA_WITH_AES_256_CBC_SHA256",
	0x0040: "DHE_DSS_WITH_AES_128_CBC_SHA256",
	0x0067: "DHE_RSA_WITH_AES_128_CBC_SHA256",
	0x006a: "DHE_DSS_WITH_AES_256_CBC_SHA256",
	0x006b: "DHE_RSA_WITH_AES_256_CBC_SHA256",
	0x006c: "DH_anon_WITH_AES_128_CBC_SHA256",
	0x006d: "DH_anon_WITH_AES_256_CBC_SHA256",
	0x008c: "PSK_WITH_AES_128_CBC_SHA",
	0x008d: "PSK_WITH_AES_256_CBC_SHA",
	0x0090: "DHE_PSK_WITH_AES_128_CBC_SHA",
	0x0091: "DHE_PSK_WITH_AES_256_CBC_SHA",
	0x00ae: "PSK_WITH_AES_128_CBC_SHA256",
	0x00af: "PSK_WITH_AES_256_CBC_SHA384",
	0x00b2: "DHE_PSK_WITH_AES_128_CBC_SHA256",
	0x00b3: "DHE_PSK_WITH_AES_256_CBC_SHA384",
	0xc004: "ECDH_ECDSA_WITH_AES_128_CBC_SHA",
	0xc005: "ECDH_ECDSA_WITH_AES_256_CBC_SHA",
	0xc009: "ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
	0xc00a: "ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
	0xc00e: "ECDH_RSA_WITH_AES_128_CBC_SHA",
	0xc00f: "ECDH_RSA_WITH_AES_256_CBC_SHA",
	0xc013: "ECDHE_RSA_WITH_AES_128_CBC_SHA",
	0xc014: "ECDHE_RSA_WITH_AES_256_CBC_SHA",
	0xc018: "ECDH_anon_WITH_AES_128_CBC_SHA",
	0xc019: "ECDH_anon_WITH_AES_256_CBC_SHA",
	0xc023: "ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
	0xc024: "ECDHE_ECDSA_WITH_AES_256_CBC_SHA384",
	0xc025: "ECDH_ECDSA_WITH_AES_128_CBC_SHA256",
	0xc026: "ECDH_ECDSA_WITH_AES_256_CBC_SHA384",
	0xc027: "ECDHE_RSA_WITH_AES_128_CBC_SHA256",
	0xc028: "ECDHE_RSA_WITH_AES_256_CBC_SHA384",
	0xc029: "ECDH_RSA_WITH_AES_128_CBC_SHA256",
	0xc02a: "ECDH_RSA_WITH_AES_256_CBC_SHA384",
	0xc035: "ECDHE_PSK_WITH_AES_128_CBC_SHA",
	0xc036: "ECDHE_PSK_WITH_AES_256_CBC_SHA",
	0xc037: "ECDHE_PSK_WITH_AES_128_CBC_SHA256",
	0xc038: "ECDHE_PSK_WITH_AES_256_CBC_SHA384",

	0x009c: "RSA_WITH_AES_128_GCM_SHA256",
	0x009d: "RSA_WITH_AES_256_GCM_SHA384",
	0x009e: "DHE_RSA_WITH_AES_128_GCM_SHA256",
	0x009f: "DHE_RSA_WITH_AES_256_GCM_SHA384",
	0x00a2: "DHE_DSS_WITH_AES_128_GCM_SHA256",
	0x00a3: "DHE_DSS_WITH_AES_256_GCM_SHA384",
	0x00a6: "DH_anon_WITH_AES_128_GCM_SHA256",
	0x00a7: "DH_anon_WITH_AES_256_GCM_SHA384",
	0x00a8: "PSK_WITH_AES_128_GCM_SHA256",
	0x00a9: "PSK_WITH_AES_256_GCM_SHA384",
	0x00aa: "DHE_PSK_WITH_AES_128_GCM_SHA256",
	0x00ab: "DHE_PSK_WITH_AES_256_GCM_SHA384",
	0xc02b: "ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	0xc02c: "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	0xc02d: "ECDH_ECDSA_WITH_AES_128_GCM_SHA256",
	0xc02e: "ECDH_ECDSA_WITH_AES_256_GCM_SHA384",
	0xc02f: "ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	0xc030: "ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	0xc031: "ECDH_RSA_WITH_AES_128_GCM_SHA256",
	0xc032: "ECDH_RSA_WITH_AES_256_GCM_SHA384",
	0xd001: "ECDHE_PSK_WITH_AES_128_GCM_SHA256",
	0xd002: "ECDHE_PSK_WITH_AES_256_GCM_SHA384",

	0xc09c: "RSA_WITH_AES_128_CCM",
	0xc09d: "RSA_WITH_AES_256_CCM",
	0xc09e: "DHE_RSA_WITH_AES_128_CCM",
	0xc09f: "DHE_RSA_WITH_AES_256_CCM",
	0xc0a0: "RSA_WITH_AES_128_CCM_8",
	0xc0a1: "RSA_WITH_AES_256_CCM_8",
	0xc0a2: "DHE_RSA_WITH_AES_128_CCM_8",
	0xc0a3: "DHE_RSA_WITH_AES_256_CCM_8",
	0xc0a4: "PSK_WITH_AES_128_CCM",
	0xc0a5: "PSK_WITH_AES_256_CCM",
	0xc0a6: "DHE_PSK_WITH_AES_128_CCM",
	0xc0a7: "DHE_PSK_WITH_AES_256_CCM",
	0xc0a8: "PSK_WITH_AES_128_CCM_8",
	0xc0a9: "PSK_WITH_AES_256_CCM_8",
	0xc0ac: "ECDHE_ECDSA_WITH_AES_128_CCM",
	0xc0ad: "ECDHE_ECDSA_WITH_AES_256_CCM",
	0xc0ae: "ECDHE_ECDSA_WITH_AES_128_CCM_8",
	0xc0af: "ECDHE_ECDSA_WITH_AES_256_CCM_8",
	0xd003: "ECDHE_PSK_WITH_AES_128_CCM_8_SHA256",
	0xd005: "ECDHE_PSK_WITH_AES_128_CCM_SHA256",

	0xcca8: "ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	0xcca9: "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
	0xccaa: "DHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	0xccab: "PSK_WITH_CHACHA20_POLY1305_SHA256",
	0xccac: "ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
	0xccad: "DHE_PSK_WITH_CHACHA20_POLY1305_SHA256",
	0xccae: "RSA_PSK_WITH_CHACHA20_POLY1305_SHA256",
}

// suiteName names a suite, an unknown one by its number.
func suiteName(id uint16) string {
	if n, ok := suites[id]; ok {
		return "TLS_" + n
	}
	return fmt.Sprintf("0x%04x", id)
}

// A kind is how a suite protects records.
type kind uint8

const (
	gcm kind = iota + 1
	ccm
	chacha
	cbc
	cbc3DES
)

// A suite is what decryption needs to know of a cipher suite.
type suite struct {
	kind kind
	key  int // bytes
	tag  int // AEAD: bytes of the tag; CBC: bytes of the MAC
	mac  func() hash.Hash
	prf  func() hash.Hash // of TLS 1.2 and 1.3
}

// suiteOf returns how a suite works, and whether it can be decrypted.
func suiteOf(id uint16) (suite, bool) {
	name, ok := suites[id]
	if !ok {
		return suite{}, false
	}
	has := func(part string) bool { return strings.Contains(name, part) }
	s := suite{key: 16, tag: 16, prf: sha256.New}
	if has("_256_") {
		s.key = 32
	}
	if has("SHA384") {
		s.prf = sha512.New384
	}
	switch {
	case has("GCM"):
		s.kind = gcm
	case has("CCM"):
		s.kind = ccm
		if has("CCM_8") {
			s.tag = 8
		}
	case has("CHACHA20"):
		s.kind, s.key = chacha, 32
	default:
		s.kind = cbc
		if has("3DES") {
			s.kind, s.key = cbc3DES, 24
		}
		switch {
		case has("SHA384"):
			s.mac, s.tag = sha512.New384, 48
		case has("SHA256"):
			s.mac, s.tag = sha256.New, 32
		default:
			s.mac, s.tag = sha1.New, 20
		}
	}
	return s, true
}

// is13 reports whether a suite is for TLS 1.3.
func is13(id uint16) bool { return id>>8 == 0x13 }

// prf10 is the pseudorandom function of TLS 1.0 and 1.1 (RFC 2246 section 5).
func prf10(secret []byte, label string, seed []byte, n int) []byte {
	half := (len(secret) + 1) / 2
	out := prf12(md5.New, secret[:half], label, seed, n)
	for i, b := range prf12(sha1.New, secret[len(secret)-half:], label, seed, n) {
		out[i] ^= b
	}
	return out
}
