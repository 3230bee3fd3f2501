package cli

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"mcp401/capture"
	"mcp401/rules/report"
	"mcp401/samples"
)

// wired runs the program with a wire that carries the tour, and returns what
// was asked of it. The process keeps its rights, for other tests.
func wired(t *testing.T, args ...string) (asked wire, status int, stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, wire: func(w wire) (capture.Source, error) {
		asked = w
		return capture.Open([]string{"-"}, bytes.NewReader(samples.Tour), capture.Options{})
	}}
	root := a.root()
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	if said := errs.String(); said != "" && !strings.HasPrefix(said, "mcp401: filter: tcp, ") {
		t.Errorf("said: %s", said)
	}
	return asked, a.status, out.String()
}

func TestWire(t *testing.T) {
	asked, status, out := wired(t, "live", "-i", "eth0", "-i", "lo", "tcp", "port", "4000")
	if got := strings.Join(asked.interfaces, " "); got != "eth0 lo" || asked.filter != "tcp port 4000" {
		t.Errorf("asked for %q, %q", got, asked.filter)
	}
	if status != statusFound || strings.Count(out, "\n{\"finding\":") != 25 {
		t.Errorf("status %d, %s", status, out)
	}
	asked, status, out = wired(t, "run", "--", "true")
	if got := strings.Join(asked.interfaces, " "); got != "lo" || status != statusFound || !strings.Contains(out, "swallowed-401 ") {
		t.Errorf("asked for %q, status %d, %s", got, status, out)
	}
}

// Each call of live and run is sent as a trace; what a collector does not take
// is told of at the end.
func TestOTLP(t *testing.T) {
	status := 200
	var bodies [][]byte
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path != "/v1/traces" {
			t.Errorf("posted to %s", r.URL.Path)
		}
		bodies = append(bodies, body)
		w.WriteHeader(status)
	}))
	defer collector.Close()
	for _, args := range [][]string{{"live", "-i", "lo"}, {"run", "-o", filepath.Join(t.TempDir(), "report")}} {
		bodies = nil
		args = append(args, "--otlp", collector.URL)
		if args[0] == "run" {
			args = append(args, "--", "true")
		}
		wired(t, args...)
		var data tracepb.TracesData
		calls := 0
		for _, body := range bodies {
			if err := proto.Unmarshal(body, &data); err != nil {
				t.Fatal(err)
			}
			for _, span := range data.ResourceSpans[0].ScopeSpans[0].Spans {
				if span.Kind == tracepb.Span_SPAN_KIND_SERVER {
					calls++
				}
			}
		}
		if calls != 32 { // as many as the tour has
			t.Errorf("%s: %d calls in traces, want %d", args[0], calls, 32)
		}
	}
	status = 400
	var out, errs bytes.Buffer
	if got := Main([]string{"live", "-r", "-", "--otlp", collector.URL}, bytes.NewReader(samples.Tour), &out, &errs); got != statusFound {
		t.Errorf("status %d", got)
	}
	if said := errs.String(); !strings.Contains(said, "mcp401: --otlp: 0 spans sent, ") || !strings.HasSuffix(said, "; the last: answered 400\n") {
		t.Errorf("said %q", said)
	}
}

// Key logs are read as they appear, grow, and are replaced.
func TestKeylogs(t *testing.T) {
	name := filepath.Join(t.TempDir(), "keys")
	k := newKeylogs([]string{name}, func(err error) { t.Error(err) })
	look := func(want string) {
		t.Helper()
		if got := string(k.more()); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	write := func(to, text string) {
		t.Helper()
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	look("")
	if len(k.missing()) != 1 {
		t.Error("it is not missing")
	}
	write(name, "one\ntw")
	look("one\n")
	write(name, "one\ntwo\n")
	look("two\n")
	look("")
	write(name+".new", "another\nthat is longer\n") // rotated
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
	look("another\nthat is longer\n")
	if len(k.missing()) != 0 {
		t.Error("it is missing")
	}
}

// The board stands below the lines, and is taken away while one is printed.
func TestScreenView(t *testing.T) {
	var out bytes.Buffer
	v := &screenView{w: &out, width: 80}
	v.draw()
	fault := errors.New("gone")
	write := (&teller{view: v}).around(func(o report.Object) error {
		io.WriteString(&out, "LINE\n")
		return fault
	})
	if err := write(report.Object{Finding: &report.Finding{}}); err != fault {
		t.Error(err)
	}
	board := strings.Join(v.board.Lines(80), "\r\n") + "\r\n"
	if want := board + "\x1b[2A\r\x1b[JLINE\n" + board; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// What cannot be told elsewhere is said when it begins and when it is over.
func TestOutage(t *testing.T) {
	var fault error
	var said []string
	o := outage{name: "--otlp", what: "spans", fault: func() error { return fault }}
	for _, now := range []error{nil, errors.New("answered 503"), errors.New("answered 500"), nil, nil} {
		fault = now
		o.look(func(err error) { said = append(said, err.Error()) })
	}
	if got := strings.Join(said, "\n"); got != "--otlp: spans are lost, and capturing goes on: answered 503\n--otlp: spans are sent again" {
		t.Errorf("said %q", said)
	}
}
