package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"mcp401/samples"
)

var hostile = flag.Bool("hostile", false, "send whole gigabytes to serve: minutes, and 10 GB of disk")

// serveBound is what the server may take of memory, whatever comes.
const serveBound = 512 << 20

// peak is the most memory that a process had at any time.
func (s *served) peak(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no VmHWM in %s", b)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// guard ends the server where it takes far too much, before the machine has
// none left.
func (s *served) guard(t *testing.T) {
	go func() {
		for t.Context().Err() == nil {
			time.Sleep(50 * time.Millisecond)
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
			f := strings.Fields(string(b))
			if err != nil || len(f) < 2 {
				return
			}
			if pages, err := strconv.ParseInt(f[1], 10, 64); err == nil && pages*int64(os.Getpagesize()) > 2*serveBound {
				s.cmd.Process.Kill()
				return
			}
		}
	}()
}

// forget lets the next peak be measured from now on.
func (s *served) forget(t *testing.T) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}

// A stream is n bytes of what fill gives, without holding them.
func stream(n int64, piece []byte) io.Reader {
	return io.LimitReader(&endless{piece: piece}, n)
}

// A gate is nothing to read, and is over when it is opened.
type gate struct{ open chan struct{} }

func (g *gate) Read([]byte) (int, error) {
	select {
	case <-g.open:
	case <-time.After(time.Minute):
	}
	return 0, io.EOF
}

type endless struct {
	piece []byte
	at    int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], e.piece[e.at:])
		e.at = (e.at + c) % len(e.piece)
		n += c
	}
	return n, nil
}

// do sends a request and tells how it was answered: the status, and the text of
// an error or the beginning of what came.
func (s *served) do(t *testing.T, r *http.Request) string {
	t.Helper()
	d := net.Dialer{}
	if from := r.Header.Get("Test-From"); from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	// To who asks to be disconnected the server owes no reading of the rest of a
	// body, and the answer may be lost.
	tr := &http.Transport{DisableCompression: true, DialContext: d.DialContext}
	defer tr.CloseIdleConnections()
	answer, err := tr.RoundTrip(r)
	if err != nil {
		return "connection closed: " + regexp.MustCompile(`:[0-9]{5}`).ReplaceAllString(err.Error(), ":")
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	if err != nil {
		return fmt.Sprintf("%d, and broken off", answer.StatusCode)
	}
	var e struct {
		Error   struct{ Text, Hint string }
		Cases   []json.RawMessage
		Summary *struct{ Records int }
		Notes   []struct{ Code string }
	}
	switch json.Unmarshal(b, &e); {
	case e.Error.Text != "":
		return fmt.Sprintf("%d %s", answer.StatusCode, e.Error.Text)
	case e.Summary != nil:
		var codes []string
		for _, n := range e.Notes {
			codes = append(codes, n.Code)
		}
		return fmt.Sprintf("%d, %d records, %d cases %s", answer.StatusCode, e.Summary.Records, len(e.Cases), strings.Join(codes, " "))
	}
	return fmt.Sprintf("%d %.100q", answer.StatusCode, b)
}

// ask is a POST of body to the API.
func (s *served) ask(t *testing.T, body io.Reader, set ...string) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url+"api/analyze", body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(set); i += 2 {
		if set[i] == "Host" {
			r.Host = set[i+1]
		} else {
			r.Header.Set(set[i], set[i+1])
		}
	}
	return s.do(t, r)
}

func gz(r io.Reader) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	io.Copy(w, r)
	w.Close()
	return b.Bytes()
}

func zst(r io.Reader, window int) []byte {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	io.Copy(w, r)
	w.Close()
	return b.Bytes()
}

// packets is an endless pcap: the sample's packets again and again.
func packets(n int64) io.Reader {
	return io.MultiReader(bytes.NewReader(samples.Tour[:24]), stream(n, samples.Tour[24:]))
}

// flood is an endless pcap of connections that are opened and never closed.
func flood(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		b := bufio.NewWriterSize(w, 1<<20)
		b.Write(samples.Tour[:20])
		binary.Write(b, binary.LittleEndian, uint32(101)) // raw IP
		for i := range n {
			ip := make([]byte, 40)
			ip[0], ip[3], ip[8], ip[9] = 0x45, 40, 64, 6
			binary.BigEndian.PutUint32(ip[12:], uint32(10<<24|i>>8))
			binary.BigEndian.PutUint32(ip[16:], 0x7f000001)
			binary.BigEndian.PutUint16(ip[20:], uint16(1024+i%50000))
			binary.BigEndian.PutUint16(ip[22:], 4000)
			binary.BigEndian.PutUint32(ip[24:], uint32(i))
			ip[32], ip[33] = 0x50, 2
			binary.Write(b, binary.LittleEndian, []uint32{uint32(1700000000 + i/100000), uint32(i % 100000), 40, 40})
			b.Write(ip)
		}
		b.Flush()
		w.Close()
	}()
	return r
}

// Pieces of streams.
var (
	as    = bytes.Repeat([]byte("a"), 1<<16)
	zeros = bytes.Repeat(append(make([]byte, 8), 0, 0, 1, 0, 0, 0, 1, 0), 16) // as packets of 64 KiB
)

const markup = `<script>alert(1)</script><img src=x onerror=alert(1)>"'\"><!--]]>` + "\u202e\u0000\u001b[2J"

// marked is a HAR with markup in every string.
func marked(t *testing.T) string {
	type m map[string]any
	field := func(name, value string) m { return m{"name": name, "value": value + markup, "comment": markup} }
	rpc := func(v m) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	entry := m{
		"startedDateTime": "2026-01-01T00:00:00Z", "time": 5, "pageref": markup, "connection": markup, "serverIPAddress": markup, "comment": markup,
		"request": m{
			"method": "POST", "url": "http://gw.example:4000/mcp/%3Cscript%3E<script>alert(1)</script>?x=<img/src/onerror=alert(1)>", "httpVersion": markup,
			"headers":  []m{field("x-mcp-servers", "s"), field("Authorization", "Bearer "), field("Accept", "application/json, text/event-stream"), {"name": "content-type", "value": "application/json"}},
			"postData": m{"mimeType": "application/json", "text": rpc(m{"jsonrpc": "2.0", "id": markup, "method": "tools/list"})},
		},
		"response": m{
			"status": 200, "statusText": markup, "httpVersion": markup, "headers": []m{{"name": "content-type", "value": "application/json"}, field("x-mcp-debug-outbound-url", "http://up.example/<script>")},
			"content": m{"mimeType": "application/json", "text": rpc(m{"jsonrpc": "2.0", "id": markup, "result": m{"tools": []string{}, "_meta": m{"litellm.ai/server_outcomes": []m{{"server": markup, "status": markup, "error": markup}}}}})},
		},
		"timings": m{"wait": 1},
	}
	return rpc(m{"log": m{"version": "1.2", "creator": m{"name": markup, "version": markup}, "entries": []m{entry}}})
}

// A case is what is sent, and what comes back: a regular expression.
type hostileCase struct {
	name string
	send func(*testing.T, *served) string
	want string
}

var hostileCases = []hostileCase{
	{"wrong Host", func(t *testing.T, s *served) string {
		return s.ask(t, bytes.NewReader(samples.Tour), "Host", "rebound.example:80")
	}, `^421 this is not the name`},
	{"no Host", func(t *testing.T, s *served) string {
		return s.raw(t, "POST /api/analyze HTTP/1.0\r\nContent-Length: 0\r\n\r\n")
	}, `^HTTP/1.. 421 `},
	{"POST of another origin", func(t *testing.T, s *served) string {
		return s.ask(t, bytes.NewReader(samples.Tour), "Origin", "https://evil.example")
	}, `^403 a page of another site`},
	{"POST of another port of this machine", func(t *testing.T, s *served) string {
		return s.ask(t, bytes.NewReader(samples.Tour), "Origin", "http://127.0.0.1:1")
	}, `^403 a page of another site`},
	{"POST of a sandboxed frame", func(t *testing.T, s *served) string {
		return s.ask(t, bytes.NewReader(samples.Tour), "Origin", "null")
	}, `^403 a page of another site`},
	{"Sec-Fetch-Site: cross-site", func(t *testing.T, s *served) string {
		return s.ask(t, bytes.NewReader(samples.Tour), "Sec-Fetch-Site", "cross-site")
	}, `^403 a page of another site`},
	{"paths that climb", func(t *testing.T, s *served) string {
		return s.raw(t, "GET /../../../../etc/passwd HTTP/1.1\r\nHost: "+s.host()+"\r\nConnection: close\r\n\r\n") +
			s.raw(t, "GET /api/runs/..%2f..%2fetc%2fpasswd/report.json HTTP/1.1\r\nHost: "+s.host()+"\r\nConnection: close\r\n\r\n")
	}, `^HTTP/1.1 (404|307).*HTTP/1.1 404`},
	{"a head of 1 MB", func(t *testing.T, s *served) string {
		return s.ask(t, nil, "X-Long", strings.Repeat("a", 1<<20))
	}, `^431|closed`},
	{"an upload that says it has 5 GB", func(t *testing.T, s *served) string {
		return s.raw(t, "POST /api/analyze HTTP/1.1\r\nHost: "+s.host()+"\r\nContent-Length: 5368709120\r\n\r\n")
	}, `^HTTP/1.1 413 .*larger than`},
	{"an upload that grows beyond the bound", func(t *testing.T, s *served) string {
		n := int64(300 << 20)
		if *hostile {
			n = 5 << 30
		}
		return s.ask(t, packets(n))
	}, `^413 the upload is larger than|closed`},
	{"10,000 parts", func(t *testing.T, s *served) string {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for i := range 10000 {
			p, _ := w.CreateFormFile("f", fmt.Sprint(i))
			io.WriteString(p, "x")
		}
		w.Close()
		return s.ask(t, &b, "Content-Type", w.FormDataContentType())
	}, `^413 more than 64 files`},
	{"a part with a head of 1 MB", func(t *testing.T, s *served) string {
		return s.ask(t, strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\""+strings.Repeat("a", 1<<20)+"\"\r\n\r\nx\r\n--b--\r\n"), "Content-Type", "multipart/form-data; boundary=b")
	}, `^431 `},
	{"a form that never begins", func(t *testing.T, s *served) string {
		return s.ask(t, stream(8<<20, []byte("\r\nx")), "Content-Type", "multipart/form-data; boundary=b")
	}, `^4(31|00) `},
	{"a form that breaks off", func(t *testing.T, s *served) string {
		return s.ask(t, strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\nx"), "Content-Type", "multipart/form-data; boundary=b")
	}, `^400 the upload is no whole`},
	{"nothing", func(t *testing.T, s *served) string { return s.ask(t, nil) }, `^400 no file`},
	{"a slow upload, and a slow head", func(t *testing.T, s *served) string {
		head := make(chan string)
		go func() { head <- s.drip("POST /api/analyze HTTP/1.1\r\n", 500*time.Millisecond) }()
		upload := s.drip("POST /api/analyze HTTP/1.1\r\nHost: "+s.host()+"\r\nContent-Length: 100000\r\n\r\n", 500*time.Millisecond)
		return upload + " | " + <-head
	}, `^HTTP/1.1 408 .*too slow.* \| (HTTP/1.1 4.*)?$`},
	{"a gzip of nothing but zeros, 1000 to 1", func(t *testing.T, s *served) string {
		return s.ask(t, bytes.NewReader(gz(stream(large(256<<20, 4<<30), zeros))))
	}, `^422 .*: not a (capture|known)`},
	{"a gzip that is a capture without end", func(t *testing.T, s *served) string {
		return s.ask(t, bytes.NewReader(gz(io.MultiReader(bytes.NewReader(samples.Tour[:24]), stream(large(256<<20, 4<<30), zeros)))))
	}, `^(200|422)`},
	{"a zstd with a window of 128 MiB", func(t *testing.T, s *served) string {
		return s.ask(t, bytes.NewReader(zst(packets(140<<20), 128<<20)))
	}, `^200, \d+ records`},
	{"four of them at once", func(t *testing.T, s *served) string {
		b := zst(packets(140<<20), 128<<20)
		return s.atOnce(t, 4, func() string { return s.ask(t, bytes.NewReader(b)) })
	}, `^4 x 200`},
	{"two clients at once, with one each", func(t *testing.T, s *served) string {
		b := zst(packets(140<<20), 128<<20)
		var n atomic.Int32
		return s.atOnce(t, 2, func() string {
			return s.ask(t, bytes.NewReader(b), "Test-From", fmt.Sprintf("127.0.0.%d", 1+n.Add(1)))
		})
	}, `^2 x 200`},
	{"a zstd with a window of 512 MiB", func(t *testing.T, s *served) string {
		return s.ask(t, bytes.NewReader(zst(packets(64<<20), 512<<20)))
	}, `^(200|422) `},
	{"a gzip in a gzip in a gzip in a gzip in a gzip", func(t *testing.T, s *served) string {
		b := samples.Tour
		for range 5 {
			b = gz(bytes.NewReader(b))
		}
		return s.ask(t, bytes.NewReader(b))
	}, `^422 .*compressed more than three times over`},
	{"a zip with a bomb as HAR and names that climb", func(t *testing.T, s *served) string {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, _ := w.Create("../../../etc/cron.d/x.har")
		io.WriteString(f, `{"log":{"entries":[{"request":{"url":"`)
		io.Copy(f, stream(large(256<<20, 4<<30), as))
		w.Close()
		return s.ask(t, &b)
	}, `^(200|422)`},
	{"a HAR nested 100,000 deep", func(t *testing.T, s *served) string {
		return s.ask(t, strings.NewReader(`{"log":{"x":`+strings.Repeat("[", 100000)+strings.Repeat("]", 100000)+`,"entries":[]}}`))
	}, `^422 .*nested too deeply`},
	{"a HAR with an entry nested 100,000 deep", func(t *testing.T, s *served) string {
		return s.ask(t, strings.NewReader(`{"log":{"entries":[{"x":`+strings.Repeat(`{"a":`, 100000)+strings.Repeat("}", 100000)+`}]}}`))
	}, `^422 .*nested too deeply`},
	{"a HAR whose body is JSON nested 100,000 deep", func(t *testing.T, s *served) string {
		return s.ask(t, strings.NewReader(`{"log":{"entries":[{"startedDateTime":"2026-01-01T00:00:00Z","request":{"method":"POST","url":"http://gw:4000/mcp/","headers":[{"name":"content-type","value":"application/json"}],"postData":{"mimeType":"application/json","text":"`+
			strings.Repeat(`{\"method\":`, 100000)+strings.Repeat("}", 100000)+`"}},"response":{"status":200,"headers":[],"content":{"mimeType":"application/json","text":"`+strings.Repeat("[", 100000)+`"}}}]}}`))
	}, `^200, 1 records`},
	{"a HAR with a string of 200 MB", func(t *testing.T, s *served) string {
		return s.ask(t, io.MultiReader(strings.NewReader(`{"log":{"entries":[{"request":{"url":"`), stream(200<<20, as), strings.NewReader(`"}}]}}`)))
	}, `^200, 1 records`},
	{"a HAR with a name of 200 MB", func(t *testing.T, s *served) string {
		return s.ask(t, io.MultiReader(strings.NewReader(`{"log":{"`), stream(200<<20, as), strings.NewReader(`":1,"entries":[]}}`)))
	}, `^(200|422)`},
	{"a configuration that multiplies", func(t *testing.T, s *served) string {
		var y strings.Builder
		y.WriteString("a: &a [x,x,x,x,x,x,x,x,x,x]\n")
		for c := 'b'; c <= 'j'; c++ {
			fmt.Fprintf(&y, "%c: &%c [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
		}
		y.WriteString("mcp_servers:\n  x: {url: http://x.example/mcp, extra_headers: *j}\n")
		return s.ask(t, strings.NewReader(parts("litellm.yaml", y.String(), "tour.pcap", string(samples.Tour))), "Content-Type", "multipart/form-data; boundary=b")
	}, `^(200|422)`},
	{"a configuration nested 100,000 deep", func(t *testing.T, s *served) string {
		return s.ask(t, strings.NewReader(parts("litellm.yaml", "mcp_servers: "+strings.Repeat("[", 100000)+"\n", "tour.pcap", string(samples.Tour))), "Content-Type", "multipart/form-data; boundary=b")
	}, `^422`},
	{"a key log of 60 MB", func(t *testing.T, s *served) string {
		var k bytes.Buffer
		for i := 0; k.Len() < 60<<20; i++ {
			fmt.Fprintf(&k, "CLIENT_RANDOM %064x %096x\n", i, i)
		}
		return s.ask(t, strings.NewReader(parts("keys.log", k.String(), "tour.pcap", string(samples.Tour))), "Content-Type", "multipart/form-data; boundary=b")
	}, `^(200|422)`},
	{"a million connections that never end", func(t *testing.T, s *served) string {
		return s.ask(t, flood(1000000))
	}, `^200, 1000000 records`},
	{"names with ../ and markup", func(t *testing.T, s *served) string {
		r, _ := http.NewRequest(http.MethodPost, s.url+"api/analyze?format=jsonl", strings.NewReader(parts("../../etc/<b>x\u202e</b>.pcap", string(samples.Tour))))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		return s.do(t, r)
	}, `"name\\":\\"b>.pcap`},
	{"markup in every string", func(t *testing.T, s *served) string {
		kind, body := "multipart/form-data; boundary=b", parts(markup[:40]+".har", marked(t))
		told := s.ask(t, strings.NewReader(body), "Content-Type", kind)
		code, page := s.post(t, "api/analyze?format=html", kind, strings.NewReader(body))
		if low := strings.ToLower(page); code != 200 || strings.Contains(low, "<script") || strings.Contains(low, "<img") || strings.Contains(page, "\x1b") {
			t.Errorf("the page of %d has markup of the capture: %s", code, page)
		}
		return told
	}, `^200, 1 records, 1 cases`},
	{"the id of a run, guessed", func(t *testing.T, s *served) string {
		r, _ := http.NewRequest(http.MethodGet, s.url+"api/runs/"+strings.Repeat("A", 26)+"/report.json", nil)
		return s.do(t, r)
	}, `^404 `},
	{"two hundred uploads at once", func(t *testing.T, s *served) string {
		// Those that have a place go on when all others were told.
		told := make(chan struct{})
		var n atomic.Int32
		return s.atOnce(t, 200, func() string {
			o := s.ask(t, io.MultiReader(packets(1<<20), &gate{told}, stream(3<<20, zeros)))
			if strings.HasPrefix(o, "429") && n.Add(1) == 192 {
				close(told)
			}
			return o
		})
	}, `\b192 x 429 8 uploads of yours are under way`},
	{"two hundred connections that say nothing", func(t *testing.T, s *served) string {
		for range 200 { // of 256
			c, err := net.Dial("tcp", s.host())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		return s.ask(t, bytes.NewReader(samples.Tour))
	}, `^200, 1019 records`},
}

// large is the second size where time does not matter.
func large(short, whole int64) int64 {
	if *hostile {
		return whole
	}
	return short
}

// parts is a form of names and contents.
func parts(list ...string) string {
	var b strings.Builder
	for i := 0; i < len(list); i += 2 {
		b.WriteString("--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"" + strings.ReplaceAll(list[i], `"`, `\"`) + "\"\r\n\r\n" + list[i+1] + "\r\n")
	}
	return b.String() + "--b--\r\n"
}

func (s *served) host() string { return strings.Trim(strings.TrimPrefix(s.url, "http://"), "/") }

// raw sends bytes and returns the answer in one line.
func (s *served) raw(t *testing.T, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.host())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	io.WriteString(c, text)
	b, _ := io.ReadAll(c)
	return strings.Join(strings.Fields(string(b)), " ")
}

// drip sends bytes, and one more from time to time until the other side has
// enough.
func (s *served) drip(text string, every time.Duration) string {
	c, err := net.Dial("tcp", s.host())
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	io.WriteString(c, text)
	go func() {
		for {
			time.Sleep(every)
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
		}
	}()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	b, err := io.ReadAll(c)
	if len(b) == 0 && err != nil && strings.Contains(err.Error(), "timeout") {
		return "still there after a minute"
	}
	return strings.Join(strings.Fields(string(b)), " ")
}

// atOnce does the same n times and counts the outcomes.
func (s *served) atOnce(t *testing.T, n int, f func() string) string {
	t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	outcomes := map[string]int{}
	for range n {
		wg.Go(func() {
			o := f()
			mu.Lock()
			outcomes[o]++
			mu.Unlock()
		})
	}
	wg.Wait()
	var list []string
	for o, n := range outcomes {
		list = append(list, fmt.Sprintf("%d x %s", n, o))
	}
	return strings.Join(list, "; ")
}

// Whatever comes, the server answers with a clear word, keeps within its
// memory, and serves the next one.
func TestServeHostile(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("memory is read from /proc")
	}
	bound := "256M"
	if *hostile {
		bound = "4G"
	}
	s := serve(t, t.TempDir(), "--max-upload", bound)
	s.guard(t)
	for _, c := range hostileCases {
		t.Run(c.name, func(t *testing.T) {
			s.forget(t)
			start := time.Now()
			got := c.send(t, s)
			if !regexp.MustCompile(c.want).MatchString(got) {
				t.Errorf("%.300s\nwant %s", got, c.want)
			}
			t.Logf("%.300s (%.1f s, %d MB)", got, time.Since(start).Seconds(), s.peak(t)>>20)
			if p := s.peak(t); p > serveBound {
				t.Errorf("it took %d MB of memory", p>>20)
			}
			if told := s.ask(t, bytes.NewReader(samples.Tour)); !strings.HasPrefix(told, "200, 1019 records, 32 cases") {
				t.Errorf("afterwards it answers %s", told)
			}
		})
	}
	stop(t, s)
}
