package mcp

import "testing"

// Of the page that asked no more is kept than where it comes from.
func TestCleanPage(t *testing.T) {
	for in, want := range map[string]string{
		"":                                     "",
		"http://gw:4000/":                      "http://gw:4000",
		"http://u:secret@gw/x?token=secret":    "http://gw",
		"http://gw/ui/?login=success&page=mcp": "http://gw/ui/",
		"https://gw/litellm/ui/mcp-servers/":   "https://gw/litellm/ui/",
		"https://gw/guide/":                    "https://gw",
		"/ui/":                                 "",
	} {
		if got := cleanPage(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
