package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// evils is what a capture may hold where a name is expected.
var evils = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`' onmouseover='alert(1)`,
	"]]>&amp;<!--",
	"x\u202egnp.exe\u2066",
	"bell\a\x1b[31m\x00\ufffe\uffff",
	"a|b\n| c | d |\n\n# heading\n```\n~~~~\n</details>",
	"`code` ``more`` @octocat #12 https://evil.example/ [x](javascript:alert(1)) ![i](http://evil.example/p.png)",
	"=cmd|' /C calc'!A0",
	"{0} {{1}} [link](1) \\",
	strings.Repeat("long-", 2000),
	"\xff\xfe",
	"مرحبا שלום 日本語 e\u0301",
	"{{.}}${x}%s%d",
}

// hostile is a report each of whose strings that a capture can choose is evil
// in turn: a case with a finding for each.
func hostile(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	put := func(o Object) {
		if err := enc.Encode(o); err != nil {
			t.Fatal(err)
		}
	}
	put(Object{Run: &Run{Schema: Schema, Tool: "mcp401", Version: "0.1.0", Inputs: []Input{{Name: evils[0] + ".pcap", Kind: "pcap"}}}})
	at := func(s string) Time {
		var v Time
		if err := json.Unmarshal([]byte(`"`+s+`"`), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	n := func(i int) *int { return &i }
	severities := []string{"error", "warning", "note"}
	verdicts := []string{"swallowed-401", "partial-list", "no-upstream"}
	for i, evil := range evils {
		first := 220 + 100*i
		rpc, id := "tools/list", `"7"`
		v, severity := verdicts[i%3], severities[i%3]
		if i > 0 {
			rpc, id = evil, evil
		}
		put(Object{Case: &Case{
			Frame: first, Time: at("2026-11-23T08:04:11.301Z"), Client: evil, Gateway: evil, Kind: "list", HTTPMethod: evil, Path: "/" + evil,
			RPCMethod: &rpc, RPCID: &id, Status: n(200), Tools: n(0), AnswerFrame: n(first + 16), AnswerTime: at("2026-11-23T08:04:11.322Z"),
			Verdict: v, Severity: severity, Confidence: "linked", Cause: "token-rejected", Failure: evil, Servers: []string{evil, "b"},
			Upstream: []Attempt{{
				Frame: first + 6, Time: at("2026-11-23T08:04:11.31Z"), Server: evil, Address: evil, URL: evil, HTTPMethod: &evil, RPCMethod: &evil,
				Status: n(401), AnswerFrame: n(first + 10), Outcome: evil, Cause: evil, Confidence: "linked", Credential: &evil,
				Challenge: &Challenge{Scheme: evil, Error: evil, ErrorDescription: evil, ResourceMetadata: evil, Scope: evil},
			}},
		}})
		put(Object{Finding: &Finding{
			Rule: v, Severity: severity, Confidence: "linked", Cause: "token-rejected", Failure: evil, Servers: []string{evil},
			Text: evil + " answered 401", Fix: "set `x` of " + evil, Verify: "curl '" + evil + "'", CaseFrame: first, Fingerprint: "00112233",
			Evidence: []Evidence{
				{What: "client request", Frame: first, Time: at("2026-11-23T08:04:11.301Z"), Flow: evil, Excerpt: evil},
				{What: "upstream answer", Frame: first + 10, Time: at("2026-11-23T08:04:11.311Z"), Flow: evil, Excerpt: evil},
			},
		}})
	}
	put(Object{Note: &Note{Code: evils[1], Frame: 3, Count: 2, Text: evils[6]}})
	put(Object{Summary: &Summary{
		Records: 9, Flows: 3, Exchanges: 20, Cases: len(evils), ByVerdict: map[string]int{evils[0]: 1, "swallowed-401": 5}, Findings: len(evils),
		Inputs: []Input{{Name: evils[0] + ".pcap", Kind: "pcap", Records: 9}},
	}})
	return b.Bytes()
}

// everything is every report there is: testdata, the hostile one, and those of
// the samples.
func everything(t *testing.T) map[string][]byte {
	t.Helper()
	all := map[string][]byte{"hostile": hostile(t)}
	for i, in := range inputs(t) {
		all[fmt.Sprintf("testdata %d", i)] = in
	}
	files, _ := filepath.Glob("../../samples/*/report.json")
	if len(files) < 9 {
		t.Fatalf("%d samples", len(files))
	}
	for _, file := range files {
		all[filepath.Base(filepath.Dir(file))] = read(t, file)
	}
	return all
}

// Each format of the hostile report, too, is the same by way of saved JSON.
func TestViewsOfEverything(t *testing.T) {
	for name, in := range everything(t) {
		for _, by := range []string{"json", "jsonl"} {
			saved := []byte(write(t, by, Options{}, in))
			for _, f := range Formats {
				if write(t, f.Name, Options{Rules: titles}, in) != write(t, f.Name, Options{Rules: titles}, saved) {
					t.Errorf("%s: %s is another by way of %s", name, f.Name, by)
				}
			}
		}
	}
}

// No format passes on what steers a terminal or turns the writing round.
func TestNothingSteers(t *testing.T) {
	for name, in := range everything(t) {
		for _, f := range Formats {
			if f.Name == "json" || f.Name == "jsonl" {
				continue // exact, and JSON escapes what XML and terminals mind
			}
			got := write(t, f.Name, Options{Rules: titles}, in)
			if i := strings.IndexFunc(got, func(r rune) bool { return r != '\n' && r != '\r' && !unicode.IsPrint(r) && r != '\u2060' }); i >= 0 {
				t.Errorf("%s: %s holds %q", name, f.Name, got[max(0, i-40):min(len(got), i+8)])
			}
			if !utf8.ValidString(got) {
				t.Errorf("%s: %s is not UTF-8", name, f.Name)
			}
		}
	}
}

// What the baseline has too does not fail a test, and is said to be unchanged.
func TestKnownFindings(t *testing.T) {
	known := bytes.ReplaceAll(read(t, "testdata/mixed/in.jsonl"), []byte(`"case_frame":`), []byte(`"known":true,"case_frame":`))
	if text := write(t, "junit", Options{}, known); strings.Contains(text, "<failure") || !strings.Contains(text, "<testcase") {
		t.Error("a test fails")
	}
	text := write(t, "sarif", Options{}, known)
	if n := strings.Count(text, `"baselineState":"unchanged"`); n != len(sarifOf(t, text).Results) || n == 0 {
		t.Errorf("%d results are unchanged", n)
	}
}

func TestClip(t *testing.T) {
	for in, want := range map[string]string{"": "", "abc": "abc", "abcd": "abc…", "äöü": "äöü", "äöüß": "äöü…", "a\x00": "a[U…", "\x00": "[U+…"} {
		if got := clip(in, 3); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}
