package report

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mcp401/rules"
)

// Bounds of a JUnit report.
const (
	testsKept   = 4096 // (upstream, route) pairs; the rest are one test
	toldPerTest = 5    // findings told in full below one test
	nameLength  = 300  // characters of a name or a line
)

// A junitWriter writes a test suite for each upstream with a test case for
// each route on which calls asked it. A test fails where a finding of severity
// error or warning has the upstream at fault. The document is valid against
// the XML schemas of Ant's task (JUnit.xsd) and of Jenkins (junit-10.xsd).
type junitWriter struct {
	w      io.Writer
	run    Run
	last   *Case // not counted yet
	suites []*suite
	byName map[string]*suite
	kept   int
	where  string // of the summary
	left   int
}

// A suite is an upstream.
type suite struct {
	name   string
	first  Time
	tests  []*test
	byName map[string]*test
}

// A test is one route.
type test struct {
	name    string
	calls   int
	failed  int
	skipped int // calls without an answer in the capture
	took    time.Duration
	message string // of the first failure
	rule    string
	told    []string // lines about failures
}

// unnamed is the suite of calls with no upstream in scope.
const unnamed = "gateway"

func newJUnit(w io.Writer, _ Options) Writer { return &junitWriter{w: w, byName: map[string]*suite{}} }

func (j *junitWriter) Write(o Object) error {
	switch {
	case o.Run != nil:
		j.run = *o.Run
	case o.Case != nil:
		j.count(nil)
		j.last = o.Case
	case o.Finding != nil:
		j.count(o.Finding)
	case o.Summary != nil:
		j.where, j.left = o.Summary.Where, o.Summary.LeftOut
	}
	return nil
}

// count counts the case that waits, with its finding if it has one, at every
// upstream in its scope.
func (j *junitWriter) count(f *Finding) {
	c := j.last
	if c == nil {
		return
	}
	j.last = nil
	var fault []string
	if f != nil {
		fault = f.Servers
	}
	names := slices.Concat(fault, c.Servers)
	for _, a := range c.Upstream {
		names = append(names, cmp.Or(a.Server, a.URL, a.Address))
	}
	if len(names) == 0 {
		names = []string{unnamed}
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			continue
		}
		t := j.test(name, strings.TrimSpace(c.HTTPMethod+" "+route(c.Path)), c)
		t.count(c)
		if f != nil && (len(fault) == 0 || slices.Contains(fault, name)) {
			t.finding(c, f, unit(j.run.Inputs))
		}
	}
}

func (j *junitWriter) test(upstream, route string, c *Case) *test {
	upstream = cmp.Or(strings.TrimSpace(upstream), unnamed)
	if j.kept >= testsKept && (j.byName[upstream] == nil || j.byName[upstream].byName[route] == nil) {
		upstream, route = others, others
	}
	s := j.byName[upstream]
	if s == nil {
		s = &suite{name: upstream, first: c.Time, byName: map[string]*test{}}
		j.byName[upstream] = s
		j.suites = append(j.suites, s)
	}
	t := s.byName[route]
	if t == nil {
		j.kept++
		t = &test{name: route}
		s.byName[route] = t
		s.tests = append(s.tests, t)
	}
	return t
}

func (t *test) count(c *Case) {
	t.calls++
	if took := c.AnswerTime.Sub(c.Time.Time); !c.AnswerTime.IsZero() && !c.Time.IsZero() && took > 0 && took < 24*time.Hour {
		t.took += took
	}
	if c.AnswerFrame == nil {
		t.skipped++
	}
}

func (t *test) finding(c *Case, f *Finding, unit string) {
	if rules.Severity(f.Severity).Rank() < rules.Warning.Rank() || f.Known {
		return // as for the exit status, what the baseline has too does not count
	}
	if t.failed++; t.failed == 1 {
		t.message, t.rule = f.Text, f.Rule
	}
	if t.failed > toldPerTest {
		return
	}
	t.told = append(t.told, fmt.Sprintf("%s %d: %s", unit, c.Frame, f.Text))
	for _, part := range [][2]string{{"verdict", f.Rule}, {"cause", cmp.Or(f.Cause, f.Failure)}, {"confidence", f.Confidence}} {
		if part[1] != "" {
			t.told = append(t.told, "  "+part[0]+": "+part[1])
		}
	}
	for _, e := range f.Evidence {
		t.told = append(t.told, fmt.Sprintf("  %s %d, %s: %s (%s)", unit, e.Frame, e.What, e.Excerpt, e.Flow))
	}
	if f.Fix != "" {
		t.told = append(t.told, "  fix: "+f.Fix)
	}
	if f.Verify != "" {
		t.told = append(t.told, "  verify: "+f.Verify)
	}
}

func (j *junitWriter) Close() error {
	j.count(nil)
	b := &bytes.Buffer{}
	b.WriteString(xml.Header + "<testsuites>\n")
	for i, s := range j.suites {
		j.suite(b, i, s)
	}
	b.WriteString("</testsuites>\n")
	_, err := j.w.Write(b.Bytes())
	return err
}

func (j *junitWriter) suite(b *bytes.Buffer, id int, s *suite) {
	var failed, skipped int
	var took time.Duration
	for _, t := range s.tests {
		took += t.took
		if t.failed > 0 {
			failed++
		} else if t.skipped == t.calls {
			skipped++
		}
	}
	fmt.Fprintf(b, "  <testsuite name=\"%s\" package=\"mcp401\" id=\"%d\" tests=\"%d\" failures=\"%d\" errors=\"0\" skipped=\"%d\" time=\"%.3f\" timestamp=\"%s\" hostname=\"localhost\">\n",
		attr(s.name), id, len(s.tests), failed, skipped, took.Seconds(), moment(s.first))
	fmt.Fprintf(b, "    <properties>\n      <property name=\"mcp401\" value=\"%s\"/>\n", attr(j.run.Version))
	for _, in := range j.run.Inputs {
		fmt.Fprintf(b, "      <property name=\"input\" value=\"%s\"/>\n", attr(in.Name))
	}
	if j.where != "" {
		fmt.Fprintf(b, "      <property name=\"where\" value=\"%s\"/>\n      <property name=\"left_out\" value=\"%d\"/>\n", attr(j.where), j.left)
	}
	b.WriteString("    </properties>\n")
	for _, t := range s.tests {
		t.write(b, s.name)
	}
	b.WriteString("    <system-out></system-out>\n    <system-err></system-err>\n  </testsuite>\n")
}

func (t *test) write(b *bytes.Buffer, upstream string) {
	fmt.Fprintf(b, "    <testcase name=\"%s\" classname=\"mcp401.%s\" time=\"%.3f\"", attr(t.name), attr(strings.ReplaceAll(upstream, ".", "_")), t.took.Seconds())
	switch {
	case t.failed > 0:
		message := t.message
		if t.calls > 1 {
			message = fmt.Sprintf("%s (%s of %s)", clip(message, nameLength), number(t.failed), counted(t.calls, "call"))
		}
		fmt.Fprintf(b, ">\n      <failure message=\"%s\" type=\"%s\">\n", attr(message), attr(t.rule))
		for _, line := range t.told {
			xml.EscapeText(b, []byte(clip(line, 10*nameLength))) // to memory: it cannot fail
			b.WriteByte('\n')
		}
		if more := t.failed - toldPerTest; more > 0 {
			fmt.Fprintf(b, "and %s more\n", counted(more, "call"))
		}
		b.WriteString("      </failure>\n    </testcase>\n")
	case t.skipped == t.calls:
		b.WriteString(">\n      <skipped/>\n    </testcase>\n")
	default:
		b.WriteString("/>\n")
	}
}

// attr is text from a capture as the value of an attribute.
func attr(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(clip(s, nameLength))) // to memory: it cannot fail
	return b.String()
}

// moment is a time as xs:dateTime without a zone, as the schema wants it; in
// UTC.
func moment(t Time) string {
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return "1970-01-01T00:00:00"
	}
	return t.UTC().Format("2006-01-02T15:04:05")
}
