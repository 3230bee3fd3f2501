package http2

// lengths holds how many bits the code of each byte has (RFC 7541 appendix B),
// and of the end of string behind them. The code is canonical: the lengths say
// all.
var lengths = [257]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
	30,
}

const (
	longest = 30 // bits of a code
	short   = 9  // bits that are looked up at once: all of printable ASCII but eleven signs
)

// A code decodes the Huffman code.
type code struct {
	quick [1 << short]struct{ sym, bits uint8 } // bits 0: a longer code
	first [longest + 2]uint32                   // the first code of each length
	place [longest + 2]uint16                   // where its symbol stands in order
	order [257]uint16                           // symbols by length, then by value
}

var huffman = newCode()

func newCode() *code {
	c := new(code)
	next, n := uint32(0), 0
	for l := uint8(1); l <= longest; l++ {
		next <<= 1
		c.first[l], c.place[l] = next, uint16(n)
		for sym, bits := range lengths {
			if bits != l {
				continue
			}
			c.order[n] = uint16(sym)
			if n++; l <= short {
				for i := range uint32(1) << (short - l) {
					q := &c.quick[next<<(short-l)|i]
					q.sym, q.bits = uint8(sym), l
				}
			}
			next++
		}
	}
	c.first[longest+1], c.place[longest+1] = next<<1, uint16(n)
	return c
}

// decode appends what b stands for to out. It reports false where b is not of
// the code, holds the end of string, or is padded with anything but up to seven
// ones (RFC 7541 section 5.2).
func (c *code) decode(out, b []byte) ([]byte, bool) {
	var acc uint64 // the bits not used yet, at the right
	var have uint
	for {
		for have <= 56 && len(b) > 0 {
			acc = acc<<8 | uint64(b[0])
			b, have = b[1:], have+8
		}
		if have < 5 {
			break
		}
		if have >= short {
			if q := c.quick[acc>>(have-short)&(1<<short-1)]; q.bits > 0 {
				out = append(out, q.sym)
				have -= uint(q.bits)
				continue
			}
		}
		sym, bits := c.slow(acc, have)
		if bits == 0 {
			break
		}
		if sym == 256 {
			return out, false
		}
		out = append(out, byte(sym))
		have -= bits
	}
	return out, have < 8 && acc&(1<<have-1) == 1<<have-1
}

// slow finds the next code bit by bit. bits is 0 when there are too few.
func (c *code) slow(acc uint64, have uint) (sym uint16, bits uint) {
	for l := uint(5); l <= longest && l <= have; l++ {
		v := uint32(acc>>(have-l)) & (1<<l - 1)
		n := uint32(c.place[l+1] - c.place[l])
		if v-c.first[l] < n {
			return c.order[uint32(c.place[l])+v-c.first[l]], l
		}
	}
	return 0, 0
}
