package tcp

import (
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"mcp401/capture"
	"mcp401/decode"
)

// A stream writes down one connection without frame numbers: what each side
// said in turn, however it was cut.
type stream struct {
	name  string
	turns []turn
	end   [2]decode.End
}

type turn struct {
	d    decode.Dir
	text []byte
	gap  int
}

func (s *stream) Data(d decode.Dir, at decode.Mark, p []byte) {
	if n := len(s.turns); n > 0 && s.turns[n-1].d == d && s.turns[n-1].gap == 0 {
		s.turns[n-1].text = append(s.turns[n-1].text, p...)
		return
	}
	s.turns = append(s.turns, turn{d: d, text: slices.Clone(p)})
}
func (s *stream) Gap(d decode.Dir, at decode.Mark, n int) {
	s.turns = append(s.turns, turn{d: d, gap: n})
}
func (s *stream) End(d decode.Dir, at decode.Mark, why decode.End) { s.end[d] = why }

// String writes the turns, or each direction for itself.
func (s *stream) String(turns bool) string {
	var b strings.Builder
	b.WriteString(s.name)
	write := func(t turn) {
		if t.gap > 0 {
			fmt.Fprintf(&b, "\n%v gap %d", t.d, t.gap)
			return
		}
		fmt.Fprintf(&b, "\n%v %q", t.d, t.text)
	}
	for _, t := range s.turns {
		if turns {
			write(t)
		}
	}
	for d := decode.ToServer; !turns && d <= decode.ToClient; d++ {
		var run turn
		for _, t := range s.turns {
			if t.d != d {
				continue
			}
			if (t.gap == 0) == (run.gap == 0) {
				run = turn{d, append(run.text, t.text...), run.gap + t.gap}
				continue
			}
			write(run)
			run = turn{d, slices.Clone(t.text), t.gap}
		}
		write(run)
	}
	fmt.Fprintf(&b, "\n%v %v", s.end[0], s.end[1])
	return b.String()
}

// streams replays frames and returns what every connection said, in the order
// of names.
func streams(frames []frame, turns bool) (out []string, stats Stats) {
	var all []*stream
	count := map[string]int{}
	stats = replay(frames, decode.Limits{}, func(f decode.Flow) decode.Conn {
		name := fmt.Sprint(f.Client, " ", f.Server)
		count[name]++
		s := &stream{name: fmt.Sprintf("%s %d mid=%v", name, count[name], f.Mid)}
		all = append(all, s)
		return s
	})
	for _, s := range all {
		out = append(out, s.String(turns))
	}
	sort.Strings(out)
	return out, stats
}

// load reads a capture of any kind.
func load(t testing.TB, name string) (frames []frame) {
	src, err := capture.Open([]string{name}, nil, capture.Options{})
	if err != nil {
		return nil
	}
	defer src.Close()
	for {
		r, err := src.Next()
		if err == io.EOF {
			return frames
		}
		if err != nil {
			t.Logf("%s: %v", filepath.Base(name), err)
			return frames
		}
		if r.Packet != nil {
			p := *r.Packet
			p.Data = slices.Clone(p.Data)
			frames = append(frames, frame{r.Time, p})
		}
	}
}

func captures(t testing.TB, folder string) []string {
	names, err := filepath.Glob(filepath.Join(shared(t, folder), "*.pcap*"))
	if err != nil || len(names) == 0 {
		t.Skipf("no captures in ../shared/%s", folder)
	}
	return names
}

func doubled(frames []frame) (out []frame) {
	for _, f := range frames {
		out = append(out, f, f)
	}
	return out
}

// shuffled moves frames by up to n places; the times stay where they are, as
// they do when several queues are written to one file.
func shuffled(frames []frame, n int, seed uint64) []frame {
	rng := rand.New(rand.NewPCG(seed, 0))
	type moved struct {
		frame
		to float64
	}
	all := make([]moved, len(frames))
	for i, f := range frames {
		all[i] = moved{f, float64(i) + rng.Float64()*float64(n)}
	}
	slices.SortStableFunc(all, func(a, b moved) int {
		switch {
		case a.to < b.to:
			return -1
		case a.to > b.to:
			return 1
		}
		return 0
	})
	out := make([]frame, len(frames))
	for i := range all {
		out[i] = frame{frames[i].at, all[i].p}
	}
	return out
}

func same(t *testing.T, what string, want, got []string) {
	t.Helper()
	bad := 0
	for i := range max(len(want), len(got)) {
		var a, b string
		if i < len(want) {
			a = want[i]
		}
		if i < len(got) {
			b = got[i]
		}
		if a != b {
			if bad++; bad == 1 {
				t.Errorf("%s:\nwant %.2000s\ngot %.2000s", what, a, b)
			}
		}
	}
	if bad > 0 {
		t.Errorf("%s: %d of %d connections differ", what, bad, len(want))
	}
}

func TestCapturesDoubled(t *testing.T) {
	for _, name := range captures(t, "captures") {
		frames := load(t, name)
		want, _ := streams(frames, true)
		got, _ := streams(doubled(frames), true)
		same(t, filepath.Base(name), want, got)
	}
}

func TestCapturesShuffled(t *testing.T) {
	for _, name := range captures(t, "captures") {
		frames := load(t, name)
		// In TLS 1.3 the sides speak at the same time: tickets and requests.
		turns := !strings.Contains(name, "-tls")
		want, _ := streams(frames, turns)
		for _, n := range []int{2, 3, 8} {
			for seed := range uint64(3) {
				got, _ := streams(shuffled(frames, n, seed), turns)
				same(t, fmt.Sprintf("%s shuffled by %d", filepath.Base(name), n), want, got)
			}
		}
	}
}

// What is told of a capture with frames lost is part of what is told of the
// whole: no byte is made up or moved.
func TestCapturesWithLosses(t *testing.T) {
	for _, name := range captures(t, "captures") {
		frames := load(t, name)
		whole := bytesOf(frames)
		rng := rand.New(rand.NewPCG(1, 1))
		var some []frame
		for _, f := range frames {
			if rng.IntN(20) > 0 {
				some = append(some, f)
			}
		}
		got, stats := streams(some, true)
		if stats.Gaps == 0 || len(got) == 0 {
			t.Errorf("%s: %+v", filepath.Base(name), stats)
		}
		for key, pieces := range bytesOf(some) {
			full := whole[key]
			for _, p := range pieces {
				i := strings.Index(strings.Join(full, "\xff\xff\xff\xff"), p)
				if i < 0 {
					t.Errorf("%s: %s: %.100q is not part of the whole", filepath.Base(name), key, p)
				}
			}
		}
	}
}

// bytesOf returns the runs of bytes between gaps that each endpoint sent to
// another.
func bytesOf(frames []frame) map[string][]string {
	out := map[string][]string{}
	replay(frames, decode.Limits{}, func(f decode.Flow) decode.Conn {
		return &runs{out: out, name: [2]string{fmt.Sprint(f.Client, f.Server), fmt.Sprint(f.Server, f.Client)}}
	})
	return out
}

type runs struct {
	out  map[string][]string
	name [2]string
	run  [2][]byte
}

func (r *runs) Data(d decode.Dir, at decode.Mark, p []byte) { r.run[d] = append(r.run[d], p...) }
func (r *runs) Gap(d decode.Dir, at decode.Mark, n int)     { r.flush(d) }
func (r *runs) End(d decode.Dir, at decode.Mark, why decode.End) {
	r.flush(d)
}
func (r *runs) flush(d decode.Dir) {
	if len(r.run[d]) > 0 {
		r.out[r.name[d]] = append(r.out[r.name[d]], string(r.run[d]))
	}
	r.run[d] = nil
}

// Other people's captures: nothing panics, the promise of decode.Conn holds,
// and doubled frames change nothing.
func TestCorpus(t *testing.T) {
	for _, name := range captures(t, "corpus") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			frames := load(t, name)
			replay(frames, decode.Limits{}, func(decode.Flow) decode.Conn { return &strict{t: t} })
			want, _ := streams(frames, false)
			got, _ := streams(doubled(frames), false)
			same(t, "doubled", want, got)
		})
	}
}
