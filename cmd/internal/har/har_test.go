package har

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/cmd/internal/redact"
)

// required is the members that HAR 1.2 demands, with the kind of each; "[]" is
// a list, below which its elements are described.
var required = map[string]string{
	"log/version": "string", "log/creator/name": "string", "log/creator/version": "string", "log/entries": "list",
	"entry/startedDateTime": "time", "entry/time": "number", "entry/cache": "object",
	"entry/request/method": "string", "entry/request/url": "string", "entry/request/httpVersion": "string", "entry/request/cookies": "pairs",
	"entry/request/headers": "pairs", "entry/request/queryString": "pairs", "entry/request/headersSize": "number", "entry/request/bodySize": "number",
	"entry/response/status": "number", "entry/response/statusText": "string", "entry/response/httpVersion": "string",
	"entry/response/cookies": "pairs", "entry/response/headers": "pairs", "entry/response/content/size": "number",
	"entry/response/content/mimeType": "string", "entry/response/redirectURL": "string", "entry/response/headersSize": "number",
	"entry/response/bodySize": "number", "entry/timings/send": "number", "entry/timings/wait": "number", "entry/timings/receive": "number",
}

// faults lists what a document lacks to be a HAR 1.2.
func faults(b []byte) (list []string) {
	var doc struct{ Log map[string]any }
	if err := json.Unmarshal(b, &doc); err != nil {
		return []string{err.Error()}
	}
	check := func(root string, v any) {
		for path, kind := range required {
			steps := strings.Split(path, "/")
			if steps[0] != root {
				continue
			}
			at := v
			for _, step := range steps[1:] {
				m, _ := at.(map[string]any)
				at = m[step]
			}
			if !is(at, kind) {
				list = append(list, fmt.Sprintf("%s is no %s: %v", path, kind, at))
			}
		}
	}
	check("log", doc.Log)
	entries, _ := doc.Log["entries"].([]any)
	for _, e := range entries {
		check("entry", e)
	}
	return list
}

func is(v any, kind string) bool {
	switch kind {
	case "string":
		_, ok := v.(string)
		return ok
	case "number":
		_, ok := v.(float64)
		return ok
	case "object":
		_, ok := v.(map[string]any)
		return ok
	case "list":
		_, ok := v.([]any)
		return ok
	case "time":
		s, _ := v.(string)
		_, err := time.Parse(time.RFC3339Nano, s)
		return err == nil
	case "pairs":
		l, ok := v.([]any)
		for _, e := range l {
			m, _ := e.(map[string]any)
			ok = ok && is(m["name"], "string") && is(m["value"], "string")
		}
		return ok
	}
	return false
}

func TestFaultsAreSeen(t *testing.T) {
	if got := faults([]byte(`{"log":{"version":"1.2","entries":[{}]}}`)); len(got) != len(required)-2 {
		t.Errorf("%d of %d faults: %q", len(got), len(required)-2, got)
	}
}

// made runs a job over a capture in memory.
func made(t *testing.T, b, keys []byte, j Job) ([]byte, Result) {
	t.Helper()
	j.Again, j.Version, j.Out = true, "1.0", filepath.Join(t.TempDir(), "out.har")
	j.Open = func() (capture.Source, error) {
		f, err := capture.New("in", bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		return &keyed{f, keys}, nil
	}
	res, err := File(j)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(j.Out)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(j.Out), ".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if got := faults(out); len(got) > 0 {
		t.Errorf("no HAR: %q", got[:min(len(got), 5)])
	}
	return out, res
}

// A keyed source gives a key log first.
type keyed struct {
	capture.Source
	keys []byte
}

func (k *keyed) Next() (capture.Record, error) {
	if len(k.keys) > 0 {
		lines := k.keys
		k.keys = nil
		return capture.Record{Secret: &capture.Secret{Lines: lines}}, nil
	}
	return k.Source.Next()
}

const swallowed = `
down> POST /passthru/mcp?server_id=1&key=a%20b => swallowed-401
  Authorization: Bearer tok-alice-00001
  x-litellm-api-key: sk-gate-0000000001
  Cookie: sid=abcdefgh; b=c
  rpc tools/list 7
down< 200 sse
  Set-Cookie: sid=ijklmnop; Path=/
  ...
passthru> POST /mcp
  Authorization: Bearer tok-alice-00001
  rpc initialize 0
passthru< 401 json gzip
  WWW-Authenticate: Bearer error="invalid_token"
  {"error":"invalid_token"}
passthru. close
~ 250ms
down<< result tools 0
`

// One conversation gives the same entries from HTTP/1, HTTP/2 and TLS, with the
// verdict of the capture.
func TestWrappings(t *testing.T) {
	conv := capturetest.MustParse(swallowed)
	for _, w := range []capturetest.Wrap{
		{}, {Format: capturetest.Pcapng, MSS: 20}, {HTTP2: true}, {TLS: 0x0304}, {TLS: 0x0303, HTTP2: true}, {IPv6: true, Reorder: 2}, {Mix: true},
	} {
		c := conv.Wrap(w)
		out, res := made(t, c.Bytes, c.Keys, Job{})
		if res.Cases != 1 || res.Same != 1 || res.Secrets < 3 {
			t.Errorf("%+v: %+v", w, res)
		}
		for _, secret := range []string{"tok-alice", "sk-gate-0000000001", "abcdefgh", "ijklmnop"} {
			if bytes.Contains(out, []byte(secret)) {
				t.Errorf("%+v: %q is in it", w, secret)
			}
		}
		out, res = made(t, c.Bytes, c.Keys, Job{Secrets: true})
		if res.Same != 1 {
			t.Errorf("%+v with secrets: %+v", w, res)
		}
		for _, text := range []string{
			`Bearer tok-alice-00001`, `{"name":"sid","value":"abcdefgh"}`, `{"name":"sid","value":"ijklmnop"}`, `{"name":"key","value":"a b"}`,
			`"text":"{\"error\":\"invalid_token\"}"`, `"mimeType":"text/event-stream"`, `data: {\"jsonrpc\"`, `"status":401,"statusText":"Unauthorized"`,
		} {
			if !bytes.Contains(out, []byte(text)) {
				t.Errorf("%+v: %s is not in it", w, text)
			}
		}
	}
}

// What is not whole says so, and is not taken for empty.
func TestNotWhole(t *testing.T) {
	conv := capturetest.MustParse(`
down> POST /a
  {"x":1}
down< 200 json
  fill 300
  ...
! gap 100
down<< more
down.2> GET /b
down.2. reset
down.3> GET /c
down.4> GET /d
down.4< 200 json
  {"a":
  ...
down.4. close <
down.5> POST /e
  body
  ...
down.6< 200 json
  {}
`)
	out, _ := made(t, conv.Wrap(capturetest.Wrap{}).Bytes, nil, Job{})
	var doc struct {
		Log struct {
			Entries []struct {
				Request struct {
					URL      string
					PostData *struct{ Text *string }
				}
				Response struct {
					Status  int
					Error   string `json:"_error"`
					Content struct {
						Size int
						Text *string
					}
				}
			}
		}
	}
	if err := json.Unmarshal(out, &doc); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, e := range doc.Log.Entries {
		got[e.Request.URL[strings.LastIndexByte(e.Request.URL, '/'):]] = fmt.Sprintf("%d %q text:%v size:%v", e.Response.Status, e.Response.Error, e.Response.Content.Text != nil, e.Response.Content.Size > 0)
	}
	for path, want := range map[string]string{
		"/b": `0 "net::ERR_CONNECTION_RESET" text:false size:false`,
		"/c": `0 "the capture ended before the answer" text:false size:false`,
		"/d": `200 "net::ERR_CONTENT_LENGTH_MISMATCH" text:false size:true`,
	} {
		if got[path] != want {
			t.Errorf("%s: %s, want %s", path, got[path], want)
		}
	}
	if !strings.Contains(got["/a"], "text:false size:true") {
		t.Errorf("/a: %s", got["/a"])
	}
}

// Every capture gives a HAR, which by itself gives the same verdicts.
func TestEveryCapture(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../../samples/*/capture.pcap", "../../../../shared/captures/*.pcap", "../../../../shared/corpus/*.pcap*"} {
		found, _ := filepath.Glob(pattern)
		if len(found) == 0 {
			t.Logf("nothing is at %s: skipped", pattern)
		}
		files = append(files, found...)
	}
	cases, same := 0, 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := capture.New("in", bytes.NewReader(b)); err != nil {
			continue // the corpus has files that are none
		}
		keys, _ := os.ReadFile(strings.TrimSuffix(name, ".pcap") + ".keys")
		_, res := made(t, b, keys, Job{})
		cases, same = cases+res.Cases, same+res.Same
	}
	if same != cases || cases == 0 {
		t.Errorf("of %d calls %d have the same verdict", cases, same)
	}
	t.Logf("%d files, %d of %d calls", len(files), same, cases)
}

const swallowedBy = `
down> POST /mcp/slow
  x-litellm-api-key: Bearer sk-key-one
  rpc tools/list 7
slow. EVENT
~ 30s
down< 200 sse
  result tools 0
`

// A connection that was refused, or never answered, is an entry, which gives the
// same verdict as the packets do.
func TestNeverMade(t *testing.T) {
	for event, want := range map[string]string{"refused": "net::ERR_CONNECTION_REFUSED", "unanswered": "net::ERR_CONNECTION_TIMED_OUT"} {
		conv := capturetest.MustParse(strings.Replace(swallowedBy, "EVENT", event, 1))
		out, res := made(t, conv.Wrap(capturetest.Wrap{}).Bytes, nil, Job{})
		if res.Cases != 1 || res.Same != 1 || !bytes.Contains(out, []byte(want)) {
			t.Errorf("%s: %+v\n%s", event, res, out)
		}
		f, err := capture.New("out.har", bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		got, err := redact.Verdicts(f)
		if err != nil || len(got) != 1 || got[0].Verdict != "swallowed-failure" {
			t.Errorf("%s: read back as %+v, %v", event, got, err)
		}
	}
}

// A clock that shows no year of four digits makes no time that nobody reads.
func TestTimesAreWritten(t *testing.T) {
	for at, want := range map[time.Time]string{
		time.Date(2026, 11, 23, 8, 0, 0, 5, time.UTC): "2026-11-23T08:00:00.000000005Z",
		time.Unix(1<<50, 0):                           "9999-12-31T23:59:59.000000000Z",
		time.Unix(-1<<50, 0):                          "1970-01-01T00:00:00.000000000Z",
		{}:                                            "1970-01-01T00:00:00.000000000Z",
	} {
		if got := written(at); got != want {
			t.Errorf("%d: %s, want %s", at.Unix(), got, want)
		}
	}
}

// A body beyond the bound is left out, not the entry.
func TestBounds(t *testing.T) {
	conv := capturetest.MustParse("down> POST /a\n  fill 2000\ndown< 200 json\n  fill 2000\n")
	spill, err := spill(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer spill.Close()
	src, err := capture.New("in", bytes.NewReader(conv.Wrap(capturetest.Wrap{}).Bytes))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	opt := Options{}
	opt.Limits.Body = 1000
	frames, err := Write(src, &out, spill, opt)
	if err != nil || len(frames) != 1 {
		t.Fatalf("%d entries, %v", len(frames), err)
	}
	if bytes.Contains(out.Bytes(), []byte(`"text"`)) || !bytes.Contains(out.Bytes(), []byte(`"bodySize":2000`)) {
		t.Errorf("%s", out.Bytes())
	}
}

func TestRefused(t *testing.T) {
	dir := t.TempDir()
	open := func() (capture.Source, error) {
		return capture.New("in", strings.NewReader(`{"log":{"entries":[{"request":{"method":"GET","url":"http://h/"}}]}}`))
	}
	for _, tt := range []struct{ out, want string }{
		{dir, "not a regular file"},
		{filepath.Join(dir, "no", "out"), "no such file"},
		{filepath.Join(dir, "out"), "a HAR already"},
	} {
		if _, err := File(Job{Open: open, Out: tt.out}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.out, err, tt.want)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
