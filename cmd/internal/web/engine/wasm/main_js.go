// The engine that runs in a browser: package bundle, compiled to WebAssembly,
// in a worker (worker.js of the page) of which it is the only task.
//
// It reads files in slices, as they are asked for, and hands out bytes, so that
// a capture of any size takes the same memory and nothing crosses into
// JavaScript by the record. It knows no network. The one trick: the worker is
// blocked while this runs, which is why reading needs no event loop, and
// cancelling is the end of the worker.
//
// The worker says what to do in its global mcp401:
//
//	what      "analyze", "sample" (the built-in capture) or "write"
//	format    of package report, for "write"
//	version   of the program, for the report
//	files     [{name, size}]: what was dropped, or for "write" one report as JSON lines
//	read      (file, offset, length) -> Uint8Array, shorter at the end only
//	progress  (done, total) in bytes
//	report    (Uint8Array): a piece of JSON lines, or of what is written
//	view      (Uint8Array): a piece of what report.NewView says
//	fail      (text, hint): why there is no report; what came before is none
//	done      ()
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"syscall/js"
	"time"

	"mcp401/cmd/internal/bundle"
	"mcp401/rules/all"
	"mcp401/rules/report"
	"mcp401/samples"
)

const (
	pieceSize     = 256 << 10              // of output that is handed out at once
	progressEvery = 100 * time.Millisecond // often enough for the eye
)

func main() {
	host := js.Global().Get("mcp401")
	var err error
	switch what := host.Get("what").String(); what {
	case "analyze":
		err = analyze(host, dropped(host))
	case "sample":
		err = analyze(host, []bundle.File{{Name: "tour.pcap", Size: int64(len(samples.Tour)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(samples.Tour)), nil
		}}})
	case "write":
		err = write(host)
	default:
		err = fmt.Errorf("internal error: the engine is asked to %q", what)
	}
	if err == nil {
		host.Call("done")
		return
	}
	hint := ""
	var e *bundle.Error
	if errors.As(err, &e) {
		hint = e.Hint
	}
	host.Call("fail", err.Error(), hint)
}

// analyze writes the report as JSON lines, and beside it the view.
func analyze(host js.Value, files []bundle.File) error {
	out, view := newPieces(host, "report"), newPieces(host, "view")
	lines, _ := report.Lookup("jsonl")
	opt := report.Options{Rules: all.Rules}
	writers := []report.Writer{lines.New(out, opt), report.NewView(view, opt)}
	var last time.Time
	_, err := bundle.Analyze(context.Background(), files, bundle.Options{
		Version: host.Get("version").String(),
		Progress: func(done, total int64) {
			if now := time.Now(); now.Sub(last) >= progressEvery {
				last = now
				host.Call("progress", done, total)
			}
		},
	}, func(o report.Object) error {
		for _, w := range writers {
			if err := w.Write(o); err != nil {
				return err
			}
		}
		return nil
	})
	for _, w := range writers {
		err = cmp.Or(err, w.Close())
	}
	return cmp.Or(err, out.Flush(), view.Flush())
}

// write makes another format of a report that was written as JSON lines.
func write(host js.Value) error {
	format, ok := report.Lookup(host.Get("format").String())
	if !ok {
		return errors.New("internal error: an unknown format")
	}
	in, err := dropped(host)[0].Open()
	if err != nil {
		return err
	}
	out := newPieces(host, "report")
	w := format.New(out, report.Options{Rules: all.Rules})
	if err := report.Read(in, w.Write); err != nil {
		return err
	}
	return cmp.Or(w.Close(), out.Flush())
}

// pieces hands what is written to a function of the host.
type pieces struct {
	host js.Value
	name string
}

func newPieces(host js.Value, name string) *bufio.Writer {
	return bufio.NewWriterSize(pieces{host, name}, pieceSize)
}

func (p pieces) Write(b []byte) (int, error) {
	piece := js.Global().Get("Uint8Array").New(len(b))
	js.CopyBytesToJS(piece, b)
	p.host.Call(p.name, piece)
	return len(b), nil
}

// A dropped file is read through the host, which knows it by its place.
type file struct {
	host  js.Value
	place int
	name  string
	size  int64
	at    int64
}

// dropped returns the files of the host.
func dropped(host js.Value) []bundle.File {
	list := host.Get("files")
	files := make([]bundle.File, list.Length())
	for i := range files {
		f := file{host: host, place: i, name: list.Index(i).Get("name").String(), size: int64(list.Index(i).Get("size").Float())}
		files[i] = bundle.File{Name: f.name, Size: f.size, Open: func() (io.ReadCloser, error) { r := f; return &r, nil }}
	}
	return files
}

func (f *file) Read(p []byte) (int, error) {
	if f.at >= f.size {
		return 0, io.EOF
	}
	n, err := f.ReadAt(p[:min(int64(len(p)), f.size-f.at)], f.at)
	f.at += int64(n)
	return n, err
}

// ReadAt lets a zip be read.
func (f *file) ReadAt(p []byte, off int64) (n int, err error) {
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case js.Error:
			n, err = 0, errors.New("the browser cannot read it any more: "+thrown.Value.Get("name").String())
		default:
			panic(thrown)
		}
	}()
	if n = js.CopyBytesToGo(p, f.host.Call("read", f.place, off, len(p))); n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) Close() error { return nil }
