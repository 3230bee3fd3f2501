package cli

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
)

// A follower looks for new lines in key logs while a pipe is read: the gateway
// writes the keys of a connection as it makes it, which may be long after this
// program began.
type follower struct {
	capture.Source
	logs   []keylog
	every  time.Duration // of wall time, between two looks
	looked time.Time
	num    int   // of the last frame
	last   error // what ended the source; the logs were looked at since
}

// A keylog is a file of which done bytes, whole lines, were given.
type keylog struct {
	name string
	done int64
	file os.FileInfo // nil: it was not looked at yet

	fault error // why it cannot be read although it is there
	said  bool
}

// between is how often the logs are looked at: often against the time that
// ciphertext is held, seldom against the cost of a system call.
const between = 200 * time.Millisecond

// following reads src and follows the named key logs, whose lines so far are
// keys.
func following(src capture.Source, names []string, keys [][]byte) capture.Source {
	f := &follower{every: between, looked: time.Now()}
	var whole [][]byte
	for i, name := range names {
		n := bytes.LastIndexByte(keys[i], '\n') + 1 // half a line is read again
		whole = append(whole, keys[i][:n])
		f.logs = append(f.logs, keylog{name: name, done: int64(n)})
	}
	f.Source = bundle.Keyed(src, whole)
	if len(names) == 0 {
		return f.Source
	}
	return f
}

func (f *follower) Next() (capture.Record, error) {
	if time.Since(f.looked) >= f.every {
		if r, ok := f.look(); ok {
			return r, nil
		}
	}
	if f.last != nil {
		return capture.Record{}, f.last
	}
	r, err := f.Source.Next()
	if err != nil {
		f.last = err
		if r, ok := f.look(); ok { // keys of the last connections
			return r, nil
		}
		return r, err
	}
	f.num = r.Num
	return r, nil
}

// look returns the new lines of all logs. A log that cannot be read now may be
// readable later.
func (f *follower) look() (capture.Record, bool) {
	var lines []byte
	for i := range f.logs {
		lines = append(lines, f.logs[i].more()...)
	}
	f.looked = time.Now()
	return capture.Record{Num: f.num, Secret: &capture.Secret{Lines: lines}}, len(lines) > 0
}

// more returns the lines that were added. A log that is not there brings none.
func (k *keylog) more() []byte {
	lines, err := k.read()
	if k.fault = err; errors.Is(err, fs.ErrNotExist) {
		k.fault = nil
	}
	return lines
}

func (k *keylog) read() ([]byte, error) {
	info, err := os.Stat(k.name)
	if err != nil {
		return nil, err
	}
	if info.Size() < k.done || k.file != nil && !os.SameFile(info, k.file) {
		k.done = 0 // written anew, or another one in its place
	}
	k.file = info
	if info.Size() == k.done {
		return nil, nil
	}
	file, err := os.Open(k.name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.NewSectionReader(file, k.done, fileBound))
	if err != nil {
		return nil, err
	}
	n := bytes.LastIndexByte(b, '\n') + 1
	k.done += int64(n)
	return b[:n], nil
}
