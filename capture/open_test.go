package capture_test

import (
	"archive/zip"
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mcp401/capture"
)

// samples is a capture of every format, by kind.
func samples() map[string][]byte {
	pcap, ng := newPcapFile(le, magicMicro), newPcapngFile(be)
	ng.iface(1, 0).secrets(0x544c534b, "CLIENT_RANDOM 00 11\n")
	var entries []string
	for i := range 100 {
		data := []byte(strings.Repeat(fmt.Sprint("packet ", i), i))
		pcap.packet(at(time.Duration(i)*time.Second), data)
		ng.enhanced(0, micros(time.Duration(i)*time.Second), data)
		entries = append(entries, entryAt(time.Duration(i)*time.Second, fmt.Sprint("http://h/", i)))
	}
	return map[string][]byte{"pcap": pcap.bytes(), "pcapng": ng.bytes(), "har": []byte(harOf(entries...))}
}

func compressed(b []byte) map[string][]byte {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write(b)
	w.Close()
	half := len(b) / 2
	return map[string][]byte{
		"":           b,
		"+gzip":      gzipped(b),
		"+zstd":      zstandard(b),
		"+zlib":      z.Bytes(),
		"+gzip+gzip": gzipped(gzipped(b)),
		"+gzip ":     append(gzipped(b[:half]), gzipped(b[half:])...),                       // two members
		"+zstd ":     append([]byte("\x50\x2a\x4d\x18\x02\x00\x00\x00ab"), zstandard(b)...), // a skippable frame first
	}
}

// TestWrappings: whatever a capture is wrapped in and however it arrives, it
// gives the same records.
func TestWrappings(t *testing.T) {
	for kind, plain := range samples() {
		want := tellBytes(plain)
		if len(want.records) < 100 || want.err != nil || want.warnings != nil {
			t.Fatalf("%s: %d records, %v, %v", kind, len(want.records), want.err, want.warnings)
		}
		for wrapping, b := range compressed(plain) {
			for how, reader := range map[string]func(io.Reader) io.Reader{
				"whole": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader,
				"halves": iotest.HalfReader, "end with the data": iotest.DataErrReader,
			} {
				t.Run(kind+wrapping+"/"+how, func(t *testing.T) {
					f, err := capture.New("x", reader(bytes.NewReader(b)))
					if err != nil {
						t.Fatal(err)
					}
					check(t, tell(f), want.records...)
					in := f.Input()
					records := len(want.records)
					if kind == "pcapng" {
						records-- // the secrets
					}
					if in.Kind != kind+strings.TrimSpace(wrapping) || in.Records != records || in.Name != "x" {
						t.Errorf("described as %+v", in)
					}
				})
			}
		}
	}
}

// TestDamagedWrappings: what can be decompressed is read, the rest is said.
func TestDamagedWrappings(t *testing.T) {
	for kind, plain := range samples() {
		for wrapping, b := range compressed(plain) {
			code := strings.TrimPrefix(strings.TrimSpace(wrapping), "+")
			if code == "" || strings.Contains(code, "+") {
				continue
			}
			for n := 0; n < len(b); n += 3 {
				s := tellBytes(b[:n])
				if len(s.records) == 0 && s.err == nil && n < len(b)*9/10 && kind != "pcap" && kind != "pcapng" {
					t.Fatalf("%s%s cut at %d of %d: nothing read and nothing said", kind, wrapping, n, len(b))
				}
				if len(s.records) > 0 && !strings.Contains(fmt.Sprint(s.warnings), code+"/truncated") && !strings.HasSuffix(wrapping, " ") {
					t.Fatalf("%s%s cut at %d of %d: warnings %v", kind, wrapping, n, len(b), s.warnings)
				}
			}
			for i := 0; i < len(b); i += 3 {
				c := bytes.Clone(b)
				c[i] ^= 0x55
				tellBytes(c) // whatever comes, no panic
			}
		}
	}
	b := append(gzipped(samples()["pcap"]), "trailing"...)
	if s := tellBytes(b); len(s.records) != 100 || len(s.warnings) != 1 || s.warnings[0] != "gzip/trailing@100 0" {
		t.Errorf("trailing bytes: %d records, %v", len(s.records), s.warnings)
	}
	if s := tellBytes(append(gzipped(samples()["pcap"]), make([]byte, 512)...)); len(s.records) != 100 {
		t.Errorf("trailing zeros: %d records, %v", len(s.records), s.warnings)
	}
	b = gzipped(samples()["pcap"])
	b[len(b)-6] ^= 1
	if s := tellBytes(b); len(s.records) != 100 || len(s.warnings) != 1 || s.warnings[0] != "gzip/damaged@100 0" {
		t.Errorf("wrong checksum: %d records, %v", len(s.records), s.warnings)
	}
}

func TestBadInputs(t *testing.T) {
	gz := gzipped(samples()["pcap"])
	deep := samples()["pcap"]
	for range 5 {
		deep = gzipped(deep)
	}
	tests := []struct {
		name string
		b    string
		kind error
		text string
		hint string
	}{
		{"empty", "", capture.ErrEmpty, "empty", "tcpdump -U"},
		{"empty gzip", string(gzipped(nil)), capture.ErrEmpty, "nothing in it once it is decompressed", ""},
		{"text", "hello, world\n", capture.ErrUnknown, "this is text", "tcpdump"},
		{"one letter", "x", capture.ErrUnknown, "this is text", ""},
		{"spaces", strings.Repeat(" ", 9999), capture.ErrUnknown, "this is text", ""},
		{"binary", "\x00\x01\x02\x03", capture.ErrUnknown, "none of pcap, pcapng and HAR", "editcap"},
		{"PNG", "\x89PNG\r\n\x1a\n", capture.ErrUnsupported, "a PNG image", ""},
		{"snoop", "snoop\x00\x00\x00\x00\x00\x00\x02", capture.ErrUnsupported, "a snoop capture", "editcap -F pcapng"},
		{"NetMon", "GMBU\x00\x02", capture.ErrUnsupported, "Network Monitor", "editcap"},
		{"xz", "\xfd7zXZ\x00", capture.ErrUnsupported, "xz-compressed", "xz -dk"},
		{"key log", "CLIENT_RANDOM 0011 2233\n", capture.ErrUnsupported, "a TLS key log", "--keylog"},
		{"JSONP", "onInputData({\"log\":{}})", capture.ErrUnsupported, "JSONP", "remove"},
		{"mitmproxy", "1234:9:websocket;0:~", capture.ErrUnsupported, "mitmproxy flow file", "hardump"},
		{"ETL", "\x00\x00\x01\x00\x48\x00\x00\x00" + strings.Repeat("\x00", 46) + "\x04\x00" + strings.Repeat("\x00", 20), capture.ErrUnsupported, "ETL", "etl2pcapng"},
		{"a list in JSON", "[1,2]", capture.ErrUnknown, "this is text", ""},
		{"gzip header only", string(gz[:5]), capture.ErrDamaged, "damaged gzip data: it ends too early", ""},
		{"gzip cut at once", string(gz[:12]), capture.ErrDamaged, "the gzip data end too early", "again"},
		{"zstd damaged", "\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", capture.ErrDamaged, "damaged zstd data", "again"},
		{"zlib damaged", "\x78\x9c\xff\xff\xff\xff", capture.ErrDamaged, "damaged zlib data", "again"},
		{"nested", string(deep), nil, "compressed more than three times over", ""},
		{"zip in a pipe", "PK\x03\x04", capture.ErrUnsupported, "a zip archive cannot be read from a pipe", "unpack"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := tellBytes([]byte(tt.b))
			if tt.kind != nil {
				refuse(t, s.err, tt.kind, tt.text)
			}
			var e *capture.Error
			if !errors.As(s.err, &e) || !strings.Contains(e.Text, tt.text) || !strings.Contains(e.Hint, tt.hint) || e.Name != "x" {
				t.Errorf("got %#v", s.err)
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	open := func(names ...string) error {
		f, err := capture.Open(names, strings.NewReader(""), capture.Options{})
		if err == nil {
			f.Close()
		}
		return err
	}
	dir := t.TempDir()
	refuse(t, open(dir), capture.ErrDirectory, "this is a directory")
	refuse(t, open(filepath.Join(dir, "none")), fs.ErrNotExist, "no such file")
	refuse(t, open("-"), capture.ErrEmpty, "standard input: empty")
	good := write(t, "good.pcap", samples()["pcap"])
	refuse(t, open(good, "-"), capture.ErrEmpty, "standard input: empty")
	if err := open(good, good); err != nil {
		t.Error(err)
	}
	secret := write(t, "secret.pcap", samples()["pcap"])
	if err := os.Chmod(secret, 0); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		t.Log("root reads everything: the file without permission is not tried")
		return
	}
	refuse(t, open(secret), fs.ErrPermission, "permission denied")
}

func TestStdinTwice(t *testing.T) {
	_, err := capture.Open([]string{"-", "-"}, bytes.NewReader(samples()["pcap"]), capture.Options{})
	if err == nil || err.Error() != "standard input: named twice" {
		t.Error(err)
	}
}

// A failing disk is an error, also beneath a decompressor, and comes after the
// records that were read before.
func TestReadErrors(t *testing.T) {
	broken := errors.New("input/output error")
	for kind, plain := range samples() {
		for wrapping, b := range compressed(plain) {
			t.Run(kind+wrapping, func(t *testing.T) {
				for _, n := range []int{0, 1, 3, 30, len(b) / 2, len(b) - 1} {
					f, err := capture.New("x", io.MultiReader(bytes.NewReader(b[:n]), iotest.ErrReader(broken)))
					if err == nil {
						_, err = f, tell(f).err
					}
					if !errors.Is(err, broken) || !strings.Contains(err.Error(), "input/output error") {
						t.Errorf("after %d bytes: %v", n, err)
					}
				}
			})
		}
	}
}

// TestPipe: a record is delivered as soon as it has arrived.
func TestPipe(t *testing.T) {
	p := newPcapFile(le, magicMicro)
	ng := newPcapngFile(le).iface(1, 0)
	for kind, add := range map[string]func(i int) []byte{
		"pcap": func(i int) []byte {
			b := p.packet(at(0), []byte{byte(i)}).b
			p.b = nil
			return b
		},
		"pcapng": func(i int) []byte {
			b := ng.enhanced(0, micros(0), []byte{byte(i)}).b
			ng.b = nil
			return b
		},
	} {
		t.Run(kind, func(t *testing.T) {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			w.Write(add(0))
			f, err := capture.Open([]string{"-"}, r, capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			for i := range 3 {
				if i > 0 {
					w.Write(add(i))
				}
				rec, err := f.Next()
				if err != nil || rec.Num != i+1 || rec.Packet.Data[0] != byte(i) {
					t.Fatalf("record %d: %+v, %v", i, rec, err)
				}
			}
			if done, total := f.Read(); done == 0 || total != 0 {
				t.Errorf("read %d of %d", done, total)
			}
		})
	}
}

// TestCloseUnblocks: a Next that waits for a pipe returns when it is closed,
// also where the descriptor blocks, as one does that a shell made.
func TestCloseUnblocks(t *testing.T) {
	for name, makePipe := range pipes {
		t.Run(name, func(t *testing.T) {
			r, w := makePipe(t)
			defer w.Close()
			w.Write(newPcapFile(le, magicMicro).packet(at(0), []byte("abc")).bytes())
			f, err := capture.Open([]string{"-"}, r, capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.Next(); err != nil {
				t.Fatal(err)
			}
			done := make(chan error)
			go func() {
				_, err := f.Next()
				done <- err
			}()
			time.Sleep(10 * time.Millisecond)
			f.Close()
			select {
			case err := <-done:
				if err != io.EOF {
					t.Errorf("got %v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("Next did not return")
			}
			if _, err := f.Next(); err != io.EOF {
				t.Errorf("after Close: %v", err)
			}
			if w := f.Warnings(); len(w) > 0 {
				t.Errorf("warnings: %v", w)
			}
		})
	}
}

// TestProgress: the compressed bytes count.
func TestProgress(t *testing.T) {
	a, b := samples()["pcap"], gzipped(samples()["pcapng"])
	f, err := capture.Open([]string{write(t, "a", a), write(t, "b", b)}, nil, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tell(f)
	want := int64(len(a) + len(b))
	if done, total := f.Read(); done != want || total != want {
		t.Errorf("read %d of %d, want %d", done, total, want)
	}
}

// zipped makes an archive of names and contents in turn.
func zipped(files ...string) []byte {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err != nil {
			panic(err)
		}
		io.WriteString(f, files[i+1])
	}
	w.Close()
	return out.Bytes()
}

func TestZip(t *testing.T) {
	har := harOf(entryAt(time.Second, "a"))
	const a = "1 1s GET a 200"
	tests := []struct {
		name  string
		files []string
		want  string // a line, or a part of the refusal
	}{
		{"one HAR", []string{"x/log.HAR", har}, a},
		{"har.har among others", []string{"other.har", "x", "har.har", har, "a.html", "x"}, a},
		{"a Mac's shadow", []string{"x.har", har, "__MACOSX/x.har", "x"}, a},
		{"a path that climbs", []string{"../../x.har", har}, a},
		{"several", []string{"a.har", har, "b.har", har}, "zip archive with several HAR files"},
		{"none", []string{"a.txt", "x"}, "zip archive without a HAR file"},
		{"a zip in a zip", []string{"a.har", string(zipped("b.har", har))}, "from within another file"},
		{"empty HAR", []string{"a.har", ""}, "nothing in it once it is decompressed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, err := capture.Open([]string{write(t, "x.zip", zipped(tt.files...))}, nil, capture.Options{})
			if err != nil {
				if !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			defer f.Close()
			check(t, tell(f), tt.want)
			if kind := f.Inputs()[0].Kind; kind != "har+zip" {
				t.Errorf("kind %q", kind)
			}
		})
	}
	whole := zipped("a.har", har, "b", "x")
	for n := 4; n < len(whole); n++ {
		if _, err := capture.Open([]string{write(t, "x.zip", whole[:n])}, nil, capture.Options{}); err == nil {
			t.Fatalf("cut at %d of %d: no error", n, len(whole))
		}
	}
}

// Recorders write large bodies as files of their own into the archive.
func TestZipAttachments(t *testing.T) {
	har := harOf(
		`{"startedDateTime":"2026-11-23T08:00:00Z","response":{"status":200,"content":{"_file":"body.json","mimeType":"a/b"}},"request":{"postData":{"_file":"post"}}}`,
		`{"startedDateTime":"2026-11-23T08:00:01Z","response":{"status":200,"content":{"_file":"../etc/passwd"}}}`,
		`{"startedDateTime":"2026-11-23T08:00:02Z","response":{"status":200,"content":{"_file":"big"}}}`)
	big := strings.Repeat("x", 5<<20)
	path := write(t, "x.zip", zipped("har.har", har, "body.json", `{"tools":[]}`, "post", "posted", "big", big))
	f, err := capture.Open([]string{path}, nil, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []*capture.Entry
	for {
		rec, err := f.Next()
		if err != nil {
			break
		}
		list = append(list, rec.Entry)
	}
	if len(list) != 3 {
		t.Fatalf("%d entries", len(list))
	}
	if c := list[0].Content; c == nil || string(c.Data) != `{"tools":[]}` || c.MIME != "a/b" || string(list[0].Body.Data) != "posted" {
		t.Errorf("got %+v", list[0])
	}
	if list[1].Content != nil {
		t.Errorf("a body from outside the archive: %q", list[1].Content.Data)
	}
	if c := list[2].Content; c == nil || len(c.Data) != 4<<20 || c.Lost != 1<<20 {
		t.Errorf("a large body was not cut")
	}
	if w := f.Warnings(); len(w) != 1 || w[0].Code != "har/no-attachment" {
		t.Errorf("warnings: %v", w)
	}
}

// A closer says that it was closed.
type closer struct {
	io.Reader
	closed *int
}

func (c closer) Close() error { *c.closed++; return nil }

// Inputs that are no files are opened in order, merged like files, and closed
// once, also when a later one fails.
func TestMergeOpeners(t *testing.T) {
	closed := 0
	opener := func(name string, b []byte) capture.Opener {
		return capture.Opener{Name: name, Size: int64(len(b)), Open: func() (io.Reader, error) {
			return closer{bytes.NewReader(b), &closed}, nil
		}}
	}
	a, b := samples()["pcap"], gzipped(samples()["har"])
	f, err := capture.Merge([]capture.Opener{opener("a", a), opener("b", b)}, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := tell(f)
	files, err := capture.Open([]string{write(t, "a", a), write(t, "b", b)}, nil, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	check(t, got, tell(files).records...)
	if done, total := f.Read(); done != total || total != int64(len(a)+len(b)) {
		t.Errorf("%d of %d bytes read", done, total)
	}
	if in := f.Inputs(); len(in) != 2 || in[1].Name != "b" || in[1].Kind != "har+gzip" || in[1].Records != 100 {
		t.Errorf("%+v", in)
	}
	f.Close()
	if closed != 2 {
		t.Errorf("2 inputs, %d closed", closed)
	}
	gone := capture.Opener{Name: "gone", Open: func() (io.Reader, error) { return nil, fs.ErrNotExist }}
	_, err = capture.Merge([]capture.Opener{opener("a", a), gone}, capture.Options{})
	refuse(t, err, fs.ErrNotExist, "gone: file does not exist")
	if closed != 3 {
		t.Errorf("the input before the one that is gone was not closed")
	}
}

// What a compressed input may become is bounded, and said when it is passed.
func TestUnpacked(t *testing.T) {
	plain := samples()["pcap"]
	whole := len(tellBytes(plain).records)
	for wrapping, b := range map[string][]byte{"gzip": gzipped(plain), "zstd": zstandard(plain)} {
		for _, bound := range []int{len(plain) / 2, len(plain) - 1, len(plain), len(plain) + 1} {
			f, err := capture.Merge([]capture.Opener{{Name: "x", Open: func() (io.Reader, error) { return bytes.NewReader(b), nil }}}, capture.Options{Unpacked: int64(bound)})
			if err != nil {
				t.Fatal(err)
			}
			got := tell(f)
			if over := strings.Contains(fmt.Sprint(got.warnings), "limit/unpacked"); over != (bound < len(plain)) || got.err != nil || over == (len(got.records) == whole) {
				t.Errorf("%s, %d of %d bytes: %d records, %v, %v", wrapping, bound, len(plain), len(got.records), got.err, got.warnings)
			}
		}
	}
}
