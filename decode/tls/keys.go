package tls

import (
	"bytes"
	"container/list"
	"crypto/sha256"
	"encoding/hex"

	"mcp401/decode"
)

// A label is what a line of a key log is about (RFC 9850 section 2).
type label uint8

const (
	ignored label = iota
	master
	clientEarly
	clientHandshake
	serverHandshake
	clientTraffic
	serverTraffic
)

// labels are those of NSS and RFC 9850. Secrets that no record is protected by
// are known and dropped.
var labels = map[string]label{
	"CLIENT_RANDOM":                   master,
	"CLIENT_EARLY_TRAFFIC_SECRET":     clientEarly,
	"CLIENT_HANDSHAKE_TRAFFIC_SECRET": clientHandshake,
	"SERVER_HANDSHAKE_TRAFFIC_SECRET": serverHandshake,
	"CLIENT_TRAFFIC_SECRET_0":         clientTraffic,
	"SERVER_TRAFFIC_SECRET_0":         serverTraffic,
	"EXPORTER_SECRET":                 ignored,
	"EARLY_EXPORTER_SECRET":           ignored,
	"ECH_SECRET":                      ignored,
	"ECH_CONFIG":                      ignored,
	"PMS_CLIENT_RANDOM":               ignored,

	"QUIC_CLIENT_EARLY_TRAFFIC_SECRET":     ignored,
	"QUIC_CLIENT_HANDSHAKE_TRAFFIC_SECRET": ignored,
	"QUIC_SERVER_HANDSHAKE_TRAFFIC_SECRET": ignored,
	"QUIC_CLIENT_TRAFFIC_SECRET_0":         ignored,
	"QUIC_SERVER_TRAFFIC_SECRET_0":         ignored,
}

// masterLen is the length of a master secret (RFC 5246 section 8.1).
const masterLen = 48

// A secret is one line of a key log.
type secret struct {
	label label
	len   uint8
	b     [48]byte
}

func (s *secret) bytes() []byte { return s.b[:s.len] }

// An entry holds the secrets of one connection.
type entry struct {
	random  [32]byte
	secrets []secret
	used    bool // a connection with this random was seen
	num     int  // counts entries
}

// get returns a secret, or nil.
func (e *entry) get(l label) []byte {
	if e != nil {
		for i := range e.secrets {
			if e.secrets[i].label == l {
				return e.secrets[i].bytes()
			}
		}
	}
	return nil
}

// tls13 reports whether there is a secret that only TLS 1.3 has.
func (e *entry) tls13() bool {
	return e.get(serverHandshake) != nil || e.get(serverTraffic) != nil || e.get(clientHandshake) != nil || e.get(clientTraffic) != nil
}

// Keys holds the secrets of a key log, up to Limits.Secrets lines of which the
// oldest give way, and what connections have in common: sessions that are
// resumed, ciphertext that waits for secrets, buffers. It is for one goroutine,
// like the connections that use it.
type Keys struct {
	lim  decode.Limits
	gen  int // counts calls of Add that brought something
	done bool

	entries map[[32]byte]*entry
	order   []*entry // oldest first
	count   int      // entries so far
	lines   int      // secrets held
	dropped int

	sessions map[[32]byte][masterLen]byte
	recent   [][32]byte // of sessions, oldest first

	waiting list.List // of *Conn, the longest waiting first
	held    int       // bytes that all of them hold

	spare [][]byte
	out   int
	certs map[[32]byte]subject
}

// NewKeys returns an empty store.
func NewKeys(lim decode.Limits) *Keys {
	return &Keys{
		lim:      lim.WithDefaults(),
		entries:  make(map[[32]byte]*entry),
		sessions: make(map[[32]byte][masterLen]byte),
		certs:    make(map[[32]byte]subject),
	}
}

// Add takes lines of a key log in NSS format (RFC 9850), which must be whole,
// and returns how many of them cannot be read. Nothing of lines is kept.
// Connections use what is new with their next bytes, or with Retry.
func (k *Keys) Add(lines []byte) (bad int) {
	news := false
	for len(lines) > 0 {
		line := lines
		if i := bytes.IndexAny(lines, "\r\n"); i >= 0 {
			line, lines = lines[:i], lines[i+1:]
		} else {
			lines = nil
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		added, ok := k.line(line)
		news = news || added
		if !ok {
			bad++
		}
	}
	if news {
		k.gen++
	}
	return bad
}

// line takes one line. ok is false when it cannot be read.
func (k *Keys) line(line []byte) (added, ok bool) {
	f := bytes.Fields(line)
	if string(f[0]) == "RSA" {
		return k.rsa(f)
	}
	l, known := labels[string(f[0])]
	if !known || len(f) != 3 {
		return false, false
	}
	if l == ignored {
		return false, true
	}
	var random [32]byte
	s := secret{label: l, len: uint8(min(len(f[2])/2, 255))}
	if len(f[1]) != 2*len(random) || s.len != 32 && s.len != 48 || len(f[2]) != 2*int(s.len) || l == master && s.len != masterLen {
		return false, false
	}
	if _, err := hex.Decode(random[:], f[1]); err != nil {
		return false, false
	}
	if _, err := hex.Decode(s.b[:], f[2]); err != nil {
		return false, false
	}
	return k.put(random, s), true
}

// rsa takes "RSA Session-ID:hex Master-Key:hex", which some tools of OpenSSL
// write. The other form, with an encrypted premaster secret, is of no use here.
func (k *Keys) rsa(f [][]byte) (added, ok bool) {
	if len(f) != 3 {
		return false, false
	}
	id, ok1 := bytes.CutPrefix(f[1], []byte("Session-ID:"))
	key, ok2 := bytes.CutPrefix(f[2], []byte("Master-Key:"))
	if !ok1 || !ok2 {
		return false, !ok1 && !ok2
	}
	sid := make([]byte, hex.DecodedLen(len(id)))
	var m [masterLen]byte
	if len(key) != 2*masterLen {
		return false, false
	}
	if _, err := hex.Decode(sid, id); err != nil || len(sid) == 0 {
		return false, false
	}
	if _, err := hex.Decode(m[:], key); err != nil {
		return false, false
	}
	k.remember(sessionName(sid), m[:])
	return true, true
}

// put stores a secret and reports whether it is new.
func (k *Keys) put(random [32]byte, s secret) bool {
	e := k.entries[random]
	if e == nil {
		e = &entry{random: random, num: k.count}
		k.count++
		k.entries[random] = e
		k.order = append(k.order, e)
	}
	for i := range e.secrets {
		if old := &e.secrets[i]; old.label == s.label {
			same := *old == s
			*old = s
			return !same
		}
	}
	e.secrets = append(e.secrets, s)
	k.lines++
	for k.lines > k.lim.Secrets && len(k.order) > 1 {
		oldest := k.order[0]
		k.order[0] = nil
		k.order = k.order[1:]
		k.lines -= len(oldest.secrets)
		k.dropped += len(oldest.secrets)
		delete(k.entries, oldest.random)
	}
	return true
}

// Len returns how many secrets are held.
func (k *Keys) Len() int { return k.lines }

// Dropped returns how many secrets gave way to newer ones.
func (k *Keys) Dropped() int { return k.dropped }

// Retry lets the connections that wait for secrets go on with those that came,
// the longest waiting first. What they tell has the marks of when it was
// captured. at is now.
func (k *Keys) Retry(at decode.Mark) {
	for e := k.waiting.Front(); e != nil; {
		next := e.Next()
		e.Value.(*Conn).Retry(at)
		e = next
	}
}

// Done says that no more secrets will come: what waits for them is given up,
// and nothing is held for them anymore.
func (k *Keys) Done(at decode.Mark) {
	k.done = true
	k.Retry(at)
}

// Waiting returns how many connections wait for secrets.
func (k *Keys) Waiting() int { return k.waiting.Len() }

// find returns the secrets of a connection, or nil.
func (k *Keys) find(random *[32]byte) *entry {
	e := k.entries[*random]
	if e != nil {
		e.used = true
	}
	return e
}

// sessionName is what a session is remembered by: a hash of its id or ticket,
// zero where there is none.
func sessionName(b []byte) (name [32]byte) {
	if len(b) > 0 {
		name = sha256.Sum256(b)
	}
	return name
}

// remember keeps the master secret of a session.
func (k *Keys) remember(id [32]byte, m []byte) {
	if id == ([32]byte{}) {
		return
	}
	if _, ok := k.sessions[id]; !ok {
		if len(k.recent) >= k.lim.Resumptions {
			delete(k.sessions, k.recent[0])
			k.recent = k.recent[1:]
		}
		k.recent = append(k.recent, id)
	}
	k.sessions[id] = [masterLen]byte(m)
}

// session returns the master secret of a session, or nil.
func (k *Keys) session(id [32]byte) []byte {
	if m, ok := k.sessions[id]; ok {
		return m[:]
	}
	return nil
}

// hold accounts for n bytes more of a connection and makes the longest waiting
// ones give up theirs where all together hold too much.
func (k *Keys) hold(c *Conn, n int) {
	c.held += n
	k.held += n
	for k.held > k.lim.Ciphertexts {
		oldest := k.waiting.Front()
		if oldest == nil {
			return
		}
		oldest.Value.(*Conn).shed()
	}
}

const (
	// spareMost bounds the buffers in use, so that connections that never
	// finish a record cannot each have one: beyond it buffers grow with what
	// is in them.
	spareMost = 256
	bufLen    = maxBody + 512
)

// take returns an empty buffer, with room for a record if there are not too
// many.
func (k *Keys) take() []byte {
	k.out++
	if n := len(k.spare); n > 0 {
		b := k.spare[n-1]
		k.spare = k.spare[:n-1]
		return b[:0]
	}
	if k.out > spareMost {
		return nil
	}
	return make([]byte, 0, bufLen)
}

// room returns a buffer that has room for a record.
func (k *Keys) room() []byte {
	if b := k.take(); b != nil {
		return b
	}
	return make([]byte, 0, bufLen)
}

// give takes a buffer back.
func (k *Keys) give(b []byte) {
	k.out--
	if cap(b) >= bufLen && len(k.spare) < 16 {
		k.spare = append(k.spare, b)
	}
}
