// Package tls follows TLS connections as a bystander: what they show to
// everybody, and with the secrets of a key log (RFC 9850) what they carried.
//
// It knows TLS 1.0 to 1.3 (RFC 2246, 4346, 5246, 9846, and late drafts of 1.3)
// with AES-GCM, AES-CCM, ChaCha20-Poly1305, AES-CBC and 3DES-CBC, resumption,
// renegotiation, HelloRetryRequest, early data and key updates. It does not
// verify certificates, undo compression, or read DTLS and QUIC, and it cannot
// use the private keys of servers. A suite that it does not know is said and
// never guessed.
//
// The one trick: the authentication tag decides. A record is given on only if
// its tag verifies, so whatever is not known for sure may be tried: which
// sequence number comes after a hole, whether keys changed in it, which suite a
// ServerHello named that was not captured, and whose secrets belong to an
// encrypted ClientHello. What trying may cost is proportional to the bytes
// captured.
//
// # Waiting
//
// A direction that cannot go on waits: for a hello of the other direction, or
// for secrets. Its records are held up to Limits.Ciphertext, and beyond that
// only counted, so that what comes later can still be decrypted. Records go on
// in the order in which they were captured, with the marks they had.
package tls

import (
	"container/list"
	"fmt"

	"mcp401/decode"
)

// A Config says how a connection is decoded.
type Config struct {
	Limits decode.Limits
	Flow   decode.Flow

	// Keys is shared by all connections of a goroutine. Nil: there are none and
	// none will come.
	Keys *Keys

	// Inner is called once, before the first application data that was
	// decrypted, for the decoder of what the connection carried. Nil, or a nil
	// Conn: it is dropped.
	Inner func(*Info) decode.Conn

	// Plain is called when the server does not answer in TLS, for the decoder of
	// what it says instead. Nil, or a nil Conn: it is dropped.
	Plain func() decode.Conn

	// Hello, if set, is told the random under which a key log has the secrets of
	// the connection, whenever it is learned.
	Hello func(random [32]byte)

	// Note takes notes; it may be nil.
	Note func(decode.Note)
}

// An Info is what is known of a connection so far. Texts from the wire are
// visible ASCII, 255 bytes at most.
type Info struct {
	ServerName string   // as the client asked for it, in lower case
	Offered    []string // ALPN protocols of the client, 16 at most
	ALPN       string   // the one that the server chose, where visible
	Version    string   // "1.2", "1.3", "1.3 draft 23", "SSL 3.0"
	Suite      string   // "TLS_AES_128_GCM_SHA256", or "0x0005" when it cannot be decrypted
	Subject    string   // common name of the server's certificate, where visible
	Names      []string // its DNS names and IP addresses, 32 at most
	ClientCert bool     // the client showed a certificate
	HRR        bool     // the server asked for another ClientHello
	Resumed    bool     // a session was resumed
	Early      bool     // the client offered early data
	ECH        bool     // the client offered an encrypted ClientHello, perhaps for show

	HandshakeDone bool   // both sides came to application data, as far as records show
	Decrypted     bool   // application data was decrypted
	Why           string // when not: a note code. Empty when there is nothing that could be decrypted
	Alert         string // the first fatal alert that could be read: "bad_certificate"
	AlertFrom     decode.Dir

	// Shape lists records of application data by their type and, in TLS 1.3, by
	// their place behind what looks like the end of the handshake; up to
	// Limits.Shape of them; none when application data was decrypted. Records
	// counts all.
	Shape   []Size
	Records int
}

// A Size is the size of the content of one record, as far as it shows.
type Size struct {
	Dir decode.Dir
	At  decode.Mark // the frame that completed the record
	N   int
}

// A Conn decodes one connection. It implements decode.Conn.
type Conn struct {
	cfg   Config
	lim   decode.Limits
	keys  *Keys
	info  Info
	sides [2]side
	hands [2]handshake // the one in hand and, while the sides are apart, the next one
	order uint64       // counts what came

	inner    decode.Conn
	plain    decode.Conn
	opened   bool // Inner was called
	said     bool // the client's handshake is over, as far as record sizes tell
	clientUp bool // the client sent a record that is application data or looks like it

	helpless bool          // nothing can be decrypted, whatever secrets come
	starving bool          // secrets were missing
	starved  int           // the generation of keys that had none
	keyless  bool          // and will not come
	full     bool          // no more is held
	gen      int           // of keys, that was used last
	elem     *list.Element // in Keys.waiting
	held     int           // bytes
	spilled  int           // bytes that could not be held
	finished bool
	badTag   bool // was said
}

// A side is one direction of a connection.
type side struct {
	dir   decode.Dir
	ended bool       // End came
	over  bool       // nothing more is read or told
	how   decode.End // over: how it ended
	plain bool       // not TLS

	// Framing.
	hdr   [headerLen]byte
	nhdr  int
	left  int    // bytes to come of the record in hand
	skip  bool   // they are not needed
	buf   []byte // those that came
	any   bool   // a record was seen
	hunt  bool   // looking for a record
	pile  []byte // hunt: bytes kept
	where []place
	scan  int // hunt: bytes of pile that need not be looked at again
	past  int // hunt: bytes passed over
	min   byte
	ccs   bool // a ChangeCipherSpec was seen
	size  int  // of the record seen last
	paid  int  // what trying may still cost, in bytes

	queue []item

	// Handshake messages.
	num     int    // of the handshake in hand
	begun   bool   // a record was looked at
	noHello bool   // it was no hello
	holed   bool   // something was lost
	msg     []byte // a message that is not whole
	msgLeft int    // bytes to come of one that is not wanted
	msgType byte
	agreed  bool // EncryptedExtensions were read

	// Keys.
	secured bool   // TLS up to 1.2: a ChangeCipherSpec was passed
	phase   int    // TLS 1.3: one of the phases, -1 before
	secret  []byte // TLS 1.3: of the current phase, from the first application phase on
	opener  *opener
	ahead   []ahead
	seq     uint64 // of the next record
	span    uint64 // it may be so much higher
	guess   uint64 // and is perhaps so much higher
	lost    uint64 // records that may have been lost before there were keys
	fresh   bool   // nothing was opened yet, and what fails may belong to keys that are missing
	fails   int    // records that failed since one was opened
	padded  bool   // TLS 1.3: padding was seen
	gap     int    // bytes of content lost since Inner was told of something, negative: unknown
}

// New returns a decoder for one connection.
func New(cfg Config) *Conn {
	c := &Conn{cfg: cfg, keys: cfg.Keys, lim: cfg.Limits.WithDefaults()}
	if c.keys == nil {
		c.keys = NewKeys(cfg.Limits)
		c.keys.done = true
	}
	c.gen = c.keys.gen
	for i := range c.sides {
		s := &c.sides[i]
		s.dir, s.phase = decode.Dir(i), -1
		s.hunt = cfg.Flow.Mid
	}
	return c
}

// Info returns what is known so far. It is valid until the next call of
// anything else.
func (c *Conn) Info() *Info { return &c.info }

// Waiting reports whether records are held until secrets or a hello come.
func (c *Conn) Waiting() bool { return c.elem != nil }

// Data decodes the next bytes of one direction. Nothing of p is kept or
// changed.
func (c *Conn) Data(d decode.Dir, at decode.Mark, p []byte) {
	s := &c.sides[d]
	c.look(at)
	s.paid = min(s.paid+tryCost*len(p), tryMost)
	for len(p) > 0 && !s.ended {
		p = c.step(s, at, p)
	}
}

// Gap says that n bytes were never captured; n < 0: nobody knows how many.
func (c *Conn) Gap(d decode.Dir, at decode.Mark, n int) {
	s := &c.sides[d]
	switch {
	case s.ended || s.over || n == 0:
	case s.plain:
		if c.plain != nil {
			c.plain.Gap(d, at, n)
		}
	default:
		c.look(at)
		c.miss(s, at, n)
	}
}

// End says that a direction is over. An end other than Fin is the end of both.
func (c *Conn) End(d decode.Dir, at decode.Mark, why decode.End) {
	c.look(at)
	c.end(&c.sides[d], at, why)
	if why != decode.Fin {
		c.end(&c.sides[d.Other()], at, why)
	}
	c.advance(at)
	c.finish(at)
}

func (c *Conn) end(s *side, at decode.Mark, why decode.End) {
	if s.ended {
		return
	}
	if s.hunt {
		c.settle(s, at)
	}
	if s.nhdr > 0 && !s.plain && !s.over {
		c.drop(s, at)
	}
	s.ended = true
	if s.plain {
		if c.plain != nil {
			c.plain.End(s.dir, at, why)
		}
		s.over = true
		return
	}
	c.input(s, &item{kind: end, at: at, why: why})
}

// Retry goes on with what waits, with secrets that came since. at is now.
func (c *Conn) Retry(at decode.Mark) {
	c.gen = c.keys.gen
	c.advance(at)
	c.finish(at)
}

// look is Retry when there is reason to.
func (c *Conn) look(at decode.Mark) {
	if c.gen != c.keys.gen {
		c.Retry(at)
	}
}

// finish says what has to be said when both directions are over and nothing
// waits for secrets that may come.
func (c *Conn) finish(at decode.Mark) {
	a, b := &c.sides[0], &c.sides[1]
	if c.finished || !a.ended || !b.ended {
		return
	}
	if len(a.queue)+len(b.queue) > 0 {
		if c.starving && !c.keys.done && !c.full {
			return
		}
		c.giveUp(at, "tls/lost-handshake", 0, "a hello was not captured")
		c.advance(at)
	}
	c.finished = true
	if c.info.Why == noKey {
		f := &c.cfg.Flow // it was in the dark from its first frame
		c.note(decode.Mark{Frame: f.First, Time: f.Start}, noKey, 0, "no keys for it: start the gateway with SSLKEYLOGFILE=FILE and give --keylog FILE")
	}
}

// giveUp says that nothing can be decrypted from here on.
func (c *Conn) giveUp(at decode.Mark, code string, n int, format string, args ...any) {
	if c.starving {
		// That secrets are missing is the better reason.
		code = noKey
	} else if !c.helpless {
		c.note(at, code, n, format, args...)
	}
	c.helpless = true
	if !c.info.Decrypted {
		c.info.Why = code
	}
}

const noKey = "tls/no-key"

func (c *Conn) note(at decode.Mark, code string, n int, format string, args ...any) {
	if c.cfg.Note != nil {
		c.cfg.Note(decode.Note{Code: code, At: at, Flow: c.cfg.Flow.First, About: c.info.ServerName, N: n, Text: fmt.Sprintf(format, args...)})
	}
}

// app hands application data on.
func (c *Conn) app(s *side, at decode.Mark, p []byte) {
	if len(p) == 0 {
		return
	}
	c.info.Decrypted, c.info.HandshakeDone, c.info.Why, c.info.Shape = true, true, "", nil
	if !c.opened {
		c.opened = true
		if c.cfg.Inner != nil {
			c.inner = c.cfg.Inner(&c.info)
		}
		for i := range c.sides {
			if o := &c.sides[i]; o.over && c.inner != nil {
				c.tellGap(o, at)
				c.inner.End(o.dir, at, o.how)
			}
		}
	}
	if c.inner == nil {
		return
	}
	c.tellGap(s, at)
	c.inner.Data(s.dir, at, p)
}

// tellGap tells of content that was lost.
func (c *Conn) tellGap(s *side, at decode.Mark) {
	if s.gap != 0 && c.inner != nil {
		c.inner.Gap(s.dir, at, s.gap)
		s.gap = 0
	}
}

// addGap takes down that n bytes of content were lost; negative: unknown.
func (s *side) addGap(n int) {
	if n < 0 || s.gap < 0 {
		s.gap = -1
	} else {
		s.gap += n
	}
}

// close is the end of a direction, by its own word or by TCP's.
func (c *Conn) close(s *side, at decode.Mark, why decode.End) {
	if s.over {
		return
	}
	s.over, s.how = true, why
	if c.inner != nil {
		c.tellGap(s, at)
		c.inner.End(s.dir, at, why)
	}
}
