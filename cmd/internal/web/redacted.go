package web

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"mcp401/capture"
	"mcp401/cmd/internal/redact"
)

// redactable returns the one capture of a run, and the name by which it is
// saved when its secrets are out of it. Of several captures there is none:
// redacted one by one they would no longer show that a credential is the same.
func (u *run) redactable() (*upload, string) {
	if len(u.inputs) != 1 {
		return nil, ""
	}
	format, wrapping, _ := strings.Cut(u.inputs[0].Kind, "+")
	if format == "har" && wrapping != "" {
		return nil, ""
	}
	for _, f := range u.files {
		if f.name == u.inputs[0].Name {
			return f, "redacted." + format
		}
	}
	return nil, ""
}

// redacted makes the capture of u without its secrets.
func (s *Server) redacted(u *run) func(context.Context) (*document, error) {
	return func(context.Context) (*document, error) {
		in, name := u.redactable()
		if in == nil {
			return nil, &fault{http.StatusConflict, "only a single capture is redacted, and no HAR within an archive", "mcp401 redact IN OUT, for each file"}
		}
		if err := s.files.room(in.size); err != nil {
			return nil, err
		}
		path, forget, err := s.files.named(in.file)
		if err != nil {
			return nil, err
		}
		defer forget()
		// The one file that has a name for a while, for this user alone; what a
		// kill leaves of it goes when the next server starts.
		out := filepath.Join(s.files.dir, rand.Text())
		defer os.Remove(out)
		if _, err := redact.File(path, out, redact.Options{}); err != nil {
			return nil, unredacted(err, strings.NewReplacer(path, in.name, out, "the copy"))
		}
		f, err := s.files.adopt(out)
		if err != nil {
			return nil, err
		}
		if err := s.runs.grow(u, f.size); err != nil {
			f.close()
			return nil, err
		}
		return &document{f, kind{ext: "redacted", mime: "application/octet-stream"}, name}, nil
	}
}

// unredacted is an error of package redact with the names that the client
// knows.
func unredacted(err error, names *strings.Replacer) error {
	var e *redact.Error
	if errors.As(err, &e) {
		return &fault{http.StatusUnprocessableEntity, names.Replace(e.Text), names.Replace(e.Hint)}
	}
	return &fault{http.StatusUnprocessableEntity, names.Replace(err.Error()), ""}
}

// copied gives a file a name for packages that want one: a copy, until forget
// is called.
func (f *files) copied(in *file) (name string, forget func(), err error) {
	name = filepath.Join(f.dir, rand.Text())
	c, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", nil, full(fmt.Errorf("no temporary file: %w", capture.Nameless(err)))
	}
	_, err = io.Copy(c, in.reader())
	if err = errors.Join(err, c.Close()); err != nil {
		os.Remove(name)
		return "", nil, full(fmt.Errorf("no temporary file: %w", capture.Nameless(err)))
	}
	return name, func() { os.Remove(name) }, nil
}

// adopt takes over a file that another package wrote, and copies nothing where
// a name can be taken away from an open file.
func (f *files) adopt(name string) (*file, error) {
	c, err := openNameless(name)
	if err != nil {
		return nil, fmt.Errorf("no temporary file: %w", capture.Nameless(err))
	}
	info, err := c.Stat()
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("no temporary file: %w", capture.Nameless(err))
	}
	return &file{f: c, size: info.Size()}, nil
}
