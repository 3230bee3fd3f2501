package live

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"mcp401/capture"
	"mcp401/cmd/internal/pipeline"
	"mcp401/rules/report"
)

// scrape returns what Prometheus gets.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	answer, err := http.Get("http://" + m.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != 200 {
		t.Fatal(answer.Status, err)
	}
	return string(b)
}

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	if err := m.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for range 2 {
		m.Case(swallowed("bad"))
	}
	m.Case(listed("good"))
	m.Beat(pipeline.Beat{Records: 40, Open: 1, Connections: 7, Lost: report.Lost{CaptureDrops: 2, UndecryptedFlows: 3}, Limits: map[string]int{"body": 4}})
	got := scrape(t, m)
	for _, want := range []string{
		`mcp401_calls_total{cause="token-rejected",server="bad",verdict="swallowed-401"} 2`,
		`mcp401_calls_total{cause="",server="good",verdict="listed"} 1`,
		`mcp401_upstream_answers_total{server="bad",status="none"} 2`,
		`mcp401_client_latency_seconds_bucket{le="0.025"} 3`,
		`mcp401_upstream_latency_seconds_bucket{le="0.0025"} 0`,
		`mcp401_upstream_latency_seconds_count 3`,
		"mcp401_packets_total 40", "mcp401_capture_drops_total 2", "mcp401_undecrypted_connections_total 3", `mcp401_limits_total{limit="body"} 4`,
		"mcp401_open_calls 1", "mcp401_open_connections 7",
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	second := NewMetrics()
	if err := second.Listen(m.Addr().String()); err == nil || err.Error() != "--metrics "+m.Addr().String()+": bind: address already in use" {
		t.Errorf("a port in use: %v", err)
	}
}

// What Prometheus gets is what its own parser reads, in both formats, and its
// linter has nothing to say of the names.
func TestExposition(t *testing.T) {
	m := NewMetrics()
	if err := m.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	m.State(State{
		Capture: func() capture.LiveStats { return capture.LiveStats{Freezes: 9} },
		Links:   func() map[string]bool { return map[string]bool{"eth0": true, "eth1": false} },
		Written: func() (int64, int64, int64, int64) { return 1, 2, 3, 4 },
	})
	w, err := NewWebhook("http://127.0.0.1:1/", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(0)
	m.Webhook(w)
	m.Case(swallowed("bad \"quoted\"\\ \n name"))
	m.Beat(pipeline.Beat{Records: 40, Limits: map[string]int{"flows": 4, "body": 1}})
	text := scrape(t, m)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, %+v", err, problems)
	}
	for _, want := range []string{
		"mcp401_capture_freezes_total 9", `mcp401_interface_up{interface="eth0"} 1`, `mcp401_interface_up{interface="eth1"} 0`,
		"mcp401_written_frames_total 1", "mcp401_write_lost_frames_total 2", "mcp401_write_cut_connections_total 7",
		`mcp401_limits_total{limit="body"} 1`, `mcp401_limits_total{limit="flows"} 4`, "mcp401_webhook_failures_total 0",
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	if runtime.GOOS == "linux" && !strings.Contains(text, "\nprocess_resident_memory_bytes ") {
		t.Error("the memory in use is missing")
	}
	r, _ := http.NewRequest("GET", "http://"+m.Addr().String()+"/metrics", nil)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, _ := io.ReadAll(answer.Body)
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text") || !strings.HasSuffix(string(b), "\n# EOF\n") {
		t.Errorf("%s, ends %q", kind, b[max(0, len(b)-20):])
	}
}

// Names from the traffic do not grow the number of series without bound.
func TestLabelsAreBounded(t *testing.T) {
	m := NewMetrics()
	if err := m.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i := range 1000 {
		m.Case(swallowed(fmt.Sprint("made-up-", i)))
	}
	got := scrape(t, m)
	if n := strings.Count(got, "\nmcp401_calls_total{"); n != labelsKept+1 {
		t.Errorf("%d series", n)
	}
	if !strings.Contains(got, fmt.Sprintf(`server="(others)",status="none"} %d`, 1000-labelsKept)) {
		t.Error("the others are not counted")
	}
}

// write tells w of a finding.
func write(w *Webhook, fingerprint string, after time.Duration) {
	w.Write(report.Object{Case: &report.Case{Frame: 7, Time: report.Time{Time: zero.Add(after)}, HTTPMethod: "POST", Path: "/<!channel>", Client: "10.0.0.1:5"}})
	w.Write(report.Object{Finding: &report.Finding{Rule: "swallowed-401", Text: "a hid", Fingerprint: fingerprint}})
}

// newTestHook tries for 400 ms, and waits 1 ms before the second try.
func newTestHook(t *testing.T, url string) *Webhook {
	t.Helper()
	s, err := newSender(url, http.Header{"Content-Type": {"application/json"}}, 400*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	s.wait = time.Millisecond
	return newWebhook(s, 10*time.Minute)
}

// A kind of finding is posted once in a while, and again when the other side
// was not well.
func TestWebhook(t *testing.T) {
	var got []string
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked++; asked <= 2 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.Case.Frame != 7 || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v, %+v", err, m)
		}
		got = append(got, m.Text)
	}))
	defer s.Close()
	w := newTestHook(t, s.URL)
	w.sender.limit = time.Minute
	write(w, "one", 0)
	write(w, "one", time.Minute)
	write(w, "two", 2*time.Minute)
	write(w, "one", 11*time.Minute)
	if err := w.Close(10 * time.Second); err != nil {
		t.Error(err)
	}
	if len(got) != 3 || asked != 5 || !strings.Contains(got[0], "swallowed-401  frame 7  a hid  (POST /&lt;!channel&gt;,") || !strings.Contains(got[2], "[1 more like it before]") {
		t.Errorf("%d requests: %q", asked, got)
	}
}

// What cannot be sent is counted. The URL, which may hold a secret, is in no
// error.
func TestWebhookFailures(t *testing.T) {
	for _, c := range []struct {
		status int
		again  bool
	}{{404, false}, {302, false}, {501, false}, {500, true}, {408, true}, {429, true}} {
		var asked atomic.Int64
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
		}))
		w := newTestHook(t, s.URL+"/s3cret")
		write(w, "one", 0)
		err := w.Close(10 * time.Second)
		if err == nil || !strings.Contains(err.Error(), "1 failed") || !strings.HasSuffix(err.Error(), fmt.Sprintf("answered %d", c.status)) || w.Failures() != 1 {
			t.Errorf("%d: %v", c.status, err)
		}
		if n := asked.Load(); c.again != (n > 2) || !c.again && n != 1 {
			t.Errorf("%d: %d requests", c.status, n)
		}
		s.Close()

		w = newTestHook(t, s.URL+"/s3cret") // nobody listens any more
		write(w, "one", 0)
		if err := w.Close(10 * time.Second); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("nobody listens: %v", err)
		}
	}
	for _, bad := range []string{"", "s3cret", "ftp://host/s3cret", "http:///s3cret", "http://[s3cret"} {
		if _, err := NewWebhook(bad, 0); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// A finding whose message was lost is told of when it is found again, and not
// only after every.
func TestWebhookSaysTheLostAgain(t *testing.T) {
	var well atomic.Bool
	texts := make(chan string, 8)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !well.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		texts <- m.Text
	}))
	defer s.Close()
	w := newTestHook(t, s.URL)
	write(w, "one", 0)
	for until := time.Now().Add(time.Minute); w.Failures() == 0 || len(w.lost) == 0; {
		if time.Now().After(until) {
			t.Fatal("it does not fail")
		}
		time.Sleep(time.Millisecond)
	}
	well.Store(true)
	write(w, "one", time.Minute)
	write(w, "one", 2*time.Minute)
	if err := w.Close(10 * time.Second); err == nil || !strings.Contains(err.Error(), "1 messages sent, 1 failed") {
		t.Error(err)
	}
	if got := <-texts; len(texts) != 0 || !strings.Contains(got, "[1 more like it before]") {
		t.Errorf("%s, and %d more", got, len(texts))
	}
}

// The other side says how long it wants to be left alone.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	for field, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-7": 0, "7.5": 0, "soon": 0, "99999999999999999999": 0,
		"Wed, 25 Nov 2026 08:00:30 GMT": 30 * time.Second, "Wed, 25 Nov 2026 07:00:00 GMT": 0,
	} {
		if got := retryAfter(field, now); got != want {
			t.Errorf("%q: %v, want %v", field, got, want)
		}
	}
	var times []time.Time
	again := "1"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if times = append(times, time.Now()); len(times) == 1 {
			w.Header().Set("Retry-After", again)
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	defer s.Close()
	sender, err := newSender(s.URL, nil, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	sender.wait = time.Millisecond
	if _, err := sender.send(t.Context(), []byte("x")); err != nil || len(times) != 2 || times[1].Sub(times[0]) < time.Second {
		t.Errorf("%v, asked at %v", err, times)
	}
	// Longer than it would be tried for: it is given up at once.
	times, again, sender.limit = nil, "60", 50*time.Second
	began := time.Now()
	if _, err := sender.send(t.Context(), []byte("x")); err == nil || time.Since(began) > 40*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// The wait grows, is bounded, and is not the same for everybody.
func TestBackoff(t *testing.T) {
	for n := range 100 {
		full := longWait
		if n < 6 {
			full = firstWait << n
		}
		seen := map[time.Duration]bool{}
		for range 50 {
			wait := backoff(firstWait, n)
			if wait < full/2 || wait > full {
				t.Fatalf("%v after %d tries", wait, n+1)
			}
			seen[wait] = true
		}
		if len(seen) < 10 {
			t.Errorf("%d waits in 50 after %d tries", len(seen), n+1)
		}
	}
}

// A server that does not answer holds up nobody: what does not fit in the queue
// is dropped, and the end waits for so long only.
func TestWebhookNeverBlocks(t *testing.T) {
	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer s.Close()
	defer close(hang)
	w := newTestHook(t, s.URL)
	start := time.Now()
	for i := range 10 * queued {
		write(w, fmt.Sprint(i), 0)
	}
	err := w.Close(50 * time.Millisecond)
	if took := time.Since(start); took > time.Minute {
		t.Errorf("took %v", took)
	}
	if n := w.dropped.Load(); err == nil || n < 9*queued-1 || w.Failures() != 10*queued {
		t.Errorf("%d dropped, %d lost: %v", n, w.Failures(), err)
	}
}
