package report

import (
	"bytes"
	"encoding/json"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp401/decode"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
	"mcp401/rules"
	"mcp401/rules/cause"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
)

func mark(frame int) decode.Mark {
	return decode.Mark{Frame: frame, Time: time.Date(2026, 11, 23, 9, 0, frame, 0, time.FixedZone("", 3600))}
}

// exampleCase is a list that came back empty, with one refused attempt and one
// connection that was never made.
func exampleCase() *hop.Case {
	client, gateway, up := netip.MustParseAddrPort("127.0.0.1:53890"), netip.MustParseAddrPort("127.0.0.1:4000"), netip.MustParseAddrPort("127.0.0.1:9101")
	ask := &mcp.Exchange{Flow: decode.Flow{Client: client, Server: gateway}, Asked: mark(1), Method: "POST", Path: "/passthru/mcp"}
	answer := &mcp.Exchange{Status: 200}
	refused := &mcp.Exchange{Status: 401}
	return &hop.Case{
		Call: &pair.Call{Asked: ask, Request: &mcp.Message{Method: "tools/list", ID: `"7"`}, Outcome: pair.Answered, Exchange: answer, At: mark(9)},
		Kind: hop.List, Gateway: gateway, Servers: []string{"passthru"}, Count: 0,
		Attempts: []*hop.Attempt{
			{
				Server: "passthru", Address: up, URL: "http://127.0.0.1:9101/mcp", First: mark(3), Outcome: hop.Status401, Count: -1,
				Decisive:   &pair.Call{Asked: &mcp.Exchange{Method: "POST"}, Request: &mcp.Message{Method: "initialize", ID: "0"}, Outcome: pair.Refused, Exchange: refused, At: mark(5)},
				Cred:       &mcp.Credential{Header: "authorization", Scheme: "bearer", Hash: "3f9a0c11"},
				Challenge:  &mcp.Challenge{Scheme: "Bearer", Error: "invalid_token"},
				Confidence: hop.Linked,
			},
			{Address: up, First: mark(6), Outcome: hop.Refused, Count: -1},
		},
	}
}

var exampleFinding = rules.Finding{
	Rule: "swallowed-401", Severity: rules.Error, Confidence: hop.Linked, Cause: cause.TokenRejected, Servers: []string{"passthru"},
	Text: "t", Fix: "f", Verify: "v", Causes: []cause.ID{cause.TokenRejected, ""},
	Evidence: []rules.Evidence{{What: "upstream answer", Frame: 5, Time: mark(5).Time, Flow: "a > b", Excerpt: "HTTP/1.1 401"}},
}

func TestCaseOf(t *testing.T) {
	want := `{
  "frame": 1,
  "time": "2026-11-23T08:00:01Z",
  "client": "127.0.0.1:53890",
  "gateway": "127.0.0.1:4000",
  "kind": "list",
  "http_method": "POST",
  "path": "/passthru/mcp",
  "rpc_method": "tools/list",
  "rpc_id": "\"7\"",
  "status": 200,
  "tools": 0,
  "answer_frame": 9,
  "answer_time": "2026-11-23T08:00:09Z",
  "verdict": "swallowed-401",
  "severity": "error",
  "confidence": "linked",
  "cause": "token-rejected",
  "failure": "",
  "servers": [
    "passthru"
  ],
  "upstream": [
    {
      "frame": 3,
      "time": "2026-11-23T08:00:03Z",
      "server": "passthru",
      "address": "127.0.0.1:9101",
      "url": "http://127.0.0.1:9101/mcp",
      "http_method": "POST",
      "rpc_method": "initialize",
      "status": 401,
      "answer_frame": 5,
      "tools": null,
      "outcome": "401",
      "cause": "token-rejected",
      "confidence": "linked",
      "challenge": {
        "scheme": "Bearer",
        "error": "invalid_token",
        "error_description": "",
        "resource_metadata": ""
      },
      "credential": "bearer#3f9a0c11"
    },
    {
      "frame": 6,
      "time": "2026-11-23T08:00:06Z",
      "server": "",
      "address": "127.0.0.1:9101",
      "url": "",
      "http_method": null,
      "rpc_method": null,
      "status": null,
      "answer_frame": null,
      "tools": null,
      "outcome": "refused",
      "cause": "",
      "confidence": "",
      "challenge": null,
      "credential": null
    }
  ]
}`
	diffJSON(t, want, CaseOf(exampleCase(), exampleFinding))
}

// What is missing is null or empty, never made up.
func TestCaseOfLittle(t *testing.T) {
	c := &hop.Case{Call: &pair.Call{Asked: &mcp.Exchange{Asked: decode.Mark{Frame: 4}}, Outcome: pair.Unanswered, At: mark(9)}, Count: -1}
	diffJSON(t, `{
  "frame": 4,
  "time": null,
  "client": "",
  "gateway": "",
  "kind": "",
  "http_method": "",
  "path": "",
  "rpc_method": null,
  "rpc_id": null,
  "status": null,
  "tools": null,
  "answer_frame": null,
  "answer_time": null,
  "verdict": "",
  "severity": "",
  "confidence": "",
  "cause": "",
  "failure": "",
  "servers": [],
  "upstream": []
}`, CaseOf(c, rules.Finding{}))
}

func TestFindingOf(t *testing.T) {
	f := FindingOf(exampleCase(), exampleFinding)
	f.Fingerprint = ""
	diffJSON(t, `{
  "rule": "swallowed-401",
  "severity": "error",
  "confidence": "linked",
  "cause": "token-rejected",
  "failure": "",
  "servers": [
    "passthru"
  ],
  "text": "t",
  "fix": "f",
  "verify": "v",
  "case_frame": 1,
  "evidence": [
    {
      "what": "upstream answer",
      "frame": 5,
      "time": "2026-11-23T08:00:05Z",
      "flow": "a > b",
      "excerpt": "HTTP/1.1 401"
    }
  ],
  "fingerprint": ""
}`, f)
}

func diffJSON(t *testing.T, want string, v any) {
	t.Helper()
	var got bytes.Buffer
	enc := json.NewEncoder(&got)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want+"\n", got.String()); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
}

// A fingerprint says what kind of finding it is: it depends on rule, cause,
// failure, servers and route, and on nothing that another run changes.
func TestFingerprint(t *testing.T) {
	of := func(change func(*hop.Case, *rules.Finding)) string {
		c, f := exampleCase(), exampleFinding
		if change != nil {
			change(c, &f)
		}
		return FindingOf(c, f).Fingerprint
	}
	plain := of(nil)
	for name, change := range map[string]func(*hop.Case, *rules.Finding){
		"frame":      func(c *hop.Case, f *rules.Finding) { c.Call.Asked.Asked = mark(77) },
		"client":     func(c *hop.Case, f *rules.Finding) { c.Call.Asked.Flow.Client = netip.MustParseAddrPort("10.0.0.1:1") },
		"rpc id":     func(c *hop.Case, f *rules.Finding) { c.Call.Request = &mcp.Message{ID: "9"} },
		"hash":       func(c *hop.Case, f *rules.Finding) { c.Attempts[0].Cred.Hash = "00000000" },
		"text":       func(c *hop.Case, f *rules.Finding) { f.Text = "another" },
		"evidence":   func(c *hop.Case, f *rules.Finding) { f.Evidence = nil },
		"confidence": func(c *hop.Case, f *rules.Finding) { f.Confidence = hop.Likely },
	} {
		if of(change) != plain {
			t.Errorf("%s changes it", name)
		}
	}
	seen := map[string]string{plain: "none"}
	for name, change := range map[string]func(*hop.Case, *rules.Finding){
		"rule":        func(c *hop.Case, f *rules.Finding) { f.Rule = "swallowed-403" },
		"cause":       func(c *hop.Case, f *rules.Finding) { f.Cause = cause.TokenExpired },
		"failure":     func(c *hop.Case, f *rules.Finding) { f.Failure = hop.Timeout },
		"server":      func(c *hop.Case, f *rules.Finding) { f.Servers = []string{"other"} },
		"two servers": func(c *hop.Case, f *rules.Finding) { f.Servers = []string{"pass", "thru"} },
		"route":       func(c *hop.Case, f *rules.Finding) { c.Call.Asked.Path = "/mcp/" },
		"kind":        func(c *hop.Case, f *rules.Finding) { c.Kind = hop.ToolCall },
	} {
		p := of(change)
		if seen[p] != "" {
			t.Errorf("%s and %s give the same", name, seen[p])
		}
		seen[p] = name
	}
}

func TestRoute(t *testing.T) {
	for in, want := range map[string]string{
		"/mcp/":            "/mcp/",
		"/v1/mcp/server/7": "/v1/mcp/server/*",
		"/v1/mcp/server/0b5a0c1e-7f3e-4d0e-9c59-3f1f2a1b4c5d/x": "/v1/mcp/server/*/x",
		"/deadbeef/mcp": "/deadbeef/mcp",
		"":              "",
	} {
		if got := route(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestCredentialName(t *testing.T) {
	for want, c := range map[string]mcp.Credential{
		"bearer#12345678": {Scheme: "bearer", Class: "jwt", Header: "authorization", Hash: "12345678"},
		"sk-#12345678":    {Class: "sk-", Header: "x-api-key", Hash: "12345678"},
		"cookie#12345678": {Header: "cookie", Hash: "12345678"},
	} {
		if got := CredentialName(c); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// Every exchange and message of `show`, as a line of text and in JSON.
func TestRows(t *testing.T) {
	flow := decode.Flow{Client: netip.MustParseAddrPort("127.0.0.1:53890"), Server: netip.MustParseAddrPort("127.0.0.1:4000")}
	base := func(x mcp.Exchange) Object {
		x.Flow, x.Asked, x.Phase, x.How = flow, mark(1), mcp.Closed, decode.Fin
		if x.Status != 0 {
			x.Head = mark(2)
		}
		return Object{Exchange: ExchangeOf(&x)}
	}
	stream := uint32(3)
	objects := []Object{
		base(mcp.Exchange{Kind: mcp.RPC, Method: "POST", Path: "/mcp", Requests: []mcp.Message{{}, {Method: "tools/list", ID: "7"}}, Status: 200,
			Answers: []mcp.Message{{Kind: mcp.Notification, At: mark(3)}, {Kind: mcp.Result, At: mark(4), Count: 3}}}),
		base(mcp.Exchange{Kind: mcp.RPC, Method: "POST", Path: "/mcp", Requests: []mcp.Message{{Method: "initialize", ID: "0"}}, Status: 401,
			Challenges: []mcp.Challenge{{Error: "invalid_token"}}, Creds: []mcp.Credential{{Header: "authorization", Scheme: "bearer", Hash: "0badcafe"}}}),
		base(mcp.Exchange{Kind: mcp.RPC, Method: "POST", Path: "/mcp", Requests: []mcp.Message{{Method: "tools/call", ID: "8", Tool: "echo"}}, Status: 200,
			Answers: []mcp.Message{{Kind: mcp.Result, At: mark(4), Count: -1, IsError: true, Text: "nope\x1b[31m"}}}),
		base(mcp.Exchange{Kind: mcp.RPC, Method: "POST", Path: "/mcp", Status: 200, Answers: []mcp.Message{{Kind: mcp.Error, At: mark(4), Code: -32603, Text: "failed"}}}),
		base(mcp.Exchange{Kind: mcp.RPC, Method: "POST", Path: "/mcp", Status: 202}),
		base(mcp.Exchange{Kind: mcp.RESTList, Method: "GET", Path: "/mcp-rest/tools/list", Query: "server_id=7", Status: 200, REST: &mcp.REST{Count: 0, Error: "unexpected_error", Message: "m"}}),
		base(mcp.Exchange{Kind: mcp.Token, Method: "POST", Path: "/token", Error: "net::ERR_FAILED"}),
		base(mcp.Exchange{Kind: mcp.Kind(200), Method: "GET", Path: "/", Status: 200, Hole: true}),
		{Message: MessageOf(&stack.Message{Frame: 5, EndFrame: 6, Time: mark(5).Time, Src: flow.Client, Dst: flow.Server, Proto: "2", Stream: stream, Request: true, Method: "POST", URI: "/mcp"})},
		{Message: MessageOf(&stack.Message{Frame: 7, EndFrame: 7, Src: flow.Server, Dst: flow.Client, Proto: "1.1", Status: 200, Cut: true})},
		{Message: MessageOf(&stack.Message{Frame: 8, EndFrame: 8, Proto: "1.1"})},
	}
	want := `  frame  time          request and answer                                          from > to
      1  08:00:01.000  POST /mcp tools/list -> 200, tools: 3 (4)                   127.0.0.1:53890 > 127.0.0.1:4000
      1  08:00:01.000  POST /mcp initialize -> 401 invalid_token (2)               127.0.0.1:53890 > 127.0.0.1:4000
      1  08:00:01.000  POST /mcp tools/call echo -> 200 tool error nope?[31m (4)   127.0.0.1:53890 > 127.0.0.1:4000
      1  08:00:01.000  POST /mcp -> 200 rpc error -32603 failed (4)                127.0.0.1:53890 > 127.0.0.1:4000
      1  08:00:01.000  POST /mcp -> 202 (2)                                        127.0.0.1:53890 > 127.0.0.1:4000
      1  08:00:01.000  GET /mcp-rest/tools/list?server_id=7 -> 200, tools: 0 unexpected_error m (2)  127.0.0.1:53890 > 127.0.0.1:4000
      1  08:00:01.000  POST /token -> no answer net::ERR_FAILED                    127.0.0.1:53890 > 127.0.0.1:4000
      1  08:00:01.000  GET / -> 200 (2) cut                                        127.0.0.1:53890 > 127.0.0.1:4000
      5  08:00:05.000  POST /mcp stream 3                                          127.0.0.1:53890 > 127.0.0.1:4000
      7                <- 200 cut                                                  127.0.0.1:4000 > 127.0.0.1:53890
      8                <- ?
`
	rows := func(opt Options) string {
		var b bytes.Buffer
		w := newRows(&b, opt)
		for _, o := range append(objects, Object{Run: &Run{}}) {
			if err := w.Write(o); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if d := cmp.Diff(want, rows(Options{})); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if narrow := rows(Options{Width: 80}); !strings.Contains(narrow, "POST /mcp -> 202 (2)                      :53890 > :4000\n") {
		t.Error(narrow)
	}
	for line := range strings.Lines(rows(Options{Width: 50})) {
		if n := width(strings.TrimSuffix(line, "\n")); n > 50 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	diffJSON(t, `{
  "message": {
    "frame": 5,
    "end_frame": 6,
    "time": "2026-11-23T08:00:05Z",
    "src": "127.0.0.1:53890",
    "dst": "127.0.0.1:4000",
    "http": "2",
    "stream": 3,
    "kind": "request",
    "method": "POST",
    "uri": "/mcp",
    "status": null,
    "cut": false
  }
}`, objects[8])
	diffJSON(t, `{
  "exchange": {
    "frame": 1,
    "time": "2026-11-23T08:00:01Z",
    "client": "127.0.0.1:53890",
    "server": "127.0.0.1:4000",
    "kind": "rpc",
    "http_method": "POST",
    "path": "/mcp",
    "rpc_method": "initialize",
    "rpc_id": "0",
    "tool": null,
    "status": 401,
    "answer_frame": 2,
    "answer_time": "2026-11-23T08:00:02Z",
    "tools": null,
    "error": null,
    "challenge": {
      "scheme": "",
      "error": "invalid_token",
      "error_description": "",
      "resource_metadata": ""
    },
    "credentials": [
      "authorization bearer#0badcafe"
    ],
    "cut": false
  }
}`, objects[1])
}

func TestNoRows(t *testing.T) {
	var b bytes.Buffer
	if err := newRows(&b, Options{}).Close(); err != nil || !strings.HasPrefix(b.String(), "nothing to show: ") {
		t.Errorf("%v, %q", err, b.String())
	}
}

// A capture with any number of servers costs a bounded number of groups.
func TestTableIsBounded(t *testing.T) {
	w := newTable(&bytes.Buffer{}, Options{}).(*tableWriter)
	for i := range 3 * groupsKept {
		name := "s" + number(i)
		w.Write(Object{Case: &Case{Frame: i, Upstream: []Attempt{{Server: name, Outcome: "401"}}}})
		w.Write(Object{Finding: &Finding{Rule: "swallowed-401", CaseFrame: i, Servers: []string{name}}})
	}
	if n := len(w.verdicts[0].servers); n > groupsKept+1 {
		t.Errorf("%d groups", n)
	}
	if w.verdicts[0].count != 3*groupsKept {
		t.Errorf("%d counted", w.verdicts[0].count)
	}
	w.Write(Object{Finding: &Finding{Rule: "stray", CaseFrame: -1}})
	if len(w.verdicts) != 1 {
		t.Error("a finding without its case is shown")
	}
	w.Write(Object{Summary: &Summary{Cases: 1}})
	if err := w.Close(); err != nil || len(w.page.buf) > 1<<20 {
		t.Errorf("%v, %d bytes", err, len(w.page.buf))
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1234: "-1,234"} {
		if got := number(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
	if got := counted(2, "entry"); got != "2 entries" {
		t.Error(got)
	}
	if got := clean("a\tb\nc\x00\u202e\xffé漢"); got != "a b c???é漢" {
		t.Errorf("%q", got)
	}
	if width("é漢") != 3 || prefix("漢漢", 3) != "漢" || prefix("漢", 1) != "漢" {
		t.Error("wide characters")
	}
	if _, ok := Lookup("no such format"); ok {
		t.Error("a format that is not there")
	}
}

// One case with its finding, from the judged case to the bytes.
func BenchmarkFormats(b *testing.B) {
	c := exampleCase()
	for _, f := range Formats {
		b.Run(f.Name, func(b *testing.B) {
			w := f.New(io.Discard, Options{})
			b.ReportAllocs()
			for b.Loop() {
				w.Write(Object{Case: CaseOf(c, exampleFinding)})
				w.Write(Object{Finding: FindingOf(c, exampleFinding)})
			}
		})
	}
}
