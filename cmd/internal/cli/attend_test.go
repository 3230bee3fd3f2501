package cli

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mcp401/capture"
	"mcp401/cmd/internal/pipeline"
	"mcp401/decode"
	"mcp401/rules/report"
)

// A webhook that refuses is said once, and that it is well again.
func TestAttendWebhook(t *testing.T) {
	var status atomic.Int64
	status.Store(http.StatusNotFound)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(int(status.Load())) }))
	defer hook.Close()
	w, err := newTeller("", hook.URL, "", 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	s := &session{tell: w}
	attend(nil, s, func(err error) { said = append(said, err.Error()) })
	finding := func(kind string, lines int) {
		w.webhook.Write(report.Object{Case: &report.Case{Frame: 1}})
		w.webhook.Write(report.Object{Finding: &report.Finding{Rule: "swallowed-401", Fingerprint: kind}})
		for range 6000 {
			if s.watch.Beat(pipeline.Beat{}); len(said) == lines {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	finding("one", 1)
	finding("two", 1)
	status.Store(http.StatusOK)
	finding("three", 2)
	if got := strings.Join(said, "\n"); got != "--webhook: messages are lost, and capturing goes on: answered 404\n--webhook: messages are sent again" {
		t.Errorf("said %s", got)
	}
	w.close()
}

// Drops, limits and a clock that is set are said at once; the rest stands in
// the summary.
func TestNoted(t *testing.T) {
	for code, want := range map[string]string{
		"capture/drops":      "the capture dropped 7 packets: ",
		"capture/clock-step": "the text (7ms)",
		"limit/flows":        "limit/flows: the text; the summary counts how often",
		"tcp/gap":            "",
	} {
		err := noted(decode.Note{Code: code, N: 7, Text: "the text"})
		if got := ""; err != nil {
			got = err.Error()
			if want == "" || !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s", code, got)
			}
		} else if want != "" {
			t.Errorf("%s: nothing said", code)
		}
	}
}

// A metrics port that somebody else has ends the run before it begins.
func TestMetricsPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var out, errs bytes.Buffer
	status := Main([]string{"live", "--metrics", l.Addr().String(), "-r", "-"}, strings.NewReader(""), &out, &errs)
	if status != statusFailed || out.Len() > 0 || !strings.HasPrefix(errs.String(), "mcp401: --metrics "+l.Addr().String()+": bind: address already in use\nhint: ") {
		t.Errorf("status %d, %q, %q", status, &out, &errs)
	}
}

// A key log that is cut off and written anew in place is read from its
// beginning; one that cannot be read is said, once.
func TestKeylogCutOff(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	var said []error
	k := newKeylogs([]string{name}, func(err error) { said = append(said, err) })
	for _, text := range []string{"one\ntwo\n", "three\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := string(k.more()); got != text {
			t.Errorf("got %q, want %q", got, text)
		}
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(name, 0o700); err != nil { // nothing that can be read
		t.Fatal(err)
	}
	k.more()
	k.more()
	if len(said) != 1 || !strings.HasPrefix(said[0].Error(), "--keylog "+name+": ") {
		t.Errorf("said %v", said)
	}
	os.Remove(name)
	if err := os.WriteFile(name, []byte("four\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := string(k.more()); got != "four\n" || len(said) != 1 {
		t.Errorf("got %q, said %v", got, said)
	}
}

// Where nothing can be captured it is said what can be done there.
func TestElsewhere(t *testing.T) {
	s, err := capture.OpenLive(capture.Live{Interfaces: []string{"no-such-interface"}})
	if err == nil {
		s.Close()
		t.Fatal("opened")
	}
	var e *capture.Error
	if !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("%v has no hint", err)
	}
	if errors.Is(err, errors.ErrUnsupported) && e.Hint != "tcpdump -w - | mcp401 analyze -" {
		t.Errorf("hint %q", e.Hint)
	}
}
