package rules

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"mcp401/decode/mcp"
	"mcp401/rules/cause"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
)

// New begins a finding of a case with what every finding has: how sure the
// join is, and the client's request and answer as evidence.
func New(c *hop.Case, text string) Finding {
	f := Fine(c, text)
	f.Evidence = append(f.Evidence, request("client request", c.Call))
	if c.Call.Exchange != nil {
		f.Evidence = append(f.Evidence, response("client answer", c.Call, answerText(c)))
	}
	return f
}

// Fine is the finding of a case in which all went well: it is counted and not
// printed, and needs no evidence.
func Fine(c *hop.Case, text string) Finding {
	f := Finding{Text: text, Confidence: c.Confidence, Outcomes: c.Outcomes, Causes: make([]cause.ID, len(c.Attempts))}
	for i, a := range c.Attempts {
		f.Causes[i] = cause.Of(c, a)
	}
	return f
}

// Blame adds failed attempts to a finding: the servers at fault, the evidence,
// and of the first the cause with its fix and how to verify it.
func (f *Finding) Blame(c *hop.Case, failed []*hop.Attempt) {
	for i, a := range failed {
		name := Name(a)
		if !slices.Contains(f.Servers, name) {
			f.Servers = append(f.Servers, name)
		}
		if a.Decisive != nil {
			f.Evidence = append(f.Evidence, request("upstream request", a.Decisive))
			if a.Decisive.Exchange != nil {
				f.Evidence = append(f.Evidence, response("upstream answer", a.Decisive, ""))
			}
		} else {
			f.Evidence = append(f.Evidence, Evidence{What: "upstream connection", Frame: a.First.Frame, Time: a.First.Time, Flow: "> " + address(a.Address), Excerpt: string(a.Outcome)})
		}
		if i > 0 {
			continue
		}
		f.Cause = cause.Of(c, a)
		if !a.Outcome.Auth() {
			f.Failure = a.Outcome
		}
		f.Fix, f.Verify = advice(c, a, f.Cause)
	}
}

// advice is the fix of a refused or failed attempt and how to verify it.
func advice(c *hop.Case, a *hop.Attempt, id cause.ID) (fix, verify string) {
	v := cause.Values{Server: Name(a), Alias: a.Server, URL: a.URL, Gateway: address(c.Gateway), Path: c.Call.Asked.Path}
	if c.Call.Asked.Authority != "" {
		v.Gateway = c.Call.Asked.Authority
	}
	if c.Call.Asked.Scheme == "https" {
		v.Gateway = "https://" + v.Gateway
	}
	for _, k := range c.Call.Asked.Creds {
		if a.Cred != nil && k.Hash == a.Cred.Hash && !c.GatewayKeys[k.Hash] || id == cause.AliasMismatch && strings.HasPrefix(k.Header, "x-mcp-") {
			v.Header = k.Header
		}
	}
	if e, ok := cause.Lookup(id); ok {
		return e.Expand(v)
	}
	if e, ok := cause.LookupFailure(string(a.Outcome)); ok {
		return e.Expand(v)
	}
	if a.Outcome.Auth() && c.NoAuth {
		return "the credentials were removed from the HAR, so that the reason does not show: export it once more with sensitive data, or capture on the gateway",
			"mcp401 analyze gateway.har"
	}
	return "", ""
}

// Name is how a report calls the upstream of an attempt.
func Name(a *hop.Attempt) string {
	if a.Server != "" {
		return a.Server
	}
	return a.URL
}

// Names joins names for a sentence, at most five.
func Names(names []string) string {
	if len(names) > 5 {
		return strings.Join(names[:5], ", ") + " and " + strconv.Itoa(len(names)-5) + " more"
	}
	return strings.Join(names, ", ")
}

// Words says what an attempt got, for a sentence: "answered 401", "refused the
// connection".
func Words(a *hop.Attempt) string {
	if a.Token != nil {
		return "got no token: the token endpoint answered " + strconv.Itoa(a.Token.Status())
	}
	status := 0
	if a.Decisive != nil {
		status = a.Decisive.Status()
	}
	switch a.Outcome {
	case hop.Refused:
		return "refused the connection"
	case hop.ResetOut:
		return "closed the connection without an answer"
	case hop.Timeout:
		return "did not answer"
	case hop.RPCError:
		return "answered with a JSON-RPC error"
	case hop.LoginPage:
		return "answered with a login page"
	case hop.TLSError:
		return "failed the TLS handshake"
	case hop.DNSError:
		return "has a name that does not resolve"
	case hop.BadAnswer:
		return "answered with what is no MCP"
	}
	if status == 0 {
		return "answered " + string(a.Outcome)
	}
	return "answered " + strconv.Itoa(status)
}

// Failed returns the attempts of a case that failed and that no good attempt
// at the same server makes up for, in order; those that auth reports first.
func Failed(c *hop.Case) []*hop.Attempt {
	var refused, other []*hop.Attempt
	for _, a := range c.Attempts {
		if !a.Outcome.Failed() || slices.ContainsFunc(c.Attempts, func(b *hop.Attempt) bool { return retried(a, b) }) {
			continue
		}
		if a.Outcome.Auth() {
			refused = append(refused, a)
		} else {
			other = append(other, a)
		}
	}
	return append(refused, other...)
}

// retried reports whether b is a good attempt at the server of a that came
// after it, so that a's failure cost nothing.
func retried(a, b *hop.Attempt) bool {
	if b.Outcome != hop.OK && b.Outcome != hop.Empty || b.Last.Frame < a.Last.Frame {
		return false
	}
	if a.Address == b.Address {
		return true
	}
	// Another address of the same name: ::1 is refused, 127.0.0.1 answers.
	return a.Decisive == nil && a.Address.Port() == b.Address.Port()
}

// Has reports whether an attempt of the case had that outcome.
func Has(c *hop.Case, o hop.Outcome) bool {
	return slices.ContainsFunc(c.Attempts, func(a *hop.Attempt) bool { return a.Outcome == o })
}

// Empty reports whether the client got a list, or the model a set of tools,
// with nothing in it, and was not told why.
func Empty(c *hop.Case) bool {
	k := c.Call
	if c.Told() || k.Outcome != pair.Answered || k.Status() >= 300 {
		return false
	}
	if c.Kind == hop.LLM {
		return c.Count == 0
	}
	return c.Kind == hop.List && c.Count == 0 && (k.Answer == nil || !k.Answer.Next)
}

// Certain reports whether the evidence of a case is whole: an accusation needs
// it. A hole, a loss or a passed limit in the window hides what else there was,
// and where nobody knows yet which server is which, an attempt may be another
// call's.
func Certain(c *hop.Case) bool {
	return !c.Hidden && !c.Doubt || c.Confidence == hop.Proved
}

func request(what string, k *pair.Call) Evidence {
	x := k.Asked
	return Evidence{What: what, Frame: x.Asked.Frame, Time: x.Asked.Time, Flow: flow(x.Flow.Client, x.Flow.Server), Excerpt: startLine(x)}
}

func response(what string, k *pair.Call, more string) Evidence {
	x := k.Exchange
	e := Evidence{What: what, Frame: k.At.Frame, Time: k.At.Time, Flow: flow(x.Flow.Server, x.Flow.Client), Excerpt: "HTTP/" + version(x) + " " + strconv.Itoa(x.Status)}
	if x.Status == 0 {
		e.Excerpt = "no answer"
	}
	if more != "" {
		e.Excerpt += ", " + more
	}
	for _, ch := range x.Challenges {
		if ch.Error != "" {
			e.Excerpt += ", " + ch.Scheme + ` error="` + ch.Error + `"`
			break
		}
	}
	return e
}

func startLine(x *mcp.Exchange) string {
	s := x.Method + " " + x.Path
	if x.Query != "" {
		s += "?" + x.Query
	}
	return s + " HTTP/" + version(x)
}

func version(x *mcp.Exchange) string {
	if x.Proto == "" {
		return "1.1"
	}
	return x.Proto
}

func answerText(c *hop.Case) string {
	switch {
	case c.Kind == hop.LLM && c.Model != nil:
		return fmt.Sprintf("model asked with %d tools", c.Count)
	case c.Kind == hop.List && c.Count >= 0:
		return fmt.Sprintf("tools: %d", c.Count)
	case c.Call.Answer != nil && c.Call.Answer.Kind == mcp.Error:
		return fmt.Sprintf("JSON-RPC error %d", c.Call.Answer.Code)
	}
	return ""
}

func flow(from, to netip.AddrPort) string { return address(from) + " > " + address(to) }

// address prints an address; of a HAR, where only a name is known, the name.
func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	if z := a.Addr().Zone(); z != "" && a.Addr().WithZone("").IsUnspecified() {
		return z + ":" + strconv.Itoa(int(a.Port()))
	}
	return a.String()
}

// OutcomeFailed returns the first server of which the gateway itself says that
// it failed; nil: none.
func OutcomeFailed(c *hop.Case) *mcp.Outcome {
	for _, auth := range []bool{true, false} {
		for i := range c.Outcomes {
			if o := &c.Outcomes[i]; o.Status != "ok" && o.Status != "" && hop.FailureOf(*o).Auth() == auth {
				return o
			}
		}
	}
	return nil
}

// Tell adds to a finding what the gateway itself says of a server.
func (f *Finding) Tell(c *hop.Case, o *mcp.Outcome) {
	f.Servers = append(f.Servers, o.Server)
	f.Confidence = hop.Proved
	out := hop.FailureOf(*o)
	if !out.Auth() {
		f.Failure = out
	}
	a := &hop.Attempt{Server: o.Server, Outcome: out}
	f.Fix, f.Verify = advice(c, a, f.Cause)
	if f.Fix == "" {
		f.Fix = "the gateway's `_meta` proves the refusal, not its reason: capture its upstream side to see the credential it sent to " + o.Server
		f.Verify = "tcpdump -i any -s 0 -w gateway.pcap"
	}
	k := c.Call
	f.Evidence = append(f.Evidence, Evidence{What: "the gateway's own word", Frame: k.At.Frame, Time: k.At.Time,
		Flow: flow(k.Asked.Flow.Server, k.Asked.Flow.Client), Excerpt: fmt.Sprintf("%s: %s %d", o.Server, o.Status, o.HTTP)})
}

// Sure reports whether an attempt may be blamed for a case: it was linked to it,
// or nothing is missing that might be the right one.
func Sure(c *hop.Case, a *hop.Attempt) bool {
	return a.Confidence == hop.Linked || c.Holes == 0 && !Has(c, hop.Unseen)
}

// Swallowed is the rule of swallowed-401, swallowed-403 and swallowed-failure:
// an empty list, and an attempt for it, or the gateway's own word, that ended so.
func Swallowed(c *hop.Case, so func(hop.Outcome) bool) (Finding, bool) {
	if c.Kind != hop.List || !Empty(c) || !Certain(c) {
		return Finding{}, false
	}
	failed := Failed(c)
	if len(failed) > 0 && so(failed[0].Outcome) && Sure(c, failed[0]) {
		a := failed[0]
		f := New(c, Name(a)+" "+Words(a)+" and the client got 200 with no tools")
		if c.Confidence != hop.Proved {
			f.Confidence = a.Confidence
		}
		f.Blame(c, failed)
		return f, true
	}
	o := OutcomeFailed(c)
	if o == nil || !so(hop.FailureOf(*o)) {
		return Finding{}, false
	}
	f := New(c, "the gateway says of "+o.Server+": "+o.Status+", and the client got 200 with no tools")
	f.Tell(c, o)
	return f, true
}
