package all_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode/stack"
)

// noted counts the notes of a capture, by code and what they are about, and
// returns a text of each code.
func noted(records []capture.Record) (counts map[string]int, texts map[string]string) {
	counts, texts = map[string]int{}, map[string]string{}
	d := stack.New(stack.Config{}, func(e stack.Event) {
		if n := e.Note; n != nil {
			counts[n.Code+" "+n.About]++
			texts[n.Code] = n.Text
		}
	})
	for _, r := range records {
		d.Record(r)
	}
	d.Close()
	return counts, texts
}

// What TLS hides is said for each server name, with how to get keys; and that
// keys came late.
func TestNotesOfTLS(t *testing.T) {
	c := capturetest.MustParse(hidden)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := c.Wrap(capturetest.Wrap{TLS: version, HTTP2: true})
		n, texts := noted(w.Records)
		if len(n) != 1 || n["tls/no-key gateway.test"] != 6 || !strings.Contains(texts["tls/no-key"], "--keylog") {
			t.Errorf("%x without keys: %v, %q", version, n, texts)
		}
		n, _ = noted(withKeys(w.Records, w.Keys, len(w.Records)))
		if len(n) != 1 || n["tls/late-key gateway.test"] != 6 {
			t.Errorf("%x with keys at the end: %v", version, n)
		}
		if n, _ = noted(withKeys(w.Records, w.Keys, 0)); len(n) != 0 {
			t.Errorf("%x with keys: %v", version, n)
		}
		if n, _ = noted(withKeys(w.Records, []byte("no key log\n"), 0)); n["tls/bad-key-log "] != 1 {
			t.Errorf("%x with another file for keys: %v", version, n)
		}
		odd, _ := noted(withKeys(suiteOf(w.Records, 0x1306), w.Keys, 0))
		if odd["tls/unsupported gateway.test"] != 6 {
			t.Errorf("%x with a suite that nobody knows: %v", version, odd)
		}
	}
}

// suiteOf makes every ServerHello choose a suite.
func suiteOf(records []capture.Record, suite uint16) []capture.Record {
	out := make([]capture.Record, len(records))
	for i, r := range records {
		out[i] = r
		if r.Packet == nil {
			continue
		}
		p := *r.Packet
		p.Data = append([]byte{}, p.Data...)
		const tcpPayload, sessionID = 54, 54 + 5 + 4 + 2 + 32
		if len(p.Data) > sessionID && p.Data[tcpPayload] == 22 && p.Data[tcpPayload+5] == 2 {
			at := sessionID + 1 + int(p.Data[sessionID])
			p.Data[at], p.Data[at+1] = byte(suite>>8), byte(suite)
		}
		out[i].Packet = &p
	}
	return out
}
