package inet

import (
	"net/netip"
	"slices"
	"time"

	"mcp401/decode"
)

// A datagram is one IP datagram being put together.
type datagram struct {
	key        fragmentKey
	first      time.Time // of its first fragment; of its completion when done
	buf        []byte    // grows to the furthest fragment
	have       []span    // what of buf is there: sorted, apart
	total      int       // bytes of the whole, once the last fragment came; else 0
	done       bool      // handed out: kept a moment to absorb copies
	frames     []int     // that brought something of it, the last one not among them
	prev, next *datagram // by age
}

type span struct{ from, to int }

type fragmentKey struct {
	src, dst netip.Addr
	path     uint64
	id       uint32
	proto    byte
}

// fragments puts IP datagrams together, by RFC 791 and RFC 8200 section 4.5.
// Where fragments overlap the first copy of a byte wins.
type fragments struct {
	lim   decode.Limits
	held  map[fragmentKey]*datagram
	age   datagram // ring of all, oldest first
	bytes int
	out   []byte // the datagram handed out last
	parts []int  // and the frames that brought it, but for the last
}

// copies is how long a complete datagram is remembered, so that the second
// copies of frames captured twice do not begin it again.
const copies = time.Second

// pieces is how many separate parts of one datagram are held: 64 KiB in
// fragments of the smallest common MTU, every other one missing, are fewer.
const pieces = 64

func (fs *fragments) init(lim decode.Limits) {
	fs.lim = lim
	fs.held = make(map[fragmentKey]*datagram)
	fs.age.prev, fs.age.next = &fs.age, &fs.age
}

// add takes one fragment and returns the whole datagram when it was the last
// one missing.
func (fs *fragments) add(d *Decoder, l layer, key fragmentKey, at int, more bool) (layer, bool) {
	now := d.at.Time
	fs.expire(now)
	end := at + len(l.b)
	// All but the last are multiples of eight; a cut fragment leaves a hole
	// that no other fills.
	if l.cut > 0 || len(l.b) == 0 || end > 0xffff || more && len(l.b)%8 != 0 {
		return l, false
	}
	g := fs.held[key]
	if g != nil && g.done {
		if now.Sub(g.first) < copies {
			return l, false
		}
		fs.drop(g)
		g = nil
	}
	if g == nil {
		g = fs.begin(d, key, now)
	}
	if !more && g.total == 0 {
		g.total = end
	}
	if g.total > 0 && end > g.total {
		return l, false
	}
	if len(g.have) >= pieces {
		fs.give(d, g)
		return l, false
	}
	fs.put(g, at, l.b)
	if g.total == 0 || len(g.have) != 1 || g.have[0] != (span{0, g.total}) {
		if len(g.frames) < pieces {
			g.frames = append(g.frames, d.at.Frame)
		}
		fs.fit(d)
		return l, false
	}
	fs.out = append(fs.out[:0], g.buf[:g.total]...)
	fs.bytes -= cap(g.buf)
	fs.parts = g.frames
	g.buf, g.have, g.frames, g.done, g.first = nil, nil, nil, true, now
	l.b, l.cut = fs.out, 0
	return l, true
}

func (fs *fragments) begin(d *Decoder, key fragmentKey, now time.Time) *datagram {
	for len(fs.held) >= fs.lim.Fragments {
		fs.give(d, fs.age.next)
	}
	g := &datagram{key: key, first: now, next: &fs.age, prev: fs.age.prev}
	g.prev.next, g.next.prev = g, g
	fs.held[key] = g
	return g
}

// put copies the bytes that are not yet there.
func (fs *fragments) put(g *datagram, at int, b []byte) {
	end := at + len(b)
	if end > cap(g.buf) {
		grown := make([]byte, end, min(max(end, 2*cap(g.buf)), 0xffff))
		copy(grown, g.buf)
		fs.bytes += cap(grown) - cap(g.buf)
		g.buf = grown
	}
	if end > len(g.buf) {
		g.buf = g.buf[:end]
	}
	// Spans [i, j) touch the new one and melt into it.
	i := 0
	for i < len(g.have) && g.have[i].to < at {
		i++
	}
	cur, all, j := at, span{at, end}, i
	for ; j < len(g.have) && g.have[j].from <= end; j++ {
		h := g.have[j]
		if cur < h.from {
			copy(g.buf[cur:h.from], b[cur-at:])
		}
		cur = max(cur, h.to)
		all = span{min(all.from, h.from), max(all.to, h.to)}
	}
	if cur < end {
		copy(g.buf[cur:end], b[cur-at:])
	}
	g.have = slices.Replace(g.have, i, j, all)
}

// fit stays within the bound on bytes.
func (fs *fragments) fit(d *Decoder) {
	for fs.bytes > fs.lim.FragmentBytes {
		fs.give(d, fs.age.next)
	}
}

// give drops a datagram and says so if that loses anything.
func (fs *fragments) give(d *Decoder, g *datagram) {
	if !g.done {
		d.note(decode.Note{Code: "limit/fragments", At: d.at, N: 1, Text: "incomplete IP datagram given up"})
	}
	fs.drop(g)
}

func (fs *fragments) expire(now time.Time) {
	for g := fs.age.next; g != &fs.age && now.Sub(g.first) > fs.lim.FragmentAge; g = fs.age.next {
		fs.drop(g)
	}
}

func (fs *fragments) drop(g *datagram) {
	g.prev.next, g.next.prev = g.next, g.prev
	fs.bytes -= cap(g.buf)
	delete(fs.held, g.key)
}
