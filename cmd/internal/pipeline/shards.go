package pipeline

import (
	"sync"
	"sync/atomic"
	"time"

	"mcp401/capture"
	"mcp401/decode/stack"
)

const (
	batchRecords = 512                   // records of one batch at most
	batchBytes   = 1 << 20               // bytes of one batch, about
	batchWait    = 50 * time.Millisecond // how long a batch waits to be filled: the delay of a live report
	batches      = 6                     // batches under way at once: a few MB
)

// A batch is a run of records. Their bytes are copies that live in its arena.
type batch struct {
	records []capture.Record
	packets []capture.Packet
	arena   []byte
}

func (b *batch) reset() {
	clear(b.records)
	b.records, b.packets, b.arena = b.records[:0], b.packets[:0], b.arena[:0]
}

// add appends a copy of r.
func (b *batch) add(r capture.Record) {
	switch {
	case r.Packet != nil:
		// Both grow by append only when full; what was handed out before stays
		// valid where it was.
		b.packets = append(b.packets, *r.Packet)
		r.Packet = &b.packets[len(b.packets)-1]
		r.Packet.Data = b.copy(r.Packet.Data)
	case r.Secret != nil:
		r.Secret = &capture.Secret{Lines: b.copy(r.Secret.Lines)}
	case r.Loss != nil:
		loss := *r.Loss
		r.Loss = &loss
	}
	b.records = append(b.records, r)
}

func (b *batch) copy(p []byte) []byte {
	from := len(b.arena)
	b.arena = append(b.arena, p...)
	return b.arena[from:len(b.arena):len(b.arena)]
}

func (b *batch) full() bool { return len(b.records) >= batchRecords || len(b.arena) >= batchBytes }

// A worker is one decoder and what it found in each batch.
type worker struct {
	in  chan *batch
	out chan found
}

// A found is the events of one batch; upto[i] of them were known after record
// i. The last one, of the closing, has no records.
type found struct {
	events []stack.Event
	upto   []int
}

// sharded reads on one goroutine, decodes on cfg.Jobs, and judges on the
// caller's. The bounded channels between them make the slowest set the pace.
func sharded(src capture.Source, first capture.Record, stackCfg stack.Config, cfg Config, j *judge) error {
	workers := make([]*worker, cfg.Jobs)
	for i := range workers {
		c := stackCfg
		c.Shard, c.Shards = i, len(workers)
		workers[i] = &worker{in: make(chan *batch, batches), out: make(chan found, batches)}
		go workers[i].run(c)
	}
	r := newReader(src, cfg.Progress)
	go r.run(first)

	var under []*batch // under way, in order
	take := func() {
		j.batch(under[0], gather(workers))
		r.free <- under[0]
		under = under[1:]
		if j.err != nil {
			src.Close()
		}
	}
	for b := range r.full {
		under = append(under, b)
		for _, w := range workers {
			w.in <- b
		}
		// While more is ready it is dealt out first, so that the decoders have
		// work while the judge waits for this one.
		for len(under) >= batches/2 || len(under) > 0 && len(r.full) == 0 {
			take()
		}
	}
	for len(under) > 0 {
		take()
	}
	for _, w := range workers {
		close(w.in)
	}
	var closing []stack.Event
	for _, f := range gather(workers) {
		closing = append(closing, f.events...)
	}
	if j.err != nil {
		return nil
	}
	j.last(closing)
	return r.err
}

// gather waits for what all workers found in the next batch.
func gather(workers []*worker) []found {
	all := make([]found, len(workers))
	for i, w := range workers {
		all[i] = <-w.out
	}
	return all
}

// batch judges a batch record by record, as if one decoder had found it all.
func (j *judge) batch(b *batch, all []found) {
	var events []stack.Event
	for i, r := range b.records {
		for _, f := range all {
			from := 0
			if i > 0 {
				from = f.upto[i-1]
			}
			events = append(events, f.events[from:f.upto[i]]...)
		}
		if events = j.record(r, events); j.err != nil {
			return
		}
	}
}

// run decodes batches until there are no more, and then closes.
func (w *worker) run(cfg stack.Config) {
	var f found
	d := stack.New(cfg, func(e stack.Event) { f.events = append(f.events, e) })
	for b := range w.in {
		f.upto = make([]int, 0, len(b.records))
		for _, r := range b.records {
			d.Record(r)
			f.upto = append(f.upto, len(f.events))
		}
		w.out <- f
		f = found{}
	}
	d.Close()
	w.out <- f
}

// A reader fills batches. What waits in a batch that is not full goes out
// after batchWait, also while the source has nothing more to read.
type reader struct {
	src      capture.Source
	progress func()
	full     chan *batch
	free     chan *batch
	err      error                     // valid when full is closed
	filling  atomic.Pointer[time.Time] // since when cur is filled; nil: it is empty

	mu   sync.Mutex
	cur  *batch
	wake *time.Timer
	over bool
}

func newReader(src capture.Source, progress func()) *reader {
	r := &reader{src: src, progress: progress, full: make(chan *batch, batches), free: make(chan *batch, batches)}
	for range batches {
		r.free <- &batch{}
	}
	return r
}

// start is run from the first record on.
func (r *reader) start() {
	rec, err := r.src.Next()
	if err != nil {
		r.err = err
		close(r.full)
		return
	}
	r.run(rec)
}

func (r *reader) run(rec capture.Record) {
	r.wake = time.AfterFunc(time.Hour, r.late)
	r.wake.Stop()
	var err error
	for err == nil {
		r.add(rec)
		rec, err = r.src.Next()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wake.Stop()
	r.send()
	r.err = err
	r.over = true
	close(r.full)
}

func (r *reader) add(rec capture.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cur == nil {
		r.cur = <-r.free
		r.cur.reset()
		now := time.Now()
		r.filling.Store(&now)
		r.wake.Reset(batchWait)
	}
	r.cur.add(rec)
	if r.cur.full() {
		r.send()
	}
}

// late sends what has waited for long enough.
func (r *reader) late() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.send()
}

func (r *reader) send() {
	if r.cur == nil || r.over {
		return
	}
	r.wake.Stop()
	r.full <- r.cur
	r.cur = nil
	r.filling.Store(nil)
	if r.progress != nil {
		r.progress()
	}
}
