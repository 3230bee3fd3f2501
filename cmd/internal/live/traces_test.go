package live

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/cmd/internal/pipeline"
	"mcp401/decode/mcp"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/report"
)

// A tape gives records, and ends.
type tape struct{ records []capture.Record }

func (p *tape) Next() (capture.Record, error) {
	if len(p.records) == 0 {
		return capture.Record{}, io.EOF
	}
	r := p.records[0]
	p.records = p.records[1:]
	return r, nil
}

func (p *tape) Close() error { return nil }

// judge gives the cases of a conversation to f, and returns its records.
func judge(t *testing.T, script string, f func(*hop.Case, rules.Finding), out func(report.Object) error) []capture.Record {
	t.Helper()
	records := capturetest.MustParse(script).Records()
	if out == nil {
		out = func(report.Object) error { return nil }
	}
	cfg := pipeline.Config{Live: &pipeline.Live{Case: f}}
	if _, err := pipeline.Run(context.Background(), &tape{slices.Clone(records)}, cfg, out); err != nil {
		t.Fatal(err)
	}
	return records
}

// A collector takes spans as an OpenTelemetry collector does.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	bodies  [][]byte
	headers []http.Header
	paths   []string
	spans   []*tracepb.Span
	last    *tracepb.ResourceSpans
}

func newCollector(t *testing.T, answer func(n int, w http.ResponseWriter)) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender has gone
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.bodies, c.headers, c.paths = append(c.bodies, body), append(c.headers, r.Header), append(c.paths, r.URL.Path)
		var data tracepb.TracesData
		if err := proto.Unmarshal(body, &data); err != nil || r.Method != "POST" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s: %v", r.Method, r.Header, err)
		}
		for _, rs := range data.ResourceSpans {
			c.last = rs
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
		if answer != nil {
			answer(len(c.bodies), w)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// newTestTraces tries for 400 ms, and waits 1 ms before the second try.
func newTestTraces(t *testing.T, url string) *Traces {
	t.Helper()
	s, err := newSender(url, http.Header{"Content-Type": {"application/x-protobuf"}, "Api-Key": {"s3cret"}}, 400*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	s.wait = time.Millisecond
	traces, err := newTraces(s, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	return traces
}

// words writes attributes as a map of strings.
func words(list []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range list {
		switch v := kv.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			m[kv.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			m[kv.Key] = strconv.FormatInt(v.IntValue, 10)
		case *commonpb.AnyValue_ArrayValue:
			for _, e := range v.ArrayValue.Values {
				m[kv.Key] += e.GetStringValue() + ";"
			}
		default:
			m[kv.Key] = fmt.Sprintf("%T", v)
		}
	}
	return m
}

// wants reports what attributes a span lacks.
func wants(t *testing.T, s *tracepb.Span, want map[string]string) {
	t.Helper()
	got := words(s.Attributes)
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: %s is %q, want %q", s.Name, k, got[k], v)
		}
	}
	if _, ok := got["mcp.session.id"]; ok {
		t.Errorf("%s: a session id is a secret", s.Name)
	}
}

const traced = `
down> POST /issues/mcp?server_id=a&api_key=hidden
  Host: gw.example:4000
  User-Agent: agent/2
  traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
  x-litellm-api-key: Bearer sk-key-one
  Authorization: Bearer bad-token
  mcp-protocol-version: 2025-06-18
  rpc tools/list 7
~ 3ms
issues> POST /mcp
  Host: issues.example
  Authorization: Bearer bad-token
  traceparent: 00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-00
  rpc initialize 0
~ 4ms
issues< 401 json
  WWW-Authenticate: Bearer error="invalid_token", error_description="it is old"
  {"error":"invalid_token"}
~ 5ms
down< 200 json
  result tools 0
`

// A call is a trace of what each hop was asked and answered, with the times of
// the capture.
func TestTraces(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.node.name=node%201,service.name=other")
	c := newCollector(t, nil)
	traces := newTestTraces(t, c.URL)
	var fingerprint string
	records := judge(t, traced, traces.Case, func(o report.Object) error {
		if o.Finding != nil {
			fingerprint = o.Finding.Fingerprint
		}
		return nil
	})
	if err := traces.Close(10 * time.Second); err != nil || traces.Sent() != 2 || traces.Lost() != 0 {
		t.Fatalf("%v, %d sent, %d lost", err, traces.Sent(), traces.Lost())
	}
	if len(c.spans) != 2 {
		t.Fatalf("%d spans", len(c.spans))
	}
	resource := words(c.last.Resource.Attributes)
	if resource["service.name"] != "mcp401" || resource["service.version"] != "1.2.3" || resource["k8s.node.name"] != "node 1" {
		t.Errorf("resource %v", resource)
	}
	if s := c.last.ScopeSpans[0]; s.Scope.Name != "mcp401" || !strings.Contains(s.SchemaUrl, "opentelemetry.io/schemas/") {
		t.Errorf("scope %v, %s", s.Scope, s.SchemaUrl)
	}
	child, call := c.spans[0], c.spans[1]
	if call.Name != "tools/list" || call.Kind != tracepb.Span_SPAN_KIND_SERVER || len(call.ParentSpanId) != 0 {
		t.Errorf("%s, %s, parent %x", call.Name, call.Kind, call.ParentSpanId)
	}
	if child.Name != "initialize" || child.Kind != tracepb.Span_SPAN_KIND_CLIENT || string(child.ParentSpanId) != string(call.SpanId) || string(child.TraceId) != string(call.TraceId) {
		t.Errorf("%s, %s, parent %x of %x", child.Name, child.Kind, child.ParentSpanId, call.SpanId)
	}
	wants(t, call, map[string]string{
		"mcp401.verdict": "swallowed-401", "mcp401.severity": "error", "mcp401.cause": "token-rejected", "mcp401.confidence": "linked",
		"mcp401.fingerprint": fingerprint, "mcp401.servers": "issues;", "mcp401.kind": "list", "mcp401.tools": "0", "mcp401.attempts": "1", "mcp401.frame": "4",
		"http.request.method": "POST", "http.response.status_code": "200", "url.scheme": "http", "url.path": "/issues/mcp", "url.query": "server_id=a&api_key=…",
		"server.address": "gw.example", "server.port": "4000", "client.address": "10.0.0.5", "network.peer.address": "10.0.0.5", "network.local.address": "10.0.1.1",
		"network.transport": "tcp", "network.protocol.name": "http", "network.protocol.version": "1.1", "user_agent.original": "agent/2",
		"mcp.method.name": "tools/list", "mcp.protocol.version": "2025-06-18", "jsonrpc.request.id": "7", "error.type": "swallowed-401",
	})
	wants(t, child, map[string]string{
		"mcp401.server": "issues", "mcp401.outcome": "401", "mcp401.cause": "token-rejected", "mcp401.confidence": "linked",
		"mcp401.challenge.error": "invalid_token", "mcp401.challenge.error_description": "it is old",
		"http.request.method": "POST", "http.response.status_code": "401", "url.full": "http://issues.example/mcp", "url.scheme": "http",
		"server.address": "issues.example", "network.peer.port": words(child.Attributes)["server.port"], "mcp.method.name": "initialize", "error.type": "401",
	})
	if !strings.HasPrefix(words(child.Attributes)["mcp401.credential"], "bearer#") {
		t.Errorf("credential %q", words(child.Attributes)["mcp401.credential"])
	}
	if call.Status.Code != tracepb.Status_STATUS_CODE_ERROR || call.Status.Message != "issues answered 401 and the client got 200 with no tools" {
		t.Errorf("status %v", call.Status)
	}
	if child.Status.Code != tracepb.Status_STATUS_CODE_ERROR || child.Status.Message != "answered 401, invalid_token" {
		t.Errorf("status %v", child.Status)
	}
	for s, span := range map[*tracepb.Span]string{call: "b7ad6b7169203331", child: "00f067aa0ba902b7"} {
		if len(s.Links) != 1 || fmt.Sprintf("%x", s.Links[0].TraceId) != "0af7651916cd43dd8448eb211c80319c" || fmt.Sprintf("%x", s.Links[0].SpanId) != span {
			t.Errorf("%s: links %v", s.Name, s.Links)
		}
		// Times are those of the frames that the events name.
		var times []uint64
		for _, e := range s.Events {
			frame, _ := strconv.Atoi(words(e.Attributes)["mcp401.frame"])
			if frame < 1 || uint64(records[frame-1].Time.UnixNano()) != e.TimeUnixNano {
				t.Errorf("%s, %s: frame %d is not of %d", s.Name, e.Name, frame, e.TimeUnixNano)
			}
			times = append(times, e.TimeUnixNano)
		}
		if len(times) != 2 || times[0] != s.StartTimeUnixNano || times[1] != s.EndTimeUnixNano || times[0] >= times[1] {
			t.Errorf("%s: %d to %d, events %v", s.Name, s.StartTimeUnixNano, s.EndTimeUnixNano, times)
		}
	}
}

// What went well is no error; what the client was told of is one by the
// conventions, and no verdict is needed for it.
func TestTraceStatus(t *testing.T) {
	const refused = "issues> POST /mcp\n  rpc initialize 0\nissues< 401\nissues. close\n"
	for _, c := range []struct{ name, script, span, status, fault string }{
		{"healthy", "down> POST /issues/mcp\n  rpc tools/list 1\nissues> POST /mcp\n  rpc tools/list 1\nissues< 200 json\n  result tools 2\ndown< 200 json\n  result tools 2\n", "tools/list", "UNSET", ""},
		{"told", "down> POST /issues/mcp\n  rpc tools/list 1\n" + refused + "down< 401 json\n  {\"detail\":\"Unauthorized\"}\n", "tools/list", "UNSET", ""},
		{"told by JSON-RPC", "down> POST /issues/mcp\n  rpc tools/list 1\n" + refused + "down< 200 json\n  error -32603 Client error '401 Unauthorized'\n", "tools/list", "ERROR", "-32603"},
		{"told by HTTP", "down> POST /issues/mcp\n  rpc tools/list 1\n" + refused + "down< 502 json\n  {\"detail\":\"Bad Gateway\"}\n", "tools/list", "ERROR", "502"},
		{"REST", "down> GET /mcp-rest/tools/list?server_id=issues\n" + refused + "down< 200 json\n  {\"tools\":[],\"error\":null}\n", "GET /mcp-rest/tools/list", "ERROR", "swallowed-401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			col := newCollector(t, nil)
			traces := newTestTraces(t, col.URL)
			judge(t, c.script, traces.Case, nil)
			if err := traces.Close(10 * time.Second); err != nil || len(col.spans) == 0 {
				t.Fatalf("%v, %d spans", err, len(col.spans))
			}
			call := col.spans[len(col.spans)-1]
			if call.Name != c.span || !strings.HasSuffix(call.Status.GetCode().String(), c.status) || words(call.Attributes)["error.type"] != c.fault {
				t.Errorf("%s, %v, %v", call.Name, call.Status, words(call.Attributes))
			}
		})
	}
}

// planted is a secret in every place that can hold one but the trace id, which
// is sent for what it is.
const planted = `
down> POST /issues/mcp?api_key=S3CRET&session_id=S3CRET&q=S3CRET
  Host: u:S3CRET@gw.example:4000
  User-Agent: agent S3CRET
  x-litellm-api-key: Bearer S3CRET
  Authorization: Bearer S3CRET
  Cookie: a=S3CRET
  mcp-session-id: S3CRET
  mcp-protocol-version: S3CRET
  x-custom: S3CRET
  {"jsonrpc":"2.0","id":"S3CRET","method":"tools/call","params":{"name":"S3CRET","arguments":{"password":"S3CRET"}}}
issues> POST http://u:S3CRET@issues.example/mcp/S3CRET?key=S3CRET
  Authorization: Bearer S3CRET
  mcp-session-id: S3CRET
  rpc initialize 0
issues< 401 json
  WWW-Authenticate: Bearer realm="S3CRET", error="S3CRET", error_description="token S3CRET is old", scope="S3CRET"
  {"error":"S3CRET"}
issues. close
down< 200 json
  {"jsonrpc":"2.0","id":"S3CRET","result":{"isError":true,"content":[{"type":"text","text":"401 Unauthorized: Bearer S3CRET, key=S3CRET"}]}}
`

// No secret leaves in a trace or a message.
func TestNoSecretIsSent(t *testing.T) {
	for _, secret := range []string{"sk-pl4ntedPl4ntedPl4nted0123", "gho_Pl4ntedPl4ntedPl4ntedPl4ntedPl4n", "Pl4ntedS3cretTok3nAbCdEf0123456789"} {
		c := newCollector(t, nil)
		traces := newTestTraces(t, c.URL)
		var posted []byte
		hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { posted, _ = io.ReadAll(r.Body) }))
		defer hook.Close()
		w := newTestHook(t, hook.URL)
		judge(t, strings.ReplaceAll(planted, "S3CRET", secret), traces.Case, func(o report.Object) error {
			w.Write(o)
			return nil
		})
		if err := traces.Close(10 * time.Second); err != nil || len(c.spans) < 2 {
			t.Fatalf("%v, %d spans", err, len(c.spans))
		}
		if err := w.Close(10 * time.Second); err != nil || len(posted) == 0 {
			t.Fatalf("%v, nothing is posted", err)
		}
		for _, body := range append(c.bodies, posted) {
			for i := 0; i+12 <= len(secret); i++ {
				if strings.Contains(string(body), secret[i:i+12]) {
					t.Fatalf("%q of %s is in\n%q", secret[i:i+12], secret, body)
				}
			}
		}
	}
}

// What the collector does not take is tried again where that may help, and
// counted. The URL and the header are in no error.
func TestTraceFailures(t *testing.T) {
	for _, c := range []struct {
		status       int
		again, taken bool
	}{{200, false, true}, {400, false, false}, {307, false, false}, {503, true, false}, {429, true, false}} {
		col := newCollector(t, func(n int, w http.ResponseWriter) {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(c.status)
		})
		traces := newTestTraces(t, col.URL+"/s3cret")
		traces.Case(swallowed("bad"))
		err := traces.Close(10 * time.Second)
		if n := len(col.bodies); c.again != (n > 2) || !c.again && n != 1 {
			t.Errorf("%d: %d requests", c.status, n)
		}
		if (traces.Fault() == nil) != c.taken {
			t.Errorf("%d: fault %v", c.status, traces.Fault())
		}
		if c.taken {
			if err != nil || traces.Sent() != 2 || traces.Lost() != 0 {
				t.Errorf("%d: %v", c.status, err)
			}
			continue
		}
		if err == nil || err.Error() != fmt.Sprintf("--otlp: 0 spans sent, 2 lost, 0 dropped because others waited; the last: answered %d", c.status) || traces.Lost() != 2 {
			t.Errorf("%d: %v", c.status, err)
		}
	}
	col := newCollector(t, func(n int, w http.ResponseWriter) {
		if n <= 2 {
			w.WriteHeader(http.StatusBadGateway)
		}
	})
	traces := newTestTraces(t, col.URL)
	traces.upload.sender.limit = time.Minute
	traces.Case(swallowed("bad"))
	if err := traces.Close(10 * time.Second); err != nil || traces.Sent() != 2 || traces.Fault() != nil {
		t.Errorf("a collector that was not well: %v, %d sent", err, traces.Sent())
	}
	col.Close()
	traces = newTestTraces(t, col.URL+"/s3cret")
	traces.Case(swallowed("bad"))
	if err := traces.Close(10 * time.Second); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("nobody listens: %v", err)
	}
}

// A collector may take a part (OTLP, "partial success").
func TestPartialSuccess(t *testing.T) {
	partial := protowire.AppendTag(nil, 2, protowire.BytesType) // the message for people comes first
	partial = protowire.AppendString(partial, "s3cret")
	partial = protowire.AppendVarint(protowire.AppendTag(partial, 1, protowire.VarintType), 1)
	answer := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), partial)
	col := newCollector(t, func(n int, w http.ResponseWriter) { w.Write(answer) })
	traces := newTestTraces(t, col.URL)
	traces.Case(swallowed("bad"))
	if err := traces.Close(10 * time.Second); err == nil || !strings.HasPrefix(err.Error(), "--otlp: 1 spans sent, 1 lost") || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
	for _, bad := range []string{"", "{}", "<html>", "\x0a", "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x0a\x02\x08", "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if n := rejected([]byte(bad)); n != 0 {
			t.Errorf("%q: %d", bad, n)
		}
	}
}

// A collector that does not answer holds up nobody: what does not fit in the
// queue is dropped, a whole trace at a time, and the end waits for so long only.
func TestTracesNeverBlock(t *testing.T) {
	hang := make(chan struct{})
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		<-hang
	}))
	defer s.Close()
	defer close(hang)
	traces := newTestTraces(t, s.URL)
	start := time.Now()
	const calls = 2 * spansQueued
	for range calls {
		traces.Case(swallowed("bad"))
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("the calls took %v", took)
	}
	if n := traces.upload.waiting.Load(); n != spansQueued {
		t.Errorf("%d spans wait", n)
	}
	err := traces.Close(50 * time.Millisecond)
	if took := time.Since(start); took > time.Minute {
		t.Errorf("the end took %v", took)
	}
	if lost := traces.Lost(); err == nil || lost != 2*calls || traces.dropped.Load() != 2*calls-spansQueued || asked.Load() == 0 {
		t.Errorf("%d lost, %d dropped: %v", lost, traces.dropped.Load(), err)
	}
}

// A call of any number of attempts, with any number of messages, is a trace of
// bounded size that says what it leaves out.
func TestTracesAreBounded(t *testing.T) {
	c := newCollector(t, nil)
	traces := newTestTraces(t, c.URL)
	many, f := swallowed("bad")
	one := many.Attempts[0]
	for range 10 * callsTold {
		one.Calls = append(one.Calls, many.Call)
	}
	f.Text = strings.Repeat("long ", 10000)
	for range 10 * attemptsTold {
		many.Attempts = append(many.Attempts, one)
	}
	traces.Case(many, f)
	if err := traces.Close(10 * time.Second); err != nil || len(c.spans) != attemptsTold+1 {
		t.Fatalf("%v, %d spans", err, len(c.spans))
	}
	wants(t, c.spans[0], map[string]string{"mcp401.calls_left_out": strconv.Itoa(9 * callsTold)})
	wants(t, c.spans[attemptsTold], map[string]string{"mcp401.attempts": strconv.Itoa(10*attemptsTold + 1)})
	for _, s := range c.spans {
		if n := proto.Size(s); n > 16<<10 {
			t.Fatalf("a span of %d bytes", n)
		}
	}
}

// Bytes that are no text do not cost the traces of others.
func TestTracesOfNoText(t *testing.T) {
	c := newCollector(t, nil)
	traces := newTestTraces(t, c.URL)
	bad, f := swallowed("bad\xff")
	bad.Call.Asked.Path, bad.Call.Method, f.Text, f.Servers = "/\xfe", "tools/\xf0list", "a\xc3", []string{"\xff"}
	bad.Call.Asked.Kind = mcp.RPC
	traces.Case(bad, f)
	if err := traces.Close(10 * time.Second); err != nil || len(c.spans) != 2 {
		t.Fatalf("%v, %d spans", err, len(c.spans))
	}
	wants(t, c.spans[1], map[string]string{"url.path": "/\ufffd", "mcp401.servers": "\ufffd;", "mcp.method.name": "tools/\ufffdlist"})
	if s := c.spans[1]; s.Name != "tools/\ufffdlist" || s.Status.Message != "a\ufffd" {
		t.Errorf("%s, %v", s.Name, s.Status)
	}
}

// The environment names the header, and no error has its values.
func TestTraceHeaders(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret%20one, x-scope = team,")
	if _, err := NewTraces("http://127.0.0.1:9", "1"); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Error(err)
	}
	for _, bad := range []string{"s3cret", "=s3cret", "a b=s3cret", "a=s3cret%0d%0ab: c", "a=s3cret%zz"} {
		t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", bad)
		if _, err := NewTraces("http://127.0.0.1:9", "1"); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.HasPrefix(err.Error(), "OTEL_EXPORTER_OTLP_HEADERS: ") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=s3cret%20one, x-scope = team")
	for _, bad := range []string{"", "s3cret", "ftp://host/s3cret", "http:///s3cret", "http://[s3cret"} {
		if _, err := NewTraces(bad, "1"); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	send := func(path string) *collector {
		c := newCollector(t, nil)
		traces, err := NewTraces(c.URL+path, "1")
		if err != nil {
			t.Fatal(err)
		}
		traces.Case(swallowed("bad"))
		if err := traces.Close(10 * time.Second); err != nil || len(c.paths) != 1 {
			t.Fatalf("%v, %q", err, c.paths)
		}
		return c
	}
	if c := send(""); c.paths[0] != "/v1/traces" || c.headers[0].Get("Api-Key") != "s3cret one" || c.headers[0].Get("X-Scope") != "team" {
		t.Errorf("%s, %v", c.paths[0], slices.Sorted(maps.Keys(c.headers[0])))
	}
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-scope=traces")
	if c := send("/otlp/spans"); c.paths[0] != "/otlp/spans" || c.headers[0].Get("Api-Key") != "" || c.headers[0].Get("X-Scope") != "traces" {
		t.Errorf("%s, %v", c.paths[0], slices.Sorted(maps.Keys(c.headers[0])))
	}
}
