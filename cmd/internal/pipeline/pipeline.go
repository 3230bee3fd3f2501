// Package pipeline runs an analysis: it reads records, shards them over
// decoders, joins what they found, judges it and hands out the objects of a
// report.
//
// It holds the only goroutines of the program. It decides nothing: the same
// input gives the same objects for any number of workers. The one trick: a
// batch of records goes to every decoder, each keeps its own flows, and the
// judge takes the same batch from all of them and sorts what they found by
// frame and flow.
package pipeline

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/stack"
	"mcp401/rules/hop"
	"mcp401/rules/report"
)

// A Config says how to run. Its zero value works.
type Config struct {
	Version  string // of the tool, for the report
	Jobs     int    // decoders at work at once; 0 and 1: everything on the caller's goroutine
	Limits   decode.Limits
	Hop      hop.Config // its Limits are those above
	Show     Show
	Inputs   func() []report.Input              // what is read, with the records read until now; nil: unknown
	Warnings func() []decode.Note               // what the files had to complain of, asked at the end; nil: nothing
	Progress func()                             // called on the reader's goroutine every batch of records; nil: nobody looks
	HTTP     func(*decode.Flow, *httpmsg.Event) // given every HTTP event, as by stack.Config, with one decoder alone; nil: nobody looks
	Live     *Live                              // the source is a wire; nil: it is a file, which ends. Of use with Cases only, with one decoder
}

// Show says what a run hands out.
type Show uint8

// What there is to show.
const (
	Cases     Show = iota // a report: run, cases with findings, notes, summary
	Exchanges             // every MCP exchange, in order of its first frame
	Messages              // every HTTP message, likewise
)

// Run analyses src until its end, an error, or until ctx is cancelled, which
// is no error: what was read until then is judged. It closes src. Objects are
// given to out on the caller's goroutine; an error of out ends the run and is
// returned.
//
// An error of src is returned too, after everything before it was reported.
func Run(ctx context.Context, src capture.Source, cfg Config, out func(report.Object) error) (report.Summary, error) {
	defer src.Close()
	j := newJudge(cfg, out)
	err := j.begin()
	if err != nil {
		return j.summary, err
	}
	if cfg.Live != nil {
		return j.end(live(ctx, src, cfg, stack.Config{Limits: cfg.Limits}, j))
	}
	stop := context.AfterFunc(ctx, func() { src.Close() })
	defer stop()
	first, readErr := src.Next()
	if readErr == nil {
		stackCfg := stack.Config{Limits: cfg.Limits, Key: key(first), Messages: cfg.Show == Messages}
		if cfg.Jobs <= 1 {
			stackCfg.HTTP = cfg.HTTP
			readErr = inline(src, first, stackCfg, cfg.Progress, j)
		} else {
			readErr = sharded(src, first, stackCfg, cfg, j)
		}
	}
	if errors.Is(readErr, io.EOF) || ctx.Err() != nil {
		readErr = nil
	}
	return j.end(readErr)
}

// inline does everything on one goroutine, so that no byte is copied.
func inline(src capture.Source, r capture.Record, cfg stack.Config, progress func(), j *judge) error {
	var found []stack.Event
	d := stack.New(cfg, func(e stack.Event) { found = append(found, e) })
	var err error
	for n := 1; err == nil && j.err == nil; n++ {
		d.Record(r)
		found = j.record(r, found)
		if n%batchRecords == 0 && progress != nil {
			progress()
		}
		r, err = src.Next()
	}
	if j.err != nil {
		return nil
	}
	d.Close()
	j.last(found)
	return err
}

// key derives the key of a run's credential hashes from the first record of
// the capture: one capture gives one report, byte for byte, and who has the
// report alone cannot try guesses against the hashes.
func key(r capture.Record) []byte {
	h := sha256.New()
	write := func(parts ...string) {
		for _, p := range parts {
			io.WriteString(h, p+"\x00")
		}
	}
	switch {
	case r.Packet != nil:
		write("packet", string(r.Packet.Data))
	case r.Entry != nil:
		e := r.Entry
		write("entry", r.Time.UTC().String(), e.Method, e.URL, e.Server, e.Connection)
		for _, f := range e.Request {
			write(f.Name, f.Value)
		}
	case r.Secret != nil:
		write("secret", string(r.Secret.Lines))
	}
	return h.Sum(nil)
}
