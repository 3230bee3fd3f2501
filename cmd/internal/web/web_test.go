package web

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcp401/cmd/internal/lag"
	"mcp401/samples"
)

// on serves with a configuration until the test ends, and returns the address.
func on(t *testing.T, cfg Config) (string, *Server) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(os.Getenv("TMPDIR")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return "http://" + l.Addr().String(), s
}

// ask sends a request with fields, and returns the status and the body.
func ask(t *testing.T, method, url string, body io.Reader, set ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(set); i += 2 {
		if set[i] == "Host" {
			r.Host = set[i+1]
		} else {
			r.Header.Add(set[i], set[i+1])
		}
	}
	c := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, string(b)
}

// form is files as a form.
func form(files ...string) (kind string, body io.Reader) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		p, _ := w.CreateFormFile("f", files[i]) // to memory: it cannot fail
		io.WriteString(p, files[i+1])
	}
	w.Close()
	return w.FormDataContentType(), &b
}

// begun posts files and returns the run's id.
func begun(t *testing.T, url string, files ...string) string {
	t.Helper()
	kind, body := form(files...)
	code, _, answer := ask(t, "POST", url+"/api/runs", body, "Content-Type", kind)
	var v struct{ ID string }
	if err := json.Unmarshal([]byte(answer), &v); err != nil || code != http.StatusCreated {
		t.Fatal(code, answer, err)
	}
	return v.ID
}

type state struct {
	State, Redacted string
	Done, Total     int64
	Error           *struct{ Text, Hint string }
}

// over waits for the end of a run.
func over(t *testing.T, url, id string) state {
	t.Helper()
	var v state
	for range 12000 {
		_, _, answer := ask(t, "GET", url+"/api/runs/"+id, nil)
		if err := json.Unmarshal([]byte(answer), &v); err != nil {
			t.Fatal(answer, err)
		}
		if v.State != "reading" {
			return v
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("not over in two minutes")
	return v
}

// Who is let through, of a browser's requests and of a program's.
func TestGuard(t *testing.T) {
	url, _ := on(t, Config{})
	host := strings.TrimPrefix(url, "http://")
	_, port, _ := net.SplitHostPort(host)
	for _, c := range []struct {
		method, path string
		want         int
		fields       string
	}{
		{"GET", "/", 200, ""},
		{"GET", "/", 200, "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate"}, // a link to the page
		{"GET", "/", 403, "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: no-cors"},
		{"GET", "/page.css", 200, "Sec-Fetch-Site: same-origin"},
		{"GET", "/page.css", 403, "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: no-cors"},
		{"GET", "/api/limits", 200, "Host: localhost:" + port},
		{"GET", "/api/limits", 200, "Host: LOCALHOST:" + port},
		{"GET", "/api/limits", 200, "Host: [::1]:" + port},
		{"GET", "/api/limits", 421, "Host: localhost"},
		{"GET", "/api/limits", 421, "Host: localhost:1"},
		{"GET", "/api/limits", 421, "Host: evil.example:" + port},
		{"GET", "/api/limits", 421, "Host: 127.0.0.1.evil.example:" + port},
		{"GET", "/api/limits", 421, "Host: localhost:" + port + ".evil.example"},
		{"GET", "/", 421, "Host: evil.example:" + port + "|Sec-Fetch-Mode: navigate"},
		{"GET", "/api/limits", 403, "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate"},
		{"GET", "/api/limits", 403, "Origin: http://evil.example"},
		{"POST", "/api/runs?sample=1", 201, ""},
		{"POST", "/api/runs?sample=1", 201, "Origin: " + url + "|Sec-Fetch-Site: same-origin"},
		{"POST", "/api/runs?sample=1", 201, "Sec-Fetch-Site: none"},
		{"POST", "/api/runs?sample=1", 403, "Origin: " + url + "|Sec-Fetch-Site: same-site"},
		{"POST", "/api/runs?sample=1", 403, "Origin: http://localhost:" + port}, // another origin than the one asked
		{"POST", "/api/runs?sample=1", 403, "Origin: null"},
		{"POST", "/api/runs?sample=1", 403, "Origin: file://" + host},
		{"POST", "/api/runs?sample=1", 403, "Origin: " + url + "|Origin: http://evil.example"},
		{"POST", "/api/runs?sample=1", 403, "Sec-Fetch-Site: cross-site|Sec-Fetch-Mode: navigate"},
		{"POST", "/?token=x", 404, ""},
		{"DELETE", "/api/runs/x", 403, "Origin: http://evil.example"},
		{"PUT", "/api/analyze", 405, ""},
		{"GET", "/api/analyze", 405, ""},
		{"HEAD", "/api/runs", 405, ""},
		{"OPTIONS", "/api/analyze", 405, ""},
		{"GET", "/engine/", 404, ""},
		{"GET", "/page.go", 404, ""},
		{"OPTIONS", "/api/analyze", 403, "Origin: http://evil.example|Access-Control-Request-Method: POST"},
	} {
		var set []string
		for _, f := range strings.Split(c.fields, "|") {
			name, value, _ := strings.Cut(f, ": ")
			if name != "" {
				set = append(set, name, value)
			}
		}
		code, head, answer := ask(t, c.method, url+c.path, nil, set...)
		if code != c.want {
			t.Errorf("%s %s %q: %d, want %d: %s", c.method, c.path, c.fields, code, c.want, answer)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store", "Access-Control-Allow-Origin": "",
		} {
			if got := head.Get(name); !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("%s %s: %s is %q", c.method, c.path, name, got)
			}
		}
		if got := head.Get("Allow"); (got == "POST") != (code == http.StatusMethodNotAllowed) {
			t.Errorf("%s %s: %d allows %q", c.method, c.path, code, got)
		}
		if code >= 400 && c.method != "HEAD" {
			var v struct{ Error struct{ Text, Hint string } }
			if err := json.Unmarshal([]byte(answer), &v); err != nil || v.Error.Text == "" {
				t.Errorf("%s %s: %d without a word: %s", c.method, c.path, code, answer)
			}
		}
	}
}

// With a token, nothing is to be had without it, and the URL gives a cookie.
func TestToken(t *testing.T) {
	url, _ := on(t, Config{Token: "secret"})
	for _, set := range [][]string{{}, {"Authorization", "Bearer secreT"}, {"Cookie", "mcp401-1=secret"}} {
		for _, path := range []string{"/", "/page.css", "/api/limits", "/?token=", "/?token=x", "/page.css?token=secret"} {
			if code, _, _ := ask(t, "GET", url+path, nil, set...); code != http.StatusUnauthorized {
				t.Errorf("%s %q: %d", path, set, code)
			}
		}
	}
	code, head, _ := ask(t, "GET", url+"/?token=secret", nil, "Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate")
	cookie := head.Get("Set-Cookie")
	if code != http.StatusSeeOther || head.Get("Location") != "/" || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") {
		t.Fatal(code, head)
	}
	pair, _, _ := strings.Cut(cookie, ";")
	for _, set := range [][]string{{"Cookie", pair}, {"Authorization", "Bearer secret"}} {
		if code, _, answer := ask(t, "GET", url+"/", nil, set...); code != 200 {
			t.Errorf("%q: %d %s", set, code, answer)
		}
	}
}

// A server that is bound to more than loopback knows the addresses that it is
// reached at, and no other.
func TestOpenGuard(t *testing.T) {
	g := newGuard(nil, &net.TCPAddr{IP: net.IPv4zero, Port: 80}, "t")
	r, _ := http.NewRequest("GET", "/", nil)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(10, 0, 0, 5), Port: 80}))
	for host, want := range map[string]bool{"localhost": true, "localhost:80": true, "10.0.0.5:80": true, "10.0.0.6:80": false, "0.0.0.0:80": false, "evil.example": false, "": false} {
		if r.Host = host; g.named(r) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}

// A document is saved, never shown as a page of this origin.
func TestDocuments(t *testing.T) {
	url, _ := on(t, Config{})
	id := begun(t, url, "tour.pcap", string(samples.Tour))
	if v := over(t, url, id); v.State != "done" || v.Done != v.Total || v.Total != int64(len(samples.Tour)) || v.Redacted != "redacted.pcap" {
		t.Errorf("%+v", v)
	}
	for _, name := range []string{"report.html", "report.sarif", "report.md", "report.csv", "report.xml", "report.jsonl", "redacted"} {
		code, head, body := ask(t, "GET", url+"/api/runs/"+id+"/"+name, nil)
		if code != 200 || len(body) == 0 || !strings.HasPrefix(head.Get("Content-Disposition"), "attachment; filename=") || !strings.HasPrefix(head.Get("Content-Security-Policy"), "sandbox; default-src 'none'") {
			t.Errorf("%s: %d, %d bytes, %v", name, code, len(body), head)
		}
		if _, _, again := ask(t, "GET", url+"/api/runs/"+id+"/"+name, nil); again != body {
			t.Errorf("%s: asked again, it is another", name)
		}
		if code, _, part := ask(t, "GET", url+"/api/runs/"+id+"/"+name, nil, "Range", "bytes=10-19"); code != http.StatusPartialContent || part != body[10:20] {
			t.Errorf("%s: a part of it: %d %q", name, code, part)
		}
	}
	for _, name := range []string{"report.exe", "report", "report.", "view.html", "..", "redacted.pcap"} {
		if code, _, _ := ask(t, "GET", url+"/api/runs/"+id+"/"+name, nil); code == 200 {
			t.Errorf("%s is there", name)
		}
	}
}

// What cannot be analysed is said in words, and of a run there is nothing else.
func TestFailed(t *testing.T) {
	url, _ := on(t, Config{})
	id := begun(t, url, `..\x\<b>.txt`, "hello")
	v := over(t, url, id)
	if v.State != "failed" || v.Error == nil || !strings.HasPrefix(v.Error.Text, "<b>.txt: ") {
		t.Errorf("%+v", v)
	}
	if code, _, answer := ask(t, "GET", url+"/api/runs/"+id+"/report.json", nil); code != http.StatusUnprocessableEntity {
		t.Errorf("its report: %d %s", code, answer)
	}
	if code, _, answer := ask(t, "POST", url+"/api/analyze", strings.NewReader("hello")); code != http.StatusUnprocessableEntity || !strings.Contains(answer, `"the upload: `) {
		t.Errorf("%d %s", code, answer)
	}
	if code, _, answer := ask(t, "POST", url+"/api/analyze?format=exe", bytes.NewReader(samples.Tour)); code != http.StatusBadRequest || !strings.Contains(answer, "markdown") {
		t.Errorf("%d %s", code, answer)
	}
	id = begun(t, url, "a.pcap", string(samples.Tour), "b.pcap", string(samples.Tour))
	if v := over(t, url, id); v.State != "done" || v.Redacted != "" {
		t.Errorf("%+v", v)
	}
	if code, _, answer := ask(t, "GET", url+"/api/runs/"+id+"/redacted", nil); code != http.StatusConflict {
		t.Errorf("of two captures: %d %s", code, answer)
	}
}

// An analysis is ended when it takes too long, and when it is deleted.
func TestLong(t *testing.T) {
	long := string(samples.Tour[:24]) + strings.Repeat(string(samples.Tour[24:]), 200)
	url, _ := on(t, Config{Limits: Limits{Analysis: time.Millisecond}})
	id := begun(t, url, "long.pcap", long)
	if v := over(t, url, id); v.State != "failed" || v.Error.Text != "the analysis takes longer than 1ms" {
		t.Errorf("%+v", v)
	}
	url, s := on(t, Config{})
	id = begun(t, url, "long.pcap", long)
	if code, _, _ := ask(t, "DELETE", url+"/api/runs/"+id, nil); code != http.StatusNoContent {
		t.Error(code)
	}
	for range 12000 {
		s.queue.mu.Lock()
		left := s.queue.begun
		s.queue.mu.Unlock()
		if left == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.runs.mu.Lock()
	defer s.runs.mu.Unlock()
	if s.runs.size != 0 || len(s.runs.all) != 0 {
		t.Errorf("%d bytes of %d runs are left", s.runs.size, len(s.runs.all))
	}
}

// The oldest run goes for a new one, by number, by size and by age, and never
// one that is read.
func TestRunsAreForgotten(t *testing.T) {
	url, s := on(t, Config{Limits: Limits{Runs: 2, Kept: 1200 << 10}})
	small := string(samples.Tour)
	first := begun(t, url, "a", small)
	over(t, url, first)
	second := begun(t, url, "b", small)
	over(t, url, second)
	over(t, url, first) // asked for: now the second is the oldest
	third := begun(t, url, "c", small)
	over(t, url, third)
	there := func(id string, want bool) {
		t.Helper()
		if code, _, _ := ask(t, "GET", url+"/api/runs/"+id, nil); (code == 200) != want {
			t.Errorf("%s: %d, want it there: %v", id, code, want)
		}
	}
	there(first, true)
	there(second, false)
	there(third, true)
	held := s.runs.get(first)
	there(third, true) // now the first is the oldest, whose bytes count until it is read
	fourth := begun(t, url, "d", small+strings.Repeat("x", 700<<10))
	over(t, url, fourth)
	there(first, false)
	there(third, false)
	if b, err := io.ReadAll(held.files[0].reader()); err != nil || string(b) != small {
		t.Errorf("what is read was closed: %d bytes, %v", len(b), err)
	}
	s.runs.release(held)
	s.runs.expire(time.Now().Add(7 * time.Hour))
	there(fourth, true)
	s.runs.expire(time.Now().Add(9 * time.Hour))
	there(fourth, false)
	if s.runs.size != 0 {
		t.Errorf("%d bytes are counted of nothing", s.runs.size)
	}
	if code, _, answer := ask(t, "POST", url+"/api/analyze", strings.NewReader(strings.Repeat("x", 2<<20))); code != http.StatusInsufficientStorage {
		t.Errorf("more than there is room for: %d %s", code, answer)
	}
}

// A full disk is said.
func TestDiskIsFull(t *testing.T) {
	url, s := on(t, Config{})
	if _, ok := freeBytes(os.TempDir()); !ok {
		t.Skip("this system does not say how much of a disk is free")
	}
	s.files.free = 1 << 60
	if code, _, answer := ask(t, "POST", url+"/api/analyze", bytes.NewReader(samples.Tour)); code != http.StatusInsufficientStorage || !strings.Contains(answer, "TMPDIR") {
		t.Errorf("%d %s", code, answer)
	}
}

// A slow upload is ended, one that keeps its rate is not, and neither is one
// that takes longer than the time of a pause.
func TestPace(t *testing.T) {
	url, _ := on(t, Config{Limits: Limits{Patience: 300 * time.Millisecond, Rate: 1 << 10, Upload: 2 * time.Second}})
	drip := func(size int, every, whole time.Duration) (int, string) {
		r, w := io.Pipe()
		go func() {
			for end := time.Now().Add(whole); time.Now().Before(end); time.Sleep(every) {
				if _, err := w.Write(make([]byte, size)); err != nil {
					return
				}
			}
			w.Close()
		}()
		code, _, answer := ask(t, "POST", url+"/api/analyze", r)
		return code, answer
	}
	for _, c := range []struct {
		name   string
		size   int
		whole  time.Duration
		status int
		says   string
	}{
		{"50 bytes a second", 1, 3 * time.Second, http.StatusRequestTimeout, "too slow"},
		{"50 KiB a second, for a second", 1 << 10, time.Second, http.StatusUnprocessableEntity, ""},
		{"50 KiB a second, without end", 1 << 10, time.Minute, http.StatusRequestTimeout, "longer than 2s"},
	} {
		for try := 1; ; try++ {
			since := lag.Measure()
			code, answer := drip(c.size, 20*time.Millisecond, c.whole)
			late := since()
			if code == c.status && strings.Contains(answer, c.says) {
				break
			}
			// Who is slow because the machine is has more tries.
			if late < 100*time.Millisecond || try == 20 {
				t.Errorf("%s: %d %s; the machine was %v late", c.name, code, answer, late)
				break
			}
		}
	}
}

// A body that nobody reads keeps no connection, and one that was read leaves it
// for the next request.
func TestUnwantedBody(t *testing.T) {
	url, _ := on(t, Config{})
	host := strings.TrimPrefix(url, "http://")
	c, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /nothing HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\nx", host)
	start := time.Now()
	c.SetReadDeadline(start.Add(time.Minute))
	if b, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 404 ") {
		t.Errorf("after %s: %q, %v", time.Since(start), b, err)
	}
	if c, err = net.Dial("tcp", host); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for range 2 {
		fmt.Fprintf(c, "POST /api/analyze HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", host, len(samples.Tour), samples.Tour)
		answer, err := http.ReadResponse(in, nil)
		if err != nil || answer.StatusCode != 200 {
			t.Fatal(answer, err)
		}
		io.Copy(io.Discard, answer.Body)
		time.Sleep(politeWait + 500*time.Millisecond)
	}
}

// Places are bounded, of each client and of all; analyses run in order, one of
// a client at once.
func TestQueue(t *testing.T) {
	q := newQueue(Limits{Running: 2, Begun: 5, ByClient: 3}.withDefaults())
	take := func(client string, want int) *place {
		t.Helper()
		p, err := q.take(client)
		var f *fault
		if errors.As(err, &f) && f.status != want || err == nil && want != 0 {
			t.Errorf("a place of %s: %v, want %d", client, err, want)
		}
		return p
	}
	a1, a2, a3 := take("a", 0), take("a", 0), take("a", 0)
	take("a", http.StatusTooManyRequests)
	b1, c1 := take("b", 0), take("c", 0)
	take("d", http.StatusServiceUnavailable)
	runs := func(p *place) bool {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		p.wait(over) // to be in the queue
		select {
		case <-p.turn:
			return true
		default:
			return false
		}
	}
	if !runs(a1) || runs(a2) || !runs(b1) || runs(c1) {
		t.Error("not one of a and one of b")
	}
	a1.leave()
	select {
	case <-a2.turn:
	default:
		t.Error("a's first is done, and the second does not run")
	}
	b1.leave()
	a3.leave() // without having waited
	select {
	case <-c1.turn:
	default:
		t.Error("c does not run")
	}
	a2.leave()
	c1.leave()
	if q.begun != 0 || len(q.clients) != 0 || len(q.running) != 0 || len(q.waiting) != 0 {
		t.Errorf("%+v", q)
	}
}

func TestShownName(t *testing.T) {
	for in, want := range map[string]string{
		"a.har": "a.har", "../../etc/passwd": "passwd", `C:\x\y.pcap`: "y.pcap", "": "unnamed", "..": "unnamed", "x/": "unnamed", "-": "-",
		"a\x00\x1b[2Jb\u202ec": "a\uFFFD\uFFFD[2Jb\uFFFDc", "\xff.har": "\uFFFD.har", "<b>": "<b>", strings.Repeat("ä", 300): strings.Repeat("ä", 200) + "…",
	} {
		if got := shownName(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestClient(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:5": "127.0.0.1", "[::1]:5": "::1", "[::ffff:10.0.0.1]:5": "10.0.0.1", "[2001:db8::1]:5": "2001:db8::/64", "[fe80::1%eth0]:5": "fe80::/64", "": "",
	} {
		if got := client(&http.Request{RemoteAddr: in}); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Every format of a report can be had.
func TestKinds(t *testing.T) {
	url, _ := on(t, Config{})
	for _, k := range kinds {
		if code, head, body := ask(t, "POST", url+"/api/analyze?format="+k.format, bytes.NewReader(samples.Tour)); code != 200 || len(body) < 1000 || head.Get("Content-Type") != k.mime {
			t.Errorf("%s: %d, %d bytes, %v", k.format, code, len(body), head)
		}
	}
}

// A copy under a name, where a system gives open files none, is as good.
func TestCopied(t *testing.T) {
	_, s := on(t, Config{})
	f, err := s.files.create(func(int64) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	fmt.Fprint(f, "hello")
	name, forget, err := s.files.copied(f)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "hello" || filepath.Dir(name) != s.files.dir {
		t.Errorf("%q, %v", b, err)
	}
	forget()
	if list, _ := os.ReadDir(s.files.dir); len(list) != 1 {
		t.Errorf("beside the lock: %v", list)
	}
}
