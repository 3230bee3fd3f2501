package hop

import (
	"slices"
	"testing"
)

// The servers that a path names, as the gateway reads it.
func TestPathScope(t *testing.T) {
	for _, c := range []struct {
		path string
		want []string
	}{
		{"/mcp", nil},
		{"/mcp/", nil},
		{"/mcp/proxy", nil},
		{"/mcp/a,b", []string{"a", "b"}},
		{"/a/mcp/", []string{"a"}},
		{"/toolset/a/mcp", []string{"a"}},
		{"/two%20words/mcp", []string{"two words"}},
		{"/mcp/a%2Cb", []string{"a", "b"}},
		{"/100%/mcp", []string{"100%"}}, // is no encoding
	} {
		if got := pathScope(c.path); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.path, got, c.want)
		}
	}
}
