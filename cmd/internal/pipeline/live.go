package pipeline

import (
	"context"
	"errors"
	"io"
	"time"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/stack"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/report"
)

const (
	beatEvery  = 100 * time.Millisecond // a quiet wire is looked at this often
	ringDelay  = 150 * time.Millisecond // what the kernel, several sockets and batches may hold back: the clock of a quiet wire runs that much behind
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
	Note func(decode.Note)              // a note of a kind that is new, and every one of the clock

	// Clock says that times are those of this machine's clock as packets come, so
	// that a clock which is set forward can be told from silence.
	Clock bool

	// Idle returns when nothing was known to wait in the source: time goes on as
	// far as that while no record comes, so that on a busy machine it is never
	// ahead of what was captured and not read. nil: now.
	Idle func() time.Time

	// For who keeps frames: each record after it was decoded, with where its
	// packet belongs and what was found in it, before that is judged; a record of
	// nothing where time alone told it. Hello is stack.Config's. Settle comes
	// after each batch and beat, with the decoder's clock and the frame that began
	// the oldest call without a verdict, 0 for none. What is handed over is valid
	// until it returns.
	Record func(capture.Record, stack.Place, []stack.Event)
	Hello  func(flow int, random [32]byte)
	Settle func(now time.Time, since int)

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
	Limits             map[string]int // how often each limit was hit, by its code without "limit/"
}

// live analyses a source as it comes. The capture's clock goes on while the
// wire is quiet, so that a call is judged in time; it is the time of the last
// record and what went by since, whatever the clock on the wall does.
//
// After ctx is cancelled it goes on for a moment, until every call that is
// open has its verdict.
func live(ctx context.Context, src capture.Source, cfg Config, stackCfg stack.Config, j *judge) error {
	stackCfg.Hello = cfg.Live.Hello
	r := newReader(src, cfg.Progress)
	l := &liveRun{cfg: cfg.Live, stack: stackCfg, src: src, reader: r, j: j}
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
	cfg    *Live
	stack  stack.Config
	src    capture.Source
	reader *reader
	j      *judge

	d       *stack.Decoder // nil: no record yet
	found   []stack.Event
	num     int       // of the last frame
	time    time.Time // of it, as it says; zero: none came
	clock   time.Time // of the decoder, then
	came    time.Time // and on the wall
	stopped time.Time // when the run was cancelled; zero: it was not
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
	l.settle()
}

// settle tells who keeps frames what need not be kept any more.
func (l *liveRun) settle() {
	if l.cfg.Settle != nil && l.d != nil {
		l.cfg.Settle(l.d.Clock(), l.j.linker.Since())
	}
}

// stepLeast is how much later than the time that went by a packet must be for
// the clock to have been set.
const stepLeast = 5 * time.Second

func (l *liveRun) record(r capture.Record) {
	if l.j.err != nil {
		return
	}
	if l.d == nil {
		l.stack.Key = key(r)
		l.d = stack.New(l.stack, func(e stack.Event) { l.found = append(l.found, e) })
	}
	if r.Packet != nil {
		if gap := r.Time.Sub(l.time); l.cfg.Clock && gap > stepLeast && !l.time.IsZero() {
			if by := gap - time.Since(l.came); by > stepLeast {
				l.d.Ahead(by)
			}
		}
		l.time = r.Time
	}
	l.d.Record(r)
	l.kept(r)
	if r.Packet != nil {
		l.clock = l.d.Clock()
		if l.cfg.Clock {
			l.came = time.Now()
		}
	}
	if !l.clock.IsZero() {
		r.Time = l.clock // the judge has no other
	}
	l.found = l.j.record(r, l.found)
	l.num = max(l.num, r.Num)
}

// kept hands a record over to who keeps frames.
func (l *liveRun) kept(r capture.Record) {
	if l.cfg.Record == nil {
		return
	}
	var at stack.Place
	if r.Packet != nil {
		at = l.d.Place()
	}
	l.cfg.Record(r, at, l.found)
}

// keys takes what is new in the key logs.
func (l *liveRun) keys() {
	if l.cfg.Keys == nil {
		return
	}
	if lines := l.cfg.Keys(); len(lines) > 0 {
		l.record(capture.Record{Num: l.num, Secret: &capture.Secret{Lines: lines}})
	}
}

// beat lets time pass.
func (l *liveRun) beat() {
	l.keys()
	if at, ok := l.read(); ok && l.d != nil && !l.clock.IsZero() && l.j.err == nil {
		// What the kernel has not handed over yet must not be late.
		now := l.clock.Add(max(0, at.Sub(l.came)-ringDelay))
		l.d.Tick(now)
		l.kept(capture.Record{})
		l.j.events(l.found)
		clear(l.found)
		l.found = l.found[:0]
		l.j.tick(now)
		l.settle()
	}
	if l.cfg.Beat != nil {
		s := &l.j.summary
		b := Beat{Records: s.Records, Exchanges: s.Exchanges, Flows: s.Flows, Open: l.j.linker.Open(), Lost: s.Lost, Limits: l.j.limits()}
		if l.d != nil {
			b.Connections = l.d.Connections()
		}
		l.cfg.Beat(b)
	}
}

// read returns up to when all that was captured was judged, but for what the
// kernel holds back; false: there is more to be judged first.
func (l *liveRun) read() (time.Time, bool) {
	at := time.Now()
	if l.cfg.Idle != nil {
		at = l.cfg.Idle()
	}
	if from := l.reader.filling.Load(); from != nil && from.Before(at) {
		at = *from
	}
	return at, len(l.reader.full) == 0
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
	at, ok := l.read()
	return since >= drainMost || since >= drainLeast && l.j.linker.Open() == 0 && ok && at.After(l.stopped)
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
		l.kept(capture.Record{})
		l.j.last(l.found)
	}
	return err
}
