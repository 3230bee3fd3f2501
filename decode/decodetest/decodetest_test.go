package decodetest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp401/decode"
)

// A liner tells lines. Its faults are what the harness has to find.
type liner struct {
	log   *Log
	buf   [2][]byte
	lost  [2]bool
	count [2]int
	fault string
}

func (l *liner) Data(d decode.Dir, at decode.Mark, p []byte) {
	switch {
	case l.fault == "cuts":
		l.log.Event(d, "piece")
	case l.fault == "panic" && bytes.IndexByte(p, 0xff) >= 0:
		panic("no such byte")
	}
	if l.fault == "keeps" && len(l.buf[d]) == 0 {
		l.buf[d] = p
	} else {
		l.buf[d] = append(l.buf[d], p...)
	}
	for {
		line, rest, ok := bytes.Cut(l.buf[d], []byte("\r\n"))
		if !ok {
			return
		}
		if !l.lost[d] {
			l.log.Piece(d, "line", line)
			l.log.Event(d, "end @%d", at.Frame)
		}
		l.lost[d] = false
		l.buf[d] = rest
		l.count[d]++
		switch {
		case l.fault == "order":
			l.log.Event(d, "the other had %d", l.count[d.Other()])
		case l.fault == "notes" && l.count[d.Other()] > l.count[d]:
			l.log.Note(decode.Note{Code: "line/behind"})
		}
	}
}

func (l *liner) Gap(d decode.Dir, at decode.Mark, n int) {
	if l.fault != "holes" {
		l.lost[d] = true
	}
	l.buf[d] = nil
	l.log.Note(decode.Note{Code: "line/gap", N: n})
}

func (l *liner) End(d decode.Dir, at decode.Mark, why decode.End) {
	if l.fault == "ends" && len(l.buf[d]) > 0 {
		l.log.Event(d, "rest")
	}
	l.log.Event(d, "over %s", why)
}

func linerSuite(fault string) Suite {
	return Suite{
		New: func(_ *Script, log *Log) decode.Conn { return &liner{log: log, fault: fault} },
		Same: func(line string) string {
			if strings.Contains(line, " over ") {
				return ""
			}
			return line
		},
		Check: func(lines []string) error {
			if fault == "check" {
				return fmt.Errorf("no good")
			}
			return nil
		},
	}
}

// A failure ends a test that is expected to fail.
type failure string

type recorder struct{ testing.TB }

func (recorder) Helper()                        {}
func (recorder) Fatal(args ...any)              { panic(failure(fmt.Sprint(args...))) }
func (recorder) Fatalf(format string, a ...any) { panic(failure(fmt.Sprintf(format, a...))) }

func script(t *testing.T, text string) *Script {
	s, err := Parse("a script", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s.Want = linerSuite("").play(s, s.Steps).String()
	return s
}

func TestFaultsAreFound(t *testing.T) {
	const text = "-- wire --\n> one\n> two\n\n< three\n\n> four\n< five\n. reset\n"
	s := script(t, text)
	linerSuite("").Test(t, s)
	for fault, want := range map[string]string{
		"cuts":  "byte by byte: told",
		"keeps": "told",
		"order": "client first: told to-",
		"notes": "first: notes",
		"holes": "told what the whole conversation does not tell",
		"ends":  "told what the whole conversation does not tell",
		"check": "no good",
		"panic": "no such byte",
	} {
		t.Run(fault, func(t *testing.T) {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
					t.Errorf("told %q, want %q", got, want)
				}
			}()
			u := linerSuite(fault)
			s := script(t, text)
			if fault != "keeps" {
				s.Want = u.play(s, s.Steps).String() // wrong only in other forms
			}
			u.Test(recorder{t}, s)
		})
	}
}

func TestGarbageTakesNothingBack(t *testing.T) {
	a, b := new(Log), new(Log)
	a.Event(decode.ToServer, "one")
	a.Piece(decode.ToServer, "body", []byte("ab"))
	b.Event(decode.ToServer, "one")
	b.Piece(decode.ToServer, "body", []byte("abc"))
	if err := begins(b.of(decode.ToServer), a.of(decode.ToServer)); err != nil {
		t.Error(err)
	}
	if err := begins(a.of(decode.ToServer), b.of(decode.ToServer)); err == nil {
		t.Error("a shorter piece is taken for a longer one")
	}
	if err := begins(nil, a.of(decode.ToServer)); err == nil {
		t.Error("nothing is taken for something")
	}
}

func TestScript(t *testing.T) {
	dir := t.TempDir()
	b, err := os.ReadFile("testdata/lines.txtar")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "lines.txtar")
	if err := os.WriteFile(file, b, 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv(Update, "1")
	linerSuite("").Run(t, filepath.Join(dir, "*.txtar"))
	s, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	const want = `> line "one"
> end @1
> line "\"two\"\tA"
> end @1
> line "ok"
> end @1
< line "back\\"
< end @2
# line/gap 2
# line/gap -1
> over fin
< over fin
`
	if s.Want != want || s.Int("size") != 3 || s.Int("none") != 0 {
		t.Errorf("want:\n%s\ngot:\n%s", want, s.Want)
	}
	if got := string(s.Steps[0].Data); got != "one\r\n\"two\"\tA\r\nok\r\nabab" {
		t.Errorf("first frame: %q", got)
	}
	if got := s.Steps[1].At.Time.Sub(s.Steps[0].At.Time).String(); got != "1.001s" {
		t.Errorf("waited %s", got)
	}
}

func TestBadScripts(t *testing.T) {
	for _, text := range []string{
		"-- wire --\n? what\n",
		"-- wire --\n~ long\n",
		"-- wire --\n! hole\n",
		"-- wire --\n! gap x\n",
		"-- wire --\n. never\n",
		"-- wire --\n. \n",
		"-- wire --\n> \\q\n",
		"-- wire --\n>x 0g\n",
		"-- wire --\n>*x a\n",
		"-- what --\n",
	} {
		if _, err := Parse("a script", []byte(text)); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	if _, err := Load("testdata/none"); err == nil {
		t.Error("a file that is not there")
	}
	s := script(t, "-- options --\nmid\nsize x\n-- wire --\n")
	if !s.Flow.Mid {
		t.Error("mid is not read")
	}
	defer func() { recover() }()
	s.Int("size")
	t.Error("a number that is none")
}

func TestPositions(t *testing.T) {
	big := Step{Data: []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 100))}
	if n := len(positions([]Step{big})); n < most || n > 3*most {
		t.Errorf("%d positions", n)
	}
}

func TestLongPieces(t *testing.T) {
	var l Log
	l.Piece(decode.ToClient, "body", bytes.Repeat([]byte("x"), 300))
	l.Note(decode.Note{Code: "a/b"})
	if got := l.String(); got != "< body 300 bytes \""+strings.Repeat("x", 40)+"\"...\n# a/b\n" {
		t.Errorf("%q", got)
	}
}

func TestOneWay(t *testing.T) {
	var got []string
	c := OneWay{
		Dir:    decode.ToClient,
		OnData: func(_ decode.Mark, p []byte) { got = append(got, string(p)) },
		OnGap:  func(_ decode.Mark, n int) { got = append(got, fmt.Sprint("gap ", n)) },
		OnEnd:  func(_ decode.Mark, why decode.End) { got = append(got, why.String()) },
	}
	for _, c := range []OneWay{c, {}} {
		for _, d := range []decode.Dir{decode.ToServer, decode.ToClient} {
			c.Data(d, decode.Mark{}, []byte("x"))
			c.Gap(d, decode.Mark{}, 1)
			c.End(d, decode.Mark{}, decode.Fin)
		}
	}
	if s := strings.Join(got, ", "); s != "x, gap 1, fin" {
		t.Error(s)
	}
}
