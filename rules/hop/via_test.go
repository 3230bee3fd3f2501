package hop

import (
	"testing"

	"mcp401/decode/mcp"
)

func TestVia(t *testing.T) {
	for _, c := range []struct{ query, referer, name, target string }{
		{"", "", "", ""},
		{"", "http://127.0.0.1:4000", "", ""},
		{"server_id=1", "http://127.0.0.1:4000/ui/", AdminPage, ""},
		{"server_id=1", "https://gw.example/litellm/ui/", AdminPage, ""},
		{"url=http://127.0.0.1:4500/a/mcp&transportType=streamable-http", "http://127.0.0.1:6274", Inspector, "http://127.0.0.1:4500/a/mcp"},
		{"url=http://127.0.0.1:4500/a/mcp", "", "", ""},
		{"url=…&transportType=sse", "", "", ""},
	} {
		x := &mcp.Exchange{Query: c.query, Headers: map[string]string{"referer": c.referer}}
		if name, target := via(x); name != c.name || target != c.target {
			t.Errorf("%q from %q: %q %q, want %q %q", c.query, c.referer, name, target, c.name, c.target)
		}
	}
}
