package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
)

// The bounds of what is searched for. A text shorter than shortest cannot be
// told from ordinary words.
const (
	shortest    = 6
	mostSecrets = 1 << 18 // all, of which so many are searched for at once:
	batch       = 1 << 15 // each takes a KB
	longest     = 64      // bytes of a needle that are compared: its end
	stem        = 6       // bytes that are hashed
)

// Secrets are the credentials that were seen, to be searched for in what is
// written. A nil *Secrets takes none.
type Secrets struct {
	all   map[string]bool
	stems map[uint64][]needle
	first [1 << 16 / 64]uint64 // the upper bits of their hashes: most bytes need no more than this
	More  bool                 // there were more than can be searched for
}

// A needle is one way to write a secret. Short ones count only as a whole
// word, since a stand-in may hold anything.
type needle struct {
	text  []byte
	whole bool
}

// NewSecrets returns an empty set.
func NewSecrets() *Secrets { return &Secrets{all: map[string]bool{}} }

// add takes a copy of a secret.
func (s *Secrets) add(b []byte) {
	if s == nil || len(b) < shortest || shapeOf(b).n < shortest || s.all[string(b)] {
		return
	}
	if known := strings.ToLower(string(b)); vocabulary[known] {
		return // "bearer" where a token should be
	}
	if len(s.all) >= mostSecrets {
		s.More = true
		return
	}
	s.all[string(b)] = true
}

// List returns the secrets in order.
func (s *Secrets) List() []string {
	list := make([]string, 0, len(s.all))
	for v := range s.all {
		list = append(list, v)
	}
	slices.Sort(list)
	return list
}

// batches parts the secrets into sets that can be searched for at once.
func (s *Secrets) batches() []*Secrets {
	var list []*Secrets
	for part := range slices.Chunk(s.List(), batch) {
		b := NewSecrets()
		for _, v := range part {
			b.all[v] = true
		}
		list = append(list, b)
	}
	return list
}

// Len is how many secrets there are.
func (s *Secrets) Len() int { return len(s.all) }

// index makes the needles: each secret as it is, in hexadecimal, escaped for a
// URL, and in base64 at each of the three places in which it may stand.
func (s *Secrets) index() {
	s.stems = map[uint64][]needle{}
	for v := range s.all {
		b := []byte(v)
		s.needle(b, len(b) < 12)
		if len(b) < 8 {
			continue // its encodings are as short
		}
		s.needle([]byte(hex.EncodeToString(b)), false)
		s.needle([]byte(strings.ToUpper(hex.EncodeToString(b))), false)
		if u := url.QueryEscape(v); u != v {
			s.needle([]byte(u), false)
		}
		for shift := range 3 {
			for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
				text := enc.EncodeToString(append(make([]byte, shift), b...))
				// The first and last characters depend on the bytes beside it.
				from := []int{0, 2, 3}[shift]
				to := len(text)
				if (shift+len(b))%3 != 0 {
					to--
				}
				s.needle([]byte(text[from:to]), false)
			}
		}
	}
}

func (s *Secrets) needle(b []byte, whole bool) {
	if len(b) < stem {
		return
	}
	h := stemHash(b[len(b)-stem:])
	for _, n := range s.stems[h] {
		if bytes.Equal(n.text, b) {
			return
		}
	}
	s.stems[h] = append(s.stems[h], needle{b, whole})
	s.first[h>>48/64] |= 1 << (h >> 48 % 64)
}

const base = 1099511628211

func stemHash(b []byte) uint64 {
	var h uint64
	for _, c := range b {
		h = h*base + uint64(c) + 1
	}
	return h
}

// top is what the oldest byte of a stem weighs.
var top = func() uint64 {
	h := uint64(1)
	for range stem - 1 {
		h *= base
	}
	return h
}()

// A search looks for secrets in one stream of bytes, however it is cut.
type search struct {
	s     *Secrets
	tail  []byte // what was written last
	h     uint64
	n     int
	fresh []byte // whole words that end with the bytes written so far
	hit   string // the secret that was found
}

// newSearch begins a stream. The set must not change anymore.
func (s *Secrets) newSearch() *search {
	if s.stems == nil {
		s.index()
	}
	return &search{s: s}
}

// Write looks through the next bytes.
func (q *search) Write(p []byte) (int, error) {
	if len(q.s.stems) == 0 || q.hit != "" {
		return len(p), nil
	}
	b := append(q.tail, p...)
	for i := len(q.tail); i < len(b); i++ {
		if len(q.fresh) > 0 {
			if !alnum(b[i]) {
				q.hit = string(q.fresh)
				return len(p), nil
			}
			q.fresh = nil
		}
		if q.n == stem {
			q.h -= (uint64(b[i-stem]) + 1) * top
			q.n--
		}
		q.h = q.h*base + uint64(b[i]) + 1
		if q.n++; q.n < stem {
			continue
		}
		if q.s.first[q.h>>48/64]&(1<<(q.h>>48%64)) == 0 {
			continue
		}
		for _, n := range q.s.stems[q.h] {
			q.compare(b[:i+1], n)
		}
	}
	keep := min(len(b), longest+1)
	q.tail = append(q.tail[:0], b[len(b)-keep:]...)
	return len(p), nil
}

func (q *search) compare(b []byte, n needle) {
	end := n.text[max(0, len(n.text)-longest):]
	if !bytes.HasSuffix(b, end) {
		return
	}
	if !n.whole {
		q.hit = string(n.text)
		return
	}
	if before := len(b) - len(end) - 1; before < 0 || !alnum(b[before]) {
		q.fresh = n.text
	}
}

// Close ends the stream.
func (q *search) Close() error {
	if len(q.fresh) > 0 && q.hit == "" {
		q.hit = string(q.fresh)
	}
	return nil
}
