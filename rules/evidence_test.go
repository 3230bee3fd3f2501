package rules_test

import (
	"net/netip"
	"strings"
	"testing"

	"mcp401/decode/mcp"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
	"mcp401/rules/rulestest"
)

// What a finding points at is what the conversation holds: the client's
// request and answer, the upstream's request and answer, in this order.
func TestEvidence(t *testing.T) {
	n := 0
	for _, c := range rulestest.Load(t, "*/testdata/*.txtar") {
		for _, v := range rulestest.Judge(c.Plain(), c.Config) {
			n++
			f := &v.Finding
			if len(f.Evidence) == 0 {
				if v.Rule.Severity != rules.OK {
					t.Errorf("%s: %s without evidence", c.Name, v.Rule.ID)
				}
				continue // nobody prints it
			}
			if f.Evidence[0].What != "client request" || f.Evidence[0].Frame != v.Frame || !strings.Contains(f.Evidence[0].Excerpt, v.Case.Call.Asked.Path) {
				t.Errorf("%s, %s: first evidence %+v", c.Name, v.Rule.ID, f.Evidence[0])
			}
			for _, e := range f.Evidence {
				switch {
				case e.Frame < 1 || e.Time.IsZero() || e.Excerpt == "" || !strings.Contains(e.Flow, "> "):
					t.Errorf("%s, %s: %+v", c.Name, v.Rule.ID, e)
				case strings.Contains(e.Excerpt, "Bearer ") && !strings.Contains(e.Excerpt, "error="):
					t.Errorf("%s, %s: %q", c.Name, v.Rule.ID, e.Excerpt)
				}
			}
			if len(f.Servers) > 0 && v.Rule.Severity == rules.Error && !strings.Contains(f.Text, f.Servers[0]) {
				t.Errorf("%s: %q does not name %s", c.Name, f.Text, f.Servers[0])
			}
			if strings.Contains(f.Fix+f.Verify, "{") && !strings.Contains(f.Verify, "jsonrpc") && !strings.Contains(f.Verify, "%{http_code}") {
				t.Errorf("%s: a placeholder is left: %s\n%s", c.Name, f.Fix, f.Verify)
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d cases", n)
	}
}

func TestSeverities(t *testing.T) {
	for i, s := range []rules.Severity{rules.OK, rules.Note, rules.Warning, rules.Error} {
		if s.Rank() != i {
			t.Errorf("%s has rank %d, want %d", s, s.Rank(), i)
		}
	}
}

func TestWords(t *testing.T) {
	decisive := &pair.Call{Exchange: &mcp.Exchange{Status: 418}}
	for o, want := range map[hop.Outcome]string{
		hop.Status401: "answered 418", hop.Refused: "refused the connection", hop.ResetOut: "closed the connection without an answer",
		hop.Timeout: "did not answer", hop.RPCError: "answered with a JSON-RPC error", hop.LoginPage: "answered with a login page",
		hop.TLSError: "failed the TLS handshake", hop.DNSError: "has a name that does not resolve", hop.BadAnswer: "answered with what is no MCP",
	} {
		if got := rules.Words(&hop.Attempt{Outcome: o, Decisive: decisive}); got != want {
			t.Errorf("%s: %q, want %q", o, got, want)
		}
	}
	if got := rules.Words(&hop.Attempt{Outcome: hop.Status401}); got != "answered 401" {
		t.Errorf("without a call: %q", got)
	}
	if got := rules.Words(&hop.Attempt{Token: decisive}); got != "got no token: the token endpoint answered 418" {
		t.Errorf("of a token: %q", got)
	}
}

func TestNames(t *testing.T) {
	if got := rules.Names([]string{"a", "b"}); got != "a, b" {
		t.Error(got)
	}
	if got := rules.Names(strings.Split("abcdefg", "")); got != "a, b, c, d, e and 2 more" {
		t.Error(got)
	}
}

// The gateway's own word in the words of an attempt.
func TestFailureOf(t *testing.T) {
	for want, o := range map[hop.Outcome]mcp.Outcome{
		hop.Status401: {Status: "auth_required"}, hop.Status403: {Status: "forbidden"}, hop.Timeout: {Status: "timeout"},
		hop.Refused: {Status: "unreachable"}, hop.Server5xx: {Status: "upstream_error", HTTP: 502}, hop.Client4xx: {Status: "upstream_error", HTTP: 404}, hop.BadAnswer: {Status: "internal"},
	} {
		if got := hop.FailureOf(o); got != want {
			t.Errorf("%+v: %s, want %s", o, got, want)
		}
	}
	c := &hop.Case{Outcomes: []mcp.Outcome{{Server: "a", Status: "ok"}, {Server: "b", Status: "timeout"}, {Server: "c", Status: "auth_required"}}}
	if o := rules.OutcomeFailed(c); o == nil || o.Server != "c" {
		t.Errorf("the refusal comes first: %+v", o)
	}
	c.Outcomes = c.Outcomes[:1]
	if o := rules.OutcomeFailed(c); o != nil {
		t.Errorf("none failed: %+v", o)
	}
}

// A failure that a later good attempt at the same server makes up for is none.
func TestFailed(t *testing.T) {
	at := func(addr string, frame int, o hop.Outcome, called bool) *hop.Attempt {
		a := &hop.Attempt{Address: netip.MustParseAddrPort(addr), Outcome: o}
		a.Last.Frame = frame
		if called {
			a.Decisive = &pair.Call{}
		}
		return a
	}
	for _, c := range []struct {
		name string
		as   []*hop.Attempt
		want int
	}{
		{"a retry", []*hop.Attempt{at("10.0.0.1:1", 1, hop.Status401, true), at("10.0.0.1:1", 2, hop.OK, true)}, 0},
		{"good, then refused", []*hop.Attempt{at("10.0.0.1:1", 1, hop.OK, true), at("10.0.0.1:1", 2, hop.Status401, true)}, 1},
		{"another server", []*hop.Attempt{at("10.0.0.1:1", 1, hop.Status401, true), at("10.0.0.2:1", 2, hop.OK, true)}, 1},
		{"another address of the same host", []*hop.Attempt{at("[::1]:80", 1, hop.Refused, false), at("127.0.0.1:80", 2, hop.Empty, true)}, 0},
		{"unseen is not good", []*hop.Attempt{at("10.0.0.1:1", 1, hop.Status401, true), at("10.0.0.1:1", 2, hop.Unseen, true)}, 1},
	} {
		if got := rules.Failed(&hop.Case{Attempts: c.as}); len(got) != c.want {
			t.Errorf("%s: %d failed, want %d", c.name, len(got), c.want)
		}
	}
}
