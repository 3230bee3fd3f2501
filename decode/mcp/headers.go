package mcp

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"mcp401/decode/httpmsg"
)

// headersKept are the fields that Exchange.Headers and RespHeaders keep, with
// what makes their value safe to print. To add one, put it here: what is not
// in this table is never kept.
var headersKept = map[string]func(string) string{
	"mcp-method":                   func(v string) string { return clean(unencode(v), 64) },
	"mcp-name":                     func(v string) string { return clean(unencode(v), 128) },
	"x-litellm-mcp-debug":          func(v string) string { return clean(v, 16) },
	"x-litellm-version":            func(v string) string { return clean(v, 32) },
	"x-mcp-toolset-id":             cleanID,
	"x-mcp-access-groups":          func(v string) string { return clean(v, 200) },
	"x-mcp-debug-outbound-url":     cleanURL,
	"x-mcp-debug-auth-resolution":  func(v string) string { return clean(v, 64) },
	"x-mcp-debug-server-auth-type": func(v string) string { return clean(v, 64) },
	"x-mcp-debug-oauth2-token":     sameKey,
	"x-contextforge-mcp-runtime":   func(v string) string { return clean(v, 32) },
	"server":                       func(v string) string { return clean(v, 64) },
	"via":                          func(v string) string { return clean(v, 128) },
	"retry-after":                  func(v string) string { return clean(v, 32) },
	"origin":                       cleanOrigin,
	"referer":                      cleanPage,
}

// cleanPage keeps of a page's address where it comes from, and whether it is
// below "/ui/", where LiteLLM has its admin pages.
func cleanPage(v string) string {
	t := parseTarget(v)
	if root, _, ok := strings.Cut(t.path, "/ui/"); ok && t.origin != "" {
		return t.origin + root + "/ui/"
	}
	return t.origin
}

// sameKey keeps of a masked token whether the gateway calls it its own key.
func sameKey(v string) string {
	if strings.Contains(v, "SAME_AS_LITELLM_KEY") {
		return "SAME_AS_LITELLM_KEY"
	}
	return "masked"
}

// unencode undoes the =?base64?...?= form of a Mcp-Name (MCP 2026-07-28,
// streamable HTTP).
func unencode(v string) string {
	inner, ok := strings.CutPrefix(v, "=?base64?")
	inner, ok2 := strings.CutSuffix(inner, "?=")
	if !ok || !ok2 {
		return v
	}
	b, err := base64.StdEncoding.DecodeString(inner)
	if err != nil {
		return v
	}
	return string(b)
}

// A kept is the fields of one head that headersKept names, being collected.
type kept struct {
	key  []byte // names and raw values, which is what the map is remembered by
	list [16]struct{ name, value string }
	n    int
}

// lower returns the name in lower case, in buf; nil for names longer than it.
func lower(buf []byte, name []byte) []byte {
	if len(name) > len(buf) {
		return nil
	}
	buf = buf[:len(name)]
	for i, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return buf
}

// requestHead reads the header fields of a request.
func (d *Decoder) requestHead(o *open, h httpmsg.Header) {
	x := &o.x
	var buf [128]byte
	d.kept.n, d.kept.key = 0, d.kept.key[:0]
	for _, f := range h {
		name := lower(buf[:], f.Name)
		switch string(name) {
		case "host", "connection", "accept-encoding", "content-length", "accept-language", "cache-control":
			// Ordinary and of no interest: saves looking them up.
		case "accept":
			x.Accept = d.text(f.Value, 200)
		case "user-agent":
			x.UserAgent = d.text(f.Value, 200)
		case "content-type":
			o.req.ctype(f.Value)
		case "content-encoding":
			o.req.addCoding(f.Value)
		case "mcp-session-id":
			x.Session, o.mcpHead = d.hashed(f.Value), true
		case "mcp-protocol-version":
			x.Version, o.mcpHead = d.text(f.Value, 32), true
		case "last-event-id":
			x.LastEvent = d.hashed(f.Value)
		case "traceparent":
			x.Trace, x.Parent = d.trace(string(f.Value)), parseTraceParent(f.Value)
		case "x-mcp-servers":
			x.Servers = nameList(string(f.Value))
		case "access-control-request-method":
			o.preflight = true
		default:
			if string(name) == "mcp-method" {
				o.mcpHead = true
			}
			d.requestField(o, name, f.Value)
		}
	}
	x.Headers = d.keptMap()
}

// requestField takes a field that is a credential, or one to keep.
func (d *Decoder) requestField(o *open, name, value []byte) {
	if isCredential(name) {
		if len(o.x.Creds) < maxCreds {
			o.x.Creds = append(o.x.Creds, d.cred(name, value))
		}
		return
	}
	d.keep(name, value)
}

// maxCreds bounds the credentials of one request; real ones have three.
const maxCreds = 32

// responseHead reads the header fields of a response.
func (d *Decoder) responseHead(o *open, h httpmsg.Header) {
	x := &o.x
	var buf [128]byte
	d.kept.n, d.kept.key = 0, d.kept.key[:0]
	for _, f := range h {
		name := lower(buf[:], f.Name)
		switch string(name) {
		case "date", "connection", "content-length", "cache-control", "transfer-encoding", "vary":
			// As above.
		case "content-type":
			o.resp.ctype(f.Value)
			x.ContentType = d.text([]byte(o.resp.media), 100)
		case "content-encoding":
			o.resp.addCoding(f.Value)
		case "mcp-session-id":
			if x.Session == "" {
				x.Session = d.hashed(f.Value)
			}
		case "location":
			x.Location = cut(cleanURL(string(f.Value)), 300)
		case "www-authenticate":
			x.Challenges = parseChallenges(x.Challenges, string(f.Value[:min(len(f.Value), 8<<10)]))
		default:
			d.keep(name, f.Value)
		}
	}
	x.RespHeaders = d.keptMap()
}

// keep collects a field that headersKept names. The first of a name counts.
func (d *Decoder) keep(name, value []byte) {
	if headersKept[string(name)] == nil || d.kept.n == len(d.kept.list) {
		return
	}
	for _, e := range d.kept.list[:d.kept.n] {
		if e.name == string(name) {
			return
		}
	}
	e := &d.kept.list[d.kept.n]
	d.kept.n++
	e.name, e.value = d.raw.str(name), d.raw.str(value)
	d.kept.key = append(append(append(append(d.kept.key, name...), 0), value...), 0)
}

// keptMap returns what was collected, nil for nothing. Heads of one server are
// alike, so the maps are shared; nobody changes them.
func (d *Decoder) keptMap() map[string]string {
	if d.kept.n == 0 {
		return nil
	}
	return d.maps.get(d.kept.key, func() map[string]string {
		m := make(map[string]string, d.kept.n)
		for _, e := range d.kept.list[:d.kept.n] {
			m[e.name] = headersKept[e.name](e.value)
		}
		return m
	})
}

// nameList splits a list of server names.
func nameList(v string) []string {
	var out []string
	for s := range strings.SplitSeq(v, ",") {
		if s = strings.TrimSpace(s); s != "" && len(out) < 64 {
			out = append(out, clean(s, 100))
		}
	}
	return out
}

// trace hashes the trace id of a traceparent (W3C Trace Context, section 3.2).
func (d *Decoder) trace(v string) string {
	_, rest, ok := strings.Cut(v, "-")
	if len(rest) < 32 || !ok {
		return ""
	}
	return d.hashed([]byte(rest[:32]))
}

// parseTraceParent reads a traceparent of version 00, or of a later one as far
// as it is alike (W3C Trace Context, section 4.3).
func parseTraceParent(v []byte) TraceParent {
	var p TraceParent
	var version, flags [1]byte
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' || len(v) > 55 && v[55] != '-' {
		return p
	}
	for _, f := range []struct{ to, from []byte }{{version[:], v[:2]}, {p.Trace[:], v[3:35]}, {p.Span[:], v[36:52]}, {flags[:], v[53:55]}} {
		if _, err := hex.Decode(f.to, f.from); err != nil || bytes.ContainsAny(f.from, "ABCDEF") {
			return TraceParent{}
		}
	}
	if version[0] == 0xff || version[0] == 0 && len(v) > 55 || p.Trace == [16]byte{} || p.Span == [8]byte{} {
		return TraceParent{}
	}
	p.Flags = flags[0]
	return p
}
