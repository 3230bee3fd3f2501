package pipeline

import (
	"container/heap"

	"mcp401/decode/httpmsg"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
	"mcp401/rules/report"
)

// showWindow is how many exchanges or messages wait for one that began before
// them: then the first is shown as far as it is known.
const showWindow = 4096

// answersKept bounds the answers of one exchange that are looked at: a standing
// stream has any number, and the first result is what is shown.
const answersKept = 16

// A shower puts exchanges, or messages, into the order of their first frame:
// they are told when they are whole, which is late for a stream.
type shower struct {
	what Show
	put  func(report.Object)
	open map[httpmsg.ID]*shown
	rows rows
	seq  int
}

// A shown is one row that waits for its turn.
type shown struct {
	frame, seq int
	exchange   *mcp.Exchange // as far as it is known, with all answers told
	message    *stack.Message
}

func newShower(what Show, put func(report.Object)) *shower {
	return &shower{what: what, put: put, open: map[httpmsg.ID]*shown{}}
}

func (s *shower) event(e stack.Event) {
	switch {
	case e.Message != nil:
		s.push(&shown{frame: e.Message.Frame, message: e.Message})
	case e.Exchange != nil && s.what == Exchanges:
		s.exchange(e.Exchange)
	}
	for len(s.rows) > showWindow {
		s.pop()
	}
}

// exchange takes one phase of an exchange. An Other is shown by --all only.
func (s *shower) exchange(x *mcp.Exchange) {
	if x.Kind == mcp.Other || x.Kind == mcp.Preflight {
		return
	}
	row := s.open[x.ID]
	if row == nil {
		row = &shown{frame: x.Asked.Frame}
		s.open[x.ID] = row
		s.push(row)
	}
	var told []mcp.Message
	if row.exchange != nil {
		told = row.exchange.Answers
	}
	now := *x
	now.Answers = append(told[:len(told):len(told)], x.Answers[:min(len(x.Answers), answersKept-min(len(told), answersKept))]...)
	row.exchange = &now
	if x.Phase == mcp.Closed {
		delete(s.open, x.ID)
	}
}

func (s *shower) push(row *shown) {
	s.seq++
	row.seq = s.seq
	heap.Push(&s.rows, row)
}

func (s *shower) pop() {
	row := heap.Pop(&s.rows).(*shown)
	if row.message != nil {
		s.put(report.Object{Message: report.MessageOf(row.message)})
		return
	}
	s.put(report.Object{Exchange: report.ExchangeOf(row.exchange)})
}

func (s *shower) close() {
	for len(s.rows) > 0 {
		s.pop()
	}
}

// rows is a heap of rows by frame, and by order of coming where that is equal.
type rows []*shown

func (r rows) Len() int { return len(r) }
func (r rows) Less(i, k int) bool {
	if r[i].frame != r[k].frame {
		return r[i].frame < r[k].frame
	}
	return r[i].seq < r[k].seq
}
func (r rows) Swap(i, k int) { r[i], r[k] = r[k], r[i] }
func (r *rows) Push(x any)   { *r = append(*r, x.(*shown)) }
func (r *rows) Pop() any {
	last := len(*r) - 1
	x := (*r)[last]
	(*r)[last] = nil
	*r = (*r)[:last]
	return x
}
