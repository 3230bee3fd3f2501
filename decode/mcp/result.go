package mcp

import (
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"

	"mcp401/decode/jsonrpc"
)

// A digest is what is kept of a result.
type digest struct {
	tools              []string
	count              int
	next, isError      bool
	text               string
	authText           bool
	serverName, server string
	outcomes           []Outcome
}

func (g *digest) to(m *Message) {
	m.Tools, m.Count, m.Next, m.IsError = g.tools, g.count, g.next, g.isError
	m.Text, m.AuthText = g.text, g.authText
	m.ServerName, m.ServerVer, m.Outcomes = g.serverName, g.server, g.outcomes
}

// result digests a result, or finds what was made of the same one before.
func (d *Decoder) result(m *jsonrpc.Message) *digest {
	if !m.Known {
		return d.digest(gjson.ParseBytes(m.Result))
	}
	if g := d.digests[&m.Result[0]]; g != nil {
		return g
	}
	// The keys keep their results from being freed: at most as many as there
	// are here.
	if len(d.digests) >= 64 {
		clear(d.digests)
	}
	// m.Result never changes, so it may be looked at as a string.
	g := d.digest(gjson.Parse(unsafe.String(unsafe.SliceData(m.Result), len(m.Result))))
	d.digests[&m.Result[0]] = g
	return g
}

func (d *Decoder) digest(result gjson.Result) *digest {
	g := &digest{count: -1}
	result.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "tools":
			if v.IsArray() {
				g.count, g.tools = toolNames(v, d.lim.Tools)
			}
		case "nextCursor":
			g.next = v.Type != gjson.Null
		case "isError":
			g.isError = v.Type == gjson.True
		case "content":
			g.text = firstText(v)
		case "serverInfo":
			g.serverName = clean(v.Get("name").String(), 100)
			g.server = clean(v.Get("version").String(), 64)
		case "_meta":
			d.resultMeta(g, v)
		}
		return true
	})
	if !g.isError {
		g.text = ""
	}
	g.authText = speaksOfAuth(g.text)
	g.text = clean(g.text, 200)
	return g
}

// resultMeta reads _meta of a result: the gateway's outcomes, and where a
// modern server says who it is.
func (d *Decoder) resultMeta(g *digest, meta gjson.Result) {
	g.outcomes = outcomes(meta)
	if g.serverName == "" {
		meta.ForEach(func(k, v gjson.Result) bool {
			if k.Str == "io.modelcontextprotocol/serverInfo" {
				g.serverName = clean(v.Get("name").String(), 100)
				g.server = clean(v.Get("version").String(), 64)
			}
			return true
		})
	}
}

// toolNames counts the tools of a list and takes the names of the first of
// them. All names share one storage.
func toolNames(list gjson.Result, most int) (int, []string) {
	n := 0
	var names strings.Builder
	var ends []int
	list.ForEach(func(_, tool gjson.Result) bool {
		if n++; n > most {
			return true
		}
		names.WriteString(cleanView(tool.Get("name").String(), 128))
		ends = append(ends, names.Len())
		return true
	})
	all, at := names.String(), 0
	out := make([]string, len(ends))
	for i, end := range ends {
		out[i], at = all[at:end], end
	}
	return n, out
}

// firstText returns the text of the first content block that has one.
func firstText(content gjson.Result) string {
	text := ""
	content.ForEach(func(_, block gjson.Result) bool {
		text = block.Get("text").String()
		return text == ""
	})
	return text
}

// outcomes reads what LiteLLM says of each server, in both spellings. At most
// 256 are kept.
func outcomes(meta gjson.Result) []Outcome {
	var out []Outcome
	meta.ForEach(func(k, v gjson.Result) bool {
		if k.Str != "litellm.ai/server_outcomes" {
			return true
		}
		out = nil
		v.ForEach(func(server, v gjson.Result) bool {
			if len(out) < 256 && v.IsObject() {
				out = append(out, outcome(server.String(), v))
			}
			return true
		})
		return true
	})
	return out
}

func outcome(server string, v gjson.Result) Outcome {
	o := Outcome{Server: clean(server, 100), Count: -1}
	v.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "status", "tag":
			if v.Type == gjson.String {
				o.Status = clean(v.Str, 32)
			}
		case "http_status", "status_code":
			o.HTTP = int(v.Int())
		case "tool_count":
			if v.Type == gjson.Number {
				o.Count = int(v.Int())
			}
		}
		return true
	})
	return o
}

// readError reads the error member of a response (JSON-RPC 2.0, section 5.1).
func (d *Decoder) readError(m *Message, raw []byte) {
	e := gjson.ParseBytes(raw)
	if e.Type == gjson.String {
		m.Text, m.AuthText = clean(e.Str, 200), speaksOfAuth(e.Str)
		return
	}
	e.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "code":
			m.Code = int(v.Int())
		case "message":
			m.Text, m.AuthText = clean(v.String(), 200), speaksOfAuth(v.String())
		case "data":
			m.Outcomes = outcomes(v)
		}
		return true
	})
}

// authWords are what error texts say when authority is wanting. To add one,
// put it here, in lower case.
var authWords = []string{
	"unauthorized", "unauthorised", "unauthenticated", "forbidden", "authentication", "authorization", "not authorized", "not authenticated",
	"token expired", "token has expired", "expired token", "token is expired", "invalid token", "invalid_token", "invalid_grant", "invalid_client",
	"insufficient_scope", "insufficient scope", "access denied", "access_denied", "permission denied", "auth_required", "invalid api key",
	"invalid credentials", "credentials", "login required", "sign in",
}

// speaksOfAuth reports whether an error text is about authority.
func speaksOfAuth(s string) bool {
	if s == "" {
		return false
	}
	low := strings.ToLower(s[:min(len(s), 4096)])
	for _, w := range authWords {
		if strings.Contains(low, w) {
			return true
		}
	}
	return hasNumber(low, "401") || hasNumber(low, "403")
}

// hasNumber reports whether the number stands in s by itself.
func hasNumber(s, n string) bool {
	for at := 0; ; {
		i := strings.Index(s[at:], n)
		if i < 0 {
			return false
		}
		i += at
		at = i + len(n)
		if (i == 0 || classOf(s[i-1]) == 0 && s[i-1] != '.') && (at == len(s) || classOf(s[at]) == 0) {
			return true
		}
	}
}
