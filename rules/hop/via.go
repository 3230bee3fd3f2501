package hop

import (
	"strings"

	"mcp401/decode/mcp"
)

// The clients that a person looks at a gateway with.
const (
	AdminPage = "LiteLLM's admin page"
	Inspector = "MCP Inspector"
)

// via names the page or the tool that asked, where it shows: the admin page by
// where its requests come from, the Inspector by what it tells its own proxy,
// which is also the address that it means.
func via(x *mcp.Exchange) (name, target string) {
	if url := queryValue(x.Query, "url"); url != "" && queryValue(x.Query, "transportType") != "" {
		return Inspector, url
	}
	if strings.HasSuffix(x.Headers["referer"], "/ui/") {
		return AdminPage, ""
	}
	return "", ""
}
