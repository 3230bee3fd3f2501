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

// flights turns the steps into bytes. A head goes out with the body behind it,
// but events of an sse stream go out one by one.
func (c *Conversation) flights(authority func(*conn) string) []flight {
	wires := map[*message]wire{}
	var out []flight
	for _, s := range c.steps {
		f := flight{kind: s.kind, at: s.at, conn: s.conn, dir: s.dir, n: s.n, lost: s.lost, data: s.raw}
		if s.expect != 0 {
			f.expect = []int{s.expect}
		}
		if s.msg != nil {
			w, ok := wires[s.msg]
			if !ok {
				w = s.msg.http1(authority(s.conn))
				wires[s.msg] = w
			}
			f.kind, f.data = doRaw, w.part(s)
		}
		if n := len(out); s.msg != nil && n > 0 && joins(out[n-1], f, s) {
			out[n-1].data = append(out[n-1].data[:len(out[n-1].data):len(out[n-1].data)], f.data...)
			continue
		}
		if f.kind == doRaw && len(f.data) == 0 {
			continue
		}
		out = append(out, f)
	}
	return out
}

// part is what a step sends of its message.
func (w wire) part(s step) []byte {
	switch s.kind {
	case doHead:
		return w.head
	case doPiece:
		return w.pieces[s.piece]
	}
	return w.trailer
}

// joins reports whether step s, as f, goes out together with what went before.
func joins(before, f flight, s step) bool {
	if s.kind == doHead || before.kind != doRaw || before.conn != f.conn || before.dir != f.dir || before.at != f.at {
		return false
	}
	return s.kind == doFinish || !s.msg.sse()
}
