package cli

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/pflag"

	"mcp401/capture"
	"mcp401/cmd/internal/keep"
	"mcp401/cmd/internal/pipeline"
	"mcp401/decode"
	"mcp401/rules"
	"mcp401/rules/hop"
)

// A kept is the flags that say where frames are written.
type kept struct {
	file  string
	size  int // millions of bytes
	count int
}

func (k *kept) flags(f *pflag.FlagSet) {
	f.StringVarP(&k.file, "write", "w", "", "write the frames of the calls' connections, with their keys, to `FILE`, a pcapng that only its owner can read")
	f.IntVarP(&k.size, "rotate-size", "C", 1000, "begin the next file after so many `MB`, millions of bytes")
	f.IntVarP(&k.count, "rotate-count", "W", 10, "keep `N` files: FILE, which is written, FILE.1, the one before it, ...")
}

// check reads the flags' values before any work is done.
func (k *kept) check() error {
	switch {
	case k.size < 1 || k.size > 1e6:
		return fmt.Errorf("--rotate-size %d: not a number from 1 to 1000000", k.size)
	case k.count < 1 || k.count > 1000:
		return fmt.Errorf("--rotate-count %d: not a number from 1 to 1000", k.count)
	case k.file == "-":
		return hinted(errors.New("--write -: standard output is the report's"), "-w FILE")
	}
	return nil
}

// keeping opens the file of --write, if there is one, and has what is captured
// written to it. It returns what ends the file, and what ends it and says then
// what is missing in it.
func (a *app) keeping(s *session, warn func(error)) (stop func(), notes func() []decode.Note, err error) {
	flags := s.kept
	if flags.file == "" {
		return func() {}, func() []decode.Note { return nil }, nil
	}
	fault := func(err error) error { return fmt.Errorf("--write %s: %w", flags.file, err) }
	k, err := keep.New(keep.Config{
		Name: flags.file, Size: int64(flags.size) * 1e6, Count: flags.count,
		Interfaces: s.wire.names(), Filter: s.wire.expression(), Snap: s.wire.snap, Application: "mcp401 " + Version,
		Say: func(err error) { warn(fault(err)) },
	})
	if err != nil {
		return nil, nil, fault(err)
	}
	if s.tell != nil {
		s.tell.state.Written = func() (frames, lost, late, cut int64) {
			n := k.Stats()
			return n.Frames.Load(), n.Lost.Load(), n.Late.Load(), n.Cut.Load()
		}
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	watch, then, beat := &s.watch, s.watch.Case, s.watch.Beat
	watch.Record, watch.Hello, watch.Settle = k.Record, k.Hello, k.Settle
	watch.Case = func(c *hop.Case, f rules.Finding) {
		k.Case(c, f)
		if then != nil {
			then(c, f)
		}
	}
	watch.Beat = func(b pipeline.Beat) {
		select {
		case <-hangup:
			k.Reopen()
		default:
		}
		if beat != nil {
			beat(b)
		}
	}
	stop = sync.OnceFunc(func() {
		signal.Stop(hangup)
		if err := k.Close(); err != nil {
			warn(fmt.Errorf("%w; %d frames of calls are not in it", fault(err), k.Stats().Lost.Load()))
		}
	})
	return stop, func() []decode.Note { stop(); return k.Notes() }, nil
}

// freezes is what the report notes of the kernel's ring.
func freezes(src capture.Source) []decode.Note {
	s, ok := src.(*capture.LiveSource)
	if !ok || s.Stats().Freezes == 0 {
		return nil
	}
	n := s.Stats().Freezes
	return []decode.Note{{Code: "capture/freezes", N: int(min(n, 1<<62)), Text: fmt.Sprintf("the ring of the capture was full %d times: --buffer-size asks for a larger one", n)}}
}
