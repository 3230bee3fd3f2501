package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
	"mcp401/cmd/internal/pipeline"
	"mcp401/decode"
	"mcp401/rules/report"
)

// saidReport is how much of a file is looked at to see whether it is a saved
// report.
const saidReport = 4096

// tally reads one side of a comparison, a capture or a report that was saved
// as json or jsonl: what it is shows in its first bytes.
func (a *app) tally(name string, in *input) (*report.Tally, error) {
	t := &report.Tally{}
	r, kind := a.stdin, "standard input"
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, capture.Nameless(err))
		}
		defer f.Close()
		r, kind = f, name
	}
	head := bufio.NewReaderSize(r, saidReport)
	first, _ := head.Peek(saidReport) // what is wrong with it, the reading says
	if savedReport(first) {
		if err := report.Read(head, t.Write); err != nil {
			return nil, hinted(fmt.Errorf("%s: %w", kind, capture.Nameless(err)), "made with: mcp401 analyze --format json capture.pcap")
		}
		if t.LeftOut > 0 {
			a.warn(hinted(fmt.Errorf("%s: calls are left out of this report by --where: %d", kind, t.LeftOut), "they count as never made: save the report without --where"))
		}
		return t, nil
	}
	return t, a.judge(name, head, in, t)
}

// savedReport reports whether a file begins as a report does, and not as a HAR
// or any other capture.
func savedReport(b []byte) bool {
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\ufeff")), " \t\r\n")
	rest, ok := bytes.CutPrefix(b, []byte("{"))
	if !ok {
		return false
	}
	rest = bytes.TrimLeft(rest, " \t\r\n")
	for _, key := range []string{"run", "cases", "case", "findings", "finding", "notes", "note", "summary"} {
		if bytes.HasPrefix(rest, []byte(`"`+key+`"`)) {
			return true
		}
	}
	return false
}

// judge analyses a capture for t. A capture that breaks off is taken as far as
// it goes, with a warning.
func (a *app) judge(name string, stdin io.Reader, in *input, t *report.Tally) error {
	cfg, err := in.pipeline()
	if err != nil {
		return err
	}
	keys, err := readKeylogs(in.keylogs)
	if err != nil {
		return err
	}
	src, err := capture.Open([]string{name}, stdin, capture.Options{})
	if err != nil {
		return err
	}
	cfg.Inputs = func() []report.Input { return bundle.Inputs(src) }
	cfg.Warnings = func() []decode.Note { return bundle.Warnings(src) }
	summary, err := pipeline.Run(context.Background(), bundle.Keyed(src, keys), cfg, t.Write)
	if err != nil && summary.Records == 0 {
		return err
	}
	if err != nil {
		a.warn(err)
	}
	return nil
}

func baselineFlag(f *pflag.FlagSet, name *string) {
	f.StringVar(name, "baseline", "", "`FILE`, a capture or a saved report, whose findings do not count for the exit status")
}

// baseline reads what --baseline names; nil for none.
func (a *app) baseline(name string, others []string, in *input) (*known, error) {
	if name == "" {
		return nil, nil
	}
	if name == "-" && contains(others, "-") {
		return nil, hinted(errors.New("--baseline -: standard input is already the capture"), "save the baseline in a file")
	}
	t, err := a.tally(name, in)
	if err != nil {
		return nil, err
	}
	return &known{baseline: t}, nil
}

// A known marks the findings that the baseline has too, and counts them.
type known struct {
	baseline *report.Tally
	last     *report.Case
	n        int
}

// mark completes an object before it is written.
func (k *known) mark(o report.Object) {
	switch {
	case o.Case != nil:
		k.last = o.Case
	case o.Finding != nil && k.last != nil && k.baseline.Knows(k.last, o.Finding):
		o.Finding.Known = true
		k.n++
	case o.Summary != nil:
		o.Summary.Known = k.n
	}
}
