// Package bundle analyses what a person drops at once: captures, TLS key logs
// and a LiteLLM configuration, in any order, told apart by their content.
//
// It reads from openers only, so that the same code serves files, uploads and
// a browser, and gives what `mcp401 analyze` gives when the same files are
// named to it with --keylog and --config. It keeps and writes nothing. The one
// trick: all captures are one capture, and everything else is what is known
// beforehand.
package bundle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"unicode/utf8"

	"mcp401/capture"
	"mcp401/cmd/internal/pipeline"
	"mcp401/decode"
	"mcp401/rules/hop"
	"mcp401/rules/report"
)

// A File is one dropped file. Open may be called more than once; each reader
// begins at the start. A zip is read only where the reader is an io.ReaderAt.
type File struct {
	Name string // as it is reported, with any bytes
	Size int64  // bytes, 0 when unknown
	Open func() (io.ReadCloser, error)
}

// Options say how to analyse. Its zero value works.
type Options struct {
	Version   string           // of the tool, for the report
	Gateways  []netip.AddrPort // see hop.Config
	Upstreams []netip.AddrPort
	Jobs      int // decoders at work at once; 0 and 1: everything on the caller's goroutine

	// Progress is told of the bytes that were read of all captures, and how
	// many there are, 0 where that is unknown: once for each read of at most
	// 256 KiB, on the goroutine that reads. It may be nil.
	Progress func(done, total int64)

	Files   int             // files at most. 256: a day of captures that are rotated every six minutes
	Keys    int             // bytes of all key logs. 64 MiB: they are held in memory
	Config  int             // bytes of the configuration. 1 MiB: a thousand servers
	Capture capture.Options // of each capture
	Limits  decode.Limits
}

func (o Options) withDefaults() Options {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&o.Files, 256)
	def(&o.Keys, 64<<20)
	def(&o.Config, 1<<20)
	return o
}

// An Error says in one line which file cannot be used and why, and what to do
// next.
type Error struct {
	Text string // with the file's name; lower case, no period
	Hint string // "" when there is nothing to say
	Err  error  // for errors.Is
}

func (e *Error) Error() string { return e.Text }

func (e *Error) Unwrap() error { return e.Err }

// Analyze tells the files apart by their content, analyses all captures as
// one, and hands the objects of the report to out, in order. Equal times are
// in the order of the files.
//
// Of a capture that breaks off what there is counts, and a note of the report
// says so. An error is an [*Error] that says which file is of no use, what ctx
// was cancelled for, or an error of out; after one, what out got is no report.
func Analyze(ctx context.Context, files []File, opt Options, out func(report.Object) error) (report.Summary, error) {
	opt = opt.withDefaults()
	b, err := opt.sort(ctx, files)
	if err != nil {
		return report.Summary{}, err
	}
	src, err := capture.Merge(b.captures, opt.Capture)
	if err != nil {
		return report.Summary{}, b.refusal(err)
	}
	cfg := pipeline.Config{
		Version: opt.Version, Jobs: opt.Jobs, Limits: opt.Limits,
		Hop:      hop.Config{Gateways: opt.Gateways, Upstreams: opt.Upstreams, Names: b.names},
		Inputs:   func() []report.Input { return Inputs(src) },
		Warnings: func() []decode.Note { return Warnings(src) },
	}
	var failed error // of out, which is none of a capture
	summary, err := pipeline.Run(ctx, Keyed(src, b.keys), cfg, func(o report.Object) error {
		failed = out(o)
		return failed
	})
	switch {
	case failed != nil:
		return summary, failed
	case ctx.Err() != nil:
		return summary, context.Cause(ctx)
	case err != nil && summary.Records == 0:
		return summary, b.refusal(err)
	}
	return summary, nil
}

// A sorted is the files by what they are.
type sorted struct {
	captures []capture.Opener
	keys     [][]byte
	names    map[string]hop.Server
	config   string // the file that names are from
	text     map[string]bool
}

// sort looks into each file.
func (o *Options) sort(ctx context.Context, files []File) (*sorted, error) {
	if len(files) == 0 {
		return nil, &Error{Text: "no file", Hint: "drop a HAR, or a capture made with tcpdump or Wireshark"}
	}
	if len(files) > o.Files {
		return nil, &Error{Text: fmt.Sprintf("%d files, more than the %d that are taken at once", len(files), o.Files), Hint: "merge captures first: mergecap -w all.pcapng FILE..."}
	}
	b := &sorted{text: map[string]bool{}}
	read := &reading{report: o.Progress}
	for _, f := range files {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err := o.place(b, f, read); err != nil {
			return nil, err
		}
	}
	if len(b.captures) == 0 {
		what := "key logs"
		if b.config != "" {
			what = "the gateway's configuration"
		}
		return nil, &Error{Text: "no capture among the files, only " + what, Hint: "add the HAR or the capture that belongs to it"}
	}
	return b, nil
}

// place puts one file where it belongs.
func (o *Options) place(b *sorted, f File, read *reading) error {
	kind, text, err := look(f, o.Config)
	if err != nil {
		return refused(f.Name, err)
	}
	switch kind {
	case keyLog:
		for _, k := range b.keys {
			o.Keys -= len(k)
		}
		lines, err := whole(f, o.Keys)
		for _, k := range b.keys {
			o.Keys += len(k)
		}
		if err != nil {
			return refused(f.Name, err)
		}
		b.keys = append(b.keys, lines)
	case configuration:
		if b.config != "" {
			return &Error{Text: fmt.Sprintf("%s and %s are both configurations of a gateway", b.config, f.Name), Hint: "drop the one that was in use while the capture was made"}
		}
		yaml, err := whole(f, o.Config)
		if err != nil {
			return refused(f.Name, err)
		}
		if b.names, err = Config(f.Name, yaml); err != nil {
			return err
		}
		b.config = f.Name
	default:
		b.text[f.Name] = text
		b.captures = append(b.captures, read.opener(f))
	}
	return nil
}

// refusal gives an error of the captures our words. A text that capture does
// not know is none of the other kinds either.
func (b *sorted) refusal(err error) error {
	var c *capture.Error
	if errors.As(err, &c) && errors.Is(err, capture.ErrUnknown) && b.text[c.Name] {
		return &Error{Text: c.Name + ": neither a capture, nor a TLS key log, nor a gateway's configuration with mcp_servers", Hint: "export a HAR from the network tab of the browser's devtools", Err: err}
	}
	if c != nil {
		return &Error{Text: c.Error(), Hint: c.Hint, Err: err}
	}
	return &Error{Text: err.Error(), Err: err}
}

// refused is an error of reading a file.
func refused(name string, err error) error {
	var e *Error
	if errors.As(err, &e) {
		return err
	}
	return &Error{Text: name + ": " + capture.Nameless(err).Error(), Err: err}
}

// whole reads a file that is held in memory.
func whole(f File, bound int) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, int64(bound)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > bound {
		return nil, &Error{Text: fmt.Sprintf("%s: key logs or a configuration of more than %d bytes", f.Name, bound), Hint: "leave out the lines that have nothing to do with the capture"}
	}
	return b, nil
}

// A kind is what a file is.
type kind int

const (
	other         kind = iota // a capture, or nothing that is known
	keyLog                    // of TLS
	configuration             // of LiteLLM
)

// headBytes is how much of a text is looked at for a line of a key log: a
// comment may stand before it.
const headBytes = 64 << 10

// look tells what a file is, and whether it is text that is none of JSON. A
// capture has control characters or begins with a brace, the others are text.
// bound is how far a text is searched for the servers of a configuration.
func look(f File, bound int) (k kind, text bool, err error) {
	r, err := f.Open()
	if err != nil {
		return other, false, err
	}
	defer r.Close()
	in := bufio.NewReaderSize(io.LimitReader(r, int64(bound)), headBytes)
	head, err := in.Peek(headBytes)
	if err != nil && err != io.EOF {
		return other, false, err
	}
	if !isText(head) {
		return other, false, nil
	}
	if isKeyLog(head) {
		return keyLog, true, nil
	}
	for {
		line, err := in.ReadSlice('\n')
		if isServers(line) {
			return configuration, true, nil
		}
		for err == bufio.ErrBufferFull {
			_, err = in.ReadSlice('\n')
		}
		if err == io.EOF {
			return other, true, nil
		}
		if err != nil {
			return other, true, err
		}
	}
}

// isText reports whether b can be the beginning of a text that is no JSON
// object. The end of b may be within a character.
func isText(b []byte) bool {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	rest := bytes.TrimLeft(b, " \t\r\n")
	if len(rest) == 0 || rest[0] == '{' {
		return false
	}
	for len(rest) > 0 && utf8.FullRune(rest) {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 || r < ' ' && r != '\t' && r != '\n' && r != '\r' {
			return false
		}
		rest = rest[n:]
	}
	return true
}

// isKeyLog looks for one line "LABEL HEX HEX" (RFC 9850, section 2), or for the
// comment with which NSS begins a log that has no line yet.
func isKeyLog(b []byte) bool {
	if bytes.HasPrefix(b, []byte("# SSL/TLS secrets log file")) {
		return true
	}
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) == 3 && isLabel(f[0]) && isHex(f[1]) && isHex(f[2]) {
			return true
		}
	}
	return false
}

func isLabel(b []byte) bool {
	return len(b) > 2 && len(bytes.Trim(b, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789")) == 0 && b[0] >= 'A'
}

func isHex(b []byte) bool {
	return len(b) >= 16 && len(b)%2 == 0 && len(bytes.Trim(b, "0123456789abcdefABCDEF")) == 0
}

// isServers knows the key of a configuration under which the servers stand.
func isServers(line []byte) bool {
	line = bytes.TrimPrefix(line, []byte("\ufeff"))
	name, _, ok := bytes.Cut(line, []byte(":"))
	return ok && string(bytes.Trim(bytes.TrimRight(name, " "), `"'`)) == "mcp_servers"
}

// A reading counts what was read of all captures.
type reading struct {
	done, total int64
	unknown     bool // the size of one of them
	report      func(done, total int64)
}

// opener returns f as capture wants it.
func (r *reading) opener(f File) capture.Opener {
	r.total += f.Size
	r.unknown = r.unknown || f.Size <= 0
	return capture.Opener{Name: f.Name, Size: f.Size, Open: func() (io.Reader, error) {
		in, err := f.Open()
		if err != nil || r.report == nil {
			return in, err
		}
		c := counted{in, r}
		if at, ok := in.(io.ReaderAt); ok {
			return countedAt{c, at}, nil
		}
		return c, nil
	}}
}

func (r *reading) add(n int) {
	r.done += int64(n)
	if r.unknown {
		r.report(r.done, 0)
	} else {
		r.report(min(r.done, r.total), r.total)
	}
}

type counted struct {
	io.ReadCloser
	r *reading
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.r.add(n)
	return n, err
}

type countedAt struct {
	counted
	at io.ReaderAt
}

func (c countedAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.at.ReadAt(p, off)
	c.r.add(n)
	return n, err
}
