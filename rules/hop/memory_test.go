package hop

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
)

// A feed gives a linker one exchange after the other, as a decoder would.
type feed struct {
	l     *Linker
	frame int
	flow  int
	now   time.Time
}

func (f *feed) mark() decode.Mark {
	f.frame++
	f.now = f.now.Add(time.Millisecond)
	return decode.Mark{Frame: f.frame, Time: f.now}
}

// call asks client > server for a list or an initialize; the answer is given
// with the func that is returned.
func (f *feed) call(client, server, path, method, key string) func(status, tools int) {
	f.flow++
	at := f.mark()
	c := netip.MustParseAddrPort(client)
	x := mcp.Exchange{
		ID: httpmsg.ID{Flow: f.flow}, Kind: mcp.RPC, Phase: mcp.Asked, Asked: at, Method: "POST", Path: path, Scheme: "http", Authority: server,
		Flow:     decode.Flow{First: at.Frame, Client: netip.AddrPortFrom(c.Addr(), uint16(1024+f.flow%60000)), Server: netip.MustParseAddrPort(server), Start: at.Time},
		Requests: []mcp.Message{{Kind: mcp.Request, ID: "1", Method: method, At: at}},
	}
	if key != "" {
		x.Creds = []mcp.Credential{{Header: "x-litellm-api-key", Scheme: "bearer", Hash: key}}
		x.UserAgent = "agent of " + key
	}
	f.l.Event(stack.Event{At: at, Flow: x.Flow.First, Exchange: &x})
	return func(status, tools int) {
		y := x
		at := f.mark()
		y.Phase, y.Status, y.Ended, y.How, y.Answer.Whole = mcp.Closed, status, at, decode.Fin, true
		if status == 200 {
			y.Answers = []mcp.Message{{Kind: mcp.Result, ID: "1", Count: tools, At: at}}
		}
		f.l.Event(stack.Event{At: at, Flow: x.Flow.First, Exchange: &y})
	}
}

// A long capture takes no more memory than a short one.
func TestMemoryIsFlat(t *testing.T) {
	for _, test := range []struct {
		name  string
		calls func(f *feed, i int)
		cases bool
	}{
		{"refused lists", func(f *feed, i int) {
			down := f.call("10.0.0.5:1", "10.0.1.1:4000", "/mcp/alpha", "tools/list", "key")
			up := f.call("10.0.1.1:1", "10.0.2.1:9101", "/mcp", "initialize", "")
			up(401, 0)
			down(200, 0)
		}, true},
		{"lists of many servers by many clients", func(f *feed, i int) {
			down := f.call(fmt.Sprintf("10.7.%d.%d:1", i/250%250, i%250), "10.0.1.1:4000", fmt.Sprintf("/mcp/s%d", i%9999), "tools/list", fmt.Sprint(i))
			up := f.call("10.0.1.1:1", fmt.Sprintf("10.9.%d.%d:80", i/250%250, i%250), "/mcp", "initialize", "")
			up(401, 0)
			down(200, 0)
		}, true},
		{"upstream attempts that nobody asked for", func(f *feed, i int) {
			f.call("10.0.1.1:1", "10.0.2.1:9101", fmt.Sprintf("/%d/mcp", i), "initialize", "")(401, 0)
		}, false},
		{"lists that are never answered", func(f *feed, i int) {
			f.call("10.0.0.5:1", "10.0.1.1:4000", "/mcp/alpha", "tools/list", "key")
		}, false},
		{"lists of servers of which nobody knows what they are", func(f *feed, i int) {
			f.call("10.0.0.5:1", fmt.Sprintf("10.8.%d.%d:80", i/250%250, i%250), "/mcp", "tools/list", "")(200, 0)
		}, true},
		{"refused connections", func(f *feed, i int) {
			at := f.mark()
			fl := decode.Flow{First: at.Frame, Start: at.Time, Client: netip.MustParseAddrPort("10.0.1.1:1"), Server: netip.AddrPortFrom(netip.MustParseAddr("10.0.2.1"), uint16(i))}
			f.l.Event(stack.Event{At: at, Flow: at.Frame, Connection: &stack.Connection{Flow: fl, How: decode.Refused, Ended: f.mark()}})
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			const bound = 500
			cases := 0
			lim := decode.Limits{OpenCalls: bound, Attempts: bound, Sessions: bound}
			f := &feed{now: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}
			f.l = NewLinker(Config{Limits: lim}, func(*Case) { cases++ })
			n := 20_000
			if testing.Short() {
				n = 5_000
			}
			for i := range n {
				test.calls(f, i)
			}
			l := f.l
			for what, have := range map[string]int{
				"demands": len(l.demands), "due": len(l.due), "held": len(l.held), "supplies": len(l.supplies), "calls of demands": len(l.byCall),
				"calls of supplies": len(l.supplied), "sessions": len(l.sess.byID), "flows": len(l.sess.byFlow), "loose": len(l.sess.loose),
				"redirects": len(l.redirects), "opaque": len(l.opaque), "models": len(l.models), "credentials": len(l.sent),
				"servers": len(l.servers), "hosts": len(l.hosts), "last outcomes": len(l.last), "gateways": len(l.gateways),
				"callers": len(l.callers), "agents": len(l.calls), "pairs of agents": len(l.server(netip.MustParseAddrPort("10.0.1.1:4000")).apart),
			} {
				if have > 5*bound {
					t.Errorf("%d %s are kept of %d calls", have, what, n)
				}
			}
			l.Close()
			if test.cases && cases != n {
				t.Errorf("%d cases of %d calls", cases, n)
			}
		})
	}
}
