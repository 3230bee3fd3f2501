// Package decodetest states, as one function, what every decoder must do: tell
// the same however its bytes are cut and however the two directions
// interleave, keep nothing of a slice, survive an end or a hole at every byte,
// and never tell something after a hole that it would not have told without.
//
// It is for tests only. A script is a txtar file:
//
//	Anything before the first part says what the script is about.
//	-- options --
//	mid
//	head 64
//	-- wire --
//	> GET / HTTP/1.1
//	> Host: a
//	>
//
//	< HTTP/1.1 200 OK
//	<
//	~ 250ms
//	< ok\
//	! < gap 100
//	. < fin
//	-- want --
//	> 1 head GET /
//	...
//
// Lines of one direction that follow each other are one frame; an empty line
// begins the next one. Text ends with CRLF unless a backslash stands at its
// end, and knows the escapes of Go. ">x 16 03 01" sends bytes, ">*100 a\" sends
// a text a hundred times. "~" lets time pass. "! gap 100" is a hole behind the
// last line, of unknown length with "?". ". fin" closes the direction of the
// last line; ". reset", ". timeout", ". evicted" and ". cut" end both. An arrow
// after "!" and "." names the direction. Lines that begin with "#" are ignored.
//
// Three options are known here: "mid" is a capture that began after the
// connection; "ambiguous" says that damage to this conversation can be taken for
// something else, so that what is told then is not compared; "ordered" says that
// what is told depends on how the directions interleave. What others mean is the
// decoder's affair.
package decodetest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"mcp401/decode"
)

// A Suite says how to test one decoder.
type Suite struct {
	// New returns a fresh decoder that takes down in log what it tells.
	New func(s *Script, log *Log) decode.Conn

	// Same maps a line to what it must have in common with a line of the
	// undamaged conversation, when there is a hole or an early end; "" for lines
	// that damage may add (a cut, a hole). Nil: the line itself. Notes are not
	// asked.
	Same func(line string) string

	// Check, if set, looks at all lines that a decoder told up to the end of
	// its connection.
	Check func(lines []string) error

	// Ordered is for protocols in which one direction cannot be read before the
	// other: the directions are not interleaved in other ways.
	Ordered bool
}

// Update, set in the environment, writes what a decoder tells into its scripts.
const Update = "DECODETEST_UPDATE"

// Run tests a decoder on all scripts that match pattern, "testdata/*.txtar".
func (u Suite) Run(t *testing.T, pattern string) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %s", pattern)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txtar"), func(t *testing.T) {
			s, err := Load(f)
			if err != nil {
				t.Fatal(err)
			}
			if os.Getenv(Update) != "" {
				u.update(t, s)
			}
			u.Test(t, s)
		})
	}
}

// Test tests a decoder on one script.
func (u Suite) Test(t testing.TB, s *Script) {
	whole := u.play(s, s.Steps)
	if got := whole.String(); got != s.Want {
		t.Fatalf("told:\n%s\nwant:\n%s", got, s.Want)
	}
	u.check(t, "whole", s, s.Steps)
	u.cuts(t, s, whole)
	_, ordered := s.Options["ordered"]
	if !u.Ordered && !ordered && !s.Flow.Mid && !slices.ContainsFunc(s.Steps, func(st Step) bool { return st.Kind == Gap }) {
		u.interleavings(t, s, whole)
	}
	u.garbage(t, s)
	u.ends(t, s, whole)
	u.holes(t, s, whole)
}

func (u Suite) update(t testing.TB, s *Script) {
	s.Want = u.play(s, s.Steps).String()
	i := slices.IndexFunc(s.parts, func(p part) bool { return p.name == "want" })
	if i < 0 {
		i = len(s.parts)
		s.parts = append(s.parts, part{name: "want"})
	}
	s.parts[i].data = s.Want
	if err := os.WriteFile(s.File, []byte(format(s.comment, s.parts)), 0o666); err != nil {
		t.Fatal(err)
	}
}

// play gives the steps to a fresh decoder. Each slice is overwritten as soon
// as Data returns.
func (u Suite) play(s *Script, steps []Step) *Log {
	log := new(Log)
	c := u.New(s, log)
	var scratch []byte
	for _, st := range steps {
		switch st.Kind {
		case Data:
			scratch = append(scratch[:0], st.Data...)
			c.Data(st.Dir, st.At, scratch)
			for i := range scratch {
				scratch[i] = 0xa5
			}
		case Gap:
			c.Gap(st.Dir, st.At, st.N)
		case End:
			c.End(st.Dir, st.At, st.Why)
		}
	}
	return log
}

// check plays the steps, cuts the capture behind them where a direction is
// still open, and looks at what is told then.
func (u Suite) check(t testing.TB, how string, s *Script, steps []Step) *Log {
	t.Helper()
	at := decode.Mark{Frame: 1, Time: Epoch}
	if n := len(s.Steps); n > 0 {
		at = next(s.Steps[n-1].At)
	}
	all := slices.Clone(steps)
	for _, d := range []decode.Dir{decode.ToServer, decode.ToClient} {
		if !slices.ContainsFunc(steps, func(st Step) bool { return st.Kind == End && st.Dir == d }) {
			all = append(all, Step{Kind: End, Dir: d, At: at, Why: decode.Cut})
		}
	}
	log := u.play(s, all)
	if u.Check != nil {
		if err := u.Check(log.Lines()); err != nil {
			t.Fatalf("%s: %v\n%s", how, err, log)
		}
	}
	return log
}

// cuts: the same is told however the bytes are cut.
func (u Suite) cuts(t testing.TB, s *Script, whole *Log) {
	same := func(how string, steps []Step) {
		t.Helper()
		if got := u.play(s, steps).String(); got != whole.String() {
			t.Fatalf("%s: told:\n%s\nwhole:\n%s", how, got, whole)
		}
	}
	same("byte by byte", cut(s.Steps, func(int, int) int { return 1 }))
	for _, i := range positions(s.Steps) {
		a, b := split(s.Steps, i)
		same(fmt.Sprintf("cut at byte %d", i), append(a, b...))
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		same(fmt.Sprintf("random cuts, seed %d", seed), cut(s.Steps, func(_, n int) int { return 1 + r.IntN(min(n, 1+int(seed)*8)) }))
	}
}

// interleavings: each direction tells the same in whatever order they come.
func (u Suite) interleavings(t testing.TB, s *Script, whole *Log) {
	var dirs [2][]Step
	ordinary := 0 // steps before an end that concerns both directions
	for _, st := range s.Steps {
		if st.Kind == End && st.Why != decode.Fin {
			break
		}
		ordinary++
		dirs[st.Dir] = append(dirs[st.Dir], st)
	}
	rest := s.Steps[ordinary:]
	try := func(how string, pick func() decode.Dir) {
		t.Helper()
		queue := dirs
		var steps []Step
		for len(queue[0])+len(queue[1]) > 0 {
			d := pick()
			if len(queue[d]) == 0 {
				d = d.Other()
			}
			steps = append(steps, queue[d][0])
			queue[d] = queue[d][1:]
		}
		got := u.play(s, append(steps, rest...))
		for _, d := range []decode.Dir{decode.ToServer, decode.ToClient} {
			if g, w := texts(got.of(d)), texts(whole.of(d)); g != w {
				t.Fatalf("%s: told %s:\n%s\nas written:\n%s", how, d, g, w)
			}
		}
		if g, w := notes(got), notes(whole); g != w {
			t.Fatalf("%s: notes:\n%s\nas written:\n%s", how, g, w)
		}
	}
	try("client first", func() decode.Dir { return decode.ToServer })
	try("server first", func() decode.Dir { return decode.ToClient })
	turn := decode.ToServer
	try("alternating", func() decode.Dir { turn = turn.Other(); return turn })
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 2))
		try(fmt.Sprintf("random order, seed %d", seed), func() decode.Dir { return decode.Dir(r.IntN(2)) })
	}
}

// garbage: what stands behind a conversation takes nothing back.
func (u Suite) garbage(t testing.TB, s *Script) {
	steps := slices.DeleteFunc(slices.Clone(s.Steps), func(st Step) bool { return st.Kind == End })
	plain := u.play(s, steps)
	for _, g := range []string{"\x00", "\r\n", "\xff\xfe\xfd garbage \n\n", "HTTP/1.1 200", strings.Repeat("\x16\x03\x01 GET ", 100)} {
		for _, d := range []decode.Dir{decode.ToServer, decode.ToClient} {
			more := Step{Dir: d, At: decode.Mark{Frame: 1 << 20, Time: Epoch}, Data: []byte(g)}
			got := u.check(t, fmt.Sprintf("garbage %.10q %s", g, d), s, append(slices.Clip(steps), more))
			for _, d := range []decode.Dir{decode.ToServer, decode.ToClient} {
				if err := begins(got.of(d), plain.of(d)); err != nil {
					t.Fatalf("garbage %.10q behind: %v\n%s", g, err, got)
				}
			}
		}
	}
}

// ends: the connection may end at every byte.
func (u Suite) ends(t testing.TB, s *Script, whole *Log) {
	for _, i := range positions(s.Steps) {
		a, _ := split(s.Steps, i)
		how := fmt.Sprintf("end at byte %d", i)
		u.subset(t, how, s, u.check(t, how, s, a), whole)
	}
}

// holes: any byte, and any eight, may be missing.
func (u Suite) holes(t testing.TB, s *Script, whole *Log) {
	for _, i := range positions(s.Steps) {
		for _, size := range []int{1, 8} {
			for _, known := range []bool{true, false} {
				how := fmt.Sprintf("hole of %d at byte %d, known %v", size, i, known)
				steps := punch(s.Steps, i, size, known)
				log := u.check(t, how, s, steps)
				u.subset(t, how, s, log, whole)
			}
		}
	}
}

// subset: the lines of a damaged conversation are lines of the whole one, in
// their order.
func (u Suite) subset(t testing.TB, how string, s *Script, got, whole *Log) {
	t.Helper()
	if _, ok := s.Options["ambiguous"]; ok {
		return
	}
	same := u.Same
	if same == nil {
		same = func(s string) string { return s }
	}
	for _, d := range []decode.Dir{decode.ToServer, decode.ToClient} {
		have := whole.of(d)
		for _, x := range got.of(d) {
			want := same(x.arrow() + " " + x.text)
			if want == "" {
				continue
			}
			i := slices.IndexFunc(have, func(y line) bool {
				return y.piece == x.piece && same(y.arrow()+" "+y.text) == want && strings.Contains(string(y.data), string(x.data))
			})
			if i < 0 {
				t.Fatalf("%s: told what the whole conversation does not tell there:\n%s\nall:\n%s\nwhole:\n%s", how, x, got, whole)
			}
			if !x.piece {
				i++ // pieces of one line may be told apart by a hole
			}
			have = have[i:]
		}
	}
}

// begins reports whether got begins with want; the last piece may be longer.
func begins(got, want []line) error {
	for i, w := range want {
		switch {
		case i >= len(got):
			return fmt.Errorf("no longer told: %s", w)
		case i == len(want)-1 && w.piece && got[i].text == w.text && strings.HasPrefix(string(got[i].data), string(w.data)):
		case got[i].String() != w.String():
			return fmt.Errorf("told %s instead of %s", got[i], w)
		}
	}
	return nil
}

func texts(lines []line) string {
	var b strings.Builder
	for _, x := range lines {
		b.WriteString(x.String() + "\n")
	}
	return b.String()
}

func notes(l *Log) string {
	var all []string
	for _, x := range l.lines {
		if x.note {
			all = append(all, x.text)
		}
	}
	sort.Strings(all)
	return strings.Join(all, "\n")
}

// most bounds how many places in one script are tried.
const most = 400

// positions returns byte offsets over all data steps: all of them, or evenly
// spread ones and those around line ends when there are too many.
func positions(steps []Step) []int {
	var all []byte
	for _, st := range steps {
		if st.Kind == Data {
			all = append(all, st.Data...)
		}
	}
	stride := 1 + len(all)/most
	var at []int
	ends := 0
	for i := range all {
		near := ends < most && (all[i] == '\n' || i > 0 && all[i-1] == '\n' || i+1 < len(all) && all[i+1] == '\n')
		if near {
			ends++
		}
		if near || i%stride == 0 {
			at = append(at, i)
		}
	}
	return at
}

// cut cuts all data into pieces of the sizes that size gives for the offset
// and the number of bytes left.
func cut(steps []Step, size func(off, left int) int) []Step {
	var out []Step
	for _, st := range steps {
		if st.Kind != Data {
			out = append(out, st)
			continue
		}
		for off := 0; off < len(st.Data); {
			n := min(size(off, len(st.Data)-off), len(st.Data)-off)
			one := st
			one.Data = st.Data[off : off+n]
			out = append(out, one)
			off += n
		}
	}
	return out
}

// split cuts the conversation before byte i.
func split(steps []Step, i int) (before, after []Step) {
	for k, st := range steps {
		if st.Kind != Data {
			continue
		}
		if i < len(st.Data) {
			a, b := st, st
			a.Data, b.Data = st.Data[:i], st.Data[i:]
			before = append(slices.Clone(steps[:k]), a)
			after = append([]Step{b}, steps[k+1:]...)
			return before, after
		}
		i -= len(st.Data)
	}
	return slices.Clone(steps), nil
}

// punch replaces up to size bytes from byte i on, within one step, by a hole.
func punch(steps []Step, i, size int, known bool) []Step {
	a, b := split(steps, i)
	if len(b) == 0 {
		return a
	}
	hole := b[0]
	n := min(size, len(hole.Data))
	hole.Kind, hole.N, hole.Data = Gap, n, nil
	if !known {
		hole.N = -1
	}
	rest := b[0]
	rest.Data = rest.Data[n:]
	a = append(a, hole)
	if len(rest.Data) > 0 {
		a = append(a, rest)
	}
	return append(a, b[1:]...)
}

// OneWay makes a decode.Conn of a decoder that is none: one that reads a
// single direction through plain functions. Functions that are nil are not
// called, and the other direction is ignored.
type OneWay struct {
	Dir    decode.Dir
	OnData func(at decode.Mark, p []byte)
	OnGap  func(at decode.Mark, n int)
	OnEnd  func(at decode.Mark, why decode.End)
}

// Data implements decode.Conn.
func (o OneWay) Data(d decode.Dir, at decode.Mark, p []byte) {
	if d == o.Dir && o.OnData != nil {
		o.OnData(at, p)
	}
}

// Gap implements decode.Conn.
func (o OneWay) Gap(d decode.Dir, at decode.Mark, n int) {
	if d == o.Dir && o.OnGap != nil {
		o.OnGap(at, n)
	}
}

// End implements decode.Conn.
func (o OneWay) End(d decode.Dir, at decode.Mark, why decode.End) {
	if d == o.Dir && o.OnEnd != nil {
		o.OnEnd(at, why)
	}
}
