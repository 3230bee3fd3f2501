package mcp

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

const ask = `> POST /mcp
  content-type: application/json
|- {"jsonrpc":"2.0","id":1,"method":"tools/list"}
>.
`

func zip(pieces ...string) [][]byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	var out [][]byte
	for _, p := range pieces {
		z.Write([]byte(p))
		z.Flush()
		out = append(out, bytes.Clone(b.Bytes()))
		b.Reset()
	}
	z.Close()
	return append(out, b.Bytes())
}

// A compressed stream must be told as it comes.
func TestCompressedStreamIsToldInTime(t *testing.T) {
	p := newPlayer(Config{})
	p.play(ask + "< 200\n  content-type: text/event-stream\n  content-encoding: gzip\n")
	pieces := zip("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[]}}\n\n", ": ping\n\n")
	p.frame = 50
	p.piece(string(pieces[0]))
	if n := len(p.out); n != 2 || p.out[1].Phase != Told || p.out[1].Answers[0].At.Frame != 50 {
		t.Fatalf("told:\n%s", p.told())
	}
	p.piece(string(pieces[1]))
	p.piece(string(pieces[2]))
	p.play("<.")
	if p.d.held != 0 || len(p.notes) != 0 {
		t.Fatalf("%d bytes held; notes %v", p.d.held, p.notes)
	}
}

func TestCompressedBodies(t *testing.T) {
	whole := bytes.Join(zip(`{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a"}]}}`), nil)
	for cut := range len(whole) {
		p := newPlayer(Config{})
		p.play(ask + "< 200\n  content-type: application/json\n  content-encoding: gzip\n")
		p.piece(string(whole[:cut]))
		p.piece(string(whole[cut:]))
		p.play("<.")
		last := p.out[len(p.out)-1]
		if len(last.Answers) != 1 || last.Answers[0].Count != 1 {
			t.Fatalf("cut at %d:\n%s", cut, p.told())
		}
	}
	p := newPlayer(Config{})
	p.play("> POST /mcp\n  content-type: application/json\n  content-encoding: gzip\n")
	p.piece(string(bytes.Join(zip(`{"jsonrpc":"2.0","id":1,"method":"ping"}`), nil)))
	p.play(">.")
	if len(p.out) != 1 || len(p.out[0].Requests) != 1 {
		t.Fatalf("request:\n%s", p.told())
	}
	p = newPlayer(Config{})
	p.play(ask + "< 200\n  content-type: text/event-stream\n  content-encoding: gzip\n")
	p.piece(string(whole[:20]))
	p.play("!<\n<.")
	if last := p.out[len(p.out)-1]; !last.Hole || !last.Answer.Unkept || len(last.Answers) != 0 {
		t.Fatalf("hole:\n%s", p.told())
	}
}

func codes(p *player) string {
	var out []string
	for _, n := range p.notes {
		out = append(out, n.Code)
	}
	return strings.Join(out, " ")
}

func TestBodyLimit(t *testing.T) {
	p := newPlayer(Config{Limits: decode.Limits{Body: 100}})
	p.play(ask + "< 200\n  content-type: application/json\n")
	p.piece(`{"jsonrpc":"2.0","id":1,"result":{"tools":[],"x":"` + strings.Repeat("x", 100) + `"}}`)
	p.play("<.")
	last := p.out[len(p.out)-1]
	if codes(p) != "limit/body" || !last.Answer.Unkept || !last.Answer.Whole || len(last.Answers) != 0 || p.d.held != 0 {
		t.Fatalf("%s\n%s", codes(p), p.told())
	}
}

func TestBodiesLimit(t *testing.T) {
	p := newPlayer(Config{Limits: decode.Limits{Bodies: 10_000}})
	for i := range 20 {
		p.id.Stream = uint32(i + 1)
		p.play(ask + "< 200\n  content-type: application/json\n")
		p.piece(`{"jsonrpc":"2.0","id":1,"result":{"x":"` + strings.Repeat("x", 1000))
		if p.d.held > 20_000 {
			t.Fatalf("%d bytes are held", p.d.held)
		}
	}
	if !strings.Contains(codes(p), "limit/bodies") {
		t.Fatal("nothing is said")
	}
	p.play("end< cut")
	if p.d.held != 0 || len(p.d.open) != 0 {
		t.Fatalf("%d bytes, %d exchanges are left", p.d.held, len(p.d.open))
	}
}

func TestOpenExchangesAreBounded(t *testing.T) {
	p := newPlayer(Config{Limits: decode.Limits{Flows: 10}})
	for i := range 100 {
		p.id = httpmsg.ID{Flow: i/3 + 1, Stream: uint32(i)}
		p.flow.First = i/3 + 1
		p.play(ask)
		if len(p.d.open) > 10 || len(p.d.flows) > 10 {
			t.Fatalf("%d exchanges are open", len(p.d.open))
		}
	}
	if strings.Count(codes(p), "limit/exchanges") != 90 {
		t.Fatalf("notes %q", codes(p))
	}
	evicted := 0
	for _, x := range p.out {
		if x.Phase == Closed {
			evicted++
			if x.How != decode.Evicted || !x.Hole {
				t.Fatalf("%s", tell(x))
			}
		}
	}
	if evicted != 90 {
		t.Fatalf("%d are evicted", evicted)
	}
	p.checkOrder(t)
	// What comes of one that was given up is nobody's.
	p.id = httpmsg.ID{Flow: 1, Stream: 0}
	n := len(p.out)
	p.play("|- {}\n<.\nx< reset")
	if len(p.out) != n {
		t.Fatal("an exchange came back")
	}
}

func TestMessagesAreBoundedAndTheAnswerStays(t *testing.T) {
	p := newPlayer(Config{Limits: decode.Limits{Messages: 5}})
	p.play(ask + "< 200\n  content-type: text/event-stream\n")
	for range 100 {
		p.piece("data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n")
	}
	p.piece("data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\n\n")
	last := p.out[len(p.out)-1]
	if last.Phase != Told || len(last.Answers) != 6 || last.Answers[5].Kind != Result {
		t.Fatalf("%s", tell(last))
	}
	p = newPlayer(Config{Limits: decode.Limits{Messages: 2}})
	p.play("> POST /mcp\n  content-type: application/json\n|- [" + strings.Repeat(`{"jsonrpc":"2.0","id":1,"method":"a"},`, 9) + `{"jsonrpc":"2.0","id":1,"method":"a"}]` + "\n>.")
	if len(p.out[0].Requests) != 2 || !strings.Contains(codes(p), "limit/messages") {
		t.Fatalf("%s", p.told())
	}
}

func TestToolsAreBounded(t *testing.T) {
	p := newPlayer(Config{Limits: decode.Limits{Tools: 3}})
	p.play(ask + "< 200\n  content-type: application/json\n")
	p.piece(string(listBody(10)))
	p.play("<.")
	m := p.out[1].Answers[0]
	if m.Count != 10 || len(m.Tools) != 3 {
		t.Fatalf("%s", message(m))
	}
}

// Emitted values never change, and share nothing that does.
func TestEmittedValuesStay(t *testing.T) {
	p := newPlayer(Config{})
	var first []string
	p.d.emit = func(_ decode.Mark, x *Exchange) {
		p.out = append(p.out, x)
		first = append(first, fmt.Sprintf("%+v", *x))
	}
	for i := range 5 {
		p.id.Stream = uint32(i + 1)
		p.play(ask + "< 200\n  server: a\n  www-authenticate: Bearer\n  content-type: text/event-stream\n| data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[{\"name\":\"a\"}]}}\n|\n| data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n|\n<.")
	}
	for i, x := range p.out {
		if got := fmt.Sprintf("%+v", *x); got != first[i] {
			t.Fatalf("value %d changed:\n%s\n%s", i, first[i], got)
		}
	}
	if len(p.out) != 20 {
		t.Fatalf("%d values", len(p.out))
	}
}

// secrets are planted where a script says $0 to $9.
var secrets = [...]string{
	"Pl4ntedS3cretTok3nAbCdEf0123456789",
	"sk-planted-key-0123456789abcdef",
	"eyJhbGciOiJub25lIn0.eyJzdWIiOiJwbGFudGVkLXN1YmplY3QiLCJlbWFpbCI6InBsYW50ZWRAZXhhbXBsZS5jb20iLCJqdGkiOiJwbGFudGVkLWp0aSJ9.cGxhbnRlZC1zaWduYXR1cmU",
	"planted.mail@secret.example",
	"0f1e2d3c4b5a69788796a5b4c3d2e1f0",
	"gho_Pl4ntedPl4ntedPl4ntedPl4ntedPl4n",
	"c2Vjc3RyZWV0OnBsYW50ZWRwYXNzd29yZA==",
	"7c9e6679-7425-40de-944b-e07fc1f90ae7",
	"AKIAPLANTED012345678",
	"ya29.a0Pl4nted-Secret_0123456789",
}

// everywhere is a conversation with a secret in every place that can hold one.
const everywhere = `> POST http://user:$0@gw:4000/mcp/$4/$7?api_key=$0&session_id=$4&tags=$1&url=http%3A%2F%2Fu%3A$0%40h%2F$5%3Fk%3D$1&server_id=$1&$0
  host: user:$0@gw:4000
  user-agent: agent/1 ($1)
  accept: application/json, text/event-stream, $0
  content-type: application/json
  authorization: Bearer $2
  proxy-authorization: Basic $6
  cookie: session=$0; other=$1
  x-litellm-api-key: Bearer $1
  x-mcp-auth: $0
  x-mcp-github-authorization: Bearer $5
  x-api-key: $9
  mcp-session-id: $4
  mcp-protocol-version: $0
  last-event-id: $7
  traceparent: 00-$4-b7ad6b7169203331-01
  x-mcp-servers: ok, $1
  mcp-method: $1
  mcp-name: $0
  origin: http://u:$0@o/$1
  referer: http://u:$0@o/$1?$0
  via: 1.1 $0
  x-mcp-toolset-id: $1
  x-mcp-access-groups: $5
  x-custom: $0
|- [{"jsonrpc":"2.0","id":"$0","method":"$1","params":{"x":"$0"}},{"jsonrpc":"2.0","id":"$5","method":"tools/call","params":{"name":"$5","arguments":{"password":"$0"},"_meta":{"traceparent":"00-$4-b7ad6b7169203331-01"}}},{"jsonrpc":"2.0","id":2,"method":"initialize","params":{"clientInfo":{"name":"$0"},"protocolVersion":"$1"}},{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"cursor":"$0"}}]
>.
< 401
  server: uvicorn $0
  content-type: text/event-stream; $0
  location: http://u:$0@h/$4?code=$0#$0
  mcp-session-id: $4
  set-cookie: a=$0
  x-mcp-debug-inbound-auth: $0
  x-mcp-debug-oauth2-token: $0 (SAME_AS_LITELLM_KEY)
  x-mcp-debug-outbound-url: http://u:$0@h/$4?k=$1
  x-mcp-debug-auth-resolution: $1
  x-litellm-version: $0
  retry-after: $0
  www-authenticate: Bearer realm="$0", error="$1", error_description="token $2 of $3", resource_metadata="http://u:$0@h/x?y=$0", scope="$0", $1="x", Negotiate $6
| event: endpoint
| data: /messages?sessionId=$4
|
| id: $0
| data: {"jsonrpc":"2.0","id":"$0","result":{"tools":[{"name":"$0"},{"name":"$1","description":"$0"}],"nextCursor":"$0","serverInfo":{"name":"$5","version":"$0"},"_meta":{"litellm.ai/server_outcomes":{"$0":{"status":"$1"}}}}}
|
| data: {"jsonrpc":"2.0","id":"$5","result":{"isError":true,"content":[{"type":"text","text":"Client error for url 'http://u:$0@h/$4?k=$1': Bearer $0, key=$1 mail $3 jwt $2 $8 $9"}]}}
|
| data: {"jsonrpc":"2.0","id":2,"error":{"code":1,"message":"Received API Key = $1, Key Hash (Token) =$4","data":{"x":"$0"}}}
|
| data: {"jsonrpc":"2.0","id":3,"error":"$0 $3"}
|
<.
@ 2
> POST /mcp-rest/tools/call?server_id=a
  content-type: application/json
|- {"server_id":"$1","name":"$0","arguments":{"a":"$0"}}
>.
< 500
  content-type: application/json
|- {"detail":{"error":"$1","message":"bad $0 $2 $3"},"error":"$0","message":"$5"}
<.
@ 3
> POST /mcp-rest/test/tools/list
  content-type: application/json
|- {"url":"http://u:$0@h/$4/mcp?k=$0","credentials":{"auth_value":"$0"},"static_headers":{"Authorization":"Bearer $0"}}
>.
< 200
  content-type: application/json
|- {"status":"error","message":"cannot reach http://u:$0@h/?k=$0","tools":[{"name":"$0","mcp_info":{"server_name":"$1"}}]}
<.
@ 4
> GET /v1/mcp/server
>.
< 200
  content-type: application/json
|- [{"server_id":"$1","server_name":"$0","alias":"$5","url":"http://u:$0@h/$4?k=$0","transport":"$0","auth_type":"$1","credentials":{"auth_value":"$0"}}]
<.
@ 5
> POST /v1/responses
  content-type: application/json
|- {"model":"$1","input":"$0","tools":[{"type":"mcp","server_url":"litellm_proxy/mcp/$0?k=$1","headers":{"Authorization":"Bearer $0"}}]}
>.
< 200
  content-type: text/event-stream
| data: {"type":"error","error":{"code":"$0","message":"$1 $2 $3"}}
|
<.
@ 6
> POST /token
  content-type: application/x-www-form-urlencoded
|- client_secret=$0&grant_type=$1&refresh_token=$0
>.
< 400
  content-type: application/json
|- {"error":"$0","error_description":"$1","access_token":"$0"}
<.
@ 7
> GET /$0
>.
x< fin net::ERR $0 $1
`

// plant fills a script.
func plant(script string) string {
	for i, s := range secrets {
		script = strings.ReplaceAll(script, fmt.Sprint("$", i), s)
	}
	return script
}

func dump(p *player) string {
	var b strings.Builder
	for _, x := range p.out {
		fmt.Fprintf(&b, "%+v\n", *x)
		for _, c := range x.Creds {
			fmt.Fprintf(&b, "%+v\n", c)
			if c.JWT != nil {
				fmt.Fprintf(&b, "%+v\n", *c.JWT)
			}
		}
		if x.REST != nil {
			fmt.Fprintf(&b, "%+v\n", *x.REST)
		}
	}
	fmt.Fprintf(&b, "%+v\n", p.notes)
	return b.String()
}

// leaked finds a secret in a text: whole, or a piece of it that is long enough
// to matter.
func leaked(text string, secrets ...string) string {
	for _, s := range secrets {
		for i := 0; i+12 <= len(s); i++ {
			if strings.Contains(text, s[i:i+12]) {
				return s[i : i+12]
			}
		}
	}
	return ""
}

func TestNoSecretLeaves(t *testing.T) {
	p := newPlayer(Config{})
	p.play(plant(everywhere))
	text := dump(p)
	if len(p.out) != 15 {
		t.Errorf("%d values", len(p.out))
	}
	for i, s := range secrets {
		if part := leaked(text, s); part != "" {
			at := strings.Index(text, part)
			t.Errorf("$%d: %q is in ...%s...", i, part, text[max(0, at-100):min(len(text), at+60)])
		}
	}
	for _, s := range []string{"planted-subject", "planted-jti", "planted@example.com", "plantedpassword"} {
		if strings.Contains(text, s) {
			t.Errorf("%q is shown", s)
		}
	}
}

// random makes a secret of n bytes out of a seed.
func random(seed uint64, alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		// splitmix64
		seed += 0x9e3779b97f4a7c15
		z := seed
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		b[i] = alphabet[(z^z>>31)%uint64(len(alphabet))]
	}
	return string(b)
}

// A random secret, with anything of these around it, stays inside wherever in
// the conversation it stands.
func FuzzExchangeNeverLeaks(f *testing.F) {
	const base62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	alphabets := []string{base62, base62 + "-_", base62 + "+", "0123456789abcdef"}
	around := []string{"", "'", "(", ")", ":", ".", ",", " ", "x=", "is ", "the key ", "…", "<", ">", "-", "="}
	f.Add(uint64(1), uint8(32), uint8(0), uint8(0), uint8(0), uint8(0))
	f.Add(uint64(2), uint8(64), uint8(1), uint8(3), uint8(2), uint8(5))
	f.Fuzz(func(t *testing.T, seed uint64, n, alphabet, before, after, where uint8) {
		secret := random(seed, alphabets[int(alphabet)%len(alphabets)], 40+int(n)%64)
		fill := around[int(before)%len(around)] + secret + around[int(after)%len(around)]
		script := strings.ReplaceAll(everywhere, fmt.Sprint("$", int(where)%10), fill)
		p := newPlayer(Config{})
		p.play(plant(script))
		p.d.End(&p.flow, decode.ToClient, p.mark(), decode.Cut)
		p.checkOrder(t)
		if p.d.held != 0 {
			t.Errorf("%d bytes are held", p.d.held)
		}
		if text := dump(p); strings.Contains(text, secret) {
			at := strings.Index(text, secret)
			t.Errorf("%q is in ...%s...", secret, text[max(0, at-100):min(len(text), at+len(secret)+60)])
		}
	})
}

// Whatever the events are, nothing panics, the order holds and nothing stays.
func FuzzAnyEventsKeepOrder(f *testing.F) {
	f.Add([]byte("0123456789"), "POST", "/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`)
	f.Add([]byte{0, 2, 4, 1, 3, 5, 9, 8, 7, 6}, "GET", "/sse", "data: {}\n\n")
	f.Fuzz(func(t *testing.T, steps []byte, method, target, data string) {
		p := newPlayer(Config{Limits: decode.Limits{Flows: 3, Body: 64, Bodies: 256, Line: 64}})
		media := []string{"application/json", "text/event-stream", "text/html", ""}
		for _, s := range steps {
			p.frame++
			p.dir = decode.Dir(s & 1)
			p.id.Stream = uint32(s >> 5)
			e := httpmsg.Event{Method: method, Target: target, Status: 200, Data: []byte(data), Why: decode.End(s >> 4 & 3)}
			e.Header = httpmsg.Header{{Name: []byte("Content-Type"), Value: []byte(media[s>>3&3])}}
			e.Kind = httpmsg.Kind(s>>1&7)%5 + 1
			p.event(e)
		}
		p.d.End(&p.flow, decode.ToServer, p.mark(), decode.Fin)
		p.d.End(&p.flow, decode.ToClient, p.mark(), decode.Cut)
		p.checkOrder(t)
		if p.d.held != 0 || len(p.d.open) != 0 || len(p.d.flows) != 0 || p.d.first != nil || p.d.last != nil {
			t.Fatalf("%d bytes, %d exchanges are left", p.d.held, len(p.d.open))
		}
	})
}

func listBody(tools int) []byte {
	var b strings.Builder
	b.WriteString(`{"jsonrpc":"2.0","id":7,"result":{"tools":[`)
	for i := range tools {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"healthy-tool_%d","description":"%s","inputSchema":{"type":"object","properties":{"query":{"type":"string"},"limit":{"type":"integer"}}}}`, i, strings.Repeat("Finds things. ", 6))
	}
	b.WriteString(`]}}`)
	return []byte(b.String())
}

// exchange feeds one exchange without a script, for benchmarks.
func exchange(d *Decoder, flow *decode.Flow, n uint32, req, resp httpmsg.Header, ask []byte, answer ...[]byte) {
	id := httpmsg.ID{Flow: 1, Stream: n}
	d.Event(flow, false, false, &httpmsg.Event{Kind: httpmsg.Head, ID: id, Proto: "1.1", Method: "POST", Target: "/srv1/mcp", Authority: "gw:4000", Scheme: "http", Header: req})
	d.Event(flow, false, false, &httpmsg.Event{Kind: httpmsg.Body, ID: id, Data: ask})
	d.Event(flow, false, false, &httpmsg.Event{Kind: httpmsg.Done, ID: id})
	d.Event(flow, false, false, &httpmsg.Event{Kind: httpmsg.Head, ID: id, Dir: decode.ToClient, Proto: "1.1", Status: 200, Header: resp})
	for _, p := range answer {
		d.Event(flow, false, false, &httpmsg.Event{Kind: httpmsg.Body, ID: id, Dir: decode.ToClient, Data: p})
	}
	d.Event(flow, false, false, &httpmsg.Event{Kind: httpmsg.Done, ID: id, Dir: decode.ToClient})
}

func fields(pairs ...string) httpmsg.Header {
	var h httpmsg.Header
	for i := 0; i < len(pairs); i += 2 {
		h = append(h, httpmsg.Field{Name: []byte(pairs[i]), Value: []byte(pairs[i+1])})
	}
	return h
}

var (
	askFields = fields("host", "gw:4000", "accept", "application/json, text/event-stream", "authorization", "Bearer token-1", "x-litellm-api-key", "Bearer sk-gateway",
		"user-agent", "python-httpx/0.28.1", "accept-encoding", "gzip, deflate", "connection", "keep-alive", "content-type", "application/json", "content-length", "60")
	sseFields = fields("date", "Mon, 23 Nov 2026 08:00:00 GMT", "server", "uvicorn", "cache-control", "no-cache, no-transform", "content-type", "text/event-stream", "transfer-encoding", "chunked")
	listAsk   = []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`)
)

func benchList(b *testing.B, name string, bodies [][]byte) {
	b.Run(name, func(b *testing.B) {
		d := New(Config{}, func(decode.Mark, *Exchange) {}, nil)
		flow := &decode.Flow{First: 1}
		n := uint32(0)
		b.ReportAllocs()
		b.SetBytes(int64(len(bodies[0])))
		for b.Loop() {
			n++
			exchange(d, flow, n, askFields, sseFields, listAsk, chop(bodies[int(n)%len(bodies)], 1448)...)
		}
	})
}

// A tools list of 9 KB over SSE in segments of 1448 bytes.
func BenchmarkList(b *testing.B) {
	sse := func(body []byte) []byte { return []byte("event: message\r\ndata: " + string(body) + "\r\n\r\n") }
	same := sse(listBody(40))
	var other [][]byte
	for i := range 200 {
		other = append(other, sse(bytes.ReplaceAll(listBody(40), []byte("Finds"), []byte(fmt.Sprintf("F%04d", i)))))
	}
	benchList(b, "seen before", [][]byte{same})
	benchList(b, "never seen", other)
}

// The other exchanges of an upstream session.
func BenchmarkSmallExchange(b *testing.B) {
	d := New(Config{}, func(decode.Mark, *Exchange) {}, nil)
	flow := &decode.Flow{First: 1}
	n := uint32(0)
	b.ReportAllocs()
	for b.Loop() {
		n++
		exchange(d, flow, n, askFields, sseFields, listAsk, []byte("event: message\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"tools\":[]}}\r\n\r\n"))
	}
}

// A status that could not be read is no absence of one, and a client that takes
// one stream back has gone away although its connection stays.
func TestUnreadStatusAndStreamTakenBack(t *testing.T) {
	for _, c := range []struct {
		events  []httpmsg.Event
		hole    bool
		aborted bool
	}{
		{[]httpmsg.Event{{Kind: httpmsg.Head}, {Kind: httpmsg.Done}}, true, false},
		{[]httpmsg.Event{{Kind: httpmsg.Head, Status: 200}, {Kind: httpmsg.Done}}, false, false},
		{[]httpmsg.Event{{Kind: httpmsg.Head, Status: 200}, {Kind: httpmsg.Cut, Why: decode.Fin, Aborted: true}}, false, true},
	} {
		p := newPlayer(Config{})
		p.play("> GET /mcp\n>.\n")
		for _, e := range c.events {
			e.ID, e.Dir = p.out[0].ID, decode.ToClient
			p.d.Event(&p.out[0].Flow, false, false, &e)
		}
		if x := p.out[len(p.out)-1]; x.Phase != Closed || x.Hole != c.hole || x.Aborted != c.aborted {
			t.Errorf("%+v: phase %v hole %v aborted %v", c.events, x.Phase, x.Hole, x.Aborted)
		}
	}
}
