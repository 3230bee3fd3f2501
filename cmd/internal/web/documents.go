package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mcp401/rules/all"
	"mcp401/rules/report"
)

// A kind is a document that is made of a report.
type kind struct {
	format string // of package report
	ext    string // in URLs and in the names of what is saved
	mime   string
	shown  bool // a browser may show it
}

// kinds is every document. To add one, put it here.
var kinds = []kind{
	{"json", "json", "application/json", true},
	{"jsonl", "jsonl", "application/jsonl", false},
	{"html", "html", "text/html; charset=utf-8", false},
	{"sarif", "sarif", "application/sarif+json", false},
	{"markdown", "md", "text/markdown; charset=utf-8", false},
	{"csv", "csv", "text/csv; charset=utf-8", false},
	{"junit", "xml", "application/xml", false},
	{"table", "txt", "text/plain; charset=utf-8", true},
}

// view is the sentences of the page, which are no format of a report.
var view = kind{"", "json", "application/json", true}

func kindOf(is func(kind) bool) (kind, bool) {
	for _, k := range kinds {
		if is(k) {
			return k, true
		}
	}
	return kind{}, false
}

// A document is what was made of a run, to be sent any number of times.
type document struct {
	*file
	kind
	name string // by which it is saved
}

// document returns a document of a run that is done, which it makes if need be.
// Making waits for a slot: it costs memory and time as an analysis does.
func (s *Server) document(ctx context.Context, u *run, key string, how func(context.Context) (*document, error)) (d *document, err error) {
	u.making.Lock()
	defer u.making.Unlock()
	if d := u.made[key]; d != nil {
		return d, nil
	}
	defer contain(&err)
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d, err = how(ctx); err != nil {
		return nil, err
	}
	u.made[key] = d
	return d, nil
}

// written makes a document from the report of u, as `mcp401 report` does.
func (s *Server) written(u *run, k kind) func(context.Context) (*document, error) {
	return func(ctx context.Context) (*document, error) {
		f, err := s.create(u)
		if err != nil {
			return nil, err
		}
		write := report.NewView
		if k.format != "" {
			format, ok := report.Lookup(k.format)
			if !ok {
				panic("internal error: no format " + k.format)
			}
			write = format.New
		}
		buf := bufio.NewWriterSize(f, copySize)
		w := write(buf, report.Options{Rules: all.Rules})
		err = report.Read(bufio.NewReaderSize(u.report.reader(), copySize), func(o report.Object) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return w.Write(o)
		})
		if err == nil {
			err = w.Close()
		}
		if err == nil {
			err = buf.Flush()
		}
		if err != nil {
			f.close()
			return nil, err
		}
		return &document{f, k, "mcp401-report." + k.ext}, nil
	}
}

// send answers with a document.
func send(w http.ResponseWriter, r *http.Request, d *document) {
	h := w.Header()
	h.Set("Content-Type", d.mime)
	h.Set("Content-Security-Policy", sandboxed)
	if !d.shown {
		h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", d.name))
	}
	http.ServeContent(newPatient(w), r, "", time.Time{}, d.reader())
}

// A patient writer gives the client time for each piece, not for the whole.
type patient struct {
	http.ResponseWriter // without its ReadFrom, which would send all at once
	ctl                 *http.ResponseController
}

func newPatient(w http.ResponseWriter) *patient {
	return &patient{ResponseWriter: w, ctl: http.NewResponseController(w)}
}

func (p *patient) Write(b []byte) (int, error) {
	_ = p.ctl.SetWriteDeadline(time.Now().Add(writeWait)) // where deadlines are not to be had the connection's end is the bound
	return p.ResponseWriter.Write(b)
}

// refuse answers with an error.
func refuse(w http.ResponseWriter, err error) {
	var f *fault
	if !errors.As(err, &f) {
		f = &fault{http.StatusInternalServerError, err.Error(), ""}
	}
	fail(w, f)
}
