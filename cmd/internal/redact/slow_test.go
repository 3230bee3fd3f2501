package redact

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// What a body may hold at most takes a moment and no more, however it is made.
func TestNothingIsQuadratic(t *testing.T) {
	const size = 1 << 20
	rep := func(s string) string { return strings.Repeat(s, size/len(s)) }
	var distinct strings.Builder
	for i := 0; distinct.Len() < size; i++ {
		fmt.Fprintf(&distinct, "%x ", i)
	}
	m := NewMasker(Config{Key: []byte("k")}, NewSecrets())
	for name, text := range map[string]string{
		"objects":  `{"isError":true,"a":[` + strings.TrimSuffix(rep(`{"a":"b"},`), ",") + `]}`,
		"nested":   rep(`{"a":`) + "1" + strings.Repeat("}", size/5),
		"deep":     strings.Repeat(`{"a":[`, 60) + `"` + rep("x") + `"` + strings.Repeat("]}", 60),
		"escapes":  `["` + rep(`\u0041`) + `"]`,
		"in text":  `["` + strings.ReplaceAll(`["`+strings.Repeat("x ", size/8)+`"]`, `"`, `\"`) + `"]`,
		"urls":     rep("a://"),
		"at":       rep("a://b:c@"),
		"colons":   rep(":"),
		"segments": "/" + rep("a/"),
		"query":    "/?" + rep("a=b&"),
		"lines":    rep("data: x\n"),
		"events":   rep("id: x\n\n"),
		"words":    distinct.String(),
		"dots":     rep("a."),
	} {
		begin := time.Now()
		for _, mask := range []func([]byte){
			func(b []byte) { m.head(b, true) }, m.stream, m.form, m.link, m.framing, func(b []byte) { m.body("application/json", 500, b) },
			func(b []byte) { m.credential("authorization", b) }, func(b []byte) { m.cookies(b) }, m.names,
		} {
			mask([]byte(text))
		}
		if took := time.Since(begin); took > 20*time.Second {
			t.Errorf("%s: %v", name, took)
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}
