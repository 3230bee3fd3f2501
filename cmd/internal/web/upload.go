package web

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"time"
)

// partHead is how many bytes the head of a part may have: a name has a few
// hundred.
const partHead = 8 << 10

// unnamed is what a report calls a body that is one file: what the command line
// calls standard input.
const unnamed = "-"

// copySize is how much of an upload is in memory at once.
const copySize = 64 << 10

// An upload is a file that came in.
type upload struct {
	*file
	name string // to be shown
}

// A body reads the body of a request, as long as it keeps within its bounds.
// Its error is a fault.
type body struct {
	r     io.Reader
	ctl   *http.ResponseController
	lim   *Limits
	left  int64 // bytes that may still come
	part  int64 // of them, in the head of a part; < 0: no head is being read
	end   time.Time
	since time.Time // when the bytes of came began to come
	came  int64
}

func newBody(w http.ResponseWriter, r *http.Request, lim *Limits) (*body, error) {
	if r.ContentLength > lim.Bytes {
		return nil, large(lim)
	}
	now := time.Now()
	return &body{r: r.Body, ctl: http.NewResponseController(w), lim: lim, left: lim.Bytes, part: -1, end: now.Add(lim.Upload), since: now}, nil
}

func large(lim *Limits) *fault {
	return &fault{http.StatusRequestEntityTooLarge, "the upload is larger than " + size(lim.Bytes), "mcp401 analyze FILE has no such bound; mcp401 serve --max-upload raises this one"}
}

func (b *body) Read(p []byte) (int, error) {
	now := time.Now()
	if took := now.Sub(b.since); took >= b.lim.Patience {
		if b.came < b.lim.Rate {
			return 0, b.slow()
		}
		b.since, b.came = now, 0
	}
	if now.After(b.end) {
		return 0, &fault{http.StatusRequestTimeout, fmt.Sprintf("the upload took longer than %s", b.lim.Upload), "mcp401 analyze FILE has no such bound"}
	}
	if b.part == 0 {
		return 0, &fault{http.StatusRequestHeaderFieldsTooLarge, "a part of the upload has too long a head", "send files as curl -F capture=@FILE does"}
	}
	if b.part > 0 {
		p = p[:min(int64(len(p)), b.part)]
	}
	// Where deadlines are not to be had the connection's own end is the bound.
	_ = b.ctl.SetReadDeadline(now.Add(b.lim.Patience))
	n, err := b.r.Read(p)
	b.came += int64(n)
	b.left -= int64(n)
	if b.part > 0 {
		b.part -= int64(n)
	}
	switch {
	case b.left < 0:
		return 0, large(b.lim)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return 0, b.slow()
	case err != nil && err != io.EOF:
		return n, &fault{http.StatusBadRequest, "the upload broke off", "send it again"}
	}
	return n, err
}

func (b *body) slow() error {
	return &fault{http.StatusRequestTimeout, fmt.Sprintf("the upload is too slow: fewer than %s in %s", size(b.lim.Rate), b.lim.Patience), "copy the file to the machine on which mcp401 runs, and try: mcp401 analyze FILE"}
}

// close lets the connection live on: the deadline was of the body.
func (b *body) close() { _ = b.ctl.SetReadDeadline(time.Time{}) }

// receive reads the files of a request's body into u. What came before an
// error is in u too.
func (s *Server) receive(w http.ResponseWriter, r *http.Request, u *run) error {
	b, err := newBody(w, r, &s.cfg.Limits)
	if err != nil {
		return err
	}
	defer b.close()
	return s.parts(b, r, u)
}

// parts reads the files out of a body.
func (s *Server) parts(b *body, r *http.Request, u *run) error {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" {
		name := unnamed
		if n := r.URL.Query().Get("name"); n != "" {
			name = shownName(n)
		}
		if err := s.store(b, name, u); err != nil {
			return err
		}
		if u.files[0].size == 0 {
			return &fault{http.StatusBadRequest, "no file in the upload", "as in: curl --data-binary @capture.pcap ADDRESS/api/analyze"}
		}
		return nil
	}
	if params["boundary"] == "" {
		return &fault{http.StatusBadRequest, "the upload names no boundary", "let the program set Content-Type, as curl -F does"}
	}
	parts := multipart.NewReader(b, params["boundary"])
	for {
		b.part = partHead
		p, err := parts.NextRawPart()
		b.part = -1
		switch {
		case err == io.EOF && len(u.files) == 0:
			return &fault{http.StatusBadRequest, "no file in the upload", "as in: curl -F capture=@capture.pcap ADDRESS/api/analyze"}
		case err == io.EOF:
			return nil
		case err != nil:
			return broken(err)
		case len(u.files) == s.cfg.Limits.Files:
			return &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d files in one upload", s.cfg.Limits.Files), "join them first: mergecap -w all.pcapng FILES"}
		}
		if err := s.store(p, shownName(cmp.Or(p.FileName(), p.FormName())), u); err != nil {
			return broken(err)
		}
	}
}

// broken is an error of reading parts as a fault. The reader's own words hold
// bytes of the upload.
func broken(err error) error {
	var f *fault
	if errors.As(err, &f) {
		return f
	}
	return &fault{http.StatusBadRequest, "the upload is no whole multipart/form-data", "send files as curl -F capture=@FILE does"}
}

// store writes what comes from r to a file of u.
func (s *Server) store(r io.Reader, name string, u *run) error {
	f, err := s.create(u)
	if err != nil {
		return err
	}
	u.files = append(u.files, &upload{f, name})
	buf := make([]byte, copySize)
	// Without ReadFrom and WriteTo, so that the buffer is all that is held.
	_, err = io.CopyBuffer(f, struct{ io.Reader }{r}, buf)
	return err
}

// size is a number of bytes for people.
func size(n int64) string {
	v := float64(n)
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if v < 1024 {
			return fmt.Sprintf("%.4g %s", v, unit)
		}
		v /= 1024
	}
	return fmt.Sprintf("%.4g GiB", v)
}
