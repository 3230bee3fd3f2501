package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"mcp401/rules"
)

// Bounds of a markdown report. An issue on GitHub holds 65,536 characters; who
// pastes a report wants to say something, too.
const (
	markdownLength = 60_000
	causesLength   = 45_000 // of these, the evidence
	callsListed    = 300    // findings in the folded list
	fieldLength    = 200    // characters of a text from the capture
)

// A markdownWriter writes what fits an issue on GitHub: the answer, a block of
// evidence for each cause, and folded what is of less use. What a capture says
// is escaped or stands as code, so that it is no markup, mentions nobody and
// links nowhere.
type markdownWriter struct {
	digest
	w      io.Writer
	listed []string // rows of the list of findings
	more   int      // findings beyond it
	size   int      // characters written so far
	out    strings.Builder
}

func newMarkdown(w io.Writer, opt Options) Writer {
	return &markdownWriter{digest: newDigest(opt), w: w}
}

func (m *markdownWriter) Write(o Object) error {
	m.take(o)
	if f, c := o.Finding, m.last; f != nil && c != nil && c.Frame == f.CaseFrame {
		m.list(c, f)
	}
	return nil
}

// list adds a finding to the folded list.
func (m *markdownWriter) list(c *Case, f *Finding) {
	if len(m.listed) == callsListed {
		m.more++
		return
	}
	clock := ""
	if !c.Time.IsZero() {
		clock = c.Time.In(m.opt.Zone).Format("15:04:05.000")
	}
	m.listed = append(m.listed, row(fmt.Sprint(c.Frame), clock, code(c.HTTPMethod+" "+c.Path), answered(c.Status, c.Tools), code(f.Rule), code(cmp.Or(f.Cause, f.Failure))))
}

// row is a row of a table.
func row(cells ...string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// put writes text if it fits below the limit, and reports whether it did.
func (m *markdownWriter) put(limit int, text string) bool {
	n := utf8.RuneCountInString(text)
	if m.size+n > limit {
		return false
	}
	m.size += n
	m.out.WriteString(text)
	return true
}

func (m *markdownWriter) Close() error {
	m.sort()
	a := m.headline()
	head := "## " + inline(a.title) + "\n\n" + inline(a.detail)
	if a.certainty != "" {
		head += " Certainty: **" + a.certainty + "**."
	}
	m.put(markdownLength, head+"\n\n")
	left := 0
	for _, v := range m.verdicts {
		if rules.Severity(v.severity).Rank() < rules.Warning.Rank() {
			continue
		}
		for _, s := range v.servers {
			for _, r := range s.causes {
				if left > 0 || !m.put(causesLength, m.cause(v, s, r)) {
					left++
				}
			}
		}
	}
	if left > 0 {
		m.put(markdownLength, counted(left, "cause")+" more: see `--format json`.\n\n")
	}
	m.findings()
	m.facts()
	_, err := io.WriteString(m.w, m.out.String())
	return err
}

// cause is the block of evidence of one cause: its example, the fix, and how
// the fix is verified.
func (m *markdownWriter) cause(v *verdict, s *server, r *reason) string {
	var b strings.Builder
	title := code(clip(s.name, 80))
	if meaning := m.meaning(r.id); meaning != "" {
		title += ": " + inline(meaning)
	}
	fmt.Fprintf(&b, "### %s\n\n%s, %s", title, counted(r.count, "call"), code(v.id))
	if r.id != "" {
		b.WriteString(", " + code(r.id))
	}
	if word := certainty(r.finding.Confidence); word != "" {
		b.WriteString(", " + word)
	}
	if r.unsure > 0 && r.unsure < r.count {
		fmt.Fprintf(&b, " (%s not certain)", number(r.unsure))
	}
	b.WriteString(". " + inline(r.finding.Text) + ".\n\n")
	b.WriteString(row(m.unit(1), "time", "from", "to", "what") + "|--:|--:|---|---|---|\n")
	all, left := steps(&r.example, &r.finding)
	for i, s := range all {
		b.WriteString(m.step(&s, &r.example, i == 0))
	}
	if left > 0 {
		fmt.Fprintf(&b, "\n%s more.\n", counted(left, "upstream attempt"))
	}
	if r.fix != "" {
		b.WriteString("\n**Fix:** " + inline(r.fix) + "\n")
	}
	if verify := verifyOf(r); verify != "" {
		b.WriteString("\n**Check it:**\n\n" + block(verify))
	}
	return b.String() + "\n"
}

// step is a row of the example: a message.
func (m *markdownWriter) step(s *step, c *Case, first bool) string {
	lanes := [...]string{"client", "gateway", code(cmp.Or(s.server, "upstream"))}
	frame, clock := "", ""
	if s.frame > 0 {
		frame = fmt.Sprint(s.frame)
		clock = elapsed(c.Time, s.time)
	}
	if first {
		clock = ""
		if !s.time.IsZero() {
			clock = s.time.In(m.opt.Zone).Format("15:04:05.000")
		}
	}
	what := code(s.text)
	switch {
	case s.bad && s.from == upstream:
		what = "**" + what + "**, not told to the client"
	case s.bad:
		what = "**" + what + "**"
	}
	return row(frame, clock, lanes[s.from], lanes[s.to], what)
}

// findings is the folded list.
func (m *markdownWriter) findings() {
	if len(m.listed) == 0 {
		return
	}
	const end = "\n</details>\n\n"
	head := fmt.Sprintf("<details><summary>All findings (%s)</summary>\n\n", number(len(m.listed)+m.more))
	limit := markdownLength - 4000 // for what follows
	if !m.put(limit, head+row(m.unit(1), "time", "request", "answer", "verdict", "cause")+"|--:|--:|---|---|---|---|\n") {
		return
	}
	left := m.more
	for i, line := range m.listed {
		if !m.put(limit, line) {
			left += len(m.listed) - i
			break
		}
	}
	if left > 0 {
		m.put(markdownLength, "\n"+counted(left, "finding")+" more: see `--format csv`.\n")
	}
	m.put(markdownLength, end)
}

// facts is the folded rest: what was read with which version, and what it
// cannot show.
func (m *markdownWriter) facts() {
	var b strings.Builder
	b.WriteString("<details><summary>Versions, numbers, and what the capture cannot show</summary>\n\n")
	fmt.Fprintf(&b, "- mcp401 %s, %s\n", code(m.run.Version), code(cmp.Or(inputNames(m.run.Inputs), "no input")))
	fmt.Fprintf(&b, "- %s; %s\n", m.seen(), m.lost())
	var totals []string
	for i, id := range m.ids() {
		if i == 20 {
			totals = append(totals, "...")
			break
		}
		totals = append(totals, number(m.summary.ByVerdict[id])+" "+code(clip(id, 40)))
	}
	if len(totals) > 0 {
		fmt.Fprintf(&b, "- %s: %s\n", counted(m.summary.Cases, "call"), strings.Join(totals, ", "))
	}
	for i, n := range m.notes {
		if i == notesShown {
			fmt.Fprintf(&b, "- and %d more kinds of notes\n", len(m.notes)-i)
			break
		}
		fmt.Fprintf(&b, "- %s: %s times, %s\n", code(clip(n.Code, 40)), number(n.Count), inline(n.Text))
	}
	b.WriteString("\nCredentials are named by kind and a keyed hash, never printed.\n\n</details>\n")
	m.put(markdownLength, b.String())
}

// code is text from a capture as a code span, in a table too: nothing in it is
// markup. "" stays "".
func code(s string) string {
	s = strings.TrimSpace(clip(s, fieldLength))
	if s == "" {
		return ""
	}
	// CommonMark 6.1: a span ends at the first run of as many backticks.
	fence := strings.Repeat("`", run(s, '`')+1)
	if s[0] == '`' || s[len(s)-1] == '`' {
		s = " " + s + " "
	}
	// Within a table a pipe ends the cell, in a code span too, unless escaped;
	// outside of one the backslash would be shown. A look-alike is the same in
	// both.
	return fence + strings.ReplaceAll(s, "|", "¦") + fence
}

// block is text from a capture as a fenced block.
func block(s string) string {
	s = clip(s, 10*fieldLength)
	fence := strings.Repeat("`", max(3, run(s, '`')+1))
	return fence + "sh\n" + s + "\n" + fence + "\n"
}

// run is the length of the longest run of c in s.
func run(s string, c byte) int {
	longest, n := 0, 0
	for i := 0; i < len(s); i++ {
		if n++; s[i] != c {
			n = 0
		}
		longest = max(longest, n)
	}
	return longest
}

// inline is text with its code spans kept, and all else escaped. What GitHub
// would make a mention, a reference or a link of becomes code.
func inline(s string) string {
	var b strings.Builder
	for _, p := range parts(clip(s, 3*fieldLength)) {
		if p.Code {
			b.WriteString(code(p.Text))
			continue
		}
		for i, word := range strings.Split(p.Text, " ") {
			if i > 0 {
				b.WriteByte(' ')
			}
			if strings.ContainsAny(word, "@#") || strings.Contains(word, "://") || strings.Contains(strings.ToLower(word), "www.") || strings.HasPrefix(strings.ToLower(word), "gh-") {
				b.WriteString(code(word))
			} else {
				b.WriteString(escaper.Replace(word))
			}
		}
	}
	return b.String()
}

// escaper escapes what begins or ends anything in CommonMark (2.4) or GFM.
var escaper = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "{", `\{`, "}", `\}`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "#", `\#`,
	"+", `\+`, "-", `\-`, "!", `\!`, "|", `\|`, "~", `\~`, "&", "&amp;", "$", `\$`, "^", `\^`, "=", `\=`)
