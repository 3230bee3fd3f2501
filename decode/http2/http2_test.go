package http2

import (
	"fmt"
	"strings"
	"testing"

	"mcp401/decode"
	"mcp401/decode/decodetest"
	"mcp401/decode/httpmsg"
)

// show writes an event as a line of a script: exchange, kind, what it says, and
// for a head the frames of its first and last byte.
func show(log *decodetest.Log, e *httpmsg.Event) {
	id := fmt.Sprint(e.ID.Stream)
	switch e.Kind {
	case httpmsg.Head:
		var b strings.Builder
		if e.Dir == decode.ToServer {
			fmt.Fprintf(&b, "%s %s %s://%s", e.Method, e.Target, e.Scheme, e.Authority)
		} else {
			fmt.Fprintf(&b, "%d to %q", e.Status, e.Method)
		}
		if e.Interim {
			b.WriteString(" interim")
		}
		for _, f := range e.Header {
			v := string(f.Value)
			if len(v) > 100 {
				v = fmt.Sprintf("%d bytes", len(v))
			}
			fmt.Fprintf(&b, " | %s: %s", f.Name, v)
		}
		log.Event(e.Dir, "%s head %s %s @%d-%d", id, e.Proto, &b, e.From.Frame, e.At.Frame)
	case httpmsg.Body:
		log.Piece(e.Dir, id+" body", e.Data)
	case httpmsg.Hole:
		log.Event(e.Dir, "%s hole %d", id, e.N)
	case httpmsg.Done:
		log.Event(e.Dir, "%s done @%d", id, e.At.Frame)
	case httpmsg.Cut:
		aborted := ""
		if e.Aborted {
			aborted = " aborted"
		}
		log.Event(e.Dir, "%s cut %q%s @%d", id, e.Why, aborted, e.At.Frame)
	}
}

func newConn(s *decodetest.Script, log *decodetest.Log) decode.Conn {
	lim := decode.Limits{Head: s.Int("head"), Fields: s.Int("fields"), Streams: s.Int("streams"), HeaderTable: s.Int("table")}
	c := New(s.Flow, "http", lim, func(e *httpmsg.Event) { show(log, e) }, log.Note)
	c.After = uint32(s.Int("after"))
	_, c.Upgraded = s.Options["upgraded"]
	return c
}

// same strips what a hole may change of an event: what is not known of a head
// anymore.
func same(line string) string {
	w := strings.Fields(line)
	switch {
	case len(w) < 3:
		return line
	case w[2] == "cut" || w[2] == "hole" || w[2] == "done":
		return ""
	case w[2] == "head" && w[0] == "<":
		if w[4] == "0" {
			return ""
		}
		return strings.Join(w[:5], " ")
	case w[2] == "head":
		return strings.Join(w[:3], " ")
	}
	return line
}

// balanced holds when each message has one head and one done or cut, in this
// order, and each request a response or a cut.
func balanced(lines []string) error {
	open := map[string]string{}
	for _, l := range lines {
		w := strings.Fields(l)
		if w[0] == "#" {
			continue
		}
		m := w[0] + w[1]
		switch was := open[m]; w[2] {
		case "head":
			if was != "" {
				return fmt.Errorf("a second head: %s", l)
			}
			open[m] = "open"
			if strings.Contains(l, " interim") {
				delete(open, m)
			}
		case "body", "hole":
			if was != "open" {
				return fmt.Errorf("outside of a message: %s", l)
			}
		case "done", "cut":
			if was == "over" || was == "" && (w[2] == "done" || w[0] == ">") {
				return fmt.Errorf("no message: %s", l)
			}
			open[m] = "over"
		}
	}
	for m, state := range open {
		if state != "over" {
			return fmt.Errorf("never ended: %s", m)
		}
		if m[0] == '>' && open["<"+m[1:]] == "" {
			return fmt.Errorf("never answered nor cut: %s", m)
		}
	}
	return nil
}

var suite = decodetest.Suite{New: newConn, Same: same, Check: balanced}

func TestScripts(t *testing.T) {
	for name, s := range scripts(t) {
		t.Run(name, func(t *testing.T) { suite.Test(t, s) })
	}
}

func TestSniff(t *testing.T) {
	a := newAssembler()
	frame := func(text string) string {
		b, err := a.line(decode.ToServer, text)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, x := range []struct {
		d        decode.Dir
		p        string
		sniff    decode.Verdict
		sniffMid decode.Verdict
	}{
		{decode.ToServer, preface, decode.Yes, decode.No},
		{decode.ToServer, preface[:20], decode.More, decode.No},
		{decode.ToServer, "POST / HTTP/1.1", decode.No, decode.No},
		{decode.ToClient, preface, decode.No, decode.No},
		{decode.ToServer, frame("HEADERS 41 | :method: GET"), decode.No, decode.Yes},
		{decode.ToClient, frame("DATA 41 | text"), decode.No, decode.Yes},
		{decode.ToClient, frame("DATA 41 | text")[:8], decode.No, decode.More},
		{decode.ToServer, frame("PING 0"), decode.No, decode.Yes},
		{decode.ToServer, frame("DATA 2 | text"), decode.No, decode.No},
		{decode.ToServer, "\x00\x50", decode.No, decode.No},
		{decode.ToServer, "\x00\x00\x00\x08\x04\xd2\x16\x2f\x00", decode.No, decode.No},         // PostgreSQL
		{decode.ToServer, "\x00\x00\x00\x45\xffSMBr", decode.No, decode.No},                     // SMB
		{decode.ToServer, "\x00\x2d\x12\x34\x01\x00\x00\x01\x00\x00\x00", decode.No, decode.No}, // DNS
	} {
		if got := Sniff(x.d, []byte(x.p)); got != x.sniff {
			t.Errorf("Sniff(%s, %q) = %v", x.d, x.p, got)
		}
		if got := SniffMid(x.d, []byte(x.p)); got != x.sniffMid {
			t.Errorf("SniffMid(%s, %q) = %v", x.d, x.p, got)
		}
	}
}
