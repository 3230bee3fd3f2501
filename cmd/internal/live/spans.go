package live

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"mcp401/decode"
	"mcp401/decode/mcp"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/pair"
	"mcp401/rules/report"
)

const (
	attemptsTold = 64 // spans of upstream attempts in one trace; a call has a few
	callsTold    = 32 // calls of one attempt that are told of; a session has three
)

// spans makes the trace of a case: the client's call as the gateway served it,
// and below it each upstream attempt. What others wrote comes from the report's
// own strings, in which no secret is.
func (t *Traces) spans(c *hop.Case, f rules.Finding) {
	ask, v := c.Call.Asked, report.CaseOf(c, f)
	attributes := append(served(c.Call), judged(c, f, v)...)
	fault, why := faultOf(c, f)
	if fault != "" {
		attributes = append(attributes, semconv.ErrorTypeKey.String(fault))
	}
	ctx, span := t.tracer.Start(context.Background(), spanName(c.Call), trace.WithNewRoot(), trace.WithTimestamp(ask.Asked.Time),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(attributes...), trace.WithLinks(linked(ask.Parent)...))
	if fault != "" {
		span.SetStatus(codes.Error, short(why))
	}
	tell(span, c.Call)
	for i, a := range c.Attempts[:min(len(c.Attempts), attemptsTold)] {
		t.attempt(ctx, a, &v.Upstream[i])
	}
	span.End(trace.WithTimestamp(notBefore(c.Call.At.Time, ask.Asked.Time)))
}

// attempt makes the span of an upstream attempt.
func (t *Traces) attempt(ctx context.Context, a *hop.Attempt, v *report.Attempt) {
	attributes := []attribute.KeyValue{
		attribute.String("mcp401.outcome", v.Outcome), attribute.String("mcp401.confidence", v.Confidence), attribute.Int("mcp401.frame", v.Frame),
		semconv.NetworkTransportTCP,
	}
	attributes = append(attributes, peer(a.Address)...)
	attributes = text(attributes, "mcp401.server", v.Server)
	attributes = text(attributes, "mcp401.cause", v.Cause)
	attributes = text(attributes, semconv.URLFullKey, v.URL)
	if v.Credential != nil {
		attributes = append(attributes, attribute.String("mcp401.credential", *v.Credential))
	}
	if ch := v.Challenge; ch != nil {
		attributes = text(attributes, "mcp401.challenge.error", ch.Error)
		attributes = text(attributes, "mcp401.challenge.error_description", ch.ErrorDescription)
	}
	if v.Tools != nil {
		attributes = append(attributes, attribute.Int("mcp401.tools", *v.Tools))
	}
	if v.AnswerFrame != nil {
		attributes = append(attributes, attribute.Int("mcp401.answer_frame", *v.AnswerFrame))
	}
	name := "connect"
	var links []trace.Link
	authority := ""
	if d := a.Decisive; d != nil {
		name, links, authority = spanName(d), linked(d.Asked.Parent), d.Asked.Authority
		attributes = append(attributes, exchanged(d)...)
		if d.Asked.Scheme != "" {
			attributes = append(attributes, semconv.URLScheme(d.Asked.Scheme))
		}
	}
	attributes = append(attributes, server(authority, a.Address)...)
	failed := a.Outcome.Failed()
	if failed {
		fault := v.Outcome
		if v.Status != nil && *v.Status >= 400 {
			fault = strconv.Itoa(*v.Status)
		}
		attributes = append(attributes, semconv.ErrorTypeKey.String(fault))
	}
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(a.First.Time), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(attributes...), trace.WithLinks(links...))
	if failed {
		why := rules.Words(a)
		if v.Challenge != nil && v.Challenge.Error != "" {
			why += ", " + v.Challenge.Error
		}
		span.SetStatus(codes.Error, short(why))
	}
	for _, call := range a.Calls[:min(len(a.Calls), callsTold)] {
		tell(span, call)
	}
	if n := len(a.Calls) - callsTold; n > 0 {
		span.SetAttributes(attribute.Int("mcp401.calls_left_out", n))
	}
	span.End(trace.WithTimestamp(notBefore(a.Last.Time, a.First.Time)))
}

// spanName is the method and the tool (the conventions for MCP), or for what is
// no MCP the HTTP method with the end of the route that is known.
func spanName(c *pair.Call) string {
	if c.Asked.Kind == mcp.RPC && c.Method != "" {
		if tool := toolOf(c); tool != "" {
			return c.Method + " " + tool
		}
		return c.Method
	}
	method := httpMethod(c.Asked.Method)
	for _, route := range []string{"/mcp-rest/tools/list", "/mcp-rest/tools/call", "/v1/mcp/tools", "/chat/completions", "/responses", "/messages", "/token"} {
		if strings.HasSuffix(strings.TrimRight(c.Asked.Path, "/"), route) {
			return method + " " + route
		}
	}
	return method
}

func toolOf(c *pair.Call) string {
	if c.Request == nil {
		return ""
	}
	return c.Request.Tool
}

// httpMethod is the method where it is one that is registered: anybody can make
// up others.
func httpMethod(method string) string {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return method
	}
	return "_OTHER"
}

// served describes a request as the side that serves it sees it.
func served(c *pair.Call) []attribute.KeyValue {
	x := c.Asked
	list := []attribute.KeyValue{semconv.NetworkTransportTCP}
	if a := x.Flow.Client; a.Addr().IsValid() {
		list = append(list, semconv.ClientAddress(a.Addr().String()), semconv.ClientPort(int(a.Port())))
	}
	if a := x.Flow.Server; a.Addr().IsValid() {
		list = append(list, semconv.NetworkLocalAddress(a.Addr().String()), semconv.NetworkLocalPort(int(a.Port())))
	}
	list = append(list, peer(x.Flow.Client)...)
	list = append(list, server(x.Authority, x.Flow.Server)...)
	scheme := x.Scheme
	if scheme == "" {
		scheme = "http"
	}
	list = append(list, semconv.URLScheme(scheme), semconv.URLPath(x.Path))
	list = text(list, semconv.URLQueryKey, x.Query)
	list = text(list, semconv.UserAgentOriginalKey, x.UserAgent)
	return append(list, exchanged(c)...)
}

// exchanged describes a call on either hop.
func exchanged(c *pair.Call) []attribute.KeyValue {
	x := c.Asked
	list := []attribute.KeyValue{semconv.HTTPRequestMethodKey.String(httpMethod(x.Method)), semconv.NetworkProtocolName("http")}
	list = text(list, semconv.NetworkProtocolVersionKey, x.Proto)
	list = text(list, semconv.McpProtocolVersionKey, x.Version)
	if n := c.Status(); n > 0 {
		list = append(list, semconv.HTTPResponseStatusCode(n))
	}
	if x.Kind == mcp.RPC {
		list = text(list, semconv.McpMethodNameKey, c.Method)
	}
	if r := c.Request; r != nil {
		if r.ID != "null" {
			list = text(list, semconv.JSONRPCRequestIDKey, strings.Trim(r.ID, `"`))
		}
		list = text(list, semconv.GenAIToolNameKey, r.Tool)
	}
	if c.Method == "tools/call" {
		list = append(list, semconv.GenAIOperationNameExecuteTool)
	}
	if c.Answer != nil && c.Answer.Kind == mcp.Error {
		list = append(list, semconv.RPCResponseStatusCode(strconv.Itoa(c.Answer.Code)))
	}
	return list
}

// judged is what this program says of a case.
func judged(c *hop.Case, f rules.Finding, v *report.Case) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("mcp401.verdict", f.Rule), attribute.String("mcp401.severity", string(f.Severity)), attribute.String("mcp401.kind", v.Kind),
		attribute.Int("mcp401.frame", v.Frame), attribute.Int("mcp401.attempts", len(c.Attempts)),
	}
	list = text(list, "mcp401.confidence", v.Confidence)
	list = text(list, "mcp401.cause", v.Cause)
	list = text(list, "mcp401.failure", v.Failure)
	list = text(list, "mcp401.gateway", c.Profile)
	list = text(list, "mcp401.gateway_version", c.Version)
	if v.Tools != nil {
		list = append(list, attribute.Int("mcp401.tools", *v.Tools))
	}
	if v.AnswerFrame != nil {
		list = append(list, attribute.Int("mcp401.answer_frame", *v.AnswerFrame))
	}
	if f.Severity != rules.OK {
		list = text(list, "mcp401.text", f.Text)
		list = text(list, "mcp401.fix", f.Fix)
		list = append(list, attribute.StringSlice("mcp401.servers", f.Servers), attribute.String("mcp401.fingerprint", report.FindingOf(c, f).Fingerprint))
	}
	return list
}

// faultOf is the type of error of the client's hop, "" for none, and its words.
// What was hidden from the client comes first; then what it was told.
func faultOf(c *hop.Case, f rules.Finding) (fault, why string) {
	m := c.Call.Answer
	switch status := c.Call.Status(); {
	case swallows(f.Rule):
		return f.Rule, f.Text
	case m != nil && m.Kind == mcp.Error:
		return strconv.Itoa(m.Code), m.Text
	case m != nil && m.IsError:
		return "tool_error", m.Text
	case status >= 500:
		return strconv.Itoa(status), ""
	}
	return "", ""
}

// tell adds the events of a call's two messages.
func tell(span trace.Span, c *pair.Call) {
	event(span, "mcp401.request", c.Asked.Asked, semconv.McpMethodNameKey.String(c.Method))
	if c.Outcome != pair.Answered && c.Outcome != pair.Refused {
		return
	}
	var more []attribute.KeyValue
	if n := c.Status(); n > 0 {
		more = append(more, semconv.HTTPResponseStatusCode(n))
	}
	event(span, "mcp401.answer", c.At, more...)
}

func event(span trace.Span, name string, at decode.Mark, more ...attribute.KeyValue) {
	span.AddEvent(name, trace.WithTimestamp(at.Time), trace.WithAttributes(append(more, attribute.Int("mcp401.frame", at.Frame))...))
}

// peer is the address of the other side.
func peer(a netip.AddrPort) []attribute.KeyValue {
	if !a.Addr().IsValid() {
		return nil
	}
	return []attribute.KeyValue{semconv.NetworkPeerAddress(a.Addr().String()), semconv.NetworkPeerPort(int(a.Port()))}
}

// server is the name of who was asked, or its address.
func server(authority string, a netip.AddrPort) []attribute.KeyValue {
	host, port, err := net.SplitHostPort(authority)
	if err != nil {
		host, port = strings.Trim(authority, "[]"), ""
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		n = uint64(a.Port())
	}
	if host == "" && a.Addr().IsValid() {
		host = a.Addr().String()
	}
	if host == "" {
		return nil
	}
	return []attribute.KeyValue{semconv.ServerAddress(host), semconv.ServerPort(int(n))}
}

// text adds an attribute unless it is empty.
func text(list []attribute.KeyValue, key attribute.Key, value string) []attribute.KeyValue {
	if value == "" {
		return list
	}
	return append(list, key.String(value))
}

// short cuts the words of a status, to which the SDK's limit does not apply.
func short(s string) string {
	for n := range s {
		if n > textMost {
			return s[:n]
		}
	}
	return s
}

// notBefore keeps a span from ending before it began, or at a time that is not
// known, which the SDK takes for now.
func notBefore(t, from time.Time) time.Time {
	if t.Before(from) {
		return from
	}
	return t
}
