package mcp

import "strings"

// A route tells a Kind from the method and the end of the path, so that a
// gateway mounted below another path is known too.
type route struct {
	method string // "": any
	suffix string
	within bool // anywhere in the path, not only at its end
	kind   Kind
}

// routes are tried in order. To add one, put a line here; a route of POST is
// overruled by a body that is JSON-RPC.
var routes = []route{
	{"", "/.well-known/", true, Discovery},
	{"GET", "/mcp-rest/tools/list", false, RESTList},
	{"GET", "/v1/mcp/tools", false, RESTList},
	{"POST", "/mcp-rest/tools/call", false, RESTCall},
	{"POST", "/mcp-rest/test/", true, RESTTest},
	{"GET", "/v1/mcp/server/health", false, Health},
	{"GET", "/v1/mcp/server", false, Inventory},
	{"POST", "/responses", false, LLM},
	{"POST", "/chat/completions", false, LLM},
	{"POST", "/messages", false, LLM},
	{"POST", "/register", false, Discovery},
	{"POST", "/token", false, Token},
	{"GET", "/sse", false, Stream},
}

// kindOf tells the kind of a request from its head. The body of a POST may
// still make it RPC, Token or Other.
func (o *open) kindOf() Kind {
	x := &o.x
	if x.Method == "OPTIONS" && o.preflight {
		return Preflight
	}
	path := x.Path
	for len(path) > 1 && path[len(path)-1] == '/' {
		path = path[:len(path)-1]
	}
	for _, r := range routes {
		if r.method != "" && r.method != x.Method {
			continue
		}
		if strings.HasSuffix(path, r.suffix) || r.within && strings.Contains(x.Path, r.suffix) {
			// Both SDKs' HTTP+SSE transport posts to /messages too, with its
			// session in the query.
			if r.kind == LLM && o.mcpHead {
				return RPC
			}
			return r.kind
		}
	}
	switch x.Method {
	case "GET":
		if strings.Contains(x.Accept, "text/event-stream") {
			return Stream
		}
	case "POST":
		if o.mcpHead || mcpPath(path) || strings.Contains(x.Accept, "text/event-stream") && strings.Contains(x.Accept, "application/json") {
			return RPC
		}
	case "DELETE":
		if o.mcpHead || mcpPath(path) {
			return End
		}
	}
	return Other
}

// mcpPath reports whether a path is shaped as an MCP endpoint: it ends in
// /mcp, or is /mcp/<name>.
func mcpPath(path string) bool {
	if strings.HasSuffix(path, "/mcp") {
		return true
	}
	name, ok := strings.CutPrefix(path, "/mcp/")
	return ok && name != "" && !strings.Contains(name, "/")
}
