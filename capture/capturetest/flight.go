package capturetest

import "time"

// A flight is what one side of a connection does at one moment.
type flight struct {
	kind   kind // doOpen, doRaw (bytes), doGap, doFin, doReset, doRefused, doUnanswered, doDrops
	at     time.Duration
	conn   *conn
	dir    dir
	data   []byte
	n      int
	lost   bool
	expect []int // indices into Conversation.expect plus one
}

// A speech turns the messages of a conversation into bytes.
type speech struct {
	authority func(*conn) string
	wires     map[*message]wire
	h2        map[*conn]*h2conn // nil: HTTP/1
}

// flights turns the steps into bytes. A head goes out with the body behind it,
// but events of an sse stream go out one by one.
func (c *Conversation) flights(w Wrap, authority func(*conn) string) []flight {
	s := &speech{authority: authority, wires: map[*message]wire{}}
	if w.HTTP2 {
		s.h2 = c.h2conns(w, authority)
	}
	var out []flight
	for _, step := range c.steps {
		f := flight{kind: step.kind, at: step.at, conn: step.conn, dir: step.dir, n: step.n, lost: step.lost, data: step.raw}
		if step.expect != 0 {
			f.expect = []int{step.expect}
		}
		if step.msg != nil {
			f.kind, f.data = doRaw, s.say(step)
		}
		switch n := len(out); {
		case step.msg != nil && n > 0 && joins(out[n-1], f, step):
			out[n-1].data = append(out[n-1].data[:len(out[n-1].data):len(out[n-1].data)], f.data...)
		case f.kind == doRaw && len(f.data) == 0:
		case s.h2[f.conn] != nil && f.kind == doOpen:
			out = append(append(out, f), prefaces(f)...)
		case s.h2[f.conn] != nil && f.kind == doGap && step.hole != nil:
			f.kind, f.lost, f.data = doRaw, true, s.h2[f.conn].filler(step)
			out = append(out, f)
		default:
			out = append(out, f)
		}
	}
	return out
}

// say is what a step sends of its message.
func (s *speech) say(step step) []byte {
	if h := s.h2[step.conn]; h != nil {
		return h.say(step)
	}
	w, ok := s.wires[step.msg]
	if !ok {
		w = step.msg.http1(s.authority(step.conn))
		s.wires[step.msg] = w
	}
	switch step.kind {
	case doHead:
		return w.head
	case doPiece:
		return w.pieces[step.piece]
	}
	return w.trailer
}

// joins reports whether a step, as f, goes out together with what went before.
func joins(before, f flight, s step) bool {
	if s.kind == doHead || before.kind != doRaw || before.conn != f.conn || before.dir != f.dir || before.at != f.at {
		return false
	}
	return s.kind == doFinish || !s.msg.sse()
}
