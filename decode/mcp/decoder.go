// Package mcp turns HTTP events into exchanges with a meaning: MCP over every
// transport and revision from 2024-11-05 to 2026-07-28, and the REST and model
// routes that a gateway has beside it.
//
// It sees one hop at a time and draws no conclusion: which request a response
// answers across connections, who is the gateway and what caused what is told
// in rules. It verifies no signature, and it knows no product.
//
// No secret leaves it. Every text of an Exchange has passed one of the clean
// functions of redact.go, credentials and session ids are keyed hashes, and
// what is not asked for by name is not kept.
//
// The one trick: the heads and the lists of one gateway repeat. What was made
// of a field or of a result is remembered by its bytes, so that the thousandth
// tools list costs a comparison and shares its names with the first.
package mcp

import (
	"strings"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/jsonrpc"
	"mcp401/decode/sse"
)

// A Config says how a Decoder works. Its zero value works.
type Config struct {
	Limits decode.Limits
	Key    []byte // of the keyed hash; nil: a fixed key, for tests
}

// A Decoder turns the events of any number of connections into exchanges.
type Decoder struct {
	lim  decode.Limits
	emit func(decode.Mark, *Exchange)
	note func(decode.Note)

	open        map[httpmsg.ID]*open
	flows       map[int]*open  // by flow: its open exchanges, linked
	first, last *open          // all, oldest first
	held        int            // bytes of bodies and streams
	free        [][]byte       // buffers of bodies to use again
	streams     []*sse.Decoder // decoders of streams to use again
	spare       []*open

	rpc     jsonrpc.Parser
	digests map[*byte]*digest
	hasher  hasher
	raw     intern
	hashes  memo[string]
	texts   memo[string]
	targets memo[target]
	creds   memo[Credential]
	maps    memo[map[string]string]
	kept    kept
	scratch []byte

	answered memo[answered]
}

// New returns a decoder. Exchanges are given to emit, and notes to note,
// during Event and End; emit may keep them. The mark is that of the event that
// made the exchange known.
func New(cfg Config, emit func(decode.Mark, *Exchange), note func(decode.Note)) *Decoder {
	if note == nil {
		note = func(decode.Note) {}
	}
	return &Decoder{
		lim: cfg.Limits.WithDefaults(), emit: emit, note: note,
		open: map[httpmsg.ID]*open{}, flows: map[int]*open{},
		digests: map[*byte]*digest{},
		hasher:  newHasher(cfg.Key),

		answered: memo[answered]{longest: answeredKept},
	}
}

// An open is an exchange in progress.
type open struct {
	x         Exchange
	req, resp body
	mcpHead   bool // a header that only MCP has
	preflight bool
	unseen    bool // the request was not seen
	reqOver   bool
	respHead  bool
	respOver  bool
	asked     bool     // emitted
	gone      bool     // the client closed its side before the response was over
	waiting   []string // ids of requests without an answer
	told      bool     // all answers were told; what comes later is told at once
	kept      [2]int   // messages in Answers: answers, and the others
	llm       *llmTally

	before, after         *open // of all
	flowBefore, flowAfter *open // of the flow
}

// Event takes the next event of a connection. Nothing of e is kept.
func (d *Decoder) Event(flow *decode.Flow, tls, har bool, e *httpmsg.Event) {
	o := d.open[e.ID]
	if o == nil {
		if o = d.begin(flow, tls, har, e); o == nil {
			return
		}
	}
	if e.Dir == decode.ToServer {
		d.request(o, e)
	} else {
		d.response(o, e)
	}
	d.settle(o, e.At)
}

// begin opens an exchange at a head, or at the end of a response that never
// began. Other events without an exchange belong to one that was given up.
func (d *Decoder) begin(flow *decode.Flow, tls, har bool, e *httpmsg.Event) *open {
	if e.Kind != httpmsg.Head {
		return nil
	}
	if len(d.open) >= d.lim.Flows {
		d.evict(e.At)
	}
	o := d.take()
	o.x.ID, o.x.Flow, o.x.TLS, o.x.HAR = e.ID, *flow, tls, har
	if e.Dir == decode.ToClient {
		// The request came before the capture, or a hole hides it.
		o.unseen, o.reqOver = true, true
		o.x.Hole = true
		o.x.Asked, o.x.AskedEnd = e.From, e.From
		o.x.Method, o.x.Proto = clean(e.Method, 32), d.raw.str([]byte(e.Proto))
	}
	d.link(o)
	return o
}

func (d *Decoder) take() *open {
	if n := len(d.spare); n > 0 {
		o := d.spare[n-1]
		d.spare = d.spare[:n-1]
		return o
	}
	return new(open)
}

func (d *Decoder) link(o *open) {
	d.open[o.x.ID] = o
	if o.before = d.last; o.before != nil {
		o.before.after = o
	} else {
		d.first = o
	}
	d.last = o
	if head := d.flows[o.x.ID.Flow]; head != nil {
		o.flowAfter, head.flowBefore = head, o
	}
	d.flows[o.x.ID.Flow] = o
}

// release forgets an exchange.
func (d *Decoder) release(o *open) {
	delete(d.open, o.x.ID)
	if o.before != nil {
		o.before.after = o.after
	} else {
		d.first = o.after
	}
	if o.after != nil {
		o.after.before = o.before
	} else {
		d.last = o.before
	}
	if o.flowAfter != nil {
		o.flowAfter.flowBefore = o.flowBefore
	}
	if o.flowBefore != nil {
		o.flowBefore.flowAfter = o.flowAfter
	} else if o.flowAfter != nil {
		d.flows[o.x.ID.Flow] = o.flowAfter
	} else {
		delete(d.flows, o.x.ID.Flow)
	}
	d.drop(&o.req)
	d.drop(&o.resp)
	*o = open{waiting: o.waiting[:0]}
	if len(d.spare) < 64 {
		d.spare = append(d.spare, o)
	}
}

// evict gives up the exchange that is open longest, so that the next one has
// room.
func (d *Decoder) evict(at decode.Mark) {
	o := d.first
	d.noteFor(o, decode.Note{Code: "limit/exchanges", At: at, Text: "more exchanges are open at once than are tracked; the oldest is given up"})
	o.x.Hole = true
	d.finish(o, at, decode.Evicted)
}

// End says that a direction of a connection is over; the stack tells it after
// the HTTP decoder was told. What that decoder left open is closed when the
// connection is over, or the server's side of it. A client that closes in the
// middle of a response has gone away.
func (d *Decoder) End(flow *decode.Flow, dir decode.Dir, at decode.Mark, why decode.End) {
	for o := d.flows[flow.First]; o != nil; {
		after := o.flowAfter
		if dir == decode.ToServer && why == decode.Fin {
			o.gone = true
			if !o.reqOver {
				o.reqOver = true
				d.settle(o, at)
			}
		} else {
			d.finish(o, at, why)
		}
		o = after
	}
}

// finish closes an exchange that will not go on.
func (d *Decoder) finish(o *open, at decode.Mark, why decode.End) {
	o.reqOver = true
	if !o.respOver {
		d.endResponse(o, at, why, false)
	}
	d.settle(o, at)
}

// settle emits what has become known.
func (d *Decoder) settle(o *open, at decode.Mark) {
	if !o.reqOver {
		return
	}
	if !o.asked {
		d.ask(o, at)
	}
	if o.respOver {
		d.readAnswer(o)
		d.tell(o, at, Closed)
		d.release(o)
		return
	}
	if len(o.x.Answers) > 0 && (o.told || o.x.Kind == Stream) {
		d.tell(o, at, Told)
	}
}

// ask emits Asked, once the body of the request has told what it is about.
func (d *Decoder) ask(o *open, at decode.Mark) {
	o.asked = true
	if o.unseen {
		if o.resp.mode == stream {
			o.x.Kind = Stream
		}
	} else {
		d.readRequest(o)
	}
	d.drop(&o.req)
	for i := range o.x.Answers {
		o.answer(&o.x.Answers[i])
	}
	answers := o.x.Answers
	o.x.Answers = nil
	d.tell(o, at, Asked)
	o.x.Answers = answers
}

// tell emits the exchange in a phase.
func (d *Decoder) tell(o *open, at decode.Mark, phase Phase) {
	x := new(Exchange)
	*x = o.x
	x.Phase = phase
	if phase == Told {
		o.x.Answers, o.kept = nil, [2]int{}
	}
	d.emit(at, x)
}

func (d *Decoder) noteFor(o *open, n decode.Note) {
	n.Flow = o.x.ID.Flow
	d.note(n)
}

// request takes an event of the request.
func (d *Decoder) request(o *open, e *httpmsg.Event) {
	if o.reqOver {
		return
	}
	o.x.AskedEnd = e.At
	switch e.Kind {
	case httpmsg.Head:
		d.askHead(o, e)
	case httpmsg.Body:
		d.write(o, &o.req, e.At, e.Data)
	case httpmsg.Hole:
		d.hole(o, &o.req, e.At)
	case httpmsg.Done:
		d.finishBody(o, &o.req, e.At)
		o.x.Body = o.req.state
		o.x.Body.Whole = !o.req.holed && !e.Absent
		o.x.Body.Absent = e.Absent
		o.reqOver = true
	case httpmsg.Cut:
		o.x.Hole = o.x.Hole || e.Why == 0 || e.Why == decode.Evicted
		d.cutBody(o, &o.req, e.At)
		o.x.Body = o.req.state
		o.reqOver = true
	}
}

// askHead reads the head of a request.
func (d *Decoder) askHead(o *open, e *httpmsg.Event) {
	x := &o.x
	if x.Method != "" {
		return // trailers
	}
	x.Asked = e.From
	x.Method, x.Scheme, x.Proto = d.text([]byte(e.Method), 32), d.text([]byte(e.Scheme), 16), d.text([]byte(e.Proto), 8)
	t := d.targets.get([]byte(e.Target), func() target { return parseTarget(e.Target) })
	x.Path, x.Query, x.ServerID = t.path, t.query, t.serverID
	if e.Authority != "" {
		x.Authority = d.texts.get([]byte("@"+e.Authority), func() string { return cleanHost(e.Authority) })
	} else if _, host, ok := strings.Cut(t.origin, "://"); ok {
		x.Authority = host
	}
	o.req.decoded = e.Decoded
	d.requestHead(o, e.Header)
	if t.session != "" {
		o.mcpHead = true
		if x.Session == "" {
			x.Session = d.hashed([]byte(t.session))
		}
	}
	x.Kind = o.kindOf()
	o.req.mode = requestMode(x.Method, o.req.media)
	o.req.at = e.At
	d.undo(o, &o.req)
}

// requestMode says what to do with the body of a request.
func requestMode(method, media string) mode {
	switch {
	case method != "POST":
		return ignore
	case isJSON(media), media == "application/x-www-form-urlencoded":
		return keep
	case media == "", media == "text/plain", media == "application/octet-stream":
		return probe
	}
	return ignore
}

// response takes an event of the response.
func (d *Decoder) response(o *open, e *httpmsg.Event) {
	if o.respOver {
		return
	}
	switch e.Kind {
	case httpmsg.Head:
		if !e.Interim && !o.respHead {
			d.answerHead(o, e)
		}
	case httpmsg.Body:
		d.write(o, &o.resp, e.At, e.Data)
	case httpmsg.Hole:
		d.hole(o, &o.resp, e.At)
	case httpmsg.Done:
		d.endResponse(o, e.At, decode.Fin, true)
		o.x.Answer.Absent = e.Absent
		if e.Absent {
			o.x.Answer.Whole = false
		}
	case httpmsg.Cut:
		o.x.Error = clean(e.Error, 200)
		o.gone = o.gone || e.Aborted
		why := e.Why
		if why == 0 {
			o.x.Hole, why = true, decode.Cut
		}
		d.endResponse(o, e.At, why, false)
	}
}

// answerHead reads the head of a response.
func (d *Decoder) answerHead(o *open, e *httpmsg.Event) {
	x := &o.x
	o.respHead = true
	x.Status, x.Head = e.Status, e.At
	if e.Status == 0 {
		x.Hole = true // there is one, and nobody knows which
	}
	o.resp.decoded = e.Decoded
	d.responseHead(o, e.Header)
	o.resp.mode = o.responseMode()
	o.resp.at = e.At
	d.undo(o, &o.resp)
	if o.resp.mode == stream {
		o.resp.events = d.newStream()
		o.resp.events.Note = func(n decode.Note) { d.noteFor(o, n) }
		o.resp.emit = func(e sse.Event) { d.streamed(o, e) }
	}
}

// responseMode says what to do with the body of a response.
func (o *open) responseMode() mode {
	media := o.resp.media
	post := o.x.Method == "POST" && !o.reqOver // its body may still say what it is
	matters := o.x.Kind != Other && o.x.Kind != Preflight || post
	switch {
	case media == "text/event-stream":
		if matters || o.unseen {
			return stream
		}
		return ignore
	case isJSON(media):
		if matters || o.x.Status >= 400 {
			return keep
		}
		return ignore
	case media == "", strings.HasPrefix(media, "text/"), media == "application/xhtml+xml", matters:
		return probe
	}
	return ignore
}

// endResponse ends a response: whole, or cut by why.
func (d *Decoder) endResponse(o *open, at decode.Mark, why decode.End, whole bool) {
	x := &o.x
	x.Ended, x.How = at, why
	o.respOver = true
	if whole {
		d.finishBody(o, &o.resp, at)
	} else {
		d.cutBody(o, &o.resp, at)
	}
	x.Answer = o.resp.state
	x.Answer.Whole = whole && !o.resp.holed
	x.Aborted = !whole && o.gone || x.HAR && strings.Contains(strings.ToLower(x.Error), "abort")
}
