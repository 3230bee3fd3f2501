package inet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mcp401/decode"
)

// pieces4 cuts an IPv4 payload at the given places.
func pieces4(id int, payload []byte, at ...int) [][]byte {
	var out [][]byte
	from := 0
	for _, to := range append(at, len(payload)) {
		more := 1
		if to == len(payload) {
			more = 0
		}
		out = append(out, ether(typeIPv4, ip4at(protoTCP, a4, b4, id, from|more, payload[from:to])))
		from = to
	}
	return out
}

// pieces6 does so for IPv6.
func pieces6(id int, payload []byte, at ...int) [][]byte {
	var out [][]byte
	from := 0
	for _, to := range append(at, len(payload)) {
		more := 1
		if to == len(payload) {
			more = 0
		}
		out = append(out, ether(typeIPv6, ip6(protoFragment, a6, b6, cat([]byte{protoTCP, 0}, be16(from|more), be32(id), payload[from:to]))))
		from = to
	}
	return out
}

const letters = "abcdefghijklmnopqrstuvwxyz"

func long() []byte { return tcp(40000, 80, 1000, ACK, strings.Repeat(letters, 10)) }

// feed gives packets, a millisecond apart, and returns the payloads.
func feed(d *Decoder, packets ...[]byte) (out []string) {
	for i, p := range packets {
		if s, ok := d.Segment(mark(i+1), packet(1, p)); ok {
			out = append(out, fmt.Sprint(i+1, " ", string(s.Payload)))
		}
	}
	return out
}

func TestFragmentsInAnyOrder(t *testing.T) {
	for name, parts := range map[string][][]byte{"IPv4": pieces4(7, long(), 8, 16, 64, 200), "IPv6": pieces6(7, long(), 8, 16, 64, 200)} {
		for seed := range uint64(50) {
			order := rand.New(rand.NewPCG(seed, 0)).Perm(len(parts))
			var shuffled [][]byte
			for _, i := range order {
				shuffled = append(shuffled, parts[i], parts[i])
			}
			d := New(decode.Limits{}, nil)
			got := feed(d, shuffled...)
			if len(got) != 1 || !strings.HasPrefix(got[0], "9 ") || got[0][2:] != strings.Repeat(letters, 10) {
				t.Fatalf("%s in the order %v: %q", name, order, got)
			}
			if s := d.Stats(); s.Fragments != 9 || s.Segments != 1 {
				t.Fatalf("%+v", s)
			}
			if len(d.frags.held) != 1 || d.frags.bytes != 0 {
				t.Fatalf("%d datagrams, %d bytes held", len(d.frags.held), d.frags.bytes)
			}
		}
	}
}

func TestFragmentsOverlapFirstWins(t *testing.T) {
	whole := long()
	other := cat(whole)
	for i := 20; i < len(other); i++ {
		other[i] = '#'
	}
	parts := func(b []byte, from, to, more int) []byte {
		return ether(typeIPv4, ip4at(protoTCP, a4, b4, 7, from|more, b[from:to]))
	}
	got := feed(New(decode.Limits{}, nil),
		parts(whole, 64, 128, 1),
		parts(other, 56, 136, 1),
		parts(whole, 0, 64, 1),
		parts(other, 8, len(other), 0),
	)
	want := cat(whole)
	for i := 56; i < len(want); i++ {
		if i < 64 || i >= 128 {
			want[i] = '#'
		}
	}
	if len(got) != 1 || got[0] != "4 "+string(want[20:]) {
		t.Errorf("%q", got)
	}
}

func TestFragmentsOfSeveralDatagrams(t *testing.T) {
	a, b := pieces4(1, tcp(1, 2, 3, ACK, "the first one"), 16), pieces4(2, tcp(1, 2, 3, ACK, "the second"), 16)
	got := feed(New(decode.Limits{}, nil), a[0], b[1], b[0], a[1])
	if fmt.Sprint(got) != "[3 the second 4 the first one]" {
		t.Errorf("%q", got)
	}
}

func TestFragmentRefused(t *testing.T) {
	p := pieces4(1, long(), 16)
	cut := p[0][:len(p[0])-3]
	odd := ether(typeIPv4, ip4at(protoTCP, a4, b4, 1, 1, long()[:13]))
	beyond := ether(typeIPv4, ip4at(protoTCP, a4, b4, 1, 65528, long()))
	after := ether(typeIPv4, ip4at(protoTCP, a4, b4, 1, 512|1, long()[:16]))
	d := New(decode.Limits{}, nil)
	if got := feed(d, cut, odd, beyond, p[1], after); got != nil {
		t.Errorf("%q", got)
	}
	if d.Stats().Fragments != 5 {
		t.Errorf("%+v", d.Stats())
	}
	if got := feed(d, p[0]); len(got) != 1 {
		t.Error("the datagram was not completed")
	}
}

func TestFragmentsExpire(t *testing.T) {
	p := pieces4(1, long(), 16)
	d := New(decode.Limits{}, nil)
	at := mark(1)
	d.Segment(at, packet(1, p[0]))
	at.Time = at.Time.Add(31 * time.Second)
	if _, ok := d.Segment(at, packet(1, p[1])); ok {
		t.Error("fragments 31 s apart made a datagram")
	}
	if len(d.frags.held) != 1 {
		t.Errorf("%d datagrams held", len(d.frags.held))
	}
}

// An identification is used again after a moment, copies come sooner.
func TestFragmentsOfTheSameNumber(t *testing.T) {
	p := pieces4(1, long(), 16)
	d := New(decode.Limits{}, nil)
	n := 0
	for i, after := range []time.Duration{0, 0, 0, 0, 2 * time.Second, 0} {
		at := mark(1)
		at.Time = at.Time.Add(after)
		if i > 4 {
			at.Time = at.Time.Add(2 * time.Second)
		}
		if _, ok := d.Segment(at, packet(1, p[i%2])); ok {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d datagrams, want 2", n)
	}
}

func TestFragmentLimits(t *testing.T) {
	notes := 0
	note := func(n decode.Note) {
		if n.Code != "limit/fragments" {
			t.Error(n)
		}
		notes++
	}
	d := New(decode.Limits{Fragments: 10}, note)
	for i := range 100 {
		d.Segment(mark(1), packet(1, pieces4(i, long(), 16)[0]))
	}
	if len(d.frags.held) != 10 || notes != 90 {
		t.Errorf("%d datagrams held, %d notes", len(d.frags.held), notes)
	}
	notes = 0
	d = New(decode.Limits{FragmentBytes: 10_000}, note)
	for i := range 100 {
		d.Segment(mark(1), packet(1, pieces4(i, long(), 256)[0]))
		if d.frags.bytes > 10_000 {
			t.Fatalf("%d bytes held", d.frags.bytes)
		}
	}
	if notes == 0 {
		t.Error("no note")
	}
	notes = 0
	d = New(decode.Limits{}, note)
	for i := range 2 * pieces {
		d.Segment(mark(1), packet(1, ether(typeIPv4, ip4at(protoTCP, a4, b4, 1, i*16|1, make([]byte, 8)))))
	}
	if notes != 1 {
		t.Errorf("%d notes of a datagram in too many pieces, want 1", notes)
	}
}
