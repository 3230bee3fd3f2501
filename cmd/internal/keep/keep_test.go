package keep_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/cmd/internal/keep"
	"mcp401/cmd/internal/pipeline"
	"mcp401/rules/report"
)

// ends and calls are one call whose upstream refuses, one that lists, and one
// whose upstream is not there.
const ends = `
passthru = 10.0.1.1:41000 > 10.0.2.1:9101
good = 10.0.1.1:41001 > 10.0.2.2:9102
gone = 10.0.1.1:41002 > 10.0.2.3:9103
`

const calls = `
down> POST /passthru/mcp
  Authorization: Bearer bad
  rpc tools/list 7
passthru> POST /mcp
  Authorization: Bearer bad
  rpc initialize 0
passthru< 401 json
  WWW-Authenticate: Bearer error="invalid_token"
  {"error":"invalid_token"}
down< 200 sse
  result tools 0
~ 2s
down> POST /good/mcp
  rpc tools/list 8
good> POST /mcp
  rpc tools/list 1
good< 200 json
  result tools 3
down< 200 sse
  result tools 3
~ 2s
` + refused

const refused = `
down> POST /gone/mcp
  rpc tools/list 9
gone. refused
down< 200 sse
  result tools 0
~ 2s
`

// A tape gives records that are at hand.
type tape struct{ records []capture.Record }

func (s *tape) Next() (capture.Record, error) {
	if len(s.records) == 0 {
		return capture.Record{}, io.EOF
	}
	r := s.records[0]
	s.records = s.records[1:]
	return r, nil
}

func (s *tape) Close() error { return nil }

// records is a wrapped script with its keys, and with other people's.
func records(t *testing.T, script string, w capturetest.Wrap) []capture.Record {
	t.Helper()
	c := capturetest.MustParse(ends + script).Wrap(w)
	list := c.Records
	if len(c.Keys) > 0 {
		foreign := fmt.Sprintf("CLIENT_RANDOM %064x %096x\n", 7, 8)
		list = append([]capture.Record{{Secret: &capture.Secret{Lines: append(c.Keys, foreign...)}}}, list...)
	}
	return list
}

// verdicts is each case of a source in one line, by time.
func verdicts(t *testing.T, src capture.Source, k *keep.Keeper) []string {
	t.Helper()
	live := &pipeline.Live{}
	if k != nil {
		live.Case, live.Record, live.Hello, live.Settle = k.Case, k.Record, k.Hello, k.Settle
	}
	var list []string
	_, err := pipeline.Run(context.Background(), src, pipeline.Config{Live: live}, func(o report.Object) error {
		if c := o.Case; c != nil {
			list = append(list, fmt.Sprintf("%s %s %s: %s %s %s %d", c.Time.Format(time.RFC3339Nano), c.Path, c.Client, c.Verdict, c.Cause, c.Confidence, len(c.Upstream)))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

func open(t *testing.T, cfg keep.Config) *keep.Keeper {
	t.Helper()
	cfg.Name = cmp.Or(cfg.Name, filepath.Join(t.TempDir(), "kept.pcapng"))
	if cfg.Say == nil {
		cfg.Say = func(err error) { t.Error(err) }
	}
	k, err := keep.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func source(t *testing.T, name string) capture.Source {
	t.Helper()
	src, err := capture.Open([]string{name}, nil, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// The file of a run gives the verdicts of the run, whatever the calls came in,
// and holds nothing of other people's.
func TestSameVerdicts(t *testing.T) {
	for name, w := range map[string]capturetest.Wrap{
		"plain": {}, "mixed": {Mix: true}, "mixed on loopback": {Mix: true, Loopback: true}, "v6": {IPv6: true, Mix: true}, "vlan": {Link: capturetest.VLAN, Mix: true},
		"sll2": {Link: capturetest.SLL2, Mix: true}, "raw": {Link: capturetest.Raw}, "http2": {HTTP2: true, Mix: true},
		"tls 1.2": {TLS: tls.VersionTLS12, Mix: true}, "tls 1.3": {TLS: tls.VersionTLS13, Mix: true}, "tls and http2": {TLS: tls.VersionTLS13, HTTP2: true},
		"fragments": {Fragment: 200, Mix: true}, "scattered": {Fragment: 200, Scatter: true}, "vxlan": {Tunnel: capturetest.VXLAN, Mix: true}, "small": {MSS: 50, Mix: true},
		"mid-stream": {MidStream: true}, "doubled": {Double: true}, "reordered": {Reorder: 5, MSS: 100}, "lossy": {Drop: 0.1, DropSeed: 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "kept.pcapng")
			k := open(t, keep.Config{Name: file, Interfaces: []string{"eth0"}, Application: "a test"})
			want := verdicts(t, &tape{records(t, calls, w)}, k)
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			if len(want) == 0 || k.Notes() != nil {
				t.Fatalf("%d calls, notes %v", len(want), k.Notes())
			}
			if d := gocmp.Diff(want, verdicts(t, source(t, file), nil)); d != "" {
				t.Error(d)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, foreign := range []string{"index.html", "/api/me", "PING", fmt.Sprintf("%064x", 7)} {
				if bytes.Contains(b, []byte(foreign)) {
					t.Errorf("the file holds %q", foreign)
				}
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", info, err)
			}
			ordered(t, file, w, k.Stats().Frames.Load())
		})
	}
}

// ordered checks that a file has the order of the capture, and so many frames.
func ordered(t *testing.T, file string, w capturetest.Wrap, frames int64) {
	t.Helper()
	got, err := capturetest.Collect(source(t, file))
	if err != nil {
		t.Fatal(err)
	}
	var last time.Time
	n := int64(0)
	for _, r := range got {
		if r.Packet == nil {
			continue
		}
		if n++; r.Time.Before(last) && w.Reorder == 0 {
			t.Errorf("frame %d is older than the one before", r.Num)
		}
		last = r.Time
	}
	if n != frames {
		t.Errorf("%d frames, %d were counted", n, frames)
	}
}

// Wireshark opens the file, decrypts it with what stands in it, and shows the
// verdict on the frame where the call begins.
func TestTsharkReadsIt(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed")
	}
	file := filepath.Join(t.TempDir(), "kept.pcapng")
	k := open(t, keep.Config{Name: file, Interfaces: []string{"eth7"}, Filter: "tcp"})
	verdicts(t, &tape{records(t, calls, capturetest.Wrap{TLS: tls.VersionTLS13, Mix: true})}, k)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	cmd := exec.Command(tshark, "-r", file, "-Y", "http.request && frame.comment", "-T", "fields", "-E", "separator=|", "-e", "frame.interface_name", "-e", "http.request.uri", "-e", "frame.comment")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err, errs.String())
	}
	for _, want := range []string{"eth7|/passthru/mcp|mcp401: swallowed-401, token-rejected: ", "eth7|/good/mcp|mcp401: listed", "eth7|/mcp|mcp401: upstream passthru: 401, for the call in frame "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s%s", want, out, &errs)
		}
	}
}

// Each file of many is whole: it can be read alone, and every call of the run
// has its verdict in one of them.
func TestRotation(t *testing.T) {
	script := strings.Replace(calls, refused, "", 1) + "down. close\npassthru. close\ngood. close\n"
	for name, w := range map[string]capturetest.Wrap{"plain": {}, "tls": {TLS: tls.VersionTLS13}, "http2": {HTTP2: true}} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "kept.pcapng")
			k := open(t, keep.Config{Name: file, Size: 48 << 10, Count: 100})
			want := verdicts(t, &tape{records(t, strings.Repeat(script, 60), w)}, k)
			if err := k.Close(); err != nil {
				t.Fatal(err)
			}
			names, _ := filepath.Glob(filepath.Join(dir, "*"))
			if n := k.Stats().Rotated.Load(); n < 3 || len(names) != int(n)+1 {
				t.Fatalf("%d files, %d ended", len(names), n)
			}
			have := map[string]bool{}
			for _, name := range names {
				info, err := os.Stat(name)
				if err != nil || info.Size() > 64<<10 || info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", name, info, err)
				}
				for _, v := range verdicts(t, source(t, name), nil) {
					have[v] = true
				}
			}
			for _, v := range want {
				if !have[v] {
					t.Errorf("in no file: %s", v)
				}
			}
		})
	}
}

// No more files are kept than are to be, and what was there before is kept
// among them.
func TestCount(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "kept.pcapng")
	for i, n := range []int{1, 2, 3, 3} {
		k := open(t, keep.Config{Name: file, Count: 3})
		verdicts(t, &tape{records(t, calls, capturetest.Wrap{})}, k)
		if err := k.Close(); err != nil {
			t.Fatal(err)
		}
		if names, _ := filepath.Glob(file + "*"); len(names) != n {
			t.Errorf("run %d: %v", i+1, names)
		}
	}
	for _, bad := range []string{dir, filepath.Join(dir, "no", "such"), os.DevNull} {
		if _, err := keep.New(keep.Config{Name: bad}); err == nil {
			t.Errorf("%s: opened", bad)
		}
	}
}

type sourceFunc func() (capture.Record, error)

func (f sourceFunc) Next() (capture.Record, error) { return f() }
func (sourceFunc) Close() error                    { return nil }

// wait waits for something, for a minute.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("%s: not so", what)
}

// A file that was moved away stays as it is, and the run goes on in a new one,
// with what a reader of it needs.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	file, moved := filepath.Join(dir, "kept.pcapng"), filepath.Join(dir, "moved")
	k := open(t, keep.Config{Name: file})
	all := records(t, calls+calls, capturetest.Wrap{TLS: tls.VersionTLS13})
	half, more := &tape{all[:len(all)/2]}, &tape{all[len(all)/2:]}
	var size int64
	want := verdicts(t, sourceFunc(func() (capture.Record, error) {
		r, err := half.Next()
		if err != io.EOF {
			return r, err
		}
		if size == 0 {
			has := func(name string) (size int64) {
				info, err := os.Stat(name)
				if err == nil {
					size = info.Size()
				}
				return size
			}
			wait(t, "what is known is written", func() bool { return has(file) >= 1000 })
			if err := os.Rename(file, moved); err != nil {
				t.Error(err)
			}
			k.Reopen()
			wait(t, "another file", func() bool { return has(file) > 0 })
			size = has(moved)
		}
		return more.Next()
	}), k)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(moved); err != nil || info.Size() != size || size < 1000 {
		t.Errorf("the file that was moved: %v, %v, had %d bytes", info, err, size)
	}
	have := append(verdicts(t, source(t, moved), nil), verdicts(t, source(t, file), nil)...)
	for _, v := range want {
		if !slices.Contains(have, v) {
			t.Errorf("in no file: %s\n%s", v, strings.Join(have, "\n"))
		}
	}
}

// What the capture lost is said in the file too: nothing is accused across it.
func TestLossIsWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kept.pcapng")
	k := open(t, keep.Config{Name: file})
	list := records(t, calls, capturetest.Wrap{})
	at := slices.IndexFunc(list, func(r capture.Record) bool { return r.Packet != nil && bytes.Contains(r.Packet.Data, []byte("401")) })
	list = slices.Insert(list, at, capture.Record{Num: list[at].Num - 1, Time: list[at].Time, Loss: &capture.Loss{Packets: 5}})
	want := verdicts(t, &tape{list}, k)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(want, verdicts(t, source(t, file), nil)); d != "" {
		t.Error(d)
	}
	got, err := capturetest.Collect(source(t, file))
	if err != nil {
		t.Fatal(err)
	}
	lost := uint64(0)
	for _, r := range got {
		if r.Loss != nil {
			lost += r.Loss.Packets
		}
	}
	if lost != 5 {
		t.Errorf("%d packets lost, as the file has it", lost)
	}
}

// With next to no room to wait in, what cannot be kept is counted and nothing
// is made up: every accusation of the file is one of the run.
func TestBounded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kept.pcapng")
	k := open(t, keep.Config{Name: file, Wait: 1})
	want := verdicts(t, &tape{records(t, calls, capturetest.Wrap{TLS: tls.VersionTLS13, Mix: true})}, k)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if k.Stats().Late.Load() == 0 || len(k.Notes()) == 0 || k.Notes()[0].Code != "limit/write" {
		t.Errorf("late: %d, notes %v", k.Stats().Late.Load(), k.Notes())
	}
	for _, v := range verdicts(t, source(t, file), nil) {
		if strings.Contains(v, "swallowed") && !slices.Contains(want, v) {
			t.Errorf("not in the run: %s", v)
		}
	}
}
