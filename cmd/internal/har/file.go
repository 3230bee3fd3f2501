package har

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"mcp401/capture"
	"mcp401/cmd/internal/redact"
)

// A Job is a HAR to be written.
type Job struct {
	Open    func() (capture.Source, error) // the capture, each time from its begin
	Again   bool                           // Open can be called more than once
	Out     string                         // the name of the file, which appears when it is complete
	Version string
	Secrets bool // leave them in
	Hosts   bool // give host names and addresses stand-ins too
}

// A Result says what was written.
type Result struct {
	Entries int
	Cases   int // calls of the capture whose verdict was compared
	Same    int // of them: the HAR alone gives the same
	Secrets int // credentials that were seen and searched for
}

// File does the job.
func File(j Job) (Result, error) {
	info, err := os.Stat(j.Out)
	if err == nil && !info.Mode().IsRegular() {
		return Result{}, fmt.Errorf("-o %s: not a regular file", j.Out)
	}
	dir := filepath.Dir(j.Out)
	tmp := filepath.Join(dir, "."+filepath.Base(j.Out)+"."+rand.Text()[:8])
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Result{}, fmt.Errorf("-o %s: %w", j.Out, capture.Nameless(err))
	}
	defer os.Remove(tmp)
	res, err := j.write(f, dir)
	if err = cmp.Or(err, f.Close()); err != nil {
		return res, err
	}
	mode := fs.FileMode(0o644)
	if j.Secrets {
		mode = 0o600
	}
	return res, cmp.Or(os.Chmod(tmp, mode), os.Rename(tmp, j.Out))
}

// write writes the HAR to f and searches it. Where a secret is found that also
// stands as a name, a second try masks that as well.
func (j *Job) write(f *os.File, dir string) (Result, error) {
	var deny []string
	for try := 0; ; try++ {
		seen := redact.NewSecrets()
		frames, err := j.entries(f, dir, seen, deny)
		if err != nil {
			return Result{}, err
		}
		res := Result{Entries: len(frames), Secrets: seen.Len()}
		err = redact.Search(f.Name(), seen)
		var leak *redact.Leak
		if errors.As(err, &leak) && try == 0 && j.Again {
			deny = seen.List()
			continue
		}
		if err != nil {
			return res, fmt.Errorf("%s: %w", j.Out, err)
		}
		if !j.Again {
			return res, nil
		}
		return res, j.compare(f.Name(), frames, &res)
	}
}

// entries writes the HAR to f and returns the frame of each entry.
func (j *Job) entries(f *os.File, dir string, seen *redact.Secrets, deny []string) ([]int, error) {
	spill, err := spill(dir)
	if err != nil {
		return nil, err
	}
	defer spill.Close()
	src, err := j.Open()
	if err != nil {
		return nil, err
	}
	opt := Options{Version: j.Version}
	if !j.Secrets {
		key := make([]byte, 32)
		rand.Read(key)
		opt.Mask = redact.NewMasker(redact.Config{Key: key, Hosts: j.Hosts, Deny: deny}, seen).Entry
	}
	_, err = f.Seek(0, io.SeekStart)
	if err = cmp.Or(err, f.Truncate(0)); err != nil {
		src.Close()
		return nil, err
	}
	return Write(src, f, spill, opt)
}

// compare counts the calls of which the HAR says what the capture says.
func (j *Job) compare(name string, frames []int, res *Result) error {
	src, err := j.Open()
	if err != nil {
		return err
	}
	before, err := redact.Verdicts(src)
	if err != nil {
		return err
	}
	har, err := capture.Open([]string{name}, nil, capture.Options{})
	if err != nil {
		return err
	}
	after, err := redact.Verdicts(har)
	if err != nil && res.Entries > 0 {
		return err
	}
	got := map[redact.Judged]int{}
	for _, v := range after {
		if v.Frame > 0 && v.Frame <= len(frames) {
			v.Frame = frames[v.Frame-1]
		}
		got[v]++
	}
	for _, v := range before {
		res.Cases++
		if got[v] > 0 {
			got[v]--
			res.Same++
		}
	}
	return nil
}

// spill opens a file that has no name.
func spill(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".mcp401-*")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
