package all_test

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/rules/hop"
	"mcp401/rules/rulestest"
)

// hidden is a refusal that is hidden, beside a list that is good and one that
// is empty because there are no tools.
const hidden = `
down> POST /passthru/mcp             => swallowed-401 token-rejected
  Authorization: Bearer bad-token
  rpc tools/list 7
passthru> POST /mcp
  Authorization: Bearer bad-token
  rpc initialize 0
passthru< 401 json
  WWW-Authenticate: Bearer error="invalid_token"
  {"error":"invalid_token"}
passthru. close
down< 200 sse
  result tools 0
~ 400ms
down.2> POST /healthy/mcp            => listed
  Authorization: Bearer good-token
  rpc tools/list 1
healthy> POST /mcp
  Authorization: Bearer good-token
  rpc initialize 0
healthy< 200 sse
  mcp-session-id: 0123456789abcdef0123456789abcdef
  result init healthy
healthy> POST /mcp
  Authorization: Bearer good-token
  mcp-session-id: 0123456789abcdef0123456789abcdef
  rpc tools/list 1
healthy< 200 json
  result tools 12
healthy. close
down.2< 200 sse
  result tools 12
~ 400ms
down.3> POST /bare/mcp               => empty-upstream
  Authorization: Bearer good-token
  rpc tools/list 3
bare> POST /mcp
  Authorization: Bearer good-token
  rpc initialize 0
bare< 200 sse
  mcp-session-id: abcdef0123456789abcdef0123456789
  result init bare
bare> POST /mcp
  Authorization: Bearer good-token
  mcp-session-id: abcdef0123456789abcdef0123456789
  rpc tools/list 1
bare< 200 json gzip
  result tools 0
bare. close
down.3< 200 sse
  result tools 0
`

// verdicts is what is said of a capture but for frames, times, addresses and
// schemes.
func verdicts(records []capture.Record) []string {
	var out []string
	for _, v := range rulestest.Judge(records, hop.Config{}) {
		said, _, _ := strings.Cut(v.String(), " (")
		id := ""
		if v.Case.Call.Request != nil {
			id = v.Case.Call.Request.ID
		}
		out = append(out, fmt.Sprint(v.Case.Call.Asked.Path, " ", id, ": ", said))
	}
	slices.Sort(out)
	return out
}

// withKeys puts a key log before the record of index i.
func withKeys(records []capture.Record, keys []byte, i int) []capture.Record {
	secret := capture.Record{Secret: &capture.Secret{Lines: keys}}
	if i > 0 {
		secret.Num = records[i-1].Num
	}
	return slices.Insert(slices.Clone(records), i, secret)
}

// protocols is what a conversation may be spoken in.
var protocols = map[string]capturetest.Wrap{
	"http1": {}, "http1 tls12": {TLS: tls.VersionTLS12}, "http1 tls13": {TLS: tls.VersionTLS13},
	"http2": {HTTP2: true}, "http2 tls12": {HTTP2: true, TLS: tls.VersionTLS12}, "http2 tls13": {HTTP2: true, TLS: tls.VersionTLS13},
}

// Whatever a conversation is spoken in and travels in, it is the same one, and
// the keys may stand anywhere.
func TestSameHoweverWrapped(t *testing.T) {
	c := capturetest.MustParse(hidden)
	want := verdicts(c.Records())
	for i, e := range c.Expect() {
		if len(want) != len(c.Expect()) || !strings.Contains(strings.Join(want, "\n"), strings.Fields(e.Text)[0]) {
			t.Fatalf("expectation %d is %s, and plain it is\n%s", i, e.Text, strings.Join(want, "\n"))
		}
	}
	ways := map[string]capturetest.Wrap{}
	for name, tunnel := range capturetest.Tunnels {
		ways[name] = capturetest.Wrap{Tunnel: tunnel, IPv6: tunnel == capturetest.Teredo}
		ways[name+", IPv6 in small fragments"] = capturetest.Wrap{Tunnel: tunnel, IPv6: true, Fragment: 200, Scatter: true}
		ways[name+", small segments"] = capturetest.Wrap{Tunnel: tunnel, IPv6: tunnel == capturetest.Teredo, MSS: 100, Fragment: 64}
	}
	for link := capturetest.Ethernet; link <= capturetest.Raw; link++ {
		ways[fmt.Sprintf("link %d", link)] = capturetest.Wrap{Link: link, MSS: 300}
		ways[fmt.Sprintf("link %d, IPv6", link)] = capturetest.Wrap{Link: link, IPv6: true, Fragment: 400}
	}
	for protocol, w := range protocols {
		t.Run(protocol, func(t *testing.T) {
			for way, outer := range ways {
				outer.HTTP2, outer.TLS = w.HTTP2, w.TLS
				cap := c.Wrap(outer)
				places := []int{0}
				if w.TLS != 0 {
					places = []int{0, len(cap.Records) / 2, len(cap.Records)}
				}
				for _, i := range places {
					if d := cmp.Diff(want, verdicts(withKeys(cap.Records, cap.Keys, i))); d != "" {
						t.Errorf("%s, keys before record %d of %d (-plain +wrapped):\n%s", way, i, len(cap.Records), d)
					}
				}
			}
		})
	}
}

// The client's side in clear text and the servers' under TLS, which is how it
// mostly is. With the keys after everything nothing may be said too early.
func TestUpstreamsUnderTLS(t *testing.T) {
	c := capturetest.MustParse(hidden)
	want := verdicts(c.Records())
	for _, w := range protocols {
		w.Hop = capturetest.Up
		up := c.Wrap(w)
		records := byTime(c.Wrap(capturetest.Wrap{Hop: capturetest.Down}).Records, up.Records)
		for _, i := range []int{0, len(records) / 2, len(records)} {
			if d := cmp.Diff(want, verdicts(withKeys(records, up.Keys, i))); d != "" && len(up.Keys) > 0 {
				t.Errorf("%x, keys before record %d of %d (-plain +wrapped):\n%s", w.TLS, i, len(records), d)
			}
		}
	}
}
