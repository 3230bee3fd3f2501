package tls

import (
	"crypto/sha256"
	"crypto/x509"
	"strconv"
	"strings"
)

// Versions as they stand on the wire.
const (
	version10 = 0x0301
	version12 = 0x0303
	version13 = 0x0304
)

// draft is the high byte of the versions that drafts of TLS 1.3 had.
const draft = 0x7f

// Extensions (RFC 9846 section 4.2 and others).
const (
	extServerName        = 0
	extALPN              = 16
	extEncryptThenMAC    = 22
	extSessionTicket     = 35
	extPreSharedKey      = 41
	extEarlyData         = 42
	extSupportedVersions = 43
	extECH               = 0xfe0d
)

// retryRandom is the random of a HelloRetryRequest (RFC 9846 section 4.1.3).
var retryRandom = sha256.Sum256([]byte("HelloRetryRequest"))

// A reader walks through a message. What is cut off reads as empty or short,
// so that the begin of a message can be used when its rest was not captured.
type reader []byte

func (r *reader) take(n int) []byte {
	n = min(n, len(*r))
	b := (*r)[:n:n]
	*r = (*r)[n:]
	return b
}

func (r *reader) uint(n int) (v int) {
	for _, b := range r.take(n) {
		v = v<<8 | int(b)
	}
	return v
}

// vec reads a vector whose length has n bytes.
func (r *reader) vec(n int) reader { return reader(r.take(r.uint(n))) }

// A handshake is what both sides agreed on before a change of keys.
type handshake struct {
	num            int // counts handshakes of a connection; more than one is a renegotiation
	client, server bool
	clientRandom   [32]byte
	serverRandom   [32]byte
	clientID       [32]byte // sessionName of what was offered
	clientTicket   [32]byte
	serverID       [32]byte
	newTicket      [32]byte

	version  uint16 // version13 for its drafts too
	bare     bool   // a draft of TLS 1.3 that does not authenticate headers
	suite    uint16
	params   suite
	known    bool // the suite can be decrypted
	etm      bool
	hrr      bool // a HelloRetryRequest was seen
	early    bool // the client offers early data
	earlyOK  bool // and the server takes it
	ech      bool
	cert     bool // the server showed a certificate
	looked   int  // the generation of keys that was searched
	searched int  // entries that were tried
	entry    *entry
	master   []byte
	openers  [2]*opener
}

// parseClientHello reads a ClientHello or the begin of one (RFC 9846 section
// 4.1.2).
func (c *Conn) parseClientHello(h *handshake, r reader) bool {
	r.uint(2)
	random := r.take(32)
	if len(random) < 32 {
		return false
	}
	if h.client && [32]byte(random) != h.clientRandom {
		*h = handshake{num: h.num}
	}
	if !h.client && c.cfg.Hello != nil {
		c.cfg.Hello([32]byte(random))
	}
	h.client, h.clientRandom = true, [32]byte(random)
	h.clientID = sessionName(r.vec(1))
	r.vec(2)
	r.vec(1)
	i := &c.info
	for exts := r.vec(2); len(exts) >= 4; {
		id, b := exts.uint(2), reader(nil)
		b = exts.vec(2)
		switch id {
		case extServerName:
			names := b.vec(2)
			if names.uint(1) == 0 {
				i.ServerName = hostName(names.vec(2))
			}
		case extALPN:
			i.Offered = nil
			for list := b.vec(2); len(list) > 0 && len(i.Offered) < 16; {
				i.Offered = append(i.Offered, printable(list.vec(1)))
			}
		case extSessionTicket:
			h.clientTicket = sessionName(b)
		case extEarlyData:
			h.early, i.Early = true, true
		case extECH:
			h.ech, i.ECH = true, true
		}
	}
	return true
}

// parseServerHello reads a ServerHello or the begin of one (RFC 9846 section
// 4.1.3).
func (c *Conn) parseServerHello(h *handshake, r reader) bool {
	if len(r) < 2+32 {
		return false
	}
	version := uint16(r.uint(2))
	random := [32]byte(r.take(32))
	if version>>8 != draft || version > draft<<8|21 {
		h.serverID = sessionName(r.vec(1))
	}
	if len(r) < 2 {
		return false
	}
	h.suite = uint16(r.uint(2))
	compressed := false
	if version>>8 != draft || version > draft<<8|21 {
		compressed = r.uint(1) != 0
	}
	i := &c.info
	resumed := false
	for exts := r.vec(2); len(exts) >= 4; {
		id, b := exts.uint(2), reader(nil)
		b = exts.vec(2)
		switch id {
		case extSupportedVersions:
			version = uint16(b.uint(2))
		case extPreSharedKey:
			resumed = true
		case extALPN:
			list := b.vec(2)
			i.ALPN = printable(list.vec(1))
		case extEncryptThenMAC:
			h.etm = true
		}
	}
	i.Version, i.Suite = versionName(version), suiteName(h.suite)
	h.version = version
	if version>>8 == draft {
		h.version, h.bare = version13, version < draft<<8|25
	}
	if random == retryRandom {
		h.hrr, i.HRR = true, true
	} else {
		h.serverRandom = random
	}
	h.params, h.known = suiteOf(h.suite)
	h.known = h.known && !compressed && h.version >= version10 && h.version <= version13 && is13(h.suite) == (h.version == version13)
	h.server = true
	i.Resumed = resumed || h.version < version13 && h.serverID != [32]byte{} && h.serverID == h.clientID
	return true
}

func versionName(v uint16) string {
	switch {
	case v == 0x0300:
		return "SSL 3.0"
	case v >= version10 && v <= version13:
		return "1." + strconv.Itoa(int(v-version10))
	case v>>8 == draft:
		return "1.3 draft " + strconv.Itoa(int(v&0xff))
	}
	return "0x" + strconv.FormatUint(uint64(v), 16)
}

// printable makes text of bytes from the wire: what is no visible ASCII becomes
// a question mark.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '?'
		}
		return r
	}, string(b[:min(len(b), 255)]))
}

func hostName(b []byte) string { return strings.ToLower(printable(b)) }

// A subject is whom a certificate is for.
type subject struct {
	name string
	alts []string
}

const (
	certsKept = 256 // certificates whose subjects are remembered, because the same few come again and again
	altsKept  = 32
)

// subject returns whom a certificate names.
func (k *Keys) subject(der []byte) subject {
	id := sha256.Sum256(der)
	if s, ok := k.certs[id]; ok {
		return s
	}
	var s subject
	if cert, err := x509.ParseCertificate(der); err == nil {
		s.name = printableText(cert.Subject.CommonName)
		for _, n := range cert.DNSNames {
			s.alts = append(s.alts, hostName([]byte(n)))
		}
		for _, ip := range cert.IPAddresses {
			s.alts = append(s.alts, ip.String())
		}
		s.alts = s.alts[:min(len(s.alts), altsKept)]
	}
	if len(k.certs) >= certsKept {
		clear(k.certs)
	}
	k.certs[id] = s
	return s
}

// printableText is printable for names that may have spaces.
func printableText(s string) string {
	f := strings.Fields(s)
	for i := range f {
		f[i] = printable([]byte(f[i]))
	}
	return strings.Join(f, " ")
}

// leaf returns the first certificate of a Certificate message, nil when there
// is none.
func leaf(version uint16, r reader) []byte {
	if version == version13 {
		r.vec(1)
	}
	list := r.vec(3)
	return list.vec(3)
}
