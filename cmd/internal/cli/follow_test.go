package cli

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp401/capture"
	"mcp401/capture/capturetest"
)

// A told source gives records and does something before each.
type told struct {
	before []func()
	n      int
}

func (s *told) Next() (capture.Record, error) {
	if s.n == len(s.before) {
		return capture.Record{}, io.EOF
	}
	s.before[s.n]()
	s.n++
	return capture.Record{Num: s.n, Packet: &capture.Packet{}}, nil
}

func (s *told) Close() error { return nil }

func TestFollow(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	write := func(s string) func() {
		return func() {
			if err := os.WriteFile(name, []byte(s), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write("first\nsec")()
	src := &told{before: []func(){
		write("first\nsecond\nth"), // a line that was half written
		func() {},
		func() { os.Remove(name) },
		write("anew\n"),            // shorter: another file
		write("anew\nlast\nhalf."), // before the end
	}}
	f := following(src, []string{name}, [][]byte{[]byte("first\nsec")}).(*follower)
	f.every = 0
	var got []string
	for {
		r, err := f.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if r.Secret != nil {
			got = append(got, strings.ReplaceAll(string(r.Secret.Lines), "\n", "|"))
		} else {
			got = append(got, string(rune('0'+r.Num)))
		}
	}
	if s := strings.Join(got, " "); s != "first| 1 second| 2 3 4 anew| 5 last|" {
		t.Errorf("it gave %s", s)
	}
	if _, err := f.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v", err)
	}
	if following(src, nil, nil) != capture.Source(src) {
		t.Error("a follower of nothing")
	}
}

// The gateway writes its keys while the capture comes in by a pipe.
func TestKeysOfAPipe(t *testing.T) {
	w := capturetest.MustParse(`
down> POST /a/mcp
  Authorization: Bearer bad-token
  rpc tools/list 7
a> POST /mcp
  Authorization: Bearer bad-token
  rpc initialize 0
a< 401
a. close
down< 200 sse
  result tools 0
`).Wrap(capturetest.Wrap{TLS: tls.VersionTLS13})
	name := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, pipe := io.Pipe()
	go func() {
		_, _ = pipe.Write(w.Bytes[:len(w.Bytes)/2])
		if err := os.WriteFile(name, w.Keys, 0o600); err != nil {
			t.Error(err)
		}
		_, _ = pipe.Write(w.Bytes[len(w.Bytes)/2:])
		pipe.Close()
	}()
	var out, errs bytes.Buffer
	if status := Main([]string{"analyze", "--keylog", name, "-"}, r, &out, &errs); status != statusFound || !strings.Contains(out.String(), "swallowed-401") {
		t.Errorf("status %d, %s\n%s", status, errs.String(), out.String())
	}
}
