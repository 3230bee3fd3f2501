package http1

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
			fmt.Fprintf(&b, " | %s: %s", f.Name, f.Value)
		}
		log.Event(e.Dir, "%s head %s %s @%d-%d", id, e.Proto, &b, e.From.Frame, e.At.Frame)
	case httpmsg.Body:
		log.Piece(e.Dir, id+" body", e.Data)
	case httpmsg.Hole:
		log.Event(e.Dir, "%s hole %d", id, e.N)
	case httpmsg.Done:
		log.Event(e.Dir, "%s done @%d", id, e.At.Frame)
	case httpmsg.Cut:
		log.Event(e.Dir, "%s cut %q @%d", id, e.Why, e.At.Frame)
	}
}

// raw is the decoder within a tunnel.
type raw struct{ log *decodetest.Log }

func (r raw) Data(d decode.Dir, at decode.Mark, p []byte) { r.log.Piece(d, "raw data", p) }
func (r raw) Gap(d decode.Dir, at decode.Mark, n int)     { r.log.Event(d, "raw gap %d", n) }
func (r raw) End(d decode.Dir, at decode.Mark, why decode.End) {
	r.log.Event(d, "raw end %s", why)
}

func newConn(s *decodetest.Script, log *decodetest.Log) decode.Conn {
	lim := decode.Limits{Head: s.Int("head"), Fields: s.Int("fields"), Pipelined: s.Int("pipelined")}
	c := New(s.Flow, "http", lim, func(e *httpmsg.Event) { show(log, e) }, log.Note)
	switch s.Options["tunnel"] {
	case "raw":
		c.Tunnel = func(u Upgrade) decode.Conn {
			log.Event(decode.ToClient, "upgrade %d %q %s", u.ID.Stream, u.Protocol, u.Target)
			return raw{log}
		}
	case "http1":
		c.Tunnel = func(u Upgrade) decode.Conn {
			in := New(s.Flow, "http", lim, func(e *httpmsg.Event) { show(log, e) }, log.Note)
			in.After = u.ID.Stream
			return in
		}
	}
	return c
}

// same strips what a hole may change of an event: the number of its exchange,
// and the method of a request that was not seen.
func same(line string) string {
	w := strings.Fields(line)
	if len(w) < 3 {
		return line
	}
	if w[1] == "upgrade" {
		return ""
	}
	switch w[2] {
	case "cut", "hole", "done", "end", "gap":
		return ""
	case "head":
		line = strings.Join(append(w[:1], w[2:]...), " ")
		if i := strings.Index(line, " to \""); i >= 0 {
			j := strings.IndexByte(line[i+5:], '"')
			line = line[:i] + line[i+5+j+1:]
		}
		return line
	case "body":
		return w[0] + " body"
	}
	return line
}

// balanced holds when each message has one head and one done or cut, in this
// order, and each request a response or a cut.
func balanced(lines []string) error {
	open := map[string]string{}
	for _, l := range lines {
		w := strings.Fields(l)
		if w[0] == "#" || len(w) < 3 || w[1] == "raw" || w[1] == "upgrade" || w[2] == "raw" {
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
			if strings.Contains(l, " 101 to ") && strings.Contains(l, " interim") {
				open[m] = "over" // the other protocol answers
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

func TestScripts(t *testing.T) { suite.Run(t, "testdata/*.txtar") }
