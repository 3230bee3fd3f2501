package tcp

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"slices"

	"mcp401/decode/inet"
)

// A key names a connection whichever way a segment goes: two endpoints in
// order, and the path. IPv4 addresses are IPv4-mapped.
type key struct {
	hi, lo [2]uint64
	port   [2]uint16
	path   uint64
}

// set makes the key of a segment and returns the side that sent it.
func (k *key) set(s *inet.Segment) (side int) {
	src, dst := s.Src.Addr().As16(), s.Dst.Addr().As16()
	sh, sl := binary.BigEndian.Uint64(src[:8]), binary.BigEndian.Uint64(src[8:])
	dh, dl := binary.BigEndian.Uint64(dst[:8]), binary.BigEndian.Uint64(dst[8:])
	sp, dp := s.Src.Port(), s.Dst.Port()
	if sh > dh || sh == dh && (sl > dl || sl == dl && sp > dp) {
		side = 1
	}
	o := side ^ 1
	k.hi[side&1], k.lo[side&1], k.port[side&1] = sh, sl, sp
	k.hi[o&1], k.lo[o&1], k.port[o&1] = dh, dl, dp
	k.path = s.Path
	return side
}

func (k *key) endpoint(side int) netip.AddrPort {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi[side])
	binary.BigEndian.PutUint64(b[8:], k.lo[side])
	return netip.AddrPortFrom(netip.AddrFrom16(b).Unmap(), k.port[side])
}

// An index finds flows by key: open addressing with linear probing over small
// slots, flows in chunks that never move. The hash is keyed with random bits,
// so that no capture can be made to collide; nothing that is told depends on
// the order in it.
type index struct {
	slots  []slot // a power of two, at most half of them used
	used   int
	chunks [][]flow
	free   *flow
	seed   [5]uint64
}

type slot struct {
	tag uint32 // upper half of the hash
	ref uint32 // number of the flow from 1; 0: empty
}

const chunk = 256

func (x *index) init() {
	seed := maphash.MakeSeed()
	for i := range x.seed {
		x.seed[i] = maphash.Comparable(seed, i) | 1
	}
	x.slots = make([]slot, 1024)
}

func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func (x *index) hash(k *key) uint64 {
	h := mum(k.hi[0]^x.seed[0], k.lo[0]^x.seed[1])
	h ^= mum(k.hi[1]^x.seed[2], k.lo[1]^x.seed[3])
	return mum(h^k.path, x.seed[4]^uint64(k.port[0])<<16^uint64(k.port[1]))
}

func (x *index) flow(ref uint32) *flow {
	ref--
	return &x.chunks[ref/chunk][ref%chunk]
}

func (x *index) find(h uint64, k *key) *flow {
	mask := uint64(len(x.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		s := x.slots[i]
		if s.ref == 0 {
			return nil
		}
		if s.tag == uint32(h>>32) {
			if f := x.flow(s.ref); f.key == *k {
				return f
			}
		}
	}
}

// add returns a zero flow with the key, which is not in the index yet.
func (x *index) add(h uint64, k *key) *flow {
	if x.free == nil {
		c := make([]flow, chunk)
		x.chunks = append(x.chunks, c)
		for i := range c {
			c[i].ref = uint32((len(x.chunks)-1)*chunk + i + 1)
			c[i].next, x.free = x.free, &c[i]
		}
	}
	f := x.free
	x.free = f.next
	*f = flow{key: *k, ref: f.ref, hash: h}
	if x.used++; x.used*2 > len(x.slots) {
		old := x.slots
		x.slots = make([]slot, 2*len(old))
		for _, s := range old {
			if s.ref != 0 {
				x.put(x.flow(s.ref))
			}
		}
	}
	x.put(f)
	return f
}

func (x *index) put(f *flow) {
	mask := uint64(len(x.slots) - 1)
	i := f.hash & mask
	for x.slots[i].ref != 0 {
		i = (i + 1) & mask
	}
	x.slots[i] = slot{uint32(f.hash >> 32), f.ref}
}

// remove takes a flow out and moves those behind it that its place kept away
// from theirs.
func (x *index) remove(f *flow) {
	mask := uint64(len(x.slots) - 1)
	i := f.hash & mask
	for x.slots[i].ref != f.ref {
		i = (i + 1) & mask
	}
	for j := i; ; {
		x.slots[i] = slot{}
		for {
			j = (j + 1) & mask
			if x.slots[j].ref == 0 {
				x.used--
				*f = flow{ref: f.ref, next: x.free}
				x.free = f
				return
			}
			if home := x.flow(x.slots[j].ref).hash & mask; (j-home)&mask >= (j-i)&mask {
				break
			}
		}
		x.slots[i] = x.slots[j]
		i = j
	}
}

// byFirst returns all flows in the order of their first frame.
func (x *index) byFirst() []*flow {
	all := make([]*flow, 0, x.used)
	for _, s := range x.slots {
		if s.ref != 0 {
			all = append(all, x.flow(s.ref))
		}
	}
	slices.SortFunc(all, func(a, b *flow) int { return cmp.Compare(a.first, b.first) })
	return all
}
