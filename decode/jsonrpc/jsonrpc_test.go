package jsonrpc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func show(m *Message) string {
	var b strings.Builder
	for _, f := range []struct {
		name string
		v    []byte
	}{{"id", m.ID}, {"method", m.Method}, {"params", m.Params}, {"result", m.Result}, {"error", m.Error}} {
		if f.v != nil {
			fmt.Fprintf(&b, "%s=%s ", f.name, f.v)
		}
	}
	return strings.TrimSpace(b.String())
}

func parse(d *Parser, in string) (Form, string) {
	var out []string
	form := d.Parse([]byte(in), func(m *Message) { out = append(out, show(m)) })
	return form, strings.Join(out, " | ")
}

var texts = []struct {
	in   string
	form Form
	want string
}{
	{`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":""}}`, Single, `id=1 method=tools/list params={"cursor":""}`},
	{`{"jsonrpc":"2.0","id":"1","method":"ping"}`, Single, `id="1" method=ping`},
	{`{"jsonrpc":"2.0","id":1.0,"result":{}}`, Single, `id=1.0 result={}`},
	{`{"jsonrpc":"2.0","id":-1e3,"result":null}`, Single, `id=-1e3 result=null`},
	{`{"jsonrpc":"2.0","id":null,"error":{"code":-32600}}`, Single, `id=null error={"code":-32600}`},
	{`{"jsonrpc":"2.0","error":{"code":-32600}}`, Single, `error={"code":-32600}`},
	{`{"jsonrpc":"2.0","method":"notifications/initialized"}`, Single, `method=notifications/initialized`},
	{` { "jsonrpc" : "2.0" , "id" : 7 , "result" : { "tools" : [ ] } } `, Single, `id=7 result={ "tools" : [ ] }`},
	{"\xef\xbb\xbf" + `{"jsonrpc":"2.0","id":1,"method":"a"}`, Single, `id=1 method=a`},
	{`{"jsonrpc":"2.0","id":1,"method":"tools\/list"}`, Single, `id=1 method=tools/list`},
	{`{"jsonrpc":"2.0","id":1,"id":2,"method":"a","method":"b"}`, Single, `id=2 method=b`},
	{`{"jsonrpc":"2.0","\u0069d":1,"method":"a"}`, Single, `id=1 method=a`},
	{`{"id":"server-error","jsonrpc":"2.0","error":{"code":-32600,"message":"Not Acceptable"}}`, Single, `id="server-error" error={"code":-32600,"message":"Not Acceptable"}`},
	{`[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":2,"method":"b"}]`, Batch, `id=1 method=a | id=2 method=b`},
	{`[1,{"a":1},{"jsonrpc":"2.0","method":"b"}]`, Batch, `method=b`},
	{`[]`, NotRPC, ``},
	{`{}`, NotRPC, ``},
	{`"jsonrpc"`, NotRPC, ``},
	{`7`, NotRPC, ``},
	{`{"jsonrpc":"2.0"}`, NotRPC, ``},
	{`{"id":1,"method":"a"}`, NotRPC, ``},
	{`{"jsonrpc":"2.0","id":1,"method":5}`, NotRPC, ``},
	{`{"x":{"jsonrpc":"2.0","id":1,"method":"a"}}`, NotRPC, ``},
	{``, NotJSON, ``},
	{`{"jsonrpc":"2.0","id":1,"method":"a"`, NotJSON, ``},
	{`{"jsonrpc":"2.0","id":01,"method":"a"}`, NotJSON, ``},
	{`{"jsonrpc":"2.0","id":1,"method":"a"} x`, NotJSON, ``},
	{`{'jsonrpc':'2.0'}`, NotJSON, ``},
	{"{\"jsonrpc\":\"2.0\",\"method\":\"a\nb\"}", NotJSON, ``},
	{strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1), NotJSON, ``},
	{strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth), NotRPC, ``},
	{`"` + strings.Repeat(`[\"`, MaxDepth+1) + `"`, NotRPC, ``},
	{strings.Repeat("[", 1<<20), NotJSON, ``},
}

func TestParse(t *testing.T) {
	var d Parser
	for _, c := range texts {
		form, got := parse(&d, c.in)
		if form != c.form || got != c.want {
			t.Errorf("%.80s\n got %d %s\nwant %d %s", c.in, form, got, c.form, c.want)
		}
	}
}

func list(tools int, tag string) string {
	var b strings.Builder
	b.WriteString(`{"tools":[`)
	for i := range tools {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"name":"%s_%d","description":"Does the thing with the given arguments and returns what came of it, as text.","inputSchema":{"type":"object","properties":{"path":{"type":"string","description":"where"},"count":{"type":"integer","default":%d}},"required":["path"]}}`, tag, i, i)
	}
	b.WriteString(`]}`)
	return b.String()
}

// A result that came before must be found again behind any id, and must not
// be seen where other bytes follow or stand before it.
func TestRememberedResultChangesNothing(t *testing.T) {
	big := list(10, "a")
	var warm Parser
	if form, _ := parse(&warm, `{"jsonrpc":"2.0","id":1,"result":`+big+`}`); form != Single {
		t.Fatal("not parsed")
	}
	for _, in := range []string{
		`{"jsonrpc":"2.0","id":1,"result":` + big + `}`,
		`{"jsonrpc":"2.0","id":"x","result": ` + big + ` }`,
		`{"result":` + big + `,"id":9,"jsonrpc":"2.0"}`,
		`{"jsonrpc":"2.0","id":1,"result":` + big,
		`{"jsonrpc":"2.0","id":1,"result":` + big + `,}`,
		`{"jsonrpc":"2.0","id":1,"result":` + big + big + `}`,
		`{"jsonrpc":"2.0","id":1,"result":` + big + `,"result":{}}`,
		`{"jsonrpc":"2.0","id":1,"result":{},"result":` + big + `}`,
		`{"jsonrpc":"2.0","method":"a","params":{"result":` + big + `}}`,
		`{"jsonrpc":"2.0","method":"a","x\"result":` + big + `}`,
		`[{"jsonrpc":"2.0","id":1,"result":` + big + `}]`,
		`{"jsonrpc":"2.0","method":"\"result":` + big + `}`,
		`"result":` + big,
		`{"result":` + big + `}`,
	} {
		var cold Parser
		wantForm, want := parse(&cold, in)
		gotForm, got := parse(&warm, in)
		if gotForm != wantForm || got != want {
			t.Errorf("%.60s...%s\n got %d %.80s\nwant %d %.80s", in, in[len(in)-20:], gotForm, got, wantForm, want)
		}
	}
}

func TestKnownResultIsOneSlice(t *testing.T) {
	var d Parser
	var seen [][]byte
	for i := range 3 {
		in := []byte(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%s}`, i, list(10, "a")))
		d.Parse(in, func(m *Message) {
			if !m.Known {
				t.Fatal("a large result is not kept")
			}
			seen = append(seen, m.Result)
		})
		for i := range in {
			in[i] = 'x' // its storage is the caller's
		}
	}
	if len(seen) != 3 || &seen[0][0] != &seen[1][0] || &seen[1][0] != &seen[2][0] {
		t.Fatal("the same result came in different storage")
	}
	if string(seen[0]) != list(10, "a") {
		t.Fatal("it changed")
	}
}

func TestManyResultsAreForgotten(t *testing.T) {
	var d Parser
	for i := range 1000 {
		form, _ := parse(&d, `{"jsonrpc":"2.0","id":1,"result":`+list(4, fmt.Sprint("t", i))+`}`)
		if form != Single {
			t.Fatal(i)
		}
	}
	n := 0
	for _, r := range d.known {
		n += len(r)
	}
	if n > len(d.known)*maxKnown {
		t.Fatalf("%d bytes are kept", n)
	}
}

// slow is what encoding/json makes of one object.
func slow(raw []byte) (string, bool) {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil || m == nil {
		return "", false
	}
	out := Message{ID: m["id"], Params: m["params"], Result: m["result"], Error: m["error"]}
	var method string
	if r, ok := m["method"]; ok && r[0] == '"' && json.Unmarshal(r, &method) == nil {
		out.Method = append([]byte{}, method...)
	}
	_, rpc := m["jsonrpc"]
	return show(&out), rpc && (out.Method != nil || out.Result != nil || out.Error != nil)
}

func FuzzMatchesEncodingJSON(f *testing.F) {
	for _, c := range texts {
		if len(c.in) < 1000 {
			f.Add([]byte(c.in))
		}
	}
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"result":` + list(2, "a") + `}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		in = Trim(in)
		var d Parser
		for range 2 { // the second time with what was remembered
			var got []string
			form := d.Parse(in, func(m *Message) { got = append(got, show(m)) })
			// Neither minds bad UTF-8 outside names; in names they differ, and
			// such names mean nothing.
			if json.Valid(in) != (form != NotJSON) {
				if !shallow(in) {
					return
				}
				t.Fatalf("valid for encoding/json: %v, form %d", json.Valid(in), form)
			}
			if form == NotJSON || !bytes.Equal(in, bytes.ToValidUTF8(in, nil)) || bytes.Contains(in, []byte(`\u`)) {
				return
			}
			var want []string
			var all []json.RawMessage
			if json.Unmarshal(in, &all) != nil {
				all = []json.RawMessage{in}
			}
			for _, raw := range all {
				if s, ok := slow(raw); ok {
					want = append(want, s)
				}
			}
			if strings.Join(got, "|") != strings.Join(want, "|") {
				t.Fatalf("\n got %s\nwant %s", got, want)
			}
		}
	})
}

func BenchmarkListSeenBefore(b *testing.B) {
	p := []byte(`{"jsonrpc":"2.0","id":7,"result":` + list(36, "tool") + `}`)
	var d Parser
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		d.Parse(p, func(*Message) {})
	}
}

func BenchmarkListNeverSeen(b *testing.B) {
	p := []byte(`{"jsonrpc":"2.0","id":7,"result":` + list(36, "tool") + `}`)
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		var d Parser
		d.Parse(p, func(*Message) {})
	}
}

func BenchmarkRequest(b *testing.B) {
	p := []byte(`{"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"mcp","version":"0.1.0"}},"jsonrpc":"2.0","id":0}`)
	var d Parser
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		d.Parse(p, func(*Message) {})
	}
}
