package cli

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/term"

	"mcp401/rules"
	"mcp401/rules/all"
	"mcp401/rules/report"
)

// An output is the flags that say what is written where.
type output struct {
	format string
	file   string
	failOn string
	zone   string

	where string
	lists bool // where is about the lines of a list, not about cases

	as    report.Format
	only  *report.Condition // nil: everything
	loc   *time.Location
	known *known // nil: no baseline
}

func (o *output) flags(f *pflag.FlagSet, formats []report.Format, def string) {
	f.StringVar(&o.format, "format", def, "`FORMAT` of the output: "+names(formats))
	f.StringVarP(&o.file, "output", "o", "", "write to `FILE`, which appears when it is complete")
	f.StringVar(&o.zone, "time-zone", "UTC", "`ZONE` in which times are written")
}

func (o *output) failFlag(f *pflag.FlagSet) {
	f.StringVar(&o.failOn, "fail-on", "error", "exit with status 1 from this `SEVERITY` on: error, warning, note, never")
}

func (o *output) whereFlag(f *pflag.FlagSet) {
	text := "only the calls that fit `EXPR`, as in 'severity >= warning && server ~ git'"
	if o.lists {
		text = "only the lines that fit `EXPR`, as in 'status >= 400 && path ~ /mcp'"
	}
	f.StringVar(&o.where, "where", "", text)
}

// condition reads --where.
func (o *output) condition() error {
	if o.where == "" {
		return nil
	}
	var err error
	if o.lists {
		o.only, err = report.WhereListed(o.where)
	} else {
		o.only, err = report.Where(o.where, all.Rules)
	}
	var w *report.WhereError
	if err == nil {
		return nil
	}
	if errors.As(err, &w) && w.Hint != "" {
		return hinted(fmt.Errorf("--where: %w", err), w.Hint)
	}
	return fmt.Errorf("--where: %w", err)
}

func names(formats []report.Format) string {
	var list []string
	for _, f := range formats {
		list = append(list, f.Name)
	}
	return strings.Join(list, ", ")
}

// check reads the flags' values before any work is done.
func (o *output) check(formats []report.Format) error {
	found := false
	for _, f := range formats {
		if f.Name == o.format {
			o.as, found = f, true
		}
	}
	if !found {
		return hinted(fmt.Errorf("--format %s: not known", quote(o.format)), "one of "+names(formats))
	}
	if _, ok := failOn[cmp.Or(o.failOn, "never")]; !ok {
		return hinted(fmt.Errorf("--fail-on %s: not known", quote(o.failOn)), "one of error, warning, note, never")
	}
	if err := o.condition(); err != nil {
		return err
	}
	var err error
	o.loc, err = zone(o.zone)
	return err
}

// A sink writes objects in the chosen format to standard output or to a file,
// and remembers the worst finding.
type sink struct {
	report.Writer
	out   *output
	buf   *bufio.Writer
	file  *os.File // nil: standard output
	final string   // what file is renamed to; "": it is written in place
	live  bool     // each object is flushed: somebody waits for it
	worst int
	err   error // of writing
}

// open readies the output. A file that is among the inputs is refused.
func (a *app) open(o *output, formats []report.Format, inputs []string) (*sink, error) {
	s := &sink{out: o}
	w := a.stdout
	if o.file != "" {
		if err := s.create(o.file, inputs); err != nil {
			return nil, err
		}
		w = s.file
	}
	s.buf = bufio.NewWriterSize(w, 64<<10)
	opt := report.Options{Zone: o.loc, Rules: all.Rules}
	if columns, ok := terminal(w); ok {
		opt.Width = columns
		opt.Color = a.color()
	}
	s.Writer = o.as.New(s.buf, opt)
	return s, nil
}

// color reports whether a terminal may be given colours (no-color.org).
func (a *app) color() bool {
	return !a.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// terminal returns the columns of the terminal that w is, and whether it is
// one.
func terminal(w io.Writer) (columns int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns <= 0 {
		columns = 80
	}
	return columns, true
}

// create opens a new file beside name, so that name is never half a report. A
// name that is a device or a pipe is written as it is.
func (s *sink) create(name string, inputs []string) error {
	info, err := os.Stat(name)
	if err == nil && info.IsDir() {
		return fmt.Errorf("-o %s: this is a directory", name)
	}
	if err == nil && !info.Mode().IsRegular() {
		s.file, err = os.OpenFile(name, os.O_WRONLY, 0)
		return err
	}
	for _, in := range inputs {
		if other, statErr := os.Stat(in); err == nil && statErr == nil && os.SameFile(info, other) {
			return fmt.Errorf("-o %s: this is the file to be read", name)
		}
	}
	tmp := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+"."+rand.Text()[:8])
	s.file, err = os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	s.final = name
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("-o %s: %w", name, p.Err)
	}
	return err
}

// write takes the next object.
func (s *sink) write(o report.Object) error {
	if s.out.known != nil {
		s.out.known.mark(o)
	}
	switch {
	case o.Finding != nil && !o.Finding.Known:
		s.worst = max(s.worst, rules.Severity(o.Finding.Severity).Rank())
	case o.Change != nil && o.Change.State == report.New:
		s.worst = max(s.worst, rules.Severity(o.Change.Severity).Rank())
	}
	if s.out.loc != time.UTC {
		o.In(s.out.loc)
	}
	s.err = s.Write(o)
	if s.err == nil && s.live {
		s.err = s.buf.Flush()
	}
	return s.err
}

// close finishes the document and puts the file in its place.
func (s *sink) close() error {
	s.err = cmp.Or(s.Close(), s.buf.Flush())
	if s.file != nil {
		s.err = s.settle(s.err)
	}
	return s.err
}

// settle closes the file, and puts it in its place if err is nil.
func (s *sink) settle(err error) error {
	err = cmp.Or(err, s.file.Close())
	if s.final == "" {
		return err
	}
	if err == nil {
		err = os.Rename(s.file.Name(), s.final)
	}
	if err != nil {
		os.Remove(s.file.Name())
	}
	return err
}

// save writes a file of b, which appears when it is complete.
func save(name string, b []byte) error {
	s := &sink{}
	if err := s.create(name, nil); err != nil {
		return err
	}
	_, err := s.file.Write(b)
	return s.settle(err)
}

// abandon leaves no file behind.
func (s *sink) abandon() {
	if s.file != nil {
		s.file.Close()
	}
	if s.final != "" {
		os.Remove(s.file.Name())
	}
}

// status is the exit status for what was found until now.
func (s *sink) status() int {
	if s.out.failOn != "" && s.worst >= failOn[s.out.failOn] {
		return statusFound
	}
	return statusClean
}
