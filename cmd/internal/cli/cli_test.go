package cli

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
	"mcp401/rules/hop"
	"mcp401/samples"
)

// run runs the program on a copy of the tour sample named capture.pcap.
func run(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("capture.pcap", samples.Tour, 0o666); err != nil {
		t.Fatal(err)
	}
	var out, err bytes.Buffer
	status = Main(args, strings.NewReader(""), &out, &err)
	return status, out.String(), err.String()
}

func TestState(t *testing.T) {
	for _, c := range []struct {
		done, total int64
		took        time.Duration
		want        string
	}{
		{50e6, 200e6, 2 * time.Second, "50 MB of 200 MB, 25 MB/s, 6s left"},
		{3e9, 3e9, 10 * time.Second, "3.0 GB of 3.0 GB, 300 MB/s, 0s left"},
		{700, 0, time.Second, "700 B read, 700 B/s"},
		{0, 1000, time.Second, "0 B read, 0 B/s"},
		{2000, 1000, time.Second, "2 kB of 1 kB, 2 kB/s, 0s left"},
	} {
		if got := state(c.done, c.total, c.took); got != c.want {
			t.Errorf("%d of %d in %v: %s, want %s", c.done, c.total, c.took, got, c.want)
		}
	}
}

// The line is shown after a second, now and then, and taken away.
func TestProgress(t *testing.T) {
	src, err := capture.Open([]string{"-"}, bytes.NewReader(samples.Tour), capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var w bytes.Buffer
	p := &progress{w: &w, src: src, start: time.Now()}
	p.look()
	p.erase()
	if w.Len() > 0 {
		t.Errorf("%q within the first second", w.String())
	}
	p.start = p.start.Add(-2 * time.Second)
	p.look()
	once := w.String()
	p.look()
	if !strings.HasPrefix(once, "\r\x1b[Kmcp401: ") || w.String() != once {
		t.Errorf("%q, and again at once: %q", once, w.String())
	}
	p.erase()
	if w.String() != once+"\r\x1b[K" {
		t.Errorf("%q at the end", w.String())
	}
	(&progress{}).look()
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.5:4000":       "10.0.0.5:4000",
		"[fd00::5]:4000":      "[fd00::5]:4000",
		"::ffff:10.0.0.5:443": "10.0.0.5:443",
		"localhost:4000":      "127.0.0.1:4000 [::1]:4000",
	} {
		got, err := address(in)
		if err != nil || join(got) != want {
			t.Errorf("%s: %v, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{":4000", "*:4000"} {
		if got, err := address(in); err != nil || len(got) != 1 || got[0] != netip.AddrPortFrom(netip.Addr{}, 4000) {
			t.Errorf("%s: %v, %v, want any address", in, got, err)
		}
	}
	for in, want := range map[string]string{
		"": "no port", "10.0.0.1": "no port", "10.0.0.1:": "not a port", "10.0.0.1:0": "not a port", "10.0.0.1:70000": "not a port", "gateway:4000": "not an IP address",
	} {
		if _, err := address(in); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", in, err, want)
		}
	}
}

func join(list []netip.AddrPort) string {
	var s []string
	for _, a := range list {
		s = append(s, a.String())
	}
	return strings.Join(s, " ")
}

// Of the gateway's configuration the names are read, and of credentials
// whether there are any.
func TestConfig(t *testing.T) {
	name := filepath.Join(t.TempDir(), "litellm.yaml")
	os.WriteFile(name, []byte(`
model_list: [{model_name: m}]
mcp_servers:
  passthru: {url: "http://a/mcp", transport: http, extra_headers: [Authorization], auth_value: ""}
  stored: {url: "http://b/mcp", alias: st, auth_type: bearer_token, auth_value: secret}
  oauth: {url: "http://c/mcp", auth_type: oauth2, credentials: {client_id: secret}}
  static: {url: "http://d/sse", transport: sse, static_headers: {AUTHORIZATION: secret}}
  other: {url: "http://e/mcp", static_headers: {X-Team: core}}
  local: {command: npx, args: [x]}
  dynamic: {url: os.environ/URL}
litellm_settings:
  mcp_aliases: {pt: passthru}
`), 0o666)
	got, err := readConfig(name)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]hop.Server{
		"passthru": {URL: "http://a/mcp", Alias: "pt", Transport: "http", ExtraHeaders: []string{"Authorization"}},
		"stored":   {URL: "http://b/mcp", Alias: "st", Stored: true},
		"oauth":    {URL: "http://c/mcp", Stored: true},
		"static":   {URL: "http://d/sse", Transport: "sse", Stored: true},
		"other":    {URL: "http://e/mcp"},
		"local":    {Transport: "stdio"},
		"dynamic":  {},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// Key logs come before the first packet.
func TestKeylog(t *testing.T) {
	src, err := capture.Open([]string{"-"}, bytes.NewReader(samples.Tour), capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	keyed := bundle.Keyed(src, [][]byte{[]byte("a\n"), []byte("b\n")})
	for _, want := range []string{"a\n", "b\n", ""} {
		r, err := keyed.Next()
		if err != nil || r.Secret == nil != (want == "") || r.Secret != nil && string(r.Secret.Lines) != want {
			t.Errorf("%+v, %v, want %q", r, err, want)
		}
	}
	if bundle.Keyed(src, nil) != capture.Source(src) {
		t.Error("wrapped without a key log")
	}
	t.Chdir(t.TempDir())
	os.WriteFile("keys", []byte("CLIENT_RANDOM a b\n"), 0o666)
	os.WriteFile("capture.pcap", samples.Tour, 0o666)
	var out, errs bytes.Buffer
	if status := Main([]string{"analyze", "--keylog", "keys", "capture.pcap"}, nil, &out, &errs); status != statusFound || errs.Len() > 0 {
		t.Errorf("status %d, %s", status, errs.String())
	}
}

// A failing writer fails with the error it gives.
type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// A reader that has gone away is not an error worth a word; a full disk is.
func TestClosedPipe(t *testing.T) {
	t.Chdir(t.TempDir())
	os.WriteFile("capture.pcap", samples.Tour, 0o666)
	for _, args := range [][]string{
		{"analyze", "capture.pcap"}, {"analyze", "--format", "jsonl", "capture.pcap"}, {"show", "capture.pcap"}, {"rules"}, {"explain"}, {"explain", "swallowed-401"}, {"version"},
	} {
		var errs bytes.Buffer
		if status := Main(args, nil, failing{syscall.EPIPE}, &errs); status == statusFailed || errs.Len() > 0 {
			t.Errorf("%q: status %d, %s", args, status, errs.String())
		}
		if status := Main(args, nil, failing{syscall.ENOSPC}, &errs); status != statusFailed || errs.String() != "mcp401: no space left on device\n" {
			t.Errorf("%q: status %d, %q", args, status, errs.String())
		}
	}
}

func TestQuiet(t *testing.T) {
	status, out, errs := run(t, "analyze", "--quiet", "capture.pcap")
	if status != statusFound || out == "" || errs != "" {
		t.Errorf("status %d, %d bytes, %q", status, len(out), errs)
	}
}

func TestSuggestion(t *testing.T) {
	if _, _, errs := run(t, "analyse", "capture.pcap"); errs != "mcp401: \"analyse\" is not a command\nhint: did you mean: mcp401 analyze\n" {
		t.Errorf("%q", errs)
	}
	if _, _, errs := run(t, "capture.pcap"); !strings.Contains(errs, "hint: mcp401 --help lists them; to read a capture: mcp401 analyze capture.pcap\n") {
		t.Errorf("%q", errs)
	}
}

// A file name or an error cannot steer the terminal.
func TestPrintable(t *testing.T) {
	var errs bytes.Buffer
	a := &app{stderr: &errs}
	a.say(hinted(errors.New("x\x1b[31m\ny\u0085é"), "do\tthis"))
	if want := "mcp401: x?[31m y?é\nhint: do this\n"; errs.String() != want {
		t.Errorf("%q, want %q", errs.String(), want)
	}
}

func TestRender(t *testing.T) {
	const page = "# title: one\n\nSome **bold** words that\nare wrapped here.\n\n\n- an item that is too long\n  for one line\n1. first\n\n> quoted\n\n```\ncode   stays\n```\n\n    indented  code\n\n| a | table |\n"
	const want = "title: one\n\nSome bold words that\nare wrapped here.\n\n- an item that is too\n  long for one line\n1. first\n\n> quoted\n\n  code   stays\n\n    indented  code\n\n| a | table |\n"
	if d := cmp.Diff(want, render(page, 22, false)); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if got := render("## head\ntext\n", 80, true); got != "\x1b[1mhead\x1b[0m\ntext\n" {
		t.Errorf("%q", got)
	}
}
