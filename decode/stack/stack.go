// Package stack joins the decoders for one shard: from capture records to MCP
// exchanges, on one goroutine, so that the Go stack is the protocol stack.
//
// It finds out what a connection speaks by its first bytes, never by its port,
// and tells of every connection how it ended. It judges nothing.
package stack

import (
	"container/heap"
	"sort"
	"time"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/http1"
	"mcp401/decode/httpmsg"
	"mcp401/decode/inet"
	"mcp401/decode/mcp"
	"mcp401/decode/quic"
	"mcp401/decode/tcp"
	"mcp401/decode/tls"
)

// A Config says how a Decoder works. Its zero value works.
type Config struct {
	Limits   decode.Limits
	Key      []byte // of the keyed hash that credentials are compared by; nil: a fixed key, for tests
	Shard    int    // this decoder keeps the flows of shard Shard of Shards
	Shards   int    // 0 and 1: all flows
	Messages bool   // also emit one Message for each HTTP message

	// HTTP, if set, is given every HTTP event of a packet capture as well, of
	// any version and out of TLS. What e points to is valid until it returns.
	HTTP func(f *decode.Flow, e *httpmsg.Event)

	// Hello, if set, is told the random under which a key log has the secrets of
	// a TLS connection, or of one within another, with the flow of the outermost.
	Hello func(flow int, random [32]byte)
}

// A Place says which connection the packet of a record belongs to.
type Place struct {
	At       decode.Mark // on the decoder's clock, which is never set back
	Flow     int         // Flow.First of it; 0: none, it is not TCP
	Fragment bool        // a part of an IP datagram that is not whole yet: nobody knows
	Parts    []int       // the frames of the other fragments that the packet came in
}

// A Decoder turns the records of one capture into events.
type Decoder struct {
	cfg  Config
	lim  decode.Limits
	emit func(Event)
	late func(Event) // emit, with the marks as they are
	now  decode.Mark
	step time.Duration // by how much the capture's clock was set back

	place Place

	inet  *inet.Decoder
	tcp   *tcp.Table
	mcp   *mcp.Decoder
	keys  *tls.Keys
	quic  map[string]bool
	held  []Event // during a retry with new keys: nil otherwise
	retry bool
	head  harHead
	later later // HAR: what an entry tells of times that are not reached yet
	har   int   // the entry in hand, 0: none
	msgs  messages
	spare []*http1.Conn // of connections that are over
}

// New returns a decoder. Events are given to emit during Record and Close, in
// the order in which they become known; emit may keep them.
func New(cfg Config, emit func(Event)) *Decoder {
	d := &Decoder{cfg: cfg, lim: cfg.Limits.WithDefaults()}
	d.keys = tls.NewKeys(d.lim)
	d.late = emit
	d.emit = func(e Event) {
		if d.retry {
			d.held = append(d.held, e)
			return
		}
		if e.At.Time.Before(d.now.Time) && e.At.Frame <= d.now.Frame {
			e.At = d.now // what waited is known only now
		}
		emit(e)
	}
	d.inet = inet.New(d.lim, func(n decode.Note) {
		if cfg.Shard == 0 {
			d.note(n) // every shard sees every packet
		}
	})
	if cfg.Shard == 0 {
		d.inet.QUIC = d.initial
	}
	d.tcp = tcp.NewTable(d.lim, d.open, d.note)
	d.mcp = mcp.New(mcp.Config{Limits: d.lim, Key: cfg.Key}, d.exchange, d.note)
	return d
}

// Record decodes one record. Nothing of it is kept.
func (d *Decoder) Record(r capture.Record) {
	at := decode.Mark{Frame: r.Num, Time: d.forward(&r)}
	if !at.Time.IsZero() {
		d.now = at
	}
	switch {
	case r.Packet != nil:
		d.place = Place{At: at}
		if s, ok := d.inet.Segment(at, r.Packet); ok && d.mine(&s) {
			d.tcp.Segment(at, &s)
			d.place.Flow, d.place.Parts = d.tcp.Last(), d.inet.Parts()
		} else {
			d.place.Fragment = d.inet.Pending()
			d.tcp.Pass(at.Time)
		}
	case r.Secret != nil:
		d.secret(r.Secret.Lines)
	case r.Entry != nil:
		if d.cfg.Shard == 0 {
			d.until(at.Time)
			d.entry(at, r.Entry)
		}
	}
}

// Place returns where the packet decoded last belongs.
func (d *Decoder) Place() Place { return d.place }

// stepBack is how far the clock must go back to have been set: frames stand
// less behind others that were captured before them.
const stepBack = time.Second

// forward is the time of a record on a clock that nobody sets back: what came
// before stays before, and what took a moment a moment. A clock that is set
// forward cannot be told from silence.
func (d *Decoder) forward(r *capture.Record) time.Time {
	if r.Packet == nil || r.Time.IsZero() {
		return r.Time
	}
	at := r.Time.Add(d.step)
	if back := d.now.Time.Sub(at); back > stepBack && !d.now.Time.IsZero() {
		d.step += back
		at = d.now.Time
		if d.cfg.Shard == 0 {
			d.note(decode.Note{Code: "capture/clock-step", At: decode.Mark{Frame: r.Num, Time: at}, N: int(back.Milliseconds()), Text: "the clock went back: times from here on are given as if it had not"})
		}
	}
	return at
}

// initial says once for each server name that QUIC was seen.
func (d *Decoder) initial(at decode.Mark, datagram []byte) {
	name, ok := quic.Initial(datagram)
	if !ok || d.quic[name] || len(d.quic) >= quicNames {
		return
	}
	if d.quic == nil {
		d.quic = map[string]bool{}
	}
	d.quic[name] = true
	d.note(decode.Note{Code: "quic/seen", At: at, About: name, Text: "QUIC seen, not decoded: have the client use TCP, or capture where HTTP/3 ends"})
}

// quicNames bounds the server names that QUIC is said of.
const quicNames = 64

// secret takes key log lines, and what could not be decrypted before: in the
// order of its marks, whichever connection it comes from.
func (d *Decoder) secret(lines []byte) {
	if bad := d.keys.Add(lines); bad > 0 && d.cfg.Shard == 0 {
		d.note(decode.Note{Code: "tls/bad-key-log", At: d.now, N: bad, Text: "lines of a key log that are none"})
	}
	if d.keys.Waiting() == 0 {
		return
	}
	d.retry = true
	d.keys.Retry(d.now)
	d.release()
}

// release emits what a retry brought.
func (d *Decoder) release() {
	held := d.held
	d.held, d.retry = nil, false
	sort.SliceStable(held, func(i, j int) bool {
		if c := held[i].At.Time.Compare(held[j].At.Time); c != 0 {
			return c < 0
		}
		return held[i].At.Frame < held[j].At.Frame
	})
	for _, e := range held {
		d.late(e)
	}
}

// mine reports whether the connection of a segment is this shard's. Both
// directions fall to the same one.
func (d *Decoder) mine(s *inet.Segment) bool {
	if d.cfg.Shards <= 1 {
		return true
	}
	h := s.Path ^ (mix(s.Src.Addr().As16(), s.Src.Port()) + mix(s.Dst.Addr().As16(), s.Dst.Port()))
	return h%uint64(d.cfg.Shards) == uint64(d.cfg.Shard)
}

// mix is FNV-1a over an address and a port.
func mix(a [16]byte, port uint16) uint64 {
	h := uint64(14695981039346656037)
	for _, b := range a {
		h = (h ^ uint64(b)) * 1099511628211
	}
	h = (h ^ uint64(port&0xff)) * 1099511628211
	h = (h ^ uint64(port>>8)) * 1099511628211
	return h ^ h>>29
}

// Clock returns when the last record came, or the last Tick was, on the
// decoder's clock: that of the capture, but never set back.
func (d *Decoder) Clock() time.Time { return d.now.Time }

// Ahead says that the capture's clock was set forward by so much, where that is
// known: records from here on are taken for so much earlier.
func (d *Decoder) Ahead(by time.Duration) {
	d.step -= by
	if d.cfg.Shard == 0 {
		d.note(decode.Note{Code: "capture/clock-step", At: d.now, N: int(by.Milliseconds()), Text: "the clock went forward: times from here on are given as if it had not"})
	}
}

// Tick says what time it is on the decoder's clock when no record does: the
// wire is quiet.
func (d *Decoder) Tick(now time.Time) {
	if now.After(d.now.Time) {
		d.now.Time = now
	}
	d.tcp.Tick(now)
	d.until(now)
}

// Connections returns how many connections are followed.
func (d *Decoder) Connections() int { return d.tcp.Open() }

// Close ends all connections: the capture is over.
func (d *Decoder) Close() {
	d.tcp.Close(d.now)
	d.retry = true
	d.keys.Done(d.now)
	d.release()
	for len(d.later) > 0 {
		d.emit(heap.Pop(&d.later).(Event))
	}
}

func (d *Decoder) note(n decode.Note) {
	d.emit(Event{At: n.At, Flow: n.Flow, Note: &n})
}

func (d *Decoder) exchange(at decode.Mark, x *mcp.Exchange) {
	e := Event{At: at, Flow: x.Flow.First, Exchange: x}
	if d.har != 0 && x.Phase != mcp.Asked {
		heap.Push(&d.later, e)
		return
	}
	d.emit(e)
}

// until emits what HAR entries told of times up to now.
func (d *Decoder) until(now time.Time) {
	for len(d.later) > 0 && !d.later[0].At.Time.After(now) {
		d.emit(heap.Pop(&d.later).(Event))
	}
	for len(d.later) > d.lim.OpenCalls {
		d.emit(heap.Pop(&d.later).(Event))
	}
}

// later is a heap of events by time and place.
type later []Event

func (q later) Len() int { return len(q) }
func (q later) Less(i, j int) bool {
	if c := q[i].At.Time.Compare(q[j].At.Time); c != 0 {
		return c < 0
	}
	if q[i].At.Frame != q[j].At.Frame {
		return q[i].At.Frame < q[j].At.Frame
	}
	return q[i].Exchange.Phase < q[j].Exchange.Phase
}
func (q later) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *later) Push(x any)   { *q = append(*q, x.(Event)) }
func (q *later) Pop() any {
	o := *q
	e := o[len(o)-1]
	o[len(o)-1] = Event{}
	*q = o[:len(o)-1]
	return e
}
