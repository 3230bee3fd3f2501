package bundle_test

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
	"mcp401/cmd/internal/cli"
	"mcp401/rules/report"
	"mcp401/samples"
)

// file is a dropped file of bytes.
func file(name string, b []byte) bundle.File {
	return bundle.File{Name: name, Size: int64(len(b)), Open: func() (io.ReadCloser, error) {
		return struct {
			*bytes.Reader
			io.Closer
		}{bytes.NewReader(b), io.NopCloser(nil)}, nil
	}}
}

func disk(name string) bundle.File {
	info, err := os.Stat(name)
	if err != nil {
		panic(err)
	}
	return bundle.File{Name: name, Size: info.Size(), Open: func() (io.ReadCloser, error) { return os.Open(name) }}
}

// document analyses files and returns the report as JSON.
func document(files []bundle.File, opt bundle.Options) (string, error) {
	opt.Version = cli.Version
	var b strings.Builder
	json, _ := report.Lookup("json")
	w := json.New(&b, report.Options{})
	if _, err := bundle.Analyze(context.Background(), files, opt, w.Write); err != nil {
		return "", err
	}
	err := w.Close()
	return b.String(), err
}

// command is what the command line says of the same files.
func command(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if status := cli.Main(append([]string{"analyze", "--format", "json"}, args...), nil, &out, &errs); status == 2 {
		t.Fatalf("mcp401 analyze %q: %s", args, errs.String())
	}
	return out.String()
}

func same(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("the bundle's report is not that of the command line:\n%.2000s\nwant\n%.2000s", got, want)
	}
	if !strings.Contains(want, `"cases": [`) && !strings.Contains(want, `"cases":[`) {
		t.Errorf("no report: %.200s", want)
	}
}

// What is dropped gives the same bytes as the same files named to the command.
func TestSameAsTheCommandLine(t *testing.T) {
	names, _ := filepath.Glob("../../../samples/*/capture.*")
	if len(names) < 10 {
		t.Fatalf("%d samples", len(names))
	}
	hars, _ := filepath.Glob("../../../../shared/har/*.har")
	pcaps, _ := filepath.Glob("../../../../shared/captures/*.pcap")
	if len(hars) == 0 || len(pcaps) == 0 {
		t.Log("../shared is absent: only the samples are tried")
	}
	for _, name := range append(append(names, hars...), pcaps...) {
		t.Run(filepath.Base(filepath.Dir(name))+"/"+filepath.Base(name), func(t *testing.T) {
			got, err := document([]bundle.File{disk(name)}, bundle.Options{})
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, command(t, name))
		})
	}
}

// Key logs and the configuration are recognised wherever they stand.
func TestWithKeysAndConfig(t *testing.T) {
	const tls, keys = "../../../../shared/captures/litellm-1.82.3-tls.pcap", "../../../../shared/captures/litellm-1.82.3-tls.keys"
	if _, err := os.Stat(keys); err != nil {
		t.Skip("../shared is absent: no capture with TLS keys")
	}
	config := filepath.Join(t.TempDir(), "config")
	os.WriteFile(config, []byte("# of the gateway\nmodel_list: []\n\"mcp_servers\" :\n  renamed: {url: http://127.0.0.1:9101/mcp}\n"), 0o666)
	want := command(t, "--keylog", keys, "--config", config, tls)
	for _, files := range [][]string{{tls, keys, config}, {config, keys, tls}, {keys, tls, config}} {
		var list []bundle.File
		for _, name := range files {
			list = append(list, disk(name))
		}
		got, err := document(list, bundle.Options{Jobs: 3})
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
	if same := command(t, tls) == want; same {
		t.Error("the keys and the configuration change nothing: the test shows nothing")
	}
}

// Several captures are one.
func TestSeveralCaptures(t *testing.T) {
	a, b := "../../../samples/tour/capture.pcap", "../../../samples/browser-har/capture.har"
	got, err := document([]bundle.File{disk(a), disk(b)}, bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, command(t, a, b))
}

func gzipped(b []byte) []byte {
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	w.Write(b)
	w.Close()
	return z.Bytes()
}

// A zip is read through an io.ReaderAt, with progress and without.
func TestZip(t *testing.T) {
	har, err := os.ReadFile("../../../samples/browser-har/capture.har")
	if err != nil {
		t.Fatal(err)
	}
	var z bytes.Buffer
	w := zip.NewWriter(&z)
	f, _ := w.Create("capture.har")
	f.Write(har)
	w.Close()
	want, err := document([]bundle.File{file("x", har)}, bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var last, total int64
	for _, opt := range []bundle.Options{{}, {Progress: func(done, of int64) {
		if done < last || done > of || of != int64(z.Len()) {
			t.Errorf("%d of %d after %d", done, of, last)
		}
		last, total = done, of
	}}} {
		got, err := document([]bundle.File{file("x", z.Bytes())}, opt)
		if err != nil {
			t.Fatal(err)
		}
		same(t, strings.Replace(got, "har+zip", "har", 2), want)
	}
	if last != total || total == 0 {
		t.Errorf("%d of %d at the end", last, total)
	}
}

func TestProgress(t *testing.T) {
	var calls, last int64
	_, err := document([]bundle.File{file("tour", samples.Tour)}, bundle.Options{Progress: func(done, total int64) {
		calls++
		if done < last || total != int64(len(samples.Tour)) {
			t.Errorf("%d of %d after %d", done, total, last)
		}
		last = done
	}})
	if err != nil || calls == 0 || last != int64(len(samples.Tour)) {
		t.Errorf("%d calls, the last one at %d: %v", calls, last, err)
	}
	unknown := file("tour", samples.Tour)
	unknown.Size = 0
	_, err = document([]bundle.File{unknown}, bundle.Options{Progress: func(_, total int64) {
		if total != 0 {
			t.Errorf("total %d of a file of unknown size", total)
		}
	}})
	if err != nil {
		t.Error(err)
	}
}

// What cannot be used is said in one line, with the file and what to do.
func TestErrors(t *testing.T) {
	tour := file("tour.pcap", samples.Tour)
	const line = "CLIENT_RANDOM 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff 00112233445566778899aabbccddeeff\n"
	keys := file("k", []byte("# a comment\n"+line))
	yaml := file("y", []byte("mcp_servers:\n  a: {url: http://a/mcp}\n"))
	failing := bundle.File{Name: "f", Open: func() (io.ReadCloser, error) {
		return nil, &os.PathError{Op: "open", Path: "/secret/f", Err: errors.New("out of paper")}
	}}
	tests := []struct {
		name       string
		files      []bundle.File
		opt        bundle.Options
		text, hint string
	}{
		{"nothing", nil, bundle.Options{}, "no file", "HAR"},
		{"too many", []bundle.File{tour, tour, tour}, bundle.Options{Files: 2}, "3 files, more than the 2", "mergecap"},
		{"keys only", []bundle.File{keys}, bundle.Options{}, "no capture among the files, only key logs", "add"},
		{"a configuration only", []bundle.File{yaml}, bundle.Options{}, "no capture among the files, only the gateway's configuration", "add"},
		{"two configurations", []bundle.File{tour, yaml, yaml}, bundle.Options{}, "y and y are both configurations", "in use"},
		{"too many keys", []bundle.File{tour, keys, keys}, bundle.Options{Keys: len(line) * 3 / 2}, "k: key logs or a configuration of more than", "leave out"},
		{"a long configuration", []bundle.File{tour, file("y", []byte("mcp_servers: {}\n"+strings.Repeat("#\n", 1000)))}, bundle.Options{Config: 1000}, "y: key logs or a configuration of more than 1000 bytes", ""},
		{"bad YAML", []bundle.File{tour, file("y", []byte("mcp_servers: {\"sk-secret: [}\n"))}, bundle.Options{}, "y: ", ""},
		{"no servers", []bundle.File{tour, file("y", []byte("mcp_servers:\n"))}, bundle.Options{}, "y: no mcp_servers in it", "litellm"},
		{"deep YAML", []bundle.File{tour, file("y", []byte("mcp_servers: "+strings.Repeat("[", 1e5)))}, bundle.Options{}, "y: this YAML is nested too deeply", ""},
		{"deep YAML in blocks", []bundle.File{tour, file("y", []byte("mcp_servers:\n  "+strings.Repeat("- ", 1e5)))}, bundle.Options{}, "y: this YAML is nested too deeply", ""},
		{"text", []bundle.File{file("t", []byte("hello, world\n"))}, bundle.Options{}, "t: neither a capture, nor a TLS key log, nor", "HAR"},
		{"text beside a capture", []bundle.File{tour, file("t", []byte("model_list: []\n"))}, bundle.Options{}, "t: neither a capture", "HAR"},
		{"an image", []bundle.File{file("i", []byte("\x89PNG\r\n\x1a\n\x00\x00"))}, bundle.Options{}, "i: this is a PNG image", ""},
		{"JSON", []bundle.File{file("j", []byte(`{"mcp_servers": {}}`))}, bundle.Options{}, "j: this is JSON, but not a HAR", "devtools"},
		{"empty", []bundle.File{file("e", nil)}, bundle.Options{}, "e: empty", "tcpdump"},
		{"unreadable", []bundle.File{failing}, bundle.Options{}, "f: out of paper", ""},
		{"a bomb", []bundle.File{file("b", gzipped(make([]byte, 1<<20)))}, bundle.Options{Capture: capture.Options{Unpacked: 1 << 10}}, "b: not a capture", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := document(tt.files, tt.opt)
			var e *bundle.Error
			if !errors.As(err, &e) || !strings.HasPrefix(e.Text, tt.text) || !strings.Contains(e.Hint, tt.hint) || e.Error() != e.Text {
				t.Fatalf("%#v, want %q and %q", err, tt.text, tt.hint)
			}
			if strings.ContainsAny(e.Text, "\n") || strings.Contains(e.Text, "secret") {
				t.Errorf("%q", e.Text)
			}
		})
	}
}

// A text that is cut within a character is text, and a key log whose lines
// come after a long comment is one.
func TestKeyLogBehindAComment(t *testing.T) {
	comment := "# " + strings.Repeat("é", 200) + "\n"
	keys := file("k", []byte(strings.Repeat(comment, 100)+"RSA 0011223344556677 00112233445566778899aabbccddeeff\r\n"+strings.Repeat(comment, 1000)))
	if _, err := document([]bundle.File{keys, file("tour", samples.Tour)}, bundle.Options{}); err != nil {
		t.Error(err)
	}
}

// An error of out and a cancelled context end the analysis and are returned.
func TestEnding(t *testing.T) {
	full := errors.New("disk full")
	n := 0
	_, err := bundle.Analyze(context.Background(), []bundle.File{file("tour", samples.Tour)}, bundle.Options{}, func(report.Object) error {
		if n++; n == 3 {
			return full
		}
		return nil
	})
	if err != full || n != 3 {
		t.Errorf("%v after %d objects", err, n)
	}
	over := errors.New("out of time")
	ctx, cancel := context.WithCancelCause(context.Background())
	_, err = bundle.Analyze(ctx, []bundle.File{file("tour", samples.Tour)}, bundle.Options{Progress: func(int64, int64) { cancel(over) }},
		func(report.Object) error { return nil })
	if err != over {
		t.Errorf("%v, want %v", err, over)
	}
	if _, err = bundle.Analyze(ctx, []bundle.File{file("tour", samples.Tour)}, bundle.Options{}, nil); err != over {
		t.Errorf("%v, want %v", err, over)
	}
}

// A capture that breaks off is analysed as far as it goes, and one that
// decompresses to more than is allowed too.
func TestBrokenOff(t *testing.T) {
	whole, err := document([]bundle.File{file("x", samples.Tour)}, bundle.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for code, f := range map[string]struct {
		b   []byte
		opt bundle.Options
	}{
		"pcap/cut-packet": {samples.Tour[:len(samples.Tour)/2], bundle.Options{}},
		"limit/unpacked":  {gzipped(samples.Tour), bundle.Options{Capture: capture.Options{Unpacked: int64(len(samples.Tour) / 2)}}},
		"":                {gzipped(samples.Tour), bundle.Options{Capture: capture.Options{Unpacked: int64(len(samples.Tour))}}},
	} {
		got, err := document([]bundle.File{file("x", f.b)}, f.opt)
		if err != nil {
			t.Errorf("%s: %v", code, err)
		} else if code == "" {
			same(t, strings.Replace(got, "pcap+gzip", "pcap", 2), whole)
		} else if !strings.Contains(got, fmt.Sprintf("%q", code)) {
			t.Errorf("%s is not in the notes", code)
		}
	}
	broken := errors.New("input/output error")
	_, err = document([]bundle.File{{Name: "x", Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(samples.Tour[:1<<16]), failing{broken})), nil
	}}}, bundle.Options{})
	if err != nil {
		t.Errorf("64 KiB were read: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
