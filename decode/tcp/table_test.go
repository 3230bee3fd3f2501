package tcp

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"mcp401/decode"
	"mcp401/decode/inet"
)

// A transcript writes down what a table tells.
type transcript struct {
	out strings.Builder
	end map[string]bool
}

func (w *transcript) open(f decode.Flow) decode.Conn {
	mid := ""
	if f.Mid {
		mid = " mid"
	}
	name := fmt.Sprint(f.First)
	fmt.Fprintf(&w.out, "%s open %v %v%s\n", name, f.Client, f.Server, mid)
	return conn{w, name}
}

func (w *transcript) note(n decode.Note) {
	fmt.Fprintf(&w.out, "! %s frame %d flow %d\n", n.Code, n.At.Frame, n.Flow)
}

type conn struct {
	w    *transcript
	name string
}

func (c conn) say(d decode.Dir, at decode.Mark, format string, args ...any) {
	arrow := [...]string{">", "<"}[d]
	fmt.Fprintf(&c.w.out, "%s %s %s #%d\n", c.name, arrow, fmt.Sprintf(format, args...), at.Frame)
	if c.w.end == nil {
		c.w.end = make(map[string]bool)
	}
	if c.w.end[c.name+arrow] {
		fmt.Fprintf(&c.w.out, "FAULT: the direction was over\n")
	}
}

func (c conn) Data(d decode.Dir, at decode.Mark, p []byte) { c.say(d, at, "%q", p) }
func (c conn) Gap(d decode.Dir, at decode.Mark, n int)     { c.say(d, at, "gap %d", n) }
func (c conn) End(d decode.Dir, at decode.Mark, why decode.End) {
	c.say(d, at, "%v", why)
	c.w.end[c.name+[...]string{">", "<"}[d]] = true
}

// run plays a script. Each line is one frame:
//
//	> S 99               to the server: flags (SAFRP, a dot for none), sequence number
//	< SA 499 100         and acknowledgment number
//	> A 100 500 "text"   and payload
//	> A 100 500 "te" +2  of which the snap length cut the last two bytes off
//	2> S 99              of another connection (the client's port and 2)
//	~ 250ms              time passes; no frame
//	tick                 the clock is told
//	! limit flows 3      sets a bound, before the first frame
func run(t *testing.T, script string) string {
	w := &transcript{}
	var lim decode.Limits
	var table *Table
	at := decode.Mark{Time: time.Unix(1_700_000_000, 0)}
	for n, line := range strings.Split(strings.TrimSpace(script), "\n") {
		line, _, _ = strings.Cut(line, "//")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if f[0] == "!" {
			limit(t, &lim, f[2], f[3])
			continue
		}
		if table == nil {
			table = NewTable(lim, w.open, w.note)
		}
		switch {
		case f[0] == "~":
			d, err := time.ParseDuration(f[1])
			if err != nil {
				t.Fatal(err)
			}
			at.Time = at.Time.Add(d)
		case f[0] == "tick":
			table.Tick(at.Time)
		default:
			at.Frame++
			at.Time = at.Time.Add(time.Millisecond)
			s, err := segment(line)
			if err != nil {
				t.Fatalf("line %d: %v", n+1, err)
			}
			table.Segment(at, &s)
		}
	}
	table.Close(at)
	check(t, table)
	return w.out.String()
}

func limit(t *testing.T, lim *decode.Limits, name, value string) {
	n, err := strconv.Atoi(value)
	if err != nil {
		t.Fatal(err)
	}
	switch name {
	case "flows":
		lim.Flows = n
	case "halfopen":
		lim.HalfOpen = n
	case "outoforder":
		lim.OutOfOrder = n
	case "buffered":
		lim.Buffered = n
	case "lingering":
		lim.Lingering = n
	default:
		t.Fatalf("no limit %q", name)
	}
}

// segment reads one line of a script.
func segment(line string) (s inet.Segment, err error) {
	head, text, quoted := strings.Cut(line, `"`)
	f := strings.Fields(head)
	i := strings.IndexAny(f[0], "<>")
	port := 40000
	if i > 0 {
		k, err := strconv.Atoi(f[0][:i])
		if err != nil {
			return s, err
		}
		port += k
	}
	s.Src = netip.AddrPortFrom(netip.MustParseAddr("10.0.0.1"), uint16(port))
	s.Dst = netip.MustParseAddrPort("10.0.0.2:80")
	if f[0][i] == '<' {
		s.Src, s.Dst = s.Dst, s.Src
	}
	for _, c := range f[1] {
		s.Flags |= map[rune]uint8{'S': SYN, 'A': ACK, 'F': FIN, 'R': RST, 'P': inet.PSH, '.': 0}[c]
	}
	num := func(i int) uint32 {
		if i >= len(f) || err != nil {
			return 0
		}
		var n uint64
		n, err = strconv.ParseUint(f[i], 10, 32)
		return uint32(n)
	}
	s.Seq, s.Ack = num(2), num(3)
	if quoted {
		body, rest, _ := strings.Cut(text, `"`)
		s.Payload = []byte(strings.ReplaceAll(body, `\0`, "\x00"))
		if rest = strings.TrimSpace(rest); rest != "" {
			s.Missing, err = strconv.Atoi(strings.TrimPrefix(rest, "+"))
		}
	}
	return s, err
}

// check finds what a closed table still holds.
func check(t testing.TB, table *Table) {
	t.Helper()
	for k := range table.lists {
		if n := table.lists[k].len; n != 0 {
			t.Errorf("%d flows left in list %d", n, k)
		}
	}
	if table.flows.used != 0 || table.buffered != 0 || table.waits.oldest() != nil {
		t.Errorf("left: %d flows, %d bytes, waiting %v", table.flows.used, table.buffered, table.waits.oldest() != nil)
	}
}

// Each NAME.txtar holds scripts and, beside each, what is told of them.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(a.Files); i += 2 {
			in, want := a.Files[i], a.Files[i+1]
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar")+"/"+in.Name, func(t *testing.T) {
				if want.Name != "told" {
					t.Fatalf("%s follows %s", want.Name, in.Name)
				}
				if diff := cmp.Diff(strings.Split(string(want.Data), "\n"), strings.Split(run(t, string(in.Data)), "\n")); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}
