package unseenupstream

import (
	"strings"
	"testing"

	"mcp401/rules/hop"
)

// What a HAR cannot show is said in plain words, with who asked and what to do
// next.
func TestBrowser(t *testing.T) {
	for _, c := range []struct {
		c         hop.Case
		text, fix string
	}{
		{hop.Case{HAR: true}, "no tools, and a HAR shows only the browser's side", "this HAR has only the browser's side; to prove it, run `tcpdump -i any -s 0 -w gateway.pcap` or `mcp401 live -i any` on the gateway"},
		{hop.Case{HAR: true, Via: hop.AdminPage}, "LiteLLM's admin page", "admin page"},
		{hop.Case{HAR: true, Via: hop.Inspector, Target: "http://gw/a/mcp"}, "MCP Inspector for http://gw/a/mcp", "its proxy"},
	} {
		text, fix := browser(&c.c)
		if !strings.Contains(text, c.text) || !strings.Contains(fix, c.fix) {
			t.Errorf("%+v: %s; %s", c.c.Via, text, fix)
		}
		for _, step := range []string{"tcpdump", "x-litellm-mcp-debug: true"} {
			if !strings.Contains(fix, step) {
				t.Errorf("%s: no %s in: %s", c.c.Via, step, fix)
			}
		}
	}
}
