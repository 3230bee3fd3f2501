package http1

import "mcp401/decode"

// A pending is a request whose final response has not begun.
type pending struct {
	id     uint32
	method string
	target string
	from   decode.Mark
	missed bool // a hole right before it may have hidden other requests
	hidden bool // a hole may have hidden the response
}

// A queue holds the pending requests in the order they were asked.
type queue struct {
	all  []pending
	head int
}

func (q *queue) len() int          { return len(q.all) - q.head }
func (q *queue) at(i int) *pending { return &q.all[q.head+i] }
func (q *queue) last() *pending    { return &q.all[len(q.all)-1] }
func (q *queue) push(p pending)    { q.all = append(q.all, p) }

// pop drops the oldest request. The room before head is used again at the
// latest when it is half of the slice, so that pushes do not allocate.
func (q *queue) pop() {
	q.head++
	if n := q.len(); n == 0 || q.head > 32 && q.head > n {
		copy(q.all, q.all[q.head:])
		q.all, q.head = q.all[:n], 0
	}
}

func (q *queue) hide() {
	for i := range q.len() {
		q.at(i).hidden = true
	}
}

// asked notes a request whose head was read.
func (c *Conn) asked(s *side, method, target string, at decode.Mark) {
	r := &c.sides[decode.ToClient]
	if r.ended || r.state == dead {
		why := decode.Fin
		if r.state == dead {
			why = 0
		}
		c.cutExchange(decode.ToClient, s.id, at, why)
		return
	}
	if c.overflow > 0 || c.queue.len() >= c.most.pipelined {
		// Later responses must not move up: the places are counted even
		// though the requests are forgotten.
		c.overflow++
		c.warn("limit/pipelined", at, c.queue.len(), "requests await their response")
		c.cutExchange(decode.ToClient, s.id, at, 0)
		return
	}
	if n := c.queue.len(); n > 0 && c.queue.last().from.Frame == s.from.Frame {
		c.pipelines = true
	}
	c.queue.push(pending{id: s.id, method: method, target: target, from: s.from, missed: c.missed})
	c.missed = false
	r.release = true
}

// waits reports whether a response has to wait for its request, which exists
// but was not told yet.
func (c *Conn) waits() bool {
	q := &c.sides[decode.ToServer]
	return !c.holed && c.queue.len() == 0 && c.overflow == 0 && !q.ended && q.state != dead
}

// answers returns the request that a response beginning at from belongs to,
// and drops it from the queue if the response is final. A response without a
// request gets an exchange of its own.
func (c *Conn) answers(from, at decode.Mark, final bool) pending {
	i := c.place(from, at)
	if i < 0 {
		return c.unasked(final)
	}
	for ; i > 0; i-- {
		c.forgo(at)
	}
	p := *c.queue.at(0)
	if !final {
		return p
	}
	c.queue.pop()
	if n := c.queue.len(); n == 0 {
		c.doubt = false
	} else if !c.doubt && c.queue.at(0).from.Frame < from.Frame {
		c.pipelines = true
	}
	return p
}

// unasked is an exchange whose request was not seen.
func (c *Conn) unasked(final bool) pending {
	if c.orphan == 0 {
		c.orphan = c.newID()
	}
	p := pending{id: c.orphan}
	if final {
		c.orphan = 0
		if c.overflow > 0 && c.queue.len() == 0 {
			c.overflow--
		}
	}
	return p
}

// place returns the place in the queue of the request that a response
// beginning at from belongs to, or -1.
func (c *Conn) place(from, at decode.Mark) int {
	if !c.holed {
		return min(0, c.queue.len()-1)
	}
	n := 0
	for n < c.queue.len() && c.queue.at(n).from.Frame <= from.Frame {
		n++
	}
	if n == 0 {
		return -1
	}
	first := c.queue.at(0)
	switch {
	case c.unsure:
		if c.queue.at(n-1).from.Frame <= c.sides[decode.ToClient].last.Frame {
			return -1
		}
		// The client waited for all answers before it asked this.
		c.unsure, c.doubt = false, false
		return n - 1
	case first.hidden && c.missed:
		// Its response may be lost, and a request behind it as well, which this
		// one answers: any of them may be the one.
	case !first.missed && (n == 1 || !c.doubt):
		return 0
	case !c.pipelines && (n == 1 || c.doubt):
		return n - 1
	}
	// Any of the n may be the one, or a request that was not seen.
	c.unsure = true
	for range n {
		c.forgo(at)
	}
	return -1
}

// forgo ends the exchange of the oldest pending request: its response is lost.
func (c *Conn) forgo(at decode.Mark) {
	id := c.queue.at(0).id
	c.queue.pop()
	c.cutExchange(decode.ToClient, id, at, 0)
	c.resolved(id, unknown)
}

// giveUp ends all exchanges whose response never came.
func (c *Conn) giveUp(at decode.Mark, why decode.End) {
	for c.queue.len() > 0 {
		p := *c.queue.at(0)
		c.queue.pop()
		w := why
		if p.hidden {
			w = 0
		}
		c.cutExchange(decode.ToClient, p.id, at, w)
		c.resolved(p.id, unknown)
	}
}
