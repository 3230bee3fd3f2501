package hop

import (
	"net/url"
	"strings"

	"mcp401/decode/mcp"
	"mcp401/rules/pair"
)

// A profile is what is particular to one gateway product. The join itself
// knows only HTTP and MCP.
type profile struct {
	name string

	// gateway reports whether the server side of the exchange is this product,
	// and its version where that shows.
	gateway func(*mcp.Exchange) (version string, ok bool)
	// origin reports whether the client side of the exchange is this product.
	origin func(*mcp.Exchange) (version string, ok bool)
	// probe reports whether a call asks only whether a credential is good.
	probe func(*pair.Call) bool
	// key is the credential that admits the caller to the gateway itself.
	key func(*mcp.Exchange) *mcp.Credential
	// initializes: a downstream initialize opens an upstream session.
	initializes bool
}

// profiles is every known product, the general one last. To add one, put it
// here with what its traffic alone shows.
var profiles = []profile{
	{
		name:    "litellm",
		gateway: litellmGateway,
		origin: func(x *mcp.Exchange) (string, bool) {
			v, ok := strings.CutPrefix(x.UserAgent, "litellm/")
			return v, ok
		},
		probe: func(c *pair.Call) bool {
			return c.Request != nil && c.Request.ID == `"litellm-mcp-auth-probe"` || c.Asked.ClientName == "litellm-mcp-auth-probe"
		},
		key: func(x *mcp.Exchange) *mcp.Credential {
			if c := credential(x, "x-litellm-api-key"); c != nil {
				return c
			}
			return credential(x, "authorization")
		},
	},
	{
		name: "mcp",
		gateway: func(x *mcp.Exchange) (string, bool) {
			if x.RespHeaders["x-contextforge-mcp-runtime"] != "" {
				return "", true
			}
			for i := range x.Answers {
				switch strings.ToLower(x.Answers[i].ServerName) {
				case "authmcp-gateway", "1mcp", "mcphub", "mcp-hub", "magg":
					return x.Answers[i].ServerVer, true
				}
			}
			return "", false
		},
		origin:      func(*mcp.Exchange) (string, bool) { return "", false },
		probe:       func(*pair.Call) bool { return false },
		key:         func(*mcp.Exchange) *mcp.Credential { return nil },
		initializes: true,
	},
}

var general = &profiles[len(profiles)-1]

func litellmGateway(x *mcp.Exchange) (string, bool) {
	version := x.RespHeaders["x-litellm-version"]
	if version != "" || x.Kind == mcp.RESTList || x.Kind == mcp.RESTCall || x.Kind == mcp.RESTTest || x.Kind == mcp.Inventory || x.Kind == mcp.Health {
		return version, true
	}
	for h := range x.RespHeaders {
		if strings.HasPrefix(h, "x-mcp-debug-") || strings.HasPrefix(h, "x-litellm-") {
			return "", true
		}
	}
	if credential(x, "x-litellm-api-key") != nil || x.LLMTools.MCP && len(x.LLMTools.Servers) > 0 {
		return "", true
	}
	for i := range x.Answers {
		if m := &x.Answers[i]; m.ServerName == "litellm-mcp-server" || len(m.Outcomes) > 0 {
			return "", true
		}
	}
	return "", false
}

// FailureOf says in the words of an attempt how a server failed by the
// gateway's own word.
func FailureOf(o mcp.Outcome) Outcome {
	switch {
	case o.Status == "auth_required" || o.HTTP == 401:
		return Status401
	case o.Status == "forbidden" || o.HTTP == 403:
		return Status403
	case o.Status == "timeout":
		return Timeout
	case o.Status == "unreachable":
		return Refused
	case o.HTTP >= 500:
		return Server5xx
	case o.HTTP >= 400:
		return Client4xx
	}
	return BadAnswer
}

// UpstreamFault reports whether a REST answer says that an upstream failed.
func UpstreamFault(r *mcp.REST) bool {
	return r.Error == "server_error" || r.Error == "partial_failure"
}

// outbound is the URL that a gateway says it asked; "" where it says none.
func outbound(x *mcp.Exchange) string {
	if u := x.RespHeaders["x-mcp-debug-outbound-url"]; strings.Contains(u, "://") {
		return u
	}
	return ""
}

// credential returns the first credential in that header field.
func credential(x *mcp.Exchange, header string) *mcp.Credential {
	for i := range x.Creds {
		if x.Creds[i].Header == header {
			return &x.Creds[i]
		}
	}
	return nil
}

// forwardable reports whether a gateway may hand this credential to an
// upstream.
func forwardable(c *mcp.Credential) bool {
	return c.Header != "x-litellm-api-key" && c.Header != "cookie" && c.Header != "proxy-authorization"
}

// scope returns the names of the servers that a downstream request asks for,
// from its path, its fields or its body; none: all of them.
func scope(x *mcp.Exchange) []string {
	switch x.Kind {
	case mcp.LLM:
		if x.LLMTools.All {
			return nil
		}
		return x.LLMTools.Servers
	case mcp.RESTList, mcp.RESTCall:
		if x.ServerID != "" {
			return []string{idPrefix + x.ServerID}
		}
		for _, name := range []string{"mcp_server_name"} {
			if v := queryValue(x.Query, name); v != "" {
				return []string{v}
			}
		}
		return nil
	case mcp.RESTTest:
		return nil
	}
	if names := pathScope(x.Path); len(names) > 0 {
		return names
	}
	if v := queryValue(x.Query, "tags"); v != "" {
		return strings.Split(v, ",")
	}
	return x.Servers
}

// idPrefix marks a name that is a server's id until the id's name is known.
const idPrefix = "id "

// pathScope reads "/mcp/<names>" and "/<names>/mcp", where names is a comma
// list, as the gateway does, after it has undone the per cent encoding; "/mcp"
// alone names none.
func pathScope(path string) []string {
	if plain, err := url.PathUnescape(path); err == nil {
		path = plain
	}
	path = strings.Trim(path, "/")
	var rest string
	if v, ok := strings.CutPrefix(path, "mcp/"); ok {
		rest = v
	} else if v, ok := strings.CutSuffix(path, "/mcp"); ok {
		rest = strings.TrimPrefix(v, "toolset/")
	}
	if rest == "" || rest == "proxy" {
		return nil
	}
	return strings.Split(rest, ",")
}

func queryValue(query, name string) string {
	for p := range strings.SplitSeq(query, "&") {
		if k, v, _ := strings.Cut(p, "="); k == name && v != "…" {
			return v
		}
	}
	return ""
}
