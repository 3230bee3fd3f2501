package report

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"mcp401/decode"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
)

// CaseOf returns what a report says of a case that was judged to be f. It
// shares lists with both, which nobody changes any more.
func CaseOf(c *hop.Case, f rules.Finding) *Case {
	ask := c.Call.Asked
	v := &Case{
		Frame:      ask.Asked.Frame,
		Time:       utc(ask.Asked.Time),
		Client:     address(ask.Flow.Client),
		Gateway:    address(c.Gateway),
		Kind:       string(c.Kind),
		HTTPMethod: ask.Method,
		Path:       ask.Path,
		Status:     positive(c.Call.Status()),
		Tools:      count(c.Count),
		Verdict:    f.Rule,
		Severity:   string(f.Severity),
		Confidence: string(f.Confidence),
		Cause:      string(f.Cause),
		Failure:    string(f.Failure),
		Servers:    list(c.Servers),
		Upstream:   make([]Attempt, 0, len(c.Attempts)),
	}
	if v.Gateway == "" {
		v.Gateway = address(ask.Flow.Server)
	}
	if ask.Scheme == "https" {
		v.Scheme = ask.Scheme
	}
	if ask.Authority != v.Gateway {
		v.Authority = ask.Authority
	}
	if r := c.Call.Request; r != nil {
		v.RPCMethod, v.RPCID = text(r.Method), text(r.ID)
	}
	if frame, at := answer(c.Call); frame != nil {
		v.AnswerFrame, v.AnswerTime = frame, at
	}
	// The answer may also have come on another exchange, whose head says nothing.
	if x := c.Call.Exchange; x != nil && x.Asked == ask.Asked && v.AnswerFrame != nil && x.Head.Frame > 0 && x.Head.Frame < *v.AnswerFrame {
		v.HeadFrame, v.HeadTime = x.Head.Frame, utc(x.Head.Time)
	}
	for i, a := range c.Attempts {
		v.Upstream = append(v.Upstream, attemptOf(a))
		if i < len(f.Causes) {
			v.Upstream[i].Cause = string(f.Causes[i])
		}
	}
	return v
}

func attemptOf(a *hop.Attempt) Attempt {
	v := Attempt{
		Frame:      a.First.Frame,
		Time:       utc(a.First.Time),
		Server:     a.Server,
		Address:    address(a.Address),
		URL:        a.URL,
		Tools:      count(a.Count),
		Outcome:    string(a.Outcome),
		Confidence: string(a.Confidence),
		Challenge:  challengeOf(a.Challenge),
	}
	if a.Cred != nil {
		v.Credential = text(CredentialName(*a.Cred))
	}
	if d := a.Decisive; d != nil {
		v.HTTPMethod = text(d.Asked.Method)
		v.Status = positive(d.Status())
		v.AnswerFrame, _ = answer(d)
		if d.Request != nil {
			v.RPCMethod = text(d.Request.Method)
		}
	}
	return v
}

// FindingOf returns what a report says of the finding f of the case c.
func FindingOf(c *hop.Case, f rules.Finding) *Finding {
	v := &Finding{
		Rule:        f.Rule,
		Severity:    string(f.Severity),
		Confidence:  string(f.Confidence),
		Cause:       string(f.Cause),
		Failure:     string(f.Failure),
		Servers:     list(f.Servers),
		Text:        f.Text,
		Fix:         f.Fix,
		Verify:      f.Verify,
		CaseFrame:   c.Call.Asked.Asked.Frame,
		Evidence:    make([]Evidence, 0, len(f.Evidence)),
		Fingerprint: fingerprint(c, f),
	}
	for _, e := range f.Evidence {
		v.Evidence = append(v.Evidence, Evidence{What: e.What, Frame: e.Frame, Time: utc(e.Time), Flow: e.Flow, Excerpt: e.Excerpt})
	}
	return v
}

// fingerprint names a kind of finding: the rule, why, which servers, on which
// route. Frames, times, client ports and this run's keyed hashes are left out
// of it, for they differ from run to run.
func fingerprint(c *hop.Case, f rules.Finding) string {
	h := sha256.New()
	for _, s := range []string{Schema, f.Rule, string(f.Cause), string(f.Failure), string(c.Kind), route(c.Call.Asked.Path)} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	for _, s := range f.Servers {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// route returns a path with its ids replaced by "*": a segment of 16 or more
// hex digits and dashes, or of digits only.
func route(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.Trim(p, "0123456789abcdefABCDEF-") == "" && len(p) >= 16 || p != "" && strings.Trim(p, "0123456789") == "" {
			parts[i] = "*"
		}
	}
	return strings.Join(parts, "/")
}

// CredentialName names a credential without its secret: its scheme, or else
// its class, and the keyed hash of this run.
func CredentialName(c mcp.Credential) string {
	kind := c.Scheme
	if kind == "" {
		kind = c.Class
	}
	if kind == "" {
		kind = c.Header
	}
	return kind + "#" + c.Hash
}

// ExchangeOf returns what `show` says of an exchange whose answers are all in
// x.Answers.
func ExchangeOf(x *mcp.Exchange) *Exchange {
	v := &Exchange{
		Frame:       x.Asked.Frame,
		Time:        utc(x.Asked.Time),
		Client:      address(x.Flow.Client),
		Server:      address(x.Flow.Server),
		Kind:        kinds[min(int(x.Kind), len(kinds)-1)],
		HTTPMethod:  x.Method,
		Path:        x.Path,
		Status:      positive(x.Status),
		Credentials: make([]string, 0, len(x.Creds)),
		Cut:         x.Status == 0 || x.Hole || x.Phase == mcp.Closed && x.How != decode.Fin,
	}
	if x.Query != "" {
		v.Path += "?" + x.Query
	}
	if x.Status != 0 && x.Head.Frame != 0 {
		v.AnswerFrame, v.AnswerTime = positive(x.Head.Frame), utc(x.Head.Time)
	}
	for _, c := range x.Creds {
		v.Credentials = append(v.Credentials, c.Header+" "+CredentialName(c))
	}
	if len(x.Challenges) > 0 {
		v.Challenge = challengeOf(&x.Challenges[0])
	}
	if x.Error != "" {
		v.Error = text(x.Error)
	}
	asked(v, x)
	told(v, x)
	return v
}

// asked fills in what the first request of the body asks for.
func asked(v *Exchange, x *mcp.Exchange) {
	for _, m := range x.Requests {
		if m.Method == "" {
			continue
		}
		v.RPCMethod, v.RPCID, v.Tool = text(m.Method), text(m.ID), text(m.Tool)
		return
	}
}

// told fills in what the answers said.
func told(v *Exchange, x *mcp.Exchange) {
	if r := x.REST; r != nil {
		if x.Kind == mcp.RESTList {
			v.Tools = count(r.Count)
		}
		if r.Error != "" || r.IsError {
			v.Error = text(strings.TrimSpace(r.Error + " " + r.Message))
		}
	}
	for _, m := range x.Answers {
		switch {
		case m.Kind == mcp.Error:
			v.Error = text(strings.TrimSpace("rpc error " + strconv.Itoa(m.Code) + " " + m.Text))
		case m.Kind == mcp.Result && m.IsError:
			v.Error = text(strings.TrimSpace("tool error " + m.Text))
		case m.Kind == mcp.Result && m.Count >= 0:
			v.Tools = count(m.Count)
		case m.Kind != mcp.Result:
			continue
		}
		v.AnswerFrame, v.AnswerTime = positive(m.At.Frame), utc(m.At.Time)
	}
}

var kinds = [...]string{
	mcp.Other: "other", mcp.RPC: "rpc", mcp.Stream: "stream", mcp.End: "end", mcp.RESTList: "rest-list", mcp.RESTCall: "rest-call",
	mcp.RESTTest: "rest-test", mcp.Inventory: "inventory", mcp.Health: "health", mcp.LLM: "llm", mcp.Token: "token",
	mcp.Discovery: "discovery", mcp.Preflight: "preflight",
}

// MessageOf returns what `show --all` says of an HTTP message.
func MessageOf(m *stack.Message) *Message {
	v := &Message{
		Frame:    m.Frame,
		EndFrame: m.EndFrame,
		Time:     utc(m.Time),
		Src:      address(m.Src),
		Dst:      address(m.Dst),
		HTTP:     m.Proto,
		Kind:     "response",
		Status:   positive(m.Status),
		Cut:      m.Cut,
	}
	if m.Stream != 0 {
		v.Stream = &m.Stream
	}
	if m.Request {
		v.Kind, v.Method, v.URI = "request", text(m.Method), text(m.URI)
	}
	return v
}

func challengeOf(c *mcp.Challenge) *Challenge {
	if c == nil {
		return nil
	}
	return &Challenge{Scheme: c.Scheme, Error: c.Error, ErrorDescription: c.ErrorDescription, ResourceMetadata: c.ResourceMetadata, Scope: c.Scope}
}

// answer is where the answer of a call stands, nil when it had none.
func answer(c *pair.Call) (*int, Time) {
	if c.Outcome != pair.Answered && c.Outcome != pair.Refused {
		return nil, Time{}
	}
	return positive(c.At.Frame), utc(c.At.Time)
}

// address renders an address; "" for none. Of a HAR, where only a name may be
// known, it is the name, which stands in the zone.
func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	if z := a.Addr().Zone(); z != "" && a.Addr().WithZone("").IsUnspecified() {
		return z + ":" + strconv.Itoa(int(a.Port()))
	}
	return a.String()
}

func utc(t time.Time) Time {
	if t.IsZero() {
		return Time{}
	}
	return Time{t.UTC()}
}

// positive returns nil for 0, which means that there is none.
func positive(n int) *int {
	if n <= 0 {
		return nil
	}
	return &n
}

// count returns nil for a negative number, which means that none was seen.
func count(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func list(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
}
