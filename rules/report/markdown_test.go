package report

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// outside is a markdown text without its code spans and blocks, read as
// CommonMark has them, and without escaped characters: what could be markup.
func outside(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	fence := ""
	for line := range strings.Lines(s) {
		ticks := len(line) - len(strings.TrimLeft(line, "`"))
		switch {
		case fence == "" && ticks >= 3:
			fence = line[:ticks]
			continue
		case fence != "":
			if strings.TrimRight(line, "\n") == fence {
				fence = ""
			}
			continue
		}
		b.WriteString(unspanned(t, line))
	}
	if fence != "" {
		t.Error("a block does not end")
	}
	return b.String()
}

// unspanned is a line without its code spans.
func unspanned(t *testing.T, line string) string {
	var b strings.Builder
	for i := 0; i < len(line); {
		if line[i] == '\\' {
			b.WriteByte('.')
			i += 2
			continue
		}
		n := len(line[i:]) - len(strings.TrimLeft(line[i:], "`"))
		if n == 0 {
			b.WriteByte(line[i])
			i++
			continue
		}
		end := i + n
		for end < len(line) {
			m := len(line[end:]) - len(strings.TrimLeft(line[end:], "`"))
			if m == n {
				break
			}
			end += max(m, 1)
		}
		if end >= len(line) {
			t.Errorf("a code span does not end in %.200s", line)
			return b.String()
		}
		if strings.HasPrefix(line, "|") && strings.Contains(line[i:end], "|") {
			t.Errorf("a pipe within a cell: %s", line)
		}
		b.WriteString("code")
		i = end + n
	}
	return b.String()
}

// What of a report may stand outside of code: its own markup, and words.
var ours = regexp.MustCompile(`(?m)^(#{2,3} |\|[-:|]+\|$|- |</?details>)|</?(details|summary)>|\*\*`)

// Nothing of a capture becomes markup, mentions anybody, refers to an issue or
// links anywhere.
func TestMarkdownIsInert(t *testing.T) {
	markup := regexp.MustCompile("[<>`\\[\\]@#*_~$]|://|www\\.|&[^alg]")
	for name, in := range everything(t) {
		text := write(t, "markdown", Options{Rules: titles}, in)
		text = outside(t, text)
		for line := range strings.Lines(text) {
			if bad := markup.FindString(ours.ReplaceAllString(line, "")); bad != "" {
				t.Errorf("%s: %q in %s", name, bad, line)
			}
		}
		if strings.Count(text, "<details>") != strings.Count(text, "</details>") {
			t.Errorf("%s: details do not end", name)
		}
	}
}

// Each row of a table has as many cells as its head.
func TestMarkdownTables(t *testing.T) {
	for name, in := range everything(t) {
		cells := 0
		for line := range strings.Lines(outside(t, write(t, "markdown", Options{Rules: titles}, in))) {
			switch n := strings.Count(line, "|"); {
			case !strings.HasPrefix(line, "|"):
				cells = 0
			case cells == 0:
				cells = n
			case n != cells:
				t.Errorf("%s: %d cells, not %d: %s", name, n, cells, line)
			}
		}
	}
}

func TestMarkdownAnswers(t *testing.T) {
	for folder, want := range map[string][]string{
		"mixed": {"## passthru and staticbad answered 401, and the gateway hid it\n", "11 of 20 calls", "Certainty: **certain**.", "### `passthru`: ",
			"4 calls, `swallowed-401`, `token-rejected`, certain.", "**`401 invalid_token`**, not told to the client", "**Fix:** ", "```sh\ncurl ...\n```",
			"<details><summary>All findings (14)</summary>", "mcp401 `0.1.0`, `x.pcap`"},
		"healthy": {"## No failure of an upstream was hidden from a client\n"},
		"nothing": {"## There is no MCP traffic in this capture that could be read\n"},
	} {
		text := write(t, "markdown", Options{Rules: titles}, read(t, "testdata/"+folder+"/in.jsonl"))
		at := 0
		for _, s := range want {
			i := strings.Index(text[at:], s)
			if i < 0 {
				t.Errorf("%s: %q does not come, or comes too early, in:\n%s", folder, s, text)
				break
			}
			at += i
		}
	}
}

// A report fits an issue, whatever is in the capture, and says what it leaves
// out.
func TestMarkdownFits(t *testing.T) {
	var b strings.Builder
	w := newMarkdown(&b, Options{})
	for i := range 5000 {
		status := 401
		server := fmt.Sprint("s", i, strings.Repeat("é`|", 100))
		w.Write(Object{Case: &Case{Frame: 1 + i*10, HTTPMethod: "POST", Path: "/" + server, Severity: "error", Verdict: "swallowed-401", Upstream: []Attempt{
			{Server: server, Status: &status, Outcome: "401", Frame: 2 + i*10},
		}}})
		w.Write(Object{Finding: &Finding{Rule: "swallowed-401", Severity: "error", CaseFrame: 1 + i*10, Servers: []string{server}, Text: server, Fix: server, Verify: server}})
		w.Write(Object{Note: &Note{Code: server, Text: server}})
	}
	w.Write(Object{Summary: &Summary{Cases: 5000, Findings: 5000}})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if n := utf8.RuneCountInString(text); n > 60_000 || n < 50_000 {
		t.Errorf("%d characters", n)
	}
	for _, want := range []string{"causes more: see `--format json`.", "findings more: see `--format csv`.", "more kinds of notes", "\n</details>\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said", want)
		}
	}
	if strings.Count(text, "<details>") != 2 || strings.Count(text, "</details>") != 2 {
		t.Error("the folds are not whole")
	}
}

func TestMarkdownText(t *testing.T) {
	for in, want := range map[string]string{
		"set `a: b` of x":          "set `a: b` of x",
		"a ` alone":                "a \\` alone",
		"@octocat":                 "`@octocat`",
		"see #12, gh-3 and GH-4":   "see `#12,` `gh-3` and `GH-4`",
		"at https://evil.example/": "at `https://evil.example/`",
		"<b>*x*_y_[z](u)":          `&lt;b&gt;\*x\*\_y\_\[z\](u)`,
	} {
		if got := inline(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{"": "", "a": "`a`", "`": "`` ` ``", "a``b": "```a``b```", "a|b": "`a¦b`", "x\n": "`x[U+000A]`"} {
		if got := code(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	if got := block("a\n```\nb"); got != "````sh\na[U+000A]```[U+000A]b\n````\n" {
		t.Error(got)
	}
}
