package redact

import (
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
)

// addresses gives IP addresses stand-ins whose text is as long: each octet, or
// group of IPv6, is exchanged for one of as many digits. Loopback addresses and
// zeros stay, because they mean something.
type addresses struct {
	octet [256]byte
	group [1 << 16]uint16
}

func newAddresses(m *Masker) *addresses {
	m.mac.Reset()
	m.mac.Write([]byte("addresses"))
	var seed [sha256.Size]byte
	m.mac.Sum(seed[:0])
	r := rand.New(rand.NewChaCha8(seed))
	a := &addresses{}
	for _, c := range [][2]int{{0, 1}, {1, 10}, {10, 100}, {100, 256}} {
		for i, k := range cycle(r, c[1]-c[0]) {
			a.octet[c[0]+i] = byte(c[0] + k)
		}
	}
	for _, c := range [][2]int{{0, 1}, {1, 1 << 4}, {1 << 4, 1 << 8}, {1 << 8, 1 << 12}, {1 << 12, 1 << 16}} {
		for i, k := range cycle(r, c[1]-c[0]) {
			a.group[c[0]+i] = uint16(c[0] + k)
		}
	}
	return a
}

// cycle is a permutation that leaves nothing in its place (Sattolo).
func cycle(r *rand.Rand, n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := r.IntN(i)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// of returns the stand-in of an address.
func (a *addresses) of(ip netip.Addr) netip.Addr {
	switch {
	case ip.IsLoopback(), ip.IsUnspecified():
		return ip
	case ip.Is4():
		b := ip.As4()
		for i, c := range b {
			b[i] = a.octet[c]
		}
		return netip.AddrFrom4(b)
	case ip.Is4In6():
		return netip.AddrFrom16(a.of(ip.Unmap()).As16())
	}
	b := ip.As16()
	for i := 0; i < len(b); i += 2 {
		g := a.group[uint16(b[i])<<8|uint16(b[i+1])]
		b[i], b[i+1] = byte(g>>8), byte(g)
	}
	return netip.AddrFrom16(b)
}

// text replaces an address where it stands as text.
func (a *addresses) text(b []byte, ip netip.Addr) {
	if s := a.of(ip.WithZone("")).String(); len(s) == len(b) {
		copy(b, s)
		return
	}
	for i, c := range b { // written in another way than usual
		if unhex(c) >= 0 {
			b[i] = '1'
		}
	}
}
