package capturetest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBadScripts(t *testing.T) {
	for script, want := range map[string]string{
		"\n\nhello there":                     `line 3: cannot read "hello there"`,
		"  indented":                          `line 1: indented text belongs to no message`,
		"~ 1s\n  indented":                    `line 1: indented text below`,
		"~ soon":                              `not a duration: "soon"`,
		"~ -1s":                               `not a duration`,
		"~ 9000h":                             `not a duration`,
		"! gap 9999999":                       `up to 1048576`,
		">":                                   `a request needs a method and a target`,
		"> GET":                               `a request needs a method and a target`,
		"<":                                   `a response needs a status`,
		"< ok":                                `not a status: "ok"`,
		"< 99":                                `not a status: "99"`,
		"> GET / fast":                        `unknown word "fast"`,
		"> GET / HTTP/3":                      `unknown word "HTTP/3"`,
		`< 200 "a`:                            `not a Go string`,
		`> "a`:                                `not a Go string`,
		"> \"a\"\n  b":                        `raw bytes have no block`,
		"> GET /\n>> more":                    `line 2: nothing to go on with on down`,
		"<< more":                             `nothing to go on with`,
		"> POST /\n  a\n  ...\n> GET /":       `the message before it on down goes on`,
		"! gap":                               `unknown mishap "gap"`,
		"! gap x":                             `not a positive number up to 1048576: "x"`,
		"! gap 0":                             `not a positive number`,
		"! gap 1 up":                          `not a direction: "up"`,
		"! drops -1":                          `not a positive number`,
		"! fire":                              `unknown mishap "fire"`,
		". explode":                           `unknown event "explode"`,
		". close sideways":                    `not a direction`,
		". close < >":                         `too many words`,
		"start = noon":                        `noon`,
		"a = b":                               `not an address: "b"`,
		"a = 10.0.0.1 > 10.0.0.2":             `the server "10.0.0.2" needs a port`,
		"a = 10.0.0.1x > 10.0.0.2:1":          `not an address`,
		"a = 10.0.0.1 > 10.0.0.2:x":           `not an address`,
		"a = nobody > gateway":                `no peer "nobody"`,
		"> GET /\ndown = client > gateway":    `line 2: down is in use already`,
		"< 200\n  result tools 0":             `which request does it answer? give id=`,
		"< 200\n  result id=x tools 0":        `an id is a JSON number`,
		"> POST /\n  rpc":                     `rpc needs a method`,
		"> POST /\n  rpc a b":                 `an id is a JSON number`,
		"> POST /\n  rpc a 1 b":               `params are not JSON: "b"`,
		"< 200\n  result id=1 tool":           `unknown result "tool"`,
		"< 200\n  result id=1 tools":          `tools needs a count or names`,
		"< 200\n  result id=1 tools -1":       `not a count`,
		"< 200\n  result id=1 tools 1 x":      `unknown word "x"`,
		"< 200\n  result id=1 tools 1 meta":   `meta needs SERVER=STATUS`,
		"< 200\n  result id=1 tools 1 meta a": `not SERVER=STATUS: "a"`,
		"< 200\n  result id=1 tools 1 meta a=b:c": `not numbers`,
		"< 200\n  error id=1 x":                   `not an error code: "x"`,
		"< 200\n  error id=1 -1 x meta y":         `not SERVER=STATUS: "y"`,
		"< 200\n  rest nothing":                   `unknown rest answer`,
		"< 200\n  rest tools -2":                  `not a count`,
		"< 200\n  fill x":                         `not a positive number`,
		"< 200 sse\n  hello":                      `not an event: "hello"`,
		"< 200 sse\n  result id=1 x":              `unknown result`,
	} {
		_, err := Parse([]byte(script))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "line ") {
			t.Errorf("%q: error %v, want %s", script, err, want)
		}
	}
}

func TestMustParsePanics(t *testing.T) {
	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(string), "capturetest: line 1") {
			t.Errorf("recovered %v", r)
		}
	}()
	MustParse("hello")
}

// body returns the body of the last message of a script.
func lastBody(t *testing.T, script string) string {
	t.Helper()
	c, err := Parse([]byte(script))
	if err != nil {
		t.Fatalf("%q: %v", script, err)
	}
	return strings.Join(c.messages[len(c.messages)-1].pieces, "|")
}

func TestShorthand(t *testing.T) {
	const ask = "> POST /\n  rpc tools/list \"a\"\n< 200\n"
	for line, want := range map[string]string{
		"result tools 1":                                         `{"jsonrpc":"2.0","id":"a","result":{"tools":[{"name":"tool_1","description":"Does a thing.","inputSchema":{"type":"object"}}]}}`,
		"result tools 0 next xyz":                                `{"jsonrpc":"2.0","id":"a","result":{"tools":[],"nextCursor":"xyz"}}`,
		"result id=9 tools 0":                                    `{"jsonrpc":"2.0","id":9,"result":{"tools":[]}}`,
		"result init healthy":                                    `{"jsonrpc":"2.0","id":"a","result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":false}},"serverInfo":{"name":"healthy","version":"1.0.0"}}}`,
		"result text it is 5":                                    `{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"it is 5"}],"isError":false}}`,
		"result fail 401 upstream":                               `{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"401 upstream"}],"isError":true}}`,
		`result {"x":1}`:                                         `{"jsonrpc":"2.0","id":"a","result":{"x":1}}`,
		"error -32001 Not allowed":                               `{"jsonrpc":"2.0","id":"a","error":{"code":-32001,"message":"Not allowed"}}`,
		"error -32603 All failed meta a=timeout":                 `{"jsonrpc":"2.0","id":"a","error":{"code":-32603,"message":"All failed","data":{"litellm.ai/server_outcomes":{"a":{"status":"timeout"}}}}}`,
		"result tools 0 meta a=auth_required/401 b=ok:3":         `{"jsonrpc":"2.0","id":"a","result":{"_meta":{"litellm.ai/server_outcomes":{"a":{"status":"auth_required","http_status":401},"b":{"status":"ok","tool_count":3}}},"tools":[]}}`,
		"rest tools x from healthy":                              `{"tools":[{"name":"x","description":"Does a thing.","inputSchema":{"type":"object"},"mcp_info":{"server_name":"healthy"}}],"error":null,"message":"Successfully retrieved tools"}`,
		"rest error server_not_found Server with id x not found": `{"tools":[],"error":"server_not_found","message":"Server with id x not found"}`,
		"fill 20":                      `0123456789abcdef0123`,
		"plain text\n\n  rpc in text":  "plain text\n\nrpc in text",
		"{\"a\":\n   1}":               "{\"a\":\n 1}",
		"X-Field: 1\n\n  Not: a field": "Not: a field",
	} {
		if d := cmp.Diff(want, lastBody(t, ask+"  "+line)); d != "" {
			t.Errorf("%s (-want +got):\n%s", line, d)
		}
	}
	for line, want := range map[string]string{
		"rpc tools/list 7":              `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`,
		"rpc notifications/initialized": `{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		"rpc tools/call 8 echo":         `{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"echo","arguments":{}}}`,
		`rpc tools/list 1 {"cursor":1}`: `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":1}}`,
		"rpc initialize 0":              `{"jsonrpc":"2.0","id":0,"method":"initialize","params":` + initializeParams + `}`,
	} {
		if d := cmp.Diff(want, lastBody(t, "> POST /\n  "+line)); d != "" {
			t.Errorf("%s (-want +got):\n%s", line, d)
		}
	}
}

func TestEventStream(t *testing.T) {
	const ask = "> POST /\n  rpc tools/list 1\n< 200 sse\n"
	for block, want := range map[string]string{
		"  result tools 0":                     "event: message\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[]}}\r\n\r\n",
		"  {\"a\":1}\n  [2]":                   "event: message\r\ndata: {\"a\":1}\r\n\r\n|event: message\r\ndata: [2]\r\n\r\n",
		"  ping":                               ": ping - 2026-11-23 08:00:00.000000+00:00\r\n\r\n",
		"  id: 5\n  data:\n\n  data: x":        "id: 5\r\ndata:\r\n\r\n|data: x\r\n\r\n",
		"  : hi\n  {}":                         ": hi\r\n\r\n|event: message\r\ndata: {}\r\n\r\n",
		"  Mcp-Session-Id: 1\n  data: x":       "data: x\r\n\r\n",
		"  ...\n~ 1s\n<< ping\n  ...\n<< {}\n": ": ping - 2026-11-23 08:00:00.000000+00:00\r\n\r\n|event: message\r\ndata: {}\r\n\r\n",
	} {
		if d := cmp.Diff(want, lastBody(t, ask+block)); d != "" {
			t.Errorf("%q (-want +got):\n%s", block, d)
		}
	}
}

// The HTTP+SSE transport answers on another connection than it is asked on.
func TestAnswerOnAnotherConnection(t *testing.T) {
	c := MustParse("> GET /sse\n< 200 sse\n  ...\ndown.2> POST /m\n  rpc tools/list 4\ndown.2< 202\ndown<< result tools 0\n")
	if got := c.messages[1].pieces[0]; !strings.Contains(got, `"id":4`) {
		t.Error(got)
	}
}

func TestAddresses(t *testing.T) {
	for script, want := range map[string]string{
		"> GET /":                        "10.0.0.5:40001>10.0.1.1:4000",
		"down.2> GET /":                  "10.0.0.5:40001>10.0.1.1:4000",
		"up> GET /":                      "10.0.1.1:40001>10.0.2.1:9101",
		"a> GET /\nb> GET /\na.2> GET /": "10.0.1.1:40001>10.0.2.1:9101 10.0.1.1:40002>10.0.2.2:9102 10.0.1.1:40003>10.0.2.1:9101",
		"b = 192.0.2.9:99\nb> GET /":     "10.0.1.1:40001>192.0.2.9:99",
		"b = 192.0.2.9\nb> GET /":        "10.0.1.1:40001>192.0.2.9:9101",
		"client = 10.9.9.9:5\n> GET /":   "10.9.9.9:5>10.0.1.1:4000",
		"gateway = [::1]:80\nup> GET /":  "[::1]:40001>10.0.2.1:9101",
		"alice = 10.0.0.6:7 > gateway\nalice> GET /\nalice.2> GET /": "10.0.0.6:7>10.0.1.1:4000 10.0.0.6:40001>10.0.1.1:4000",
		"[up z]\n> GET /":                                "10.0.1.1:40001>10.0.2.1:9101",
		"[down gateway]\n> GET /":                        "10.0.0.5:40001>10.0.1.1:4000",
		"[x client > z]\n. open\n[x]\n. close":           "10.0.0.5:40001>10.0.2.1:9101",
		"> GET /\n. close\n> GET /":                      "10.0.0.5:40001>10.0.1.1:4000 10.0.0.5:40002>10.0.1.1:4000",
		"client = 10.0.0.5:9\n> GET /\n. reset\n> GET /": "10.0.0.5:9>10.0.1.1:4000 10.0.0.5:9>10.0.1.1:4000",
	} {
		c, err := Parse([]byte(script))
		if err != nil {
			t.Errorf("%q: %v", script, err)
			continue
		}
		var got []string
		for _, x := range c.conns {
			got = append(got, x.client.String()+">"+x.server.String())
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %s, want %s", script, s, want)
		}
	}
}

func TestFraming(t *testing.T) {
	for script, want := range map[string]string{
		"> GET /a HTTP/1.0":                                    "GET /a HTTP/1.0\r\nHost: 10.0.1.1:4000\r\n\r\n",
		"> POST / text/plain\n  Host: x\n\n  hi":               "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi",
		"> POST /\n  Content-Length: 9\n\n  hi":                "POST / HTTP/1.1\r\nHost: 10.0.1.1:4000\r\nContent-Length: 9\r\n\r\nhi",
		"> POST /\n  Transfer-Encoding: gzip, chunked\n\n  hi": "POST / HTTP/1.1\r\nHost: 10.0.1.1:4000\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
		"> POST / chunked":                                     "POST / HTTP/1.1\r\nHost: 10.0.1.1:4000\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"< 200":                                                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"< 100":                                                "HTTP/1.1 100 Continue\r\n\r\n",
		"< 304":                                                "HTTP/1.1 304 Not Modified\r\n\r\n",
		`< 299 json "Rather Good"`:                             "HTTP/1.1 299 Rather Good\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n",
		"< 200 sse HTTP/1.0\n  {}":                             "HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nevent: message\r\ndata: {}\r\n\r\n",
		"< 200\n  Transfer-Encoding: identity\n\n  hi":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nConnection: close\r\n\r\nhi",
		"< 200\n  Content-Type: text/event-stream\n\n  data: 1": "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nb\r\ndata: 1\r\n\r\n\r\n0\r\n\r\n",
	} {
		got := ""
		for _, s := range streams(t, readBack(t, MustParse(script).Wrap(Wrap{}).Bytes)) {
			got += s
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%q (-want +got):\n%s", script, d)
		}
	}
}

func TestStart(t *testing.T) {
	r := MustParse("start = 2020-01-02T03:04:05Z\n~ 1m\n. open").Records()
	if got := r[0].Time.Format("2006-01-02T15:04:05"); got != "2020-01-02T03:05:05" {
		t.Error(got)
	}
}

func TestExpect(t *testing.T) {
	c := MustParse("\n> GET /a  => first\n< 200 => second one\n> GET /b?x=>1\nup> GET / =>\n")
	if d := cmp.Diff([]Expect{{Line: 2, Text: "first", Conn: "down"}, {Line: 3, Text: "second one", Conn: "down"}}, c.Expect()); d != "" {
		t.Error(d)
	}
	if c.messages[2].target != "/b?x=>1" {
		t.Errorf("target %q", c.messages[2].target)
	}
}
