package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
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
)

// Secrets are the credentials that were seen, to be searched for in what is
// written. A nil *Secrets takes none.
type Secrets struct {
	all  map[string]bool
	More bool // there were more than can be searched for

	needles []needle
	ends    map[uint64]int32 // by the hash of their last bytes: the first needle, and the others by next
	filter  []uint64         // a bit for each hash: most bytes need no more than this
	shift   uint
	stubs   bool // some needles have no eight bytes
}

// A needle is one way to write a secret: its end. Short ones count only as a
// whole word, since a stand-in may hold anything.
type needle struct {
	text  []byte
	whole bool
	next  int32 // -1: none
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
	s.ends = map[uint64]int32{}
	for v := range s.all {
		b := []byte(v)
		s.needle(b, len(b) < 12)
		if len(b) < 8 {
			continue // its encodings are as short
		}
		s.needle([]byte(hex.EncodeToString(b)), false)
		s.needle([]byte(strings.ToUpper(hex.EncodeToString(b))), false)
		for _, u := range []string{url.QueryEscape(v), url.PathEscape(v)} {
			if u != v {
				s.needle([]byte(u), false)
			}
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
	size := uint(10)
	for size < 24 && 1<<size < 32*len(s.ends) {
		size++
	}
	s.filter, s.shift = make([]uint64, 1<<size/64), 64-size
	for h := range s.ends {
		s.filter[h>>s.shift/64] |= 1 << (h >> s.shift % 64)
	}
}

func (s *Secrets) needle(b []byte, whole bool) {
	if len(b) < shortest {
		return
	}
	end := b[max(0, len(b)-longest):]
	h := endOf(end)
	if len(end) < 8 {
		s.stubs = true
	}
	first, ok := s.ends[h]
	if !ok {
		first = -1
	}
	for i := first; i >= 0; i = s.needles[i].next {
		if n := &s.needles[i]; bytes.Equal(n.text, end) {
			n.whole = n.whole && whole
			return
		}
	}
	s.needles = append(s.needles, needle{end, whole, first})
	s.ends[h] = int32(len(s.needles) - 1)
}

// endOf is the hash of the last eight bytes of a needle, or of the last six
// where it has no eight.
func endOf(b []byte) uint64 {
	var w [8]byte
	n := 8
	if len(b) < 8 {
		n = shortest
	}
	copy(w[8-n:], b[len(b)-n:])
	if n == 8 {
		return endHash(binary.LittleEndian.Uint64(w[:]))
	}
	return stubHash(binary.LittleEndian.Uint64(w[:]))
}

// The hashes are multiplications, of which the upper bits are the best.
func endHash(w uint64) uint64  { return w * 0x9e3779b97f4a7c15 }
func stubHash(w uint64) uint64 { return (w >> 16) * 0xd6e8feb86659fd93 }

// A search looks for secrets in one stream of bytes, however it is cut.
type search struct {
	s     *Secrets
	b     []byte // what was written last
	fresh bool   // whole words end with the bytes written so far
	hit   bool   // one was found
}

// newSearch begins a stream. The set must not change anymore.
func (s *Secrets) newSearch() *search {
	if s.ends == nil {
		s.index()
	}
	return &search{s: s}
}

// Write looks through the next bytes.
func (q *search) Write(p []byte) (int, error) {
	s := q.s
	if len(s.needles) == 0 || q.hit {
		return len(p), nil
	}
	if q.b == nil {
		q.b = make([]byte, 8, 8+longest+len(p)) // no letters, so that a word may begin
	}
	from := len(q.b)
	q.b = append(q.b, p...)
	b := q.b
	for i := from; i < len(b); i++ {
		if q.fresh {
			if !alnum(b[i]) {
				q.hit = true
				return len(p), nil
			}
			q.fresh = false
		}
		w := binary.LittleEndian.Uint64(b[i-7:])
		if h := endHash(w); s.filter[h>>s.shift/64]&(1<<(h>>s.shift%64)) != 0 {
			q.compare(b[:i+1], h)
		}
		if s.stubs {
			if h := stubHash(w); s.filter[h>>s.shift/64]&(1<<(h>>s.shift%64)) != 0 {
				q.compare(b[:i+1], h)
			}
		}
	}
	if keep := longest + 1; len(b) > keep {
		q.b = b[:copy(b, b[len(b)-keep:])]
	}
	return len(p), nil
}

// compare looks whether a needle ends where b does.
func (q *search) compare(b []byte, h uint64) {
	i, ok := q.s.ends[h]
	for ; ok && i >= 0; i = q.s.needles[i].next {
		n := &q.s.needles[i]
		switch before := len(b) - len(n.text) - 1; {
		case !bytes.HasSuffix(b, n.text):
		case !n.whole:
			q.hit = true
		case before < 0 || !alnum(b[before]):
			q.fresh = true
		}
	}
}

// Close ends the stream.
func (q *search) Close() error {
	q.hit = q.hit || q.fresh
	return nil
}
