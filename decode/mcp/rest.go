package mcp

import (
	"bytes"
	"net/url"
	"strings"

	"github.com/tidwall/gjson"

	"mcp401/decode/jsonrpc"
)

// readREST reads the answer of a route outside JSON-RPC; nil for a kind that
// has none.
func (d *Decoder) readREST(kind Kind, root gjson.Result) *REST {
	r := &REST{Count: -1, MCPTools: -1}
	switch kind {
	case RESTList, RESTTest:
		d.restTools(r, root.Get("tools"))
	case RESTCall:
		g := d.digest(root)
		r.IsError = g.isError
		r.Message, r.AuthText = g.text, g.authText
	case Inventory, Health:
		r.Listing = listing(root, d.lim.Flows)
	case LLM:
		var t llmTally
		t.answer(root)
		r.MCPTools = t.rest().MCPTools
	default:
		return nil
	}
	readFault(r, root)
	if kind == RESTTest && root.Get("status").String() == "error" {
		r.IsError = true
	}
	return r
}

// restTools reads the tools of a REST list, each with its server where it is
// given.
func (d *Decoder) restTools(r *REST, tools gjson.Result) {
	if !tools.IsArray() {
		return
	}
	r.Count, r.Tools = toolNames(tools, d.lim.Tools)
	servers, any := make([]string, 0, len(r.Tools)), false
	tools.ForEach(func(_, tool gjson.Result) bool {
		name := tool.Get("mcp_info.server_name").String()
		any = any || name != ""
		servers = append(servers, d.text([]byte(name), 100))
		return len(servers) < len(r.Tools)
	})
	if any {
		r.Servers = servers
	}
}

// readFault reads the shapes in which errors come: {"error": "code",
// "message": ...}, {"error": {...}}, {"detail": ...} and {"detail": {...}}.
func readFault(r *REST, root gjson.Result) {
	if !root.IsObject() {
		return
	}
	var code, message string
	root.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "error", "detail":
			if v.Type == gjson.String && k.Str == "detail" {
				message = first(message, v.Str)
				break
			}
			c, m := fault(v)
			code, message = first(code, c), first(message, m)
		case "message", "details", "error_description":
			if v.Type == gjson.String {
				message = first(message, v.Str)
			}
		}
		return true
	})
	// A text where a code is expected is a message.
	if strings.ContainsRune(code, ' ') {
		if message != "" {
			message = code + ": " + message
		} else {
			message = code
		}
		code = ""
	}
	r.Error = first(r.Error, clean(code, 64))
	if message != "" {
		r.AuthText = r.AuthText || speaksOfAuth(message)
		r.Message = first(r.Message, clean(message, 200))
	}
	r.AuthText = r.AuthText || speaksOfAuth(code)
}

// fault reads one error value: a text, or an object with a code and a text.
func fault(v gjson.Result) (code, message string) {
	switch {
	case v.Type == gjson.String:
		return v.Str, ""
	case v.IsObject():
		code = first(v.Get("error").String(), first(v.Get("type").String(), v.Get("code").String()))
		return code, first(v.Get("message").String(), v.Get("detail").String())
	}
	return "", ""
}

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// oauthErrors are the error codes of RFC 6749 section 5.2, RFC 6750 section
// 3.1 and RFC 7591 section 3.2.2 that refuse for want of authority.
var oauthErrors = map[string]bool{
	"invalid_token": true, "insufficient_scope": true, "invalid_client": true, "invalid_grant": true, "unauthorized_client": true,
	"access_denied": true, "invalid_scope": true, "unsupported_grant_type": true, "invalid_target": true, "login_required": true,
	"unauthorized": true, "forbidden": true,
}

// authError reports whether a JSON body is an error about authority.
func authError(root gjson.Result) bool {
	if !root.IsObject() {
		return false
	}
	if oauthErrors[strings.ToLower(root.Get("error").String())] {
		return true
	}
	var r REST
	readFault(&r, root)
	return r.AuthText && (root.Get("error").Exists() && root.Get("error").Type != gjson.Null || root.Get("detail").Exists() || root.Get("message").Exists() && !root.Get("tools").Exists())
}

// listing reads a gateway's list of servers: an array, or one below a name. At
// most n are kept.
func listing(root gjson.Result, n int) []Server {
	if root.IsObject() {
		for _, name := range []string{"servers", "data", "mcp_servers"} {
			if v := root.Get(name); v.IsArray() {
				root = v
				break
			}
		}
	}
	var out []Server
	if !root.IsArray() {
		return nil
	}
	root.ForEach(func(_, v gjson.Result) bool {
		if v.IsObject() {
			out = append(out, server(v))
		}
		return len(out) < n
	})
	return out
}

func server(v gjson.Result) Server {
	var s Server
	v.ForEach(func(k, v gjson.Result) bool {
		if v.Type != gjson.String {
			return true
		}
		switch k.Str {
		case "server_id":
			s.ID = cleanID(v.Str)
		case "server_name":
			s.Name = clean(v.Str, 100)
		case "name":
			s.Name = first(s.Name, clean(v.Str, 100))
		case "alias":
			s.Alias = clean(v.Str, 100)
		case "url":
			s.URL = cut(cleanURL(v.Str), 300)
		case "transport":
			s.Transport = clean(v.Str, 32)
		case "auth_type":
			s.AuthType = clean(v.Str, 32)
		}
		return true
	})
	return s
}

// litellmURL begins the server_url of an MCP tool entry that the gateway is to
// resolve itself.
const litellmURL = "litellm_proxy"

// readLLM reads what tools a model call is given.
func readLLM(p []byte) LLMTools {
	var t LLMTools
	gjson.ParseBytes(jsonrpc.Trim(p)).ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "model":
			t.Model = clean(v.String(), 100)
		case "stream":
			t.Stream = v.Type == gjson.True
		case "tools":
			v.ForEach(func(_, tool gjson.Result) bool { t.entry(tool); return true })
		case "mcp_servers":
			v.ForEach(func(_, s gjson.Result) bool {
				t.server(first(s.Get("url").String(), s.Get("server_url").String()), s.Get("name").String())
				return true
			})
		}
		return true
	})
	return t
}

// entry reads one element of "tools". An MCP server elsewhere, or a connector,
// is one that the model's provider asks: for the gateway it is a tool like any
// other.
func (t *LLMTools) entry(tool gjson.Result) {
	switch typ := tool.Get("type").String(); {
	case typ == "mcp_toolset":
		t.MCP = true
	case typ != "mcp":
		t.Count++
	default:
		at := tool.Get("server_url").String()
		if at != "" && !strings.HasPrefix(at, litellmURL) || at == "" && tool.Get("connector_id").Exists() {
			t.Count++
			return
		}
		t.server(at, "")
	}
}

// server notes one MCP server that the caller asks the gateway for.
func (t *LLMTools) server(at, name string) {
	t.MCP = true
	rest, _ := strings.CutPrefix(at, litellmURL)
	rest, found := strings.CutPrefix(rest, "/mcp/")
	if !found {
		rest = name
	}
	rest, _, _ = strings.Cut(rest, "?")
	names := nameList(rest)
	if len(names) == 0 {
		t.All = true
	}
	for _, n := range names {
		if len(t.Servers) < 64 {
			t.Servers = append(t.Servers, n)
		}
	}
}

// An llmTally counts the tools that a model call's answer says the gateway
// fetched. The same list may be told three times: as it completes, as an
// output item, and in the whole response; so each way is counted by itself.
type llmTally struct {
	said                    bool
	completed, items, whole int
	fault                   REST
}

func (o *open) tally() *llmTally {
	if o.llm == nil {
		o.llm = &llmTally{fault: REST{Count: -1, MCPTools: -1}}
	}
	return o.llm
}

func (t *llmTally) rest() *REST {
	r := t.fault
	r.Count, r.MCPTools = -1, -1
	if t.said {
		r.MCPTools = max(t.completed, t.items, t.whole)
	}
	return &r
}

// event reads one event of a streamed answer. Most events are pieces of text;
// only what can matter is parsed.
func (t *llmTally) event(data []byte) {
	if !bytes.Contains(data, []byte("mcp_")) && !bytes.Contains(data, []byte(`"error"`)) || !jsonrpc.Valid(data) {
		return
	}
	root := gjson.ParseBytes(data)
	switch root.Get("type").String() {
	case "response.mcp_list_tools.completed":
		t.completed += t.list(root)
	case "response.output_item.done":
		t.items += t.item(root.Get("item"))
	case "response.completed", "response.incomplete":
		t.whole += t.output(root.Get("response.output"))
	case "error", "response.failed":
		readFault(&t.fault, root)
		readFault(&t.fault, root.Get("response"))
	default:
		t.answer(root)
	}
}

// answer reads an answer that is one JSON value, or a piece of a streamed chat
// completion.
func (t *llmTally) answer(root gjson.Result) {
	readFault(&t.fault, root)
	t.whole += t.output(root.Get("output"))
	root.Get("choices").ForEach(func(_, c gjson.Result) bool {
		for _, at := range []string{"message", "delta"} {
			if v := c.Get(at + ".provider_specific_fields.mcp_list_tools"); v.IsArray() {
				t.whole += t.array(v)
			}
		}
		return true
	})
}

// output reads the output items of a response.
func (t *llmTally) output(items gjson.Result) int {
	n := 0
	items.ForEach(func(_, item gjson.Result) bool {
		n += t.item(item)
		return true
	})
	return n
}

func (t *llmTally) item(item gjson.Result) int {
	switch item.Get("type").String() {
	case "mcp_list_tools":
		return t.list(item)
	case "mcp_tools_fetched":
		return t.fetched(item)
	}
	return 0
}

// list counts the tools of a value that has a list of them.
func (t *llmTally) list(v gjson.Result) int {
	if tools := v.Get("tools"); tools.IsArray() {
		return t.array(tools)
	}
	return 0
}

func (t *llmTally) array(v gjson.Result) int {
	t.said = true
	n := 0
	v.ForEach(func(_, _ gjson.Result) bool { n++; return true })
	return n
}

// fetched reads LiteLLM's own item: the tools stand as JSON in its text.
func (t *llmTally) fetched(item gjson.Result) int {
	if tools := item.Get("tools"); tools.IsArray() {
		return t.array(tools)
	}
	text := item.Get("content.0.text").String()
	if v := gjson.Parse(text); jsonrpc.Valid([]byte(text)) && v.IsArray() {
		return t.array(v)
	}
	t.said = true
	return 1 // it exists, so there was one at least
}

// cleanForm is clean for a form's value.
func cleanForm(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		s = u
	}
	return clean(s, 100)
}
