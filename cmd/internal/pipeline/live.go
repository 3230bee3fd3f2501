package pipeline

import (
	"context"
	"errors"
	"io"
	"time"

	"mcp401/capture"
	"mcp401/decode/stack"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/report"
)

const (
	beatEvery  = 100 * time.Millisecond // a quiet wire is looked at this often
	ringDelay  = 100 * time.Millisecond // what the kernel may hold back: the clock of a quiet wire runs that much behind
	drainLeast = 300 * time.Millisecond // after the cancelling, for what the kernel still holds
	drainMost  = 2 * time.Second        // after it, for calls that wait for their answer
)

// A Live says that the source is a wire: it is quiet at times, it does not
// end, and somebody waits for every verdict. All functions are called on the
// goroutine of Run; each may be nil.
type Live struct {
	Case func(*hop.Case, rules.Finding) // a case that is decided, before its objects are given out
	Beat func(Beat)                     // about every 100 ms
	Keys func() []byte                  // key log lines that are new; asked before every batch and every beat

	// Until, if set, runs on a goroutine of its own, from the beginning; when
	// it returns the run ends as if it were cancelled. Run waits for it.
	Until func()
}

// A Beat is the state of a live run.
type Beat struct {
	Records, Exchanges int
	Flows              int // connections that are over
	Connections        int // that are followed
	Open               int // calls that are not judged yet
	Lost               report.Lost
}

// live analyses a source as it comes. The capture's clock goes on while the
// wire is quiet, so that a call is judged in time; it is the time of the last
// record and what went by since, whatever the clock on the wall does.
//
// After ctx is cancelled it goes on for a moment, until every call that is
// open has its verdict.
func live(ctx context.Context, src capture.Source, cfg Config, stackCfg stack.Config, j *judge) error {
	l := &liveRun{cfg: cfg.Live, stack: stackCfg, src: src, j: j}
	r := newReader(src, cfg.Progress)
	go r.start()
	beat := time.NewTicker(beatEvery)
	defer beat.Stop()
	if cfg.Live.Until != nil {
		until, done := context.WithCancel(ctx)
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			defer done()
			cfg.Live.Until()
		}()
		defer func() { <-returned }()
		ctx = until
	}
	cancelled := ctx.Done()
	for {
		select {
		case b, ok := <-r.full:
			if !ok {
				return l.end(ctx, r.err)
			}
			l.batch(b)
			r.free <- b
		case <-beat.C:
			l.beat()
		case <-cancelled:
			cancelled, l.stopped = nil, time.Now()
		}
		if l.over() {
			src.Close()
		}
	}
}

// A liveRun is the state of live.
type liveRun struct {
	cfg   *Live
	stack stack.Config
	src   capture.Source
	j     *judge

	d       *stack.Decoder // nil: no record yet
	found   []stack.Event
	last    capture.Record // its number and time only
	came    time.Time      // when it came, on the wall
	stopped time.Time      // when the run was cancelled; zero: it was not
}

// batch decodes and judges record by record. The keys are looked at first: they
// were written before what they protect came here, and ciphertext that has to
// wait for them is held as far as a bound.
func (l *liveRun) batch(b *batch) {
	l.keys()
	for _, r := range b.records {
		l.record(r)
	}
	l.came = time.Now()
}

func (l *liveRun) record(r capture.Record) {
	if l.j.err != nil {
		return
	}
	if l.d == nil {
		l.stack.Key = key(r)
		l.d = stack.New(l.stack, func(e stack.Event) { l.found = append(l.found, e) })
	}
	l.d.Record(r)
	l.found = l.j.record(r, l.found)
	if r.Time.After(l.last.Time) {
		l.last.Time = r.Time
	}
	l.last.Num = max(l.last.Num, r.Num)
}

// keys takes what is new in the key logs.
func (l *liveRun) keys() {
	if l.cfg.Keys == nil {
		return
	}
	if lines := l.cfg.Keys(); len(lines) > 0 {
		l.record(capture.Record{Num: l.last.Num, Secret: &capture.Secret{Lines: lines}})
	}
}

// beat lets time pass.
func (l *liveRun) beat() {
	l.keys()
	if l.d != nil && !l.last.Time.IsZero() && l.j.err == nil {
		// What the kernel has not handed over yet must not be late.
		now := l.last.Time.Add(max(0, time.Since(l.came)-ringDelay))
		l.d.Tick(now)
		l.j.events(l.found)
		clear(l.found)
		l.found = l.found[:0]
		l.j.tick(now)
	}
	if l.cfg.Beat != nil {
		s := &l.j.summary
		b := Beat{Records: s.Records, Exchanges: s.Exchanges, Flows: s.Flows, Open: l.j.linker.Open(), Lost: s.Lost}
		if l.d != nil {
			b.Connections = l.d.Connections()
		}
		l.cfg.Beat(b)
	}
}

// over reports whether nothing is waited for any more.
func (l *liveRun) over() bool {
	if l.j.err != nil {
		return true
	}
	if l.stopped.IsZero() {
		return false
	}
	since := time.Since(l.stopped)
	return since >= drainMost || since >= drainLeast && l.j.linker.Open() == 0
}

// end closes the decoder; err is what ended the reading. Who closed the source
// himself is told of no error.
func (l *liveRun) end(ctx context.Context, err error) error {
	if l.j.err != nil {
		return nil
	}
	if ctx.Err() != nil || errors.Is(err, io.EOF) {
		err = nil
	}
	if l.d != nil {
		l.d.Close()
		l.j.last(l.found)
	}
	return err
}
