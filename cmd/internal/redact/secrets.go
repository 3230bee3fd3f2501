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

	text    []byte // of all needles
	needles []needle
	list    []link
	first   []int32 // by the upper bits of a hash: the first of list
	shift   uint
	long    filter
	stubs   filter // of needles too short for every other position
}

// A needle is one way to write a secret: its end. Short ones count only as a
// whole word, since a stand-in may hold anything.
type needle struct {
	at    int32
	n     uint8
	whole bool
}

// A link says that a hash is that of bytes of a needle which end so many before
// its end.
type link struct {
	hash   uint64
	needle int32
	before int32
	next   int32 // in list, -1: none
}

// A filter has two bits for each of its hashes: most bytes of a text need no
// more than one look at it.
type filter struct {
	bits  []uint64
	shift uint
	used  bool
}

// newFilter has room for n hashes.
func newFilter(n int) filter {
	size := uint(10)
	for size < 24 && 1<<size < 16*n {
		size++
	}
	return filter{make([]uint64, 1<<size/64), 64 - size, n > 0}
}

func (f *filter) add(h uint64) {
	for _, bit := range [2]uint64{h >> f.shift, h << 24 >> f.shift} {
		f.bits[bit/64] |= 1 << (bit % 64)
	}
}

func (f *filter) maybe(h uint64) bool {
	if bit := h >> f.shift; f.bits[bit/64]&(1<<(bit%64)) == 0 {
		return false
	}
	bit := h << 24 >> f.shift
	return f.bits[bit/64]&(1<<(bit%64)) != 0
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

// batches yields sets that can be searched for at once, of which each has what
// it needs only while it is in hand; one is yielded at least.
func (s *Secrets) batches() func(func(int, *Secrets) bool) {
	return func(yield func(int, *Secrets) bool) {
		list := s.List()
		for i := 0; i == 0 || i*batch < len(list); i++ {
			b := NewSecrets()
			for _, v := range list[i*batch : min(len(list), (i+1)*batch)] {
				b.all[v] = true
			}
			if !yield(i, b) {
				return
			}
		}
	}
}

// Len is how many secrets there are.
func (s *Secrets) Len() int { return len(s.all) }

// index makes the needles: each secret as it is, in hexadecimal, escaped for a
// URL, and in base64 at each of the three places in which it may stand.
func (s *Secrets) index() {
	s.shift = 64 - 8
	for s.shift > 64-20 && 1<<(64-s.shift) < 8*len(s.all) {
		s.shift--
	}
	s.first = make([]int32, 1<<(64-s.shift))
	for i := range s.first {
		s.first[i] = -1
	}
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
	short := 0
	for _, l := range s.list {
		if s.needles[l.needle].n <= 8 {
			short++
		}
	}
	s.long, s.stubs = newFilter(len(s.list)-short), newFilter(short)
	for _, l := range s.list {
		if s.needles[l.needle].n <= 8 {
			s.stubs.add(l.hash)
		} else {
			s.long.add(l.hash)
		}
	}
}

// needle adds a way to write a secret. Of a long one every other window of
// eight bytes is known, so that every other position of a text is enough.
func (s *Secrets) needle(b []byte, whole bool) {
	if len(b) < shortest {
		return
	}
	end := b[max(0, len(b)-longest):]
	h := stubHash(window(end[len(end)-shortest:]) << 16)
	if len(end) > 8 {
		h = endHash(window(end[len(end)-8:]))
	}
	for i := s.first[h>>s.shift]; i >= 0; i = s.list[i].next {
		if n := &s.needles[s.list[i].needle]; bytes.Equal(s.end(n), end) {
			n.whole = n.whole && whole
			return
		}
	}
	s.needles = append(s.needles, needle{int32(len(s.text)), uint8(len(end)), whole})
	s.text = append(s.text, end...)
	s.put(h, 0)
	if len(end) > 8 {
		s.put(endHash(window(end[len(end)-9:len(end)-1])), 1)
	}
}

// end returns the text of a needle.
func (s *Secrets) end(n *needle) []byte { return s.text[n.at : n.at+int32(n.n)] }

// put takes down a hash of the last needle.
func (s *Secrets) put(h uint64, before int32) {
	first := &s.first[h>>s.shift]
	s.list = append(s.list, link{h, int32(len(s.needles) - 1), before, *first})
	*first = int32(len(s.list) - 1)
}

// window is up to eight bytes as a number.
func window(b []byte) uint64 {
	var w [8]byte
	copy(w[:], b)
	return binary.LittleEndian.Uint64(w[:])
}

// The hashes are multiplications, of which the upper bits are the best: of
// eight bytes, and of the last six of eight.
func endHash(w uint64) uint64  { return w * 0x9e3779b97f4a7c15 }
func stubHash(w uint64) uint64 { return (w >> 16) * 0xd6e8feb86659fd93 }

// A search looks for secrets in one stream of bytes, however it is cut.
type search struct {
	s   *Secrets
	b   []byte // what was written last
	at  int    // the next position in it
	hit bool   // one was found
}

// newSearch begins a stream. The set must not change anymore.
func (s *Secrets) newSearch() *search {
	if s.first == nil {
		s.index()
	}
	return &search{s: s}
}

// Write looks through the next bytes, but for the last two, whose next ones
// decide.
func (q *search) Write(p []byte) (int, error) {
	s := q.s
	if len(s.needles) == 0 || q.hit {
		return len(p), nil
	}
	if q.b == nil {
		q.b, q.at = make([]byte, 8, 8+longest+len(p)), 8 // no letters, so that a word may begin
	}
	q.b = append(q.b, p...)
	b, i := q.b, q.at
	if s.stubs.used {
		for k := i; k+2 < len(b); k++ {
			if h := stubHash(binary.LittleEndian.Uint64(b[k-7:])); s.stubs.maybe(h) {
				q.compare(k, h)
			}
		}
	}
	for ; i+2 < len(b); i += 2 {
		if h := endHash(binary.LittleEndian.Uint64(b[i-7:])); s.long.maybe(h) {
			q.compare(i, h)
		}
	}
	if gone := i - longest - 3; gone > 0 {
		q.b = b[:copy(b, b[gone:])]
		i -= gone
	}
	q.at = i
	return len(p), nil
}

// compare looks whether a needle ends at i or behind it.
func (q *search) compare(i int, h uint64) {
	for k := q.s.first[h>>q.s.shift]; k >= 0; k = q.s.list[k].next {
		l := &q.s.list[k]
		if l.hash != h {
			continue
		}
		n := &q.s.needles[l.needle]
		text := q.s.end(n)
		end := i + int(l.before)
		b := q.b[:end+1]
		switch before := len(b) - len(text) - 1; {
		case !bytes.HasSuffix(b, text):
		case !n.whole, !alnum(q.b[end+1]) && (before < 0 || !alnum(b[before])):
			q.hit = true
		}
	}
}

// Close ends the stream.
func (q *search) Close() error {
	q.Write([]byte{0, 0, 0, 0})
	return nil
}
