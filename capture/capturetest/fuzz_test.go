package capturetest

import "testing"

// FuzzScriptIsReadOrRefused asserts that a script is an error or a
// conversation that every wrapping can write, and never a panic.
func FuzzScriptIsReadOrRefused(f *testing.F) {
	f.Add(swallowed)
	f.Add("[a b > c]\n! gap 3\n. reset >\n~ 1h\n! lost\n<< x\n")
	f.Add("> \"x\"\n< 200 sse gzip\n  result id=1 tools a,b meta c=d/1:2\n  ...\n<< ping\n")
	f.Fuzz(func(t *testing.T, script string) {
		c, err := Parse([]byte(script))
		if err != nil {
			return
		}
		for _, w := range []Wrap{{MSS: 500}, {Format: Pcapng, Link: SLL2, IPv6: true, Double: true, Hop: Down}, {Loopback: true, Reorder: 1}, {Format: HAR}} {
			if len(c.Wrap(w).Bytes) == 0 {
				t.Errorf("%+v: an empty file", w)
			}
		}
	})
}
