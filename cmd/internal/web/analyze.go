package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"strings"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
	"mcp401/rules/report"
)

// spaceEvery is how often, in bytes, the free space of the disk is looked at.
const spaceEvery = 16 << 20

// create opens a new file of a run.
func (s *Server) create(u *run) (*file, error) {
	if err := s.files.room(spaceEvery); err != nil {
		return nil, err
	}
	var since int64
	return s.files.create(func(n int64) error {
		if since += n; since >= spaceEvery {
			since = 0
			if err := s.files.room(spaceEvery); err != nil {
				return err
			}
		}
		return s.runs.grow(u, n)
	})
}

// analyse analyses the files of u. The run is over when it returns.
func (s *Server) analyse(ctx context.Context, u *run) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.Limits.Analysis, errLong)
	defer cancel()
	err := s.judge(ctx, u)
	var f *fault
	if err != nil {
		f = s.reason(ctx, err)
	}
	u.end(f)
}

var errLong = errors.New("too long")

var ended = &fault{http.StatusServiceUnavailable, "the analysis was ended", "send the files again"}

// judge writes the report of u.
func (s *Server) judge(ctx context.Context, u *run) (err error) {
	defer contain(&err)
	f, err := s.create(u)
	if err != nil {
		return err
	}
	u.report = f
	buf := bufio.NewWriterSize(f, copySize)
	jsonl, _ := report.Lookup("jsonl")
	w := jsonl.New(buf, report.Options{})
	var files []bundle.File
	for _, up := range u.files {
		files = append(files, bundle.File{Name: up.name, Size: up.size, Open: func() (io.ReadCloser, error) { return up.reader(), nil }})
	}
	opt := bundle.Options{
		Version: s.cfg.Version, Gateways: s.cfg.Gateways, Upstreams: s.cfg.Upstreams,
		Progress: func(read, total int64) {
			u.read.Store(read)
			u.total.Store(total)
		},
		Files:   s.cfg.Limits.Files,
		Capture: capture.Options{Unpacked: s.cfg.Limits.Unpacked},
	}
	sum, err := bundle.Analyze(ctx, files, opt, w.Write)
	if err != nil {
		return err
	}
	u.inputs = sum.Inputs
	return buf.Flush()
}

// contain makes a panic an error: what one hostile file breaks must not end the
// analyses of others.
func contain(err *error) {
	if p := recover(); p != nil {
		fmt.Fprintf(os.Stderr, "mcp401: internal error: %v\n%s", p, debug.Stack())
		*err = &fault{http.StatusInternalServerError, "an internal error, which mcp401 serve has printed", "please report it"}
	}
}

// reason is an error of an analysis for the client.
func (s *Server) reason(ctx context.Context, err error) *fault {
	var f *fault
	var b *bundle.Error
	switch {
	case errors.As(err, &f):
		return f
	case context.Cause(ctx) == errLong:
		return &fault{http.StatusUnprocessableEntity, fmt.Sprintf("the analysis takes longer than %s", s.cfg.Limits.Analysis), "mcp401 analyze FILE has no such bound"}
	case ctx.Err() != nil:
		return ended
	case errors.As(err, &b):
		text := b.Text
		if rest, ok := strings.CutPrefix(text, unnamed+": "); ok {
			text = "the upload: " + rest
		}
		return &fault{http.StatusUnprocessableEntity, text, b.Hint}
	}
	return &fault{http.StatusInternalServerError, err.Error(), ""}
}
