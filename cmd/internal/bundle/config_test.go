package bundle_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mcp401/cmd/internal/bundle"
)

// multiplied is a configuration in which each of the lines has ten aliases of
// the one before.
func multiplied(lines int) string {
	var y strings.Builder
	y.WriteString("a: &a [x-0, x-1]\n")
	last := 'a'
	for range lines {
		next := last + 1
		fmt.Fprintf(&y, "%c: &%c [%s]\n", next, next, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", last), 10), ","))
		last = next
	}
	fmt.Fprintf(&y, "mcp_servers:\n  x: {url: http://x.example/mcp, static_headers: &h {authorization: y}}\n  y: {url: http://y.example/mcp, static_headers: *h, extra: *%c}\n", last)
	return y.String()
}

// Aliases are followed, but not to more values than a configuration has.
func TestConfigAliases(t *testing.T) {
	servers, err := bundle.Config("x", []byte(multiplied(2)))
	if err != nil || len(servers) != 2 || !servers["y"].Stored {
		t.Errorf("%+v, %v", servers, err)
	}
	_, err = bundle.Config("x", []byte(multiplied(10)))
	var e *bundle.Error
	if !errors.As(err, &e) || !strings.Contains(e.Text, "aliases") {
		t.Errorf("ten lines of ten aliases: %v", err)
	}
	bundle.Config("x", []byte("a: &a {b: *a}\nmcp_servers: *a\n")) // ends
	for _, y := range []string{"a: &a [*a, *a]\n", "*a : *b\n", "&a\n", "&a &b c: *b\n", "<<: *a\n"} {
		if _, err := bundle.Config("x", []byte(y)); !errors.As(err, &e) {
			t.Errorf("%q: %v", y, err)
		}
	}
}
