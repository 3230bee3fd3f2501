package mcp

import (
	"encoding/hex"
	"strings"
	"testing"
)

func TestParseTraceParent(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	good := "00-" + trace + "-" + span + "-01"
	for _, v := range []string{good, "01" + good[2:], "cc" + good[2:] + "-what-will-be"} {
		p := parseTraceParent([]byte(v))
		if hex.EncodeToString(p.Trace[:]) != trace || hex.EncodeToString(p.Span[:]) != span || p.Flags != 1 {
			t.Errorf("%s: %x", v, p)
		}
	}
	for _, v := range []string{
		"", "00", "-", good[:54], good + "-", good + "0", "ff" + good[2:], "0g" + good[2:], "01" + good[2:] + "0",
		strings.ToUpper(good), strings.Replace(good, "-b", "_b", 1), strings.Replace(good, trace, strings.Repeat("0", 32), 1),
		strings.Replace(good, span, strings.Repeat("0", 16), 1), strings.Replace(good, "-01", "-0x", 1), strings.Repeat("-", 55),
	} {
		if p := parseTraceParent([]byte(v)); p != (TraceParent{}) {
			t.Errorf("%q: %x", v, p)
		}
	}
}
