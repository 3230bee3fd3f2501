// Package keep writes the frames of the connections that matter to a pcapng
// file: both hops of every call that became a case, with the TLS keys that open
// them and each verdict as a comment on the frame where its call begins.
//
// A connection matters when it carried MCP or an exchange around it (a token
// request, a model call with MCP tools), when a case names it, or when it may
// be the gateway's in the time of a case and cannot be read or came to nothing.
// Other people's traffic is not written.
//
// The one trick: frames wait in the order of their capture until it is known
// whose they are, so that the file has the order of the wire and its comments.
// What waits is bounded: beyond that frames are let go as if nobody wanted
// them, and what that cost is counted. Nothing here fails a run: what cannot be
// written is lost, counted and said.
package keep

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"sort"
	"sync/atomic"
	"time"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
)

const (
	waitBytes = 64 << 20         // frames that wait, with their cost: some seconds of a busy gateway
	frameCost = 256              // bytes that a waiting frame takes beside its own, its connection's included
	settle    = 5 * time.Second  // in which a connection shows what it carries, and its keys are found
	waitMost  = 2 * time.Minute  // that a frame waits for the verdict of a call
	headBytes = 256 << 10        // of a connection's beginning that are kept for the next file: what a session takes
	headsMost = 32 << 20         // of all connections
	linger    = 40 * time.Second // that a connection which is over is remembered, for what trails: longer than decode.Limits.Linger
	lineBytes = 16 << 20         // key log lines remembered
	randoms   = 8                // TLS connections within one connection
	pending   = 64               // comments whose frame was written before them
	chunkSize = 1 << 20
)

// A Config says what is written where. Name is needed.
type Config struct {
	Name        string
	Size        int64 // bytes of a file before the next one is begun, about; 0: 1 GB
	Count       int   // files kept, the one being written included; 0: 10
	Wait        int   // bytes of frames that wait; 0: 64 MiB
	Interfaces  []string
	Filter      string
	Snap        int
	Application string
	Say         func(error) // told once of each thing that went wrong, and when it is over; nil: nobody
}

// Stats is what became of frames. Its counters may be read at any time.
type Stats struct {
	Frames  atomic.Int64 // written
	Lost    atomic.Int64 // of connections that matter, and not written: the disk was full
	Late    atomic.Int64 // connections that turned out to matter when their beginning had been let go
	Rotated atomic.Int64 // files that were ended
	Cut     atomic.Int64 // connections whose beginning is in an earlier file only
}

// A Keeper writes one run. All methods are for the goroutine of the run, but
// for Reopen and the counters.
type Keeper struct {
	cfg    Config
	out    *file
	stats  Stats
	reopen atomic.Bool

	queue    queue
	flows    map[int]*flow
	suspects map[*flow]bool
	overs    []*flow // in the order in which they ended
	clock    decode.Mark
	since    int // the frame that began the oldest call without a verdict

	lines   map[[32]byte]*lines
	order   [][32]byte // of lines, oldest first
	text    int        // bytes of them
	heads   int        // bytes kept of beginnings
	spans   []span     // cases whose frames were not all written
	pending []string
}

// A flow is a connection of which frames wait, or that is wanted.
type flow struct {
	first   int
	wanted  bool
	never   bool // it speaks nothing that is known here
	suspect bool // it may be named by no case, and matter all the same
	gone    bool // frames of it were let go
	over    bool
	overAt  time.Time
	client  netip.Addr
	from    time.Time // of its frames that were seen
	to      time.Time
	waiting int // frames
	seen    bool

	randoms [][32]byte
	head    []*frame // its first frames, as they were written
	size    int      // bytes of them
	full    bool     // more came than is kept
}

// A frame is a packet that waits, or a loss.
type frame struct {
	num      int
	at       time.Time // on the decoder's clock
	time     time.Time // as captured
	link     capture.LinkType
	iface    int
	length   int
	data     []byte
	chunk    *chunk
	flow     *flow // nil: a loss, or a fragment of nobody knows what
	lost     uint64
	comments []string
}

// lines is the key log lines of one connection.
type lines struct {
	text []byte
	gen  int // the section into which some were written
	sent int // how many bytes
}

// A span is the frames from the first to the last of a case.
type span struct{ from, to int }

// New opens the file. A file that is there already is kept as if it had been
// ended now.
func New(cfg Config) (*Keeper, error) {
	if cfg.Size <= 0 {
		cfg.Size = 1e9
	}
	if cfg.Count <= 0 {
		cfg.Count = 10
	}
	if cfg.Wait <= 0 {
		cfg.Wait = waitBytes
	}
	if cfg.Say == nil {
		cfg.Say = func(error) {}
	}
	k := &Keeper{cfg: cfg, flows: map[int]*flow{}, suspects: map[*flow]bool{}, lines: map[[32]byte]*lines{}}
	k.out = &file{cfg: &k.cfg, stats: &k.stats}
	if err := k.out.begin(); err != nil {
		return nil, err
	}
	return k, nil
}

// Stats returns the counters.
func (k *Keeper) Stats() *Stats { return &k.stats }

// Reopen ends the file and begins another under the same name, soon. It may be
// called from any goroutine.
func (k *Keeper) Reopen() { k.reopen.Store(true) }

// Hello takes the random of a TLS connection.
func (k *Keeper) Hello(first int, random [32]byte) {
	f := k.flow(first)
	for _, r := range f.randoms {
		if r == random {
			return
		}
	}
	if len(f.randoms) < randoms {
		f.randoms = append(f.randoms, random)
	}
}

// Record takes a record that was decoded, where its packet belongs, and what
// was found in it. Nothing of r is kept.
func (k *Keeper) Record(r capture.Record, at stack.Place, found []stack.Event) {
	switch {
	case r.Packet != nil:
		k.clock = at.At
		k.packet(r, at)
	case r.Secret != nil:
		k.secrets(r.Secret.Lines)
	case r.Loss != nil:
		k.queue.push(frame{num: r.Num, at: k.clock.Time, time: r.Time, iface: r.Loss.Interface, lost: r.Loss.Packets}, nil)
	}
	for i := range found {
		k.event(&found[i])
	}
	if k.queue.cost > k.cfg.Wait {
		k.release()
	}
}

func (k *Keeper) packet(r capture.Record, at stack.Place) {
	f := frame{num: r.Num, at: at.At.Time, time: r.Time, link: r.Packet.Link, iface: r.Packet.Interface, length: r.Packet.Length}
	switch {
	case at.Flow != 0:
		f.flow = k.flow(at.Flow)
		if !f.flow.seen {
			f.flow.seen, f.flow.gone, f.flow.from = true, at.Flow < r.Num, f.at
		}
		f.flow.to = f.at
		f.flow.waiting++
		for _, num := range at.Parts {
			if p := k.queue.find(num); p != nil && p.flow == nil {
				p.flow = f.flow
				f.flow.waiting++
				f.flow.gone = f.flow.gone && at.Flow < num
			}
		}
	case !at.Fragment:
		return
	}
	k.queue.push(f, r.Packet.Data)
}

func (k *Keeper) flow(first int) *flow {
	f := k.flows[first]
	if f == nil {
		f = &flow{first: first}
		k.flows[first] = f
	}
	return f
}

// event learns from what was decoded.
func (k *Keeper) event(e *stack.Event) {
	switch {
	case e.Exchange != nil:
		x := e.Exchange
		switch x.Kind {
		case mcp.Other, mcp.Preflight:
		case mcp.LLM:
			if x.LLMTools.MCP {
				k.want(x.Flow.First)
			}
		default:
			k.want(x.Flow.First)
		}
	case e.Connection != nil:
		k.connection(e.Connection)
	}
}

func (k *Keeper) connection(c *stack.Connection) {
	first := c.Flow.First
	dark := c.TLS != nil && !c.TLS.Decrypted
	switch {
	case dark || c.Gaps > 0 || c.How != 0 && c.Protocol == "":
		k.suspect(first, c.Flow.Client.Addr())
	case c.Protocol == "unknown":
		k.flow(first).never = true
	}
	if c.How != 0 {
		f := k.flow(first)
		if f.over, f.overAt = true, k.clock.Time; f.waiting == 0 {
			k.behead(f)
		}
		k.overs = append(k.overs, f)
	}
}

// suspect remembers a connection that a case may need without naming it.
func (k *Keeper) suspect(first int, client netip.Addr) {
	f := k.flow(first)
	f.client, f.never = client, false
	if !f.wanted {
		f.suspect = true
		k.suspects[f] = true
	}
}

func (k *Keeper) want(first int) {
	f := k.flow(first)
	if f.wanted {
		return
	}
	f.wanted = true
	delete(k.suspects, f)
	if f.gone {
		k.stats.Late.Add(1)
	}
}

// Case takes a case with its verdict: its connections are wanted, and those
// beside it that may be its gateway's.
func (k *Keeper) Case(c *hop.Case, f rules.Finding) {
	asked := c.Call.Asked
	s := span{asked.Asked.Frame, max(asked.Asked.Frame, c.Call.At.Frame)}
	hosts := map[netip.Addr]bool{c.Gateway.Addr(): true}
	k.call(c.Call)
	if c.Model != nil {
		k.named(c.Model.Flow.First)
	}
	for _, a := range c.Attempts {
		if a.Decisive == nil && len(a.Calls) == 0 {
			k.named(a.First.Frame) // of a connection that carried nothing
		}
		for _, call := range append([]*pair.Call{a.Decisive, a.Token, a.Redirect}, a.Calls...) {
			k.call(call)
			if call != nil {
				hosts[call.Asked.Flow.Client.Addr()] = true
			}
		}
		s.from, s.to = min(s.from, a.First.Frame), max(s.to, a.Last.Frame)
		k.comment(a.First.Frame, attempted(c, a))
	}
	from, to := c.Call.Start(), c.Call.At.Time
	for x := range k.suspects {
		if !x.to.Before(from) && !x.from.After(to) && local(hosts, c.Gateway.Addr(), x.client) {
			k.want(x.first)
		}
	}
	k.spans = append(k.spans, s)
	k.comment(asked.Asked.Frame, verdict(c, f))
}

// local reports whether a connection from that address may be the gateway's:
// as rules/hop has it, any where one of both is a loopback address.
func local(hosts map[netip.Addr]bool, gateway, client netip.Addr) bool {
	return hosts[client] || client.IsLoopback() || gateway.IsLoopback() || gateway.IsUnspecified()
}

func (k *Keeper) call(c *pair.Call) {
	if c == nil {
		return
	}
	k.named(c.Asked.Flow.First)
	if c.Exchange != nil {
		k.named(c.Exchange.Flow.First)
	}
}

// named wants a connection of which something is still known here: the others
// were wanted in their time and are written.
func (k *Keeper) named(first int) {
	if k.flows[first] != nil {
		k.want(first)
	}
}

func verdict(c *hop.Case, f rules.Finding) string {
	text := "mcp401: " + f.Rule
	for _, s := range []string{string(f.Cause), string(f.Failure)} {
		if s != "" {
			text += ", " + s
		}
	}
	if f.Text != "" {
		text += ": " + f.Text
	}
	return fmt.Sprintf("%s (frame %d of the run)", text, c.Call.Asked.Asked.Frame)
}

func attempted(c *hop.Case, a *hop.Attempt) string {
	name := a.Server
	if name == "" {
		name = a.Address.String()
	}
	return fmt.Sprintf("mcp401: upstream %s: %s, for the call in frame %d of the run", name, a.Outcome, c.Call.Asked.Asked.Frame)
}

// comment puts a text on a frame that waits, or where it was written already
// on the next one that is.
func (k *Keeper) comment(num int, text string) {
	if f := k.queue.find(num); f != nil {
		f.comments = append(f.comments, text)
	} else if len(k.pending) < pending {
		k.pending = append(k.pending, text)
	}
}

// secrets sorts key log lines by connection.
func (k *Keeper) secrets(text []byte) {
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) != 3 || len(fields[1]) != 64 || len(line) > 1024 || fields[0][0] == '#' {
			continue
		}
		var random [32]byte
		if _, err := hex.Decode(random[:], fields[1]); err != nil {
			continue
		}
		line = append(bytes.Join(fields, []byte(" ")), '\n')
		l := k.lines[random]
		if l == nil {
			l = &lines{}
			k.lines[random] = l
			k.order = append(k.order, random)
		}
		if !bytes.Contains(l.text, line) && len(l.text) < 8<<10 { // a log that was written anew is read again
			l.text = append(l.text, line...)
			k.text += len(line)
		}
	}
	for k.text > lineBytes {
		k.text -= len(k.lines[k.order[0]].text)
		delete(k.lines, k.order[0])
		k.order = k.order[1:]
	}
}

// Settle takes the time, and the frame that began the oldest call without a
// verdict, 0 where there is none; it writes what need not wait any more.
func (k *Keeper) Settle(now time.Time, since int) {
	if now.After(k.clock.Time) {
		k.clock.Time = now
	}
	k.since = since
	if k.reopen.Swap(false) {
		k.rotate(true)
	}
	k.release()
	k.forget()
	k.out.flush()
}

// release lets go of frames, in order, until one has to wait.
func (k *Keeper) release() {
	for {
		f := k.queue.front()
		if f == nil {
			break
		}
		age := k.clock.Time.Sub(f.at)
		open := k.since != 0 && f.num >= k.since && age <= waitMost
		full := k.queue.cost > k.cfg.Wait
		switch {
		case f.lost > 0:
			k.out.dropped(f)
		case f.flow != nil && f.flow.wanted:
			if open && !full {
				return
			}
			k.write(f)
		case f.flow != nil && f.flow.never:
		case (open || age <= settle) && !full:
			return
		}
		k.pop(f)
	}
}

// pop takes off the first frame, whose time has come.
func (k *Keeper) pop(f *frame) {
	x, num := f.flow, f.num
	k.queue.pop()
	if n := len(k.spans); n > 0 && k.spans[0].to < num {
		k.spans = k.spans[1:]
	}
	if x == nil {
		return
	}
	if x.waiting--; x.wanted {
		if x.over && x.waiting == 0 {
			k.behead(x)
		}
		return
	}
	x.gone = true
	if x.waiting == 0 && (x.over || !x.suspect && len(x.randoms) == 0) {
		k.drop(x)
	}
}

// forget drops connections that are over.
func (k *Keeper) forget() {
	for len(k.overs) > 0 && k.clock.Time.Sub(k.overs[0].overAt) > linger {
		x := k.overs[0]
		k.overs = k.overs[1:]
		if x.waiting > 0 {
			x.overAt = k.clock.Time
			k.overs = append(k.overs, x)
			continue
		}
		k.drop(x)
	}
}

// behead gives up the beginning of a connection.
func (k *Keeper) behead(x *flow) {
	k.heads -= x.size
	x.head, x.size = nil, 0
}

func (k *Keeper) drop(x *flow) {
	if k.flows[x.first] != x {
		return
	}
	k.behead(x)
	delete(k.flows, x.first)
	delete(k.suspects, x)
}

// write writes a frame of a connection that is wanted.
func (k *Keeper) write(f *frame) {
	if due, must := k.out.due(); must || due && k.between(f.num) {
		k.rotate(false)
	}
	if len(k.pending) > 0 {
		f.comments = append(f.comments, k.pending...)
		k.pending = nil
	}
	if k.out.ready() && k.out.fresh {
		k.out.fresh = false
		k.begin()
	}
	k.put(f)
	x := f.flow
	most := int(min(headsMost, k.cfg.Size/2))
	cost := len(f.data) + frameCost
	if x.full = x.full || x.size+cost > headBytes || k.heads+cost > most; x.full && len(x.randoms) == 0 {
		// Clear text can be read from anywhere, and better without a hole.
		k.behead(x)
	} else if !x.full {
		kept := *f
		kept.data, kept.chunk = bytes.Clone(f.data), nil
		x.head = append(x.head, &kept)
		x.size += cost
		k.heads += cost
	}
}

// between reports whether no case goes on from before that frame.
func (k *Keeper) between(num int) bool {
	for _, s := range k.spans {
		if s.from < num && num <= s.to {
			return false
		}
	}
	return true
}

// put writes a frame behind the keys that it may need.
func (k *Keeper) put(f *frame) {
	for _, r := range f.flow.randoms {
		l := k.lines[r]
		if l == nil {
			continue
		}
		if l.gen != k.out.gen {
			l.gen, l.sent = k.out.gen, 0
		}
		if l.sent < len(l.text) {
			k.out.secrets(l.text[l.sent:])
			l.sent = len(l.text)
		}
	}
	k.out.packet(f)
}

// rotate begins the next file.
func (k *Keeper) rotate(asked bool) {
	if k.out.rotate(asked) {
		k.begin()
	}
}

// begin writes the beginnings of the connections that go on from an earlier
// file: without them nobody could read what follows.
func (k *Keeper) begin() {
	var heads []*frame
	for _, x := range k.flows {
		heads = append(heads, x.head...)
		if x.full && x.waiting > 0 {
			k.stats.Cut.Add(1)
		}
	}
	sort.Slice(heads, func(i, j int) bool { return heads[i].num < heads[j].num })
	for _, f := range heads {
		k.put(f)
	}
}

// Close writes what is wanted of what waits, and ends the file.
func (k *Keeper) Close() error {
	k.since, k.cfg.Wait = 0, -1
	k.release()
	return k.out.close()
}

// Notes says what is missing in the file, for the report.
func (k *Keeper) Notes() []decode.Note {
	var list []decode.Note
	for _, n := range []struct {
		code, text string
		n          int64
	}{
		{"write/lost", "frames of calls are not in the file: the disk was full, or it could not be written", k.stats.Lost.Load()},
		{"limit/write", "connections begin in the middle in the file: they turned out to matter when their first frames had been let go", k.stats.Late.Load()},
		{"write/cut", "connections begin in an earlier file: they were too long to be repeated", k.stats.Cut.Load()},
	} {
		if n.n > 0 {
			list = append(list, decode.Note{Code: n.code, N: int(n.n), Text: fmt.Sprintf("%d %s", n.n, n.text)})
		}
	}
	return list
}
