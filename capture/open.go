package capture

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
)

// Options bound what an input can make grow. Zero means default.
type Options struct {
	MaxPacket int // bytes of one packet or pcapng block. 16 MiB: the largest snap length in use is 256 KiB
	MaxBody   int // bytes of one HAR body or string that are kept. 4 MiB: the largest tool lists seen are under 1 MiB
	MaxHead   int // bytes of all other strings of one HAR entry. 1 MiB: servers refuse heads over 64 KiB
	Window    int // HAR entries that are held to put them in order of time. 1024: a page load is smaller
	Bodies    int // bytes of bodies in those entries. 8 MiB

	Unpacked int64 // bytes that come out of one compression of one input; what follows is left out. 1 TiB: days of traffic
}

func (o Options) withDefaults() Options {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&o.MaxPacket, 16<<20)
	def(&o.MaxBody, 4<<20)
	def(&o.MaxHead, 1<<20)
	def(&o.Window, 1024)
	def(&o.Bodies, 8<<20)
	if o.Unpacked <= 0 {
		o.Unpacked = 1 << 40
	}
	return o
}

// An Input describes one opened input.
type Input struct {
	Name    string // as it was given
	Kind    string // "pcap", "pcapng", "har", with "+gzip", "+zstd", ... for each wrapping
	Records int    // packets and entries read so far
}

// A Warning says what of an input was damaged or left out. Its Code is stable.
type Warning struct {
	Code  string // "pcap/cut-packet", "gzip/truncated"
	Frame int    // the last frame before it, 0 at the start
	Text  string // one line with the input's name and the byte offset; no byte of a message
	N     int    // bytes or whatever Text counts, 0 where nothing is counted
}

// Files are the inputs of one capture, merged by time. One goroutine calls
// Next, Inputs and Warnings; Read and Close may be called from any.
type Files struct {
	files []*File
	merge *merge // nil for one file
}

// An Opener is one input, which is opened when its turn comes.
type Opener struct {
	Name string                    // as it is reported, with any bytes
	Size int64                     // bytes, 0 when unknown
	Open func() (io.Reader, error) // called once; what it gives is closed with the Files where it is an io.Closer

	shown string // in messages, "" for Name
}

// Open opens the named inputs, recognises each by its content, and merges
// several into one capture, see [Merge]. The name "-" stands for stdin, which
// is read as it arrives.
func Open(names []string, stdin io.Reader, opt Options) (*Files, error) {
	inputs := make([]Opener, len(names))
	for i, name := range names {
		inputs[i] = Opener{Name: name, Open: func() (io.Reader, error) { return os.Open(name) }}
		if name == "-" {
			inputs[i].shown = "standard input"
			inputs[i].Open = func() (io.Reader, error) {
				if slices.Contains(names[:i], "-") {
					return nil, &Error{Name: "standard input", Text: "named twice", Err: errTwice}
				}
				if f, ok := stdin.(*os.File); ok {
					return interruptible(f), nil
				}
				return stdin, nil
			}
		}
	}
	return Merge(inputs, opt)
}

// Merge opens the inputs, recognises each by its content, and merges several
// into one capture: by time, and at equal times in their order. A merged
// capture is numbered anew from 1, as mergecap would. A zip is read only from
// an io.ReaderAt whose size is known.
//
// The error is an *[Error]: an input that holds nothing readable is one, an
// input that is damaged further on is not (see Warnings).
func Merge(inputs []Opener, opt Options) (*Files, error) {
	s := &Files{}
	opt = opt.withDefaults()
	for _, in := range inputs {
		in.shown = cmp.Or(in.shown, in.Name)
		r, err := in.Open()
		if err != nil {
			s.Close()
			return nil, systemError(in.shown, err)
		}
		f, err := newFile(in, r, opt)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.files = append(s.files, f)
	}
	if len(s.files) != 1 {
		s.merge = newMerge(s.files)
	}
	return s, nil
}

// Next returns the next record of all inputs.
func (s *Files) Next() (Record, error) {
	if s.merge != nil {
		return s.merge.next()
	}
	return s.files[0].Next()
}

// Close ends the capture: a Next that waits for a pipe, and every later one,
// returns io.EOF.
func (s *Files) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// Inputs describes what was opened, in the order of the names.
func (s *Files) Inputs() []Input {
	in := make([]Input, len(s.files))
	for i, f := range s.files {
		in[i] = f.Input()
	}
	return in
}

// Read tells how many bytes were read from the inputs, compressed as they are,
// and how many there are: 0 when one of them is a pipe.
func (s *Files) Read() (done, total int64) {
	for _, f := range s.files {
		done += f.raw.n.Load()
		if f.size < 0 || total < 0 {
			total = -1
		} else {
			total += f.size
		}
	}
	return done, max(total, 0)
}

// Warnings lists what was damaged or left out so far. Of one code and input
// sixteen are kept; a last one counts the others.
func (s *Files) Warnings() []Warning {
	var list []Warning
	for _, f := range s.files {
		list = append(list, f.Warnings()...)
	}
	return list
}

// A File is one input. It is the Source for a single stream; [Open] and
// [Merge] make several.
type File struct {
	name    string
	kind    string
	src     Source
	in      *input
	raw     *rawReader
	size    int64 // -1 when unknown
	records int
	any     bool // a record was delivered
	closed  atomic.Bool
	end     error // what Next returned last when it ended
}

// New reads one capture from r, which it recognises by content. If r is an
// io.Closer, Close closes it, and that must unblock a Read in progress.
func New(name string, r io.Reader) (*File, error) {
	return newFile(Opener{Name: name, shown: name}, r, Options{}.withDefaults())
}

func newFile(o Opener, r io.Reader, opt Options) (*File, error) {
	f := &File{name: o.Name, size: -1, raw: &rawReader{r: r}}
	f.in = &input{name: o.shown, opt: opt, raw: f.raw, window: newWindow(f.raw)}
	err := f.stat(r, o.Size)
	if err == nil {
		f.src, f.kind, err = f.in.recognise()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// stat learns the size of a regular file and refuses directories. What is no
// file has the size that its owner says.
func (f *File) stat(r io.Reader, size int64) error {
	file, ok := r.(*os.File)
	if !ok {
		if size > 0 {
			f.size = size
			f.in.at, _ = r.(io.ReaderAt)
			f.in.size = size
		}
		return nil
	}
	info, err := file.Stat()
	if err != nil {
		return systemError(f.in.name, err)
	}
	if info.IsDir() {
		return &Error{Name: f.in.name, Text: "this is a directory", Hint: "name the files in it: " + filepath.Join(f.in.name, "*"), Err: ErrDirectory}
	}
	if info.Mode().IsRegular() {
		at, _ := file.Seek(0, io.SeekCurrent)
		f.size = max(info.Size()-at, 0)
		f.in.at, f.in.size = file, info.Size()
	}
	return nil
}

// Next returns the next record of the file.
func (f *File) Next() (Record, error) {
	if f.end != nil {
		return Record{}, f.end
	}
	rec, err := f.src.Next()
	if err != nil {
		f.end = f.ending(err)
		f.in.flush()
		return Record{}, f.end
	}
	f.any = true
	if rec.Packet != nil || rec.Entry != nil {
		f.records++
	}
	return rec, nil
}

// ending decides what the end of a file means: after Close nothing is wrong,
// and damage is an error only where it left nothing to read.
func (f *File) ending(err error) error {
	var own *Error
	switch {
	case f.closed.Load():
		return io.EOF
	case f.raw.err != nil:
		e := systemError(f.in.name, f.raw.err)
		e.Text = fmt.Sprintf("reading failed after %d bytes: %s", f.raw.n.Load(), e.Text)
		return e
	case errors.As(err, &own):
		return err
	case err == io.EOF && !f.any && f.in.damage != "":
		return &Error{Name: f.in.name, Text: f.in.damage, Hint: "record or copy it again", Err: ErrDamaged}
	}
	return err
}

// Close ends the file: a Next that waits for a pipe, and every later one,
// returns io.EOF.
func (f *File) Close() error {
	if f.closed.Swap(true) {
		return nil
	}
	if c, ok := f.raw.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// Input describes the file.
func (f *File) Input() Input { return Input{f.name, f.kind, f.records} }

// Warnings lists what was damaged or left out so far.
func (f *File) Warnings() []Warning { return f.in.warnings }

// A rawReader counts the bytes of an input and remembers how it failed, so that
// a failing disk is told from damaged contents however deep the wrapping.
type rawReader struct {
	r   io.Reader
	n   atomic.Int64
	err error // not io.EOF
}

func (r *rawReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.n.Add(int64(n))
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// An input is what a format reads from and complains to.
type input struct {
	*window
	name     string // for messages
	opt      Options
	raw      *rawReader
	at       io.ReaderAt                                        // the whole of what raw reads, where that can be had, else nil
	size     int64                                              // of at
	attached func(name string) (body io.ReadCloser, size int64) // nil but for a zip
	frames   int                                                // the last frame's number, counted by the format
	warnings []Warning
	count    map[string]int
	late     []Warning // to be given at the end of the file
	damage   string    // the first damage that ended the reading of something
}

// A code of a warning is kept so often; a flood of damage costs no memory.
const warningsKept = 16

// flush gives the late warnings.
func (in *input) flush() {
	for _, w := range in.late {
		in.warn(w.Code, 0, "%s", w.Text)
	}
	in.late = nil
}

// warn records something odd; n is what the text counts.
func (in *input) warn(code string, n int, text string, args ...any) {
	if in.count == nil {
		in.count = map[string]int{}
	}
	in.count[code]++
	switch c := in.count[code]; {
	case c <= warningsKept:
		in.warnings = append(in.warnings, Warning{code, in.frames, in.name + ": " + fmt.Sprintf(text, args...), n})
	case c == warningsKept+1:
		in.warnings = append(in.warnings, Warning{code, in.frames, in.name + ": more of the same", 1})
	default:
		for i := len(in.warnings) - 1; ; i-- {
			if in.warnings[i].Code == code {
				in.warnings[i].N++
				return
			}
		}
	}
}

// later records what a decompressor found, which is ahead of the records, to be
// given when they have been delivered. It returns the text.
func (in *input) later(code, text string, args ...any) string {
	text = fmt.Sprintf(text, args...)
	in.late = append(in.late, Warning{Code: code, Text: text})
	return text
}

// lost records damage that ends the reading of the input; it becomes the error
// when nothing was read before.
func (in *input) lost(code string, n int, text string, args ...any) {
	if in.damage == "" {
		in.damage = fmt.Sprintf(text, args...)
	}
	in.warn(code, n, text, args...)
}

// How often an input may be wrapped: a gzip in a zip in a gzip is an attack.
const maxNesting = 3

// What a sniffer may ask for: white space before a HAR's first brace.
const maxSniff = 4 << 10

// recognise unwraps the input and opens its format.
func (in *input) recognise() (Source, string, error) {
	kind := ""
	for range maxNesting + 1 {
		open, wrap, err := in.sniff()
		if err != nil {
			return nil, "", err
		}
		if open != nil {
			src, err := open.open(in)
			return src, open.name + kind, err
		}
		kind = "+" + wrap.name + kind
		if err := wrap.open(in); err != nil {
			return nil, "", err
		}
	}
	return nil, "", &Error{Name: in.name, Text: "compressed more than three times over", Err: errNested}
}

// sniff asks for one more byte until a format or a wrapping claims the input or
// all have declined: a pipe may bring them one at a time.
func (in *input) sniff() (*format, *wrapping, error) {
	for n := 1; ; n++ {
		b := in.peek(n)
		if len(b) == 0 {
			return nil, nil, in.empty()
		}
		b = in.buffered()
		if len(b) > maxSniff {
			b = b[:maxSniff]
		}
		n = len(b)
		undecided := false
		for i := range formats {
			switch v := formats[i].sniff(b); v {
			case yes:
				return &formats[i], nil, nil
			case more:
				undecided = true
			}
		}
		for i := range wrappings {
			switch v := wrappings[i].sniff(b); v {
			case yes:
				return nil, &wrappings[i], nil
			case more:
				undecided = true
			}
		}
		if !undecided || n >= maxSniff || in.err != nil {
			return nil, nil, in.unknown()
		}
	}
}

// unknown waits for enough of the input to name it.
func (in *input) unknown() error {
	b := in.peek(512)
	if in.raw.err != nil {
		return systemError(in.name, in.raw.err)
	}
	return unknown(in.name, b)
}

func (in *input) empty() error {
	switch {
	case in.raw.err != nil:
		return systemError(in.name, in.raw.err)
	case in.damage != "":
		return &Error{Name: in.name, Text: in.damage, Hint: "record or copy it again", Err: ErrDamaged}
	case in.raw.n.Load() > 0:
		return &Error{Name: in.name, Text: "there is nothing in it once it is decompressed", Err: ErrEmpty}
	}
	return &Error{Name: in.name, Text: "empty", Hint: "was the capture stopped before a packet was written? tcpdump -U writes each packet at once", Err: ErrEmpty}
}
