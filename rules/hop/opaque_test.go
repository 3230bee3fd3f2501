package hop_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"mcp401/capture/capturetest"
	"mcp401/decode"
	"mcp401/decode/stack"
	"mcp401/rules/all"
	"mcp401/rules/hop"
)

// TestShape gives a gateway whose client hop is in clear connections to an
// upstream that cannot be read: they are a hint in the text and accuse nobody.
func TestShape(t *testing.T) {
	const in, out = decode.ToClient, decode.ToServer
	for _, c := range []struct {
		name  string
		conns [][]stack.Record // application data of each connection: sizes by direction
		open  bool
		want  string
	}{
		{"a refused initialize", [][]stack.Record{{{Dir: out, Size: 300}, {Dir: out, Size: 160}, {Dir: in, Size: 420}}}, false, "agree with a refusal"},
		{"a session on one connection", [][]stack.Record{{{Dir: out, Size: 460}, {Dir: in, Size: 700}, {Dir: out, Size: 300}, {Dir: in, Size: 90}, {Dir: out, Size: 300}, {Dir: in, Size: 4000}}}, false, "agree with a good list"},
		{"a session on three", [][]stack.Record{{{Dir: out, Size: 460}, {Dir: in, Size: 700}}, {{Dir: out, Size: 300}, {Dir: in, Size: 90}}, {{Dir: out, Size: 300}, {Dir: in, Size: 4000}}}, false, "agree with a good list"},
		{"one that goes on", [][]stack.Record{{{Dir: out, Size: 460}, {Dir: in, Size: 420}}}, true, "is TLS without keys"},
		{"two short ones", [][]stack.Record{{{Dir: out, Size: 460}, {Dir: in, Size: 420}}, {{Dir: out, Size: 460}, {Dir: in, Size: 420}}}, false, "is TLS without keys"},
		{"nothing but a handshake", [][]stack.Record{nil}, false, "is TLS without keys"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conversation := capturetest.MustParse("down> POST /github/mcp\n  x-litellm-api-key: Bearer sk-1\n  rpc tools/list 7\n~ 100ms\ndown< 200 sse\n  result tools 0\n")
			var cases []*hop.Case
			l := hop.NewLinker(hop.Config{}, func(c *hop.Case) { cases = append(cases, c) })
			told := false
			d := stack.New(stack.Config{}, func(e stack.Event) {
				l.Event(e)
				if e.Exchange == nil || told {
					return
				}
				told = true
				at := decode.Mark{Frame: e.At.Frame, Time: e.At.Time.Add(10 * time.Millisecond)}
				for i, shape := range c.conns {
					how := decode.Fin
					if c.open {
						how = 0
					}
					l.Event(stack.Event{At: at, Connection: &stack.Connection{
						Flow:  decode.Flow{First: 1000 + i, Start: at.Time, Client: netip.MustParseAddrPort("10.0.1.1:5000"), Server: netip.MustParseAddrPort("10.9.9.9:443")},
						Ended: decode.Mark{Frame: at.Frame, Time: at.Time.Add(time.Millisecond)}, How: how, Protocol: "tls",
						TLS: &stack.TLS{ServerName: "issues.example", HandshakeDone: true, Why: "tls/no-key", Shape: shape},
					}})
				}
			})
			for _, r := range conversation.Records() {
				d.Record(r)
			}
			d.Close()
			l.Close()
			if len(cases) != 1 {
				t.Fatalf("%d cases", len(cases))
			}
			f, rule := all.Judge(cases[0])
			if rule.ID != "unseen-upstream" || f.Confidence != hop.Suspected || !strings.Contains(f.Text, c.want) || !strings.Contains(f.Text, "issues.example") {
				t.Errorf("%s, %s: %s; want %q", rule.ID, f.Confidence, f.Text, c.want)
			}
		})
	}
}
