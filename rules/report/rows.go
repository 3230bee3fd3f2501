package report

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Lists is every format of `mcp401 show`. To add one, write a file that has a
// Writer of Exchange and Message objects and put it here.
var Lists = []Format{
	{"table", "for a terminal: one line each", newRows},
	{"jsonl", "one object per line", newJSONL},
}

// A rowWriter writes a line for each exchange or message, as they come: the
// columns are fixed, and what is of least use stands last, where a terminal
// cuts it off.
type rowWriter struct {
	w    io.Writer
	opt  Options
	wide bool // not a terminal: nothing is cut off
	any  bool
}

func newRows(w io.Writer, opt Options) Writer {
	if opt.Zone == nil {
		opt.Zone = time.UTC
	}
	return &rowWriter{w: w, opt: opt, wide: opt.Width <= 0}
}

func (r *rowWriter) Write(o Object) error {
	switch {
	case o.Exchange != nil:
		return r.exchange(o.Exchange)
	case o.Message != nil:
		return r.message(o.Message)
	}
	return nil
}

func (r *rowWriter) exchange(x *Exchange) error {
	asked := x.HTTPMethod + " " + x.Path
	if x.RPCMethod != nil {
		asked += " " + *x.RPCMethod
	}
	if x.Tool != nil {
		asked += " " + *x.Tool
	}
	told := answered(x.Status, x.Tools)
	if x.Error != nil {
		told += " " + *x.Error
	}
	if x.Challenge != nil && x.Challenge.Error != "" {
		told += " " + x.Challenge.Error
	}
	if x.AnswerFrame != nil && *x.AnswerFrame != x.Frame {
		told += fmt.Sprintf(" (%d)", *x.AnswerFrame)
	}
	if x.Cut && x.Status != nil {
		told += " cut"
	}
	return r.row("request and answer", x.Frame, x.Time, asked+" -> "+told, x.Client, x.Server)
}

func (r *rowWriter) message(m *Message) error {
	what := ""
	if m.Method != nil {
		what = *m.Method + " "
	}
	if m.URI != nil {
		what += *m.URI
	}
	if m.Kind == "response" {
		what = "<- ?"
		if m.Status != nil {
			what = fmt.Sprintf("<- %d", *m.Status)
		}
	}
	if m.Stream != nil {
		what += fmt.Sprintf(" stream %d", *m.Stream)
	}
	if m.Cut {
		what += " cut"
	}
	return r.row("message", m.Frame, m.Time, what, m.Src, m.Dst)
}

// The room for what was sent, and the columns from which addresses fit beside
// it; on a narrower terminal ports have to do.
const (
	whatWidth = 60
	fullWidth = 110
	fixed     = len("  frame  15:04:05.000  ")
)

func (r *rowWriter) row(title string, frame int, at Time, what, from, to string) error {
	clock := strings.Repeat(" ", len("15:04:05.000"))
	if !at.IsZero() {
		clock = at.In(r.opt.Zone).Format("15:04:05.000")
	}
	room := whatWidth
	if !r.wide && r.opt.Width < fullWidth {
		room = max(r.opt.Width-fixed-len(":12345 > :12345"), 20)
		from, to = port(from), port(to)
	}
	where := ""
	if from != "" || to != "" {
		where = from + " > " + to
	}
	line := fmt.Sprintf("%7d  %s  %s%s", frame, clock, pad(clean(what), room), where)
	if !r.any {
		r.any = true
		head := fmt.Sprintf("%7s  %-12s  %s%s", "frame", "time", pad(title, room), "from > to")
		if err := r.line(head); err != nil {
			return err
		}
	}
	return r.line(line)
}

// port is what stands behind the last colon, with it.
func port(addr string) string { return addr[max(strings.LastIndexByte(addr, ':'), 0):] }

func (r *rowWriter) line(s string) error {
	s = strings.TrimRight(s, " ")
	if !r.wide && width(s) > r.opt.Width {
		s = prefix(s, r.opt.Width-1) + "…"
	}
	_, err := io.WriteString(r.w, s+"\n")
	return err
}

func (r *rowWriter) Close() error {
	if r.any {
		return nil
	}
	_, err := io.WriteString(r.w, "nothing to show: no HTTP exchange with an MCP meaning could be read (--all lists every HTTP message)\n")
	return err
}
