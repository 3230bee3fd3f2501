package redact

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"strings"
	"unicode/utf8"

	"mcp401/decode/mcp"
)

// A Config says what is masked beyond the secrets, and how.
type Config struct {
	Key   []byte   // of the stand-ins: equal texts get equal ones under one key
	Hosts bool     // host names and addresses get stand-ins too
	Deny  []string // texts whose words stay nowhere, not even as names
}

// The bounds of what a Masker remembers.
const (
	shortWord = 8       // bytes; stand-ins of shorter words are kept apart by a table
	maxShort  = 1 << 17 // words in it
	maxMemo   = 1 << 14 // stand-ins of longer texts that are remembered
)

// A Masker replaces texts by stand-ins of the same length, in place. It is for
// one goroutine.
type Masker struct {
	cfg   Config
	mac   hash.Hash
	short map[string]string // words shorter than shortWord, and their stand-ins
	taken map[string]bool   // the stand-ins among them
	memo  map[string]string
	again map[string]string // what became of a short text under a rule
	key   []byte
	deny  map[string]bool
	seen  *Secrets
	addr  *addresses
}

// NewMasker returns a Masker. What it masks as a credential is told to seen,
// which may be nil.
func NewMasker(cfg Config, seen *Secrets) *Masker {
	m := &Masker{
		cfg: cfg, mac: hmac.New(sha256.New, cfg.Key), seen: seen,
		short: map[string]string{}, taken: map[string]bool{}, memo: map[string]string{}, again: map[string]string{}, deny: map[string]bool{},
	}
	for _, s := range cfg.Deny {
		for word := range words(strings.ToLower(s)) {
			m.deny[word] = true
		}
	}
	if cfg.Hosts {
		m.addr = newAddresses(m)
	}
	return m
}

// maxAgain is the longest text that is looked up in again.
const maxAgain = 64

// repeated masks a text with f, under a number that stands for f, or as f did
// when it was last given that text.
func (m *Masker) repeated(number byte, b []byte, f func([]byte)) {
	if len(b) > maxAgain {
		f(b)
		return
	}
	m.key = append(append(m.key[:0], number), b...)
	if v, ok := m.again[string(m.key)]; ok {
		copy(b, v)
		return
	}
	key := string(m.key)
	f(b)
	if len(m.again) >= maxMemo {
		clear(m.again)
	}
	m.again[key] = string(b)
}

// words yields the runs of letters and digits of s.
func words(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for i := 0; i < len(s); {
			j := i
			for j < len(s) && alnum(s[j]) {
				j++
			}
			if j == i {
				i++
				continue
			}
			if !yield(s[i:j]) {
				return
			}
			i = j
		}
	}
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
func lower(c byte) bool { return 'a' <= c && c <= 'z' }
func upper(c byte) bool { return 'A' <= c && c <= 'Z' }
func alnum(c byte) bool { return digit(c) || lower(c) || upper(c) }

// A shape is what of a text its stand-in keeps beside the length: hexadecimal
// text stays so, because ids are known by it.
type shape struct {
	n   int // letters and digits
	hex bool
}

func shapeOf(b []byte) shape {
	s := shape{hex: true}
	digits := 0
	for _, c := range b {
		switch {
		case digit(c):
			digits++
		case 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
		case alnum(c):
			s.hex = false
		default:
			continue
		}
		s.n++
	}
	s.hex = s.hex && s.n >= shortWord && digits > 0
	return s
}

// standIn replaces all letters and digits of b, and all that is not ASCII. A
// letter stays a letter of its case and a digit a digit, so that random text
// stays random text and a name a name; marks stay, so that the structure of a
// credential does, with its flaws.
func (m *Masker) standIn(b []byte) {
	s := shapeOf(b)
	if s.n < shortWord {
		m.shortStandIn(b)
		return
	}
	if v, ok := m.memo[string(b)]; ok {
		copy(b, v)
		return
	}
	if len(m.memo) >= maxMemo {
		clear(m.memo)
	}
	was := string(b)
	m.fill(b, was, 0, s.hex)
	if len(was) <= 4096 {
		m.memo[was] = string(b)
	}
}

// shortStandIn is standIn for a text of which there are so few that two could
// get the same stand-in: a table keeps them apart.
func (m *Masker) shortStandIn(b []byte) {
	if v, ok := m.short[string(b)]; ok {
		copy(b, v)
		return
	}
	was := string(b)
	for try := range 256 {
		copy(b, was)
		m.fill(b, was, try, false)
		now := string(b)
		if _, real := m.short[now]; now != was && !(real && try < 64) && !m.taken[now] {
			break
		}
	}
	if len(m.short) < maxShort {
		m.short[was] = string(b)
		m.taken[string(b)] = true
	}
}

// fill writes the stand-in of text was, which b holds.
func (m *Masker) fill(b []byte, was string, try int, hex bool) {
	var sum [sha256.Size]byte
	m.mac.Reset()
	m.mac.Write(binary.AppendUvarint(nil, uint64(try)))
	io.WriteString(m.mac, was)
	m.mac.Sum(sum[:0])
	have := len(sum)
	next := func() int {
		if have == 0 {
			// Of the last block alone: of the text again would take the square.
			m.mac.Reset()
			m.mac.Write(sum[:])
			m.mac.Sum(sum[:0])
			have = len(sum)
		}
		have--
		return int(sum[have])
	}
	letters := 26
	if hex {
		letters = 6
	}
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case digit(c):
			b[i] = '0' + byte(next()%10)
		case lower(c):
			b[i] = 'a' + byte(next()%letters)
		case upper(c):
			b[i] = 'A' + byte(next()%letters)
		case c >= utf8.RuneSelf:
			i += other(b[i:]) - 1
		}
	}
}

// other replaces the character at b, which is not ASCII, and returns its
// length. That there is one stays, because it may be what is wrong.
func other(b []byte) int {
	_, n := utf8.DecodeRune(b)
	switch n {
	case 2:
		copy(b, "§")
	case 3:
		copy(b, "…")
	case 4:
		copy(b, "𝄞")
	default:
		b[0] = 0xff
	}
	return n
}

// blank replaces every word.
func (m *Masker) blank(b []byte) { m.each(b, nil, 0) }

// each goes over the words of b and replaces those that keep does not keep, and
// numbers of more digits than that.
func (m *Masker) each(b []byte, keep func(low string) bool, digits int) {
	for i := 0; i < len(b); {
		if b[i] >= utf8.RuneSelf {
			i += other(b[i:])
			continue
		}
		j, numeric := i, true
		for j < len(b) && alnum(b[j]) {
			numeric = numeric && digit(b[j])
			j++
		}
		if j == i {
			i++
			continue
		}
		m.word(b[i:j], keep, numeric && j-i <= digits)
		i = j
	}
}

func (m *Masker) word(w []byte, keep func(string) bool, number bool) {
	if number && !m.deny[string(w)] {
		return
	}
	if keep != nil && len(w) <= 32 {
		low := strings.ToLower(string(w))
		if keep(low) && !m.deny[low] {
			return
		}
	}
	m.standIn(w)
}

// prose keeps the words that speak of protocols and failures, numbers such as
// a status, and URLs without what may be secret in them.
func (m *Masker) prose(b []byte) { m.spans(b, 3) }

// field is prose with longer numbers: dates, lengths, versions.
func (m *Masker) field(b []byte) { m.spans(b, 10) }

// spans is each over what is no URL.
func (m *Masker) spans(b []byte, digits int) {
	for len(b) > 0 {
		i := bytes.Index(b, []byte("://"))
		if i < 0 {
			m.each(b, known, digits)
			return
		}
		from := i
		for from > 0 && alnum(b[from-1]) {
			from--
		}
		to := i + 3
		for to < len(b) && b[to] > ' ' && strings.IndexByte(`"'<>()[]{}|\^`+"`,;", b[to]) < 0 {
			to++
		}
		if to < len(b) && b[to] == '[' { // an IPv6 address
			for to < len(b) && b[to] > ' ' && strings.IndexByte(`"'<>(){}|\^`+"`,;", b[to]) < 0 {
				to++
			}
		}
		m.each(b[:from], known, digits)
		m.url(b[from:to])
		b = b[to:]
	}
}

// names keeps what is shaped as the name of a tool, a server or a route, and
// replaces what looks like a secret. The parts of a list are judged one by one.
func (m *Masker) names(b []byte) {
	if bytes.Count(b, []byte(" ")) > 2 {
		m.blank(b) // a sentence, or a passphrase
		return
	}
	from := 0
	for i := 0; i <= len(b); i++ {
		if i == len(b) || b[i] == ',' || b[i] == '/' || b[i] == ' ' {
			m.name(b[from:i])
			from = i + 1
		}
	}
}

func (m *Masker) name(b []byte) {
	s := string(b)
	if len(s) > 128 || mcp.SecretPrefix(s) != "" || mcp.LooksSecret(s) || strings.HasPrefix(s, "eyJ") || strings.ContainsAny(s, "@=%") {
		m.each(b, route, 0)
		return
	}
	m.each(b, plain, 4)
}

// plain reports whether a word is one of a name and not random.
func plain(low string) bool {
	digits := 0
	for i := range len(low) {
		if digit(low[i]) {
			digits++
		}
	}
	letters := len(low) - digits
	for _, w := range []string{"secret", "passw", "passwd"} {
		if strings.Contains(low, w) {
			return false
		}
	}
	return len(low) <= 24 && letters > 0 && (digits == 0 || digits <= 2 && len(low) < 12 || digits <= 4 && letters <= 3) || vocabulary[low]
}

// id replaces an id as a whole: equal ids stay equal.
func (m *Masker) id(b []byte) {
	if len(b) <= 4 && shapeOf(b).n == len(b) && len(bytes.Trim(b, "0123456789")) == 0 {
		return
	}
	for word := range words(strings.ToLower(string(b))) {
		if !vocabulary[word] || m.deny[word] {
			m.standIn(b)
			return
		}
	}
}

// secret replaces a secret, of which the kind stays: the claims of a JWT that
// say why it was refused, and a public prefix.
func (m *Masker) secret(b []byte) {
	if len(b) == 0 {
		return
	}
	m.seen.add(b)
	m.token(b)
}

func (m *Masker) token(b []byte) {
	if m.jwt(b) {
		return
	}
	was := string(b)
	// The prefix is the kind and no part of the secret.
	m.standIn(b[min(len(mcp.SecretPrefix(was)), len(b)):])
	m.templates(b, was)
}

// templates puts back what makes a token a placeholder that nobody filled in.
func (m *Masker) templates(b []byte, was string) {
	const environ = "os.environ/"
	for at := 0; ; {
		i := strings.Index(was[at:], environ)
		if i < 0 {
			return
		}
		copy(b[at+i:], environ)
		at += i + len(environ)
	}
}
